"""Django's ASGI handler with bounded bodies, and uploads that flow instead of being spooled first.

Django's own handler writes every body to a temporary file, whoever sent it and however large it is, before
any view (and so any sign-in, quota or limit) sees the request.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

__all__ = ["PART_TYPE", "UPLOAD_PATH", "StreamingHandler"]

UPLOAD_PATH = "/api/scenes"
PARTS_PATH = "/api/uploads/"
PART_TYPE = "application/offset+octet-stream"
BUFFER_BYTES = 256 * 1024
IDLE_S = 120  # a sender that is silent for longer is taken as gone

Receive = Callable[[], Awaitable[dict[str, Any]]]


class BodyTooLargeError(Exception):
    """The body is longer than a request other than an upload may be."""


class BoundedReceive:
    """ASGI ``receive`` that refuses more than ``limit`` bytes of body."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit

    async def __call__(self) -> dict[str, Any]:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLargeError
        return message


class StreamedReceive:
    """ASGI ``receive`` for two: the view pulls the body, Django waits for the client to leave."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = asyncio.Event()
        self._gone = False

    async def pull(self) -> bytes | None:
        """The next piece of the body, None at its end; ConnectionResetError where the sender has left."""
        if self._gone:
            raise ConnectionResetError("the sender left")
        if self._ended.is_set():
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            self._ended.set()
            raise ConnectionResetError("the sender left")
        if not message.get("more_body", False):
            self._ended.set()
        return bytes(message.get("body", b""))

    async def __call__(self) -> dict[str, Any]:
        await self._ended.wait()
        return {"type": "http.disconnect"} if self._gone else await self._receive()


class BodyStream(io.RawIOBase):
    """The body as a blocking file, for the thread that parses it: what is not read stays with the sender."""

    def __init__(self, source: StreamedReceive) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = self._pull()
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _pull(self) -> bytes | None:
        future = asyncio.run_coroutine_threadsafe(self._source.pull(), self._loop)
        try:
            return future.result(timeout=IDLE_S)
        except TimeoutError as error:
            future.cancel()
            raise ConnectionResetError(f"nothing was received for {IDLE_S} s") from error


class StreamingHandler(ASGIHandler):
    async def handle(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        if _is_upload(scope):
            await super().handle(scope, StreamedReceive(receive), send)
            return
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            if _declared_length(scope) > limit:
                raise BodyTooLargeError
            await super().handle(scope, BoundedReceive(receive, limit), send)
        except BodyTooLargeError:
            await _refuse(send, limit)

    async def read_body(self, receive: Receive) -> Any:
        if isinstance(receive, StreamedReceive):
            return io.BufferedReader(BodyStream(receive), BUFFER_BYTES)
        return await super().read_body(receive)


def _is_upload(scope: dict[str, Any]) -> bool:
    if scope["method"] == "PATCH" and scope["path"].startswith(PARTS_PATH):
        return _header(scope, b"content-type").lower() == PART_TYPE
    if scope["method"] != "POST" or scope["path"].rstrip("/") != UPLOAD_PATH:
        return False
    return _header(scope, b"content-type").lower().startswith("multipart/form-data")


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin1") for key, value in scope["headers"] if key.lower() == name), "")


def _declared_length(scope: dict[str, Any]) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdecimal() else 0


async def _refuse(send: Any, limit: int) -> None:
    body = json.dumps(
        {"detail": f"The request is longer than the {limit // 1024**2} MiB it may have."}
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
