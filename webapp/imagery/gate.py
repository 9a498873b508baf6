"""In front of Django: whoever was just let through to a scene's tiles gets the next ones without passing everything again.

A map asks for dozens of tiles at once, and session, account and membership cost more than a tile that is kept. So the answer
"this browser may see this scene" holds for a few seconds in the process that gave it, for requests with the very same cookies and
host. Whatever changes who may see what in this process ends all passes at once; what changes elsewhere counts when they run out.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest, QueryDict

from webapp.imagery import serving
from webapp.models import Membership, Project, Scene

__all__ = ["PASS_S", "TileGate", "end_passes", "may_pass"]

PASS_S = 3.0
_MOST_PASSES = 10_000
_SCENE = "clusternet.tile_scene"  # where the view leaves the scene that it let somebody see
# What does not look like this is Django's business.
_PATH = re.compile(r"/tiles/([0-9]{1,18})/([0-9]{1,4})/([0-9]{1,10})/([0-9]{1,10})(?:\.([A-Za-z]{1,10}))?")
# Of one tile alone; the others come with every answer and are said again.
_OWN_HEADERS = {b"content-type", b"content-length", b"etag", b"cache-control", b"vary", b"retry-after"}

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Headers = list[tuple[bytes, bytes]]


class _Pass(NamedTuple):
    ends: float
    scene: Scene
    headers: Headers


_passes: OrderedDict[tuple[Any, ...], _Pass] = OrderedDict()


def may_pass(request: HttpRequest, scene: Scene) -> None:
    """Note that whoever sent ``request`` may see the scene."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        scope[_SCENE] = (time.monotonic(), scene)


def end_passes(**_: Any) -> None:
    """Ask Django again, for everybody."""
    _passes.clear()


for _model in (Membership, Scene, User):
    post_save.connect(end_passes, sender=_model, dispatch_uid=f"tile-passes-{_model.__name__}-saved")
for _model in (Membership, Scene, User, Project, Session):
    post_delete.connect(end_passes, sender=_model, dispatch_uid=f"tile-passes-{_model.__name__}-deleted")
for _signal in (user_logged_in, user_logged_out):
    _signal.connect(end_passes, dispatch_uid="tile-passes")


class TileGate:
    """An ASGI application around Django's."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if found is None:
            await self._application(scope, receive, send)
            return
        scene_id = int(found[1])
        sent = dict(scope["headers"])
        key = _key(scope, sent, scene_id)
        held = _passes.get(key) if key else None
        if held is None or held.ends < time.monotonic():
            await self._ask_django(key, scope, receive, send)
            return
        asked = serving.Asked(
            int(found[2]),
            int(found[3]),
            int(found[4]),
            found[5] or "",
            QueryDict(scope["query_string"]),
            _text(sent, b"accept"),
            _text(sent, b"if-none-match"),
        )
        answer = await _unless_gone(serving.answer(held.scene, asked), receive)
        if answer is not None:
            await _send(send, answer, held.headers)

    async def _ask_django(
        self, key: tuple[Any, ...] | None, scope: Message, receive: Receive, send: Send
    ) -> None:
        async def listen(message: Message) -> None:
            if message["type"] == "http.response.start" and key is not None and _SCENE in scope:
                headers: Headers = [(name.lower(), value) for name, value in message["headers"]]
                # Who is given a cookie comes back with another one; who was refused gets no pass.
                if message["status"] < 400 and not any(name == b"set-cookie" for name, _ in headers):
                    said_again = [pair for pair in headers if pair[0] not in _OWN_HEADERS]
                    allowed_at, scene = scope[_SCENE]
                    _keep(key, _Pass(allowed_at + PASS_S, scene, said_again))
            await send(message)

        await self._application(scope, receive, listen)


def _key(scope: Message, sent: dict[bytes, bytes], scene_id: int) -> tuple[Any, ...] | None:
    """All that the decision depends on; None for somebody without a session."""
    cookies = sent.get(b"cookie", b"")
    if settings.SESSION_COOKIE_NAME.encode() not in cookies:
        return None
    names = (b"host", b"x-forwarded-proto", b"x-forwarded-host", b"authorization")
    return (scene_id, cookies, scope.get("scheme"), *(sent.get(name) for name in names))


def _keep(key: tuple[Any, ...], given: _Pass) -> None:
    _passes[key] = given
    _passes.move_to_end(key)
    while len(_passes) > _MOST_PASSES:
        _passes.popitem(last=False)


async def _unless_gone(work: Awaitable[serving.Answer], receive: Receive) -> serving.Answer | None:
    """The answer, or None, and the work cancelled, where the browser went away before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leaves(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        leaving.cancel()
        working.cancel()


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, answer: serving.Answer, again: Headers) -> None:
    own = {**answer.headers, "Vary": ", ".join(filter(None, (answer.headers.get("Vary"), "Cookie")))}
    headers = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in own.items()]
    if answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers + again})
    await send({"type": "http.response.body", "body": answer.body})


def _text(sent: dict[bytes, bytes], name: bytes) -> str:
    return sent.get(name, b"").decode("latin1")
