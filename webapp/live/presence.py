"""Who is at a project right now, and where they look: told from browser to browser, never stored.

Each process keeps the newest word of each of its own connections, and hands what has changed to all of them in one frame, at most
ten a second, however fast the words come in. The processes tell each other over the channel layer, one message for all connections.
A process repeats now and then who is there; of one that fell silent nobody is left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from channels.layers import get_channel_layer

from webapp.live.ending import end
from webapp.live.event_types import PresenceInfo

__all__ = ["FRAME_S", "Here", "News", "Person", "Presence"]

logger = logging.getLogger(__name__)

FRAME_S = 0.1  # between two frames to the same browser
REPEAT_S = 5.0  # between two words of a process on all who are there
SILENCE_S = 16.0  # after which a process counts as dead: three words were lost
RETRY_S = 1.0  # after the channel layer failed


class Person(NamedTuple):
    """Who sits at a connection."""

    user: int
    name: str
    color: str
    role: str


class News:
    """What has changed: JSON text of each connection that is here, and the connections that are gone."""

    def __init__(self, people: Mapping[str, str], gone: Iterable[str] = ()) -> None:
        self.people = people
        self.gone = frozenset(gone)

    def followed_by(self, later: News) -> News:
        """Both as one."""
        people = {**self.people, **later.people}
        gone = (self.gone | later.gone) - later.people.keys()
        return News({key: text for key, text in people.items() if key not in gone}, gone)

    @cached_property
    def text(self) -> str:
        """The event ``presence``, written once for all who get it."""
        gone = json.dumps(sorted(self.gone), separators=(",", ":"))
        return f'{{"type":"presence","people":[{",".join(self.people.values())}],"gone":{gone}}}'

    def __bool__(self) -> bool:
        return bool(self.people or self.gone)


@dataclass
class _Process:
    """Another server process, as far as it has told."""

    people: dict[str, str] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)


class Here:
    """One connection's part in it."""

    def __init__(self, presence: Presence, person: Person) -> None:
        self.connection = secrets.token_hex(6)
        self._presence = presence
        self._person = person
        self._said: Mapping[str, Any] | None = None

    def listen(self, tell: Callable[[News], None]) -> None:
        """From now on hear of the others, beginning with all who are there."""
        self._presence.listen(self.connection, tell)

    def say(self, said: Mapping[str, Any]) -> None:
        """Where this one is, what it points at: the fields of the command ``presence``."""
        self._said = said
        info: PresenceInfo = {"connection": self.connection, **self._person._asdict(), **said}  # type: ignore[typeddict-item]
        self._presence.put(self.connection, json.dumps(info, separators=(",", ":"), allow_nan=False))

    def use_role(self, role: str) -> None:
        """The person's role is another one now."""
        if role == self._person.role:
            return
        self._person = self._person._replace(role=role)
        if self._said is not None:
            self.say(self._said)

    def leave(self) -> None:
        self._presence.drop(self.connection)


class Presence:
    """All who are at one project, as one process knows them. Belongs to one event loop."""

    def __init__(self, project_id: int) -> None:
        self._group = f"presence.{project_id}"
        self._process = secrets.token_hex(8)
        self._mine: dict[str, str] = {}  # connection -> its JSON text
        self._processes: dict[str, _Process] = {}
        self._listeners: dict[str, Callable[[News], None]] = {}
        self._own_news = News({})  # what other processes and our own connections have not been told yet
        self._news = News({})  # what our own connections have not been told yet, of others
        self._wake = asyncio.Event()
        self._has_failed = False
        self._channel = ""  # ours in the group, once there is one
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------------------------ connections

    def join(self, person: Person) -> Here:
        """A connection of this process; it is seen by others once it says something."""
        return Here(self, person)

    def listen(self, connection: str, tell: Callable[[News], None]) -> None:
        self._listeners[connection] = tell
        everybody = News(self.people())
        if everybody:
            tell(everybody)

    def put(self, connection: str, text: str) -> None:
        if self._mine.get(connection) == text:
            return
        self._mine[connection] = text
        self._own_news = self._own_news.followed_by(News({connection: text}))
        self._wake.set()

    def drop(self, connection: str) -> None:
        self._listeners.pop(connection, None)
        if self._mine.pop(connection, None) is not None:
            self._own_news = self._own_news.followed_by(News({}, [connection]))
            self._wake.set()

    def people(self) -> dict[str, str]:
        """Everybody, at whichever process."""
        everybody: dict[str, str] = {}
        for process in self._processes.values():
            everybody |= process.people
        return everybody | self._mine

    # ------------------------------------------------------------------------------------------------ telling

    def start(self) -> None:
        """Begin to tell and to listen."""
        for work in (self._tell(), self._hear(), self._repeat()):
            self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """The last connection of this process has left."""
        await end(self._tasks)
        await self._send(bye=True)

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            own, self._own_news = self._own_news, News({})
            others, self._news = self._news, News({})
            news = others.followed_by(own)
            if news:
                for tell in list(self._listeners.values()):
                    tell(news)
            if own:
                await self._send(people=dict(own.people), gone=sorted(own.gone))
            await asyncio.sleep(FRAME_S)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_S)
            if self._channel:
                await self._renew()
            await self._send(all=dict(self._mine))
            self._bury(time.monotonic())

    async def _hear(self) -> None:
        """Take in what other processes say; joins the group anew where the layer failed."""
        layer = get_channel_layer()
        while True:
            try:
                self._channel = await layer.new_channel()
                await layer.group_add(self._group, self._channel)
                try:
                    await self._send(hello=True, all=dict(self._mine))
                    while True:
                        await self._take(await layer.receive(self._channel))
                finally:
                    await layer.group_discard(self._group, self._channel)
            except Exception:
                self._note_failure()
                await asyncio.sleep(RETRY_S)

    async def _renew(self) -> None:
        """Stay in the group: a layer forgets members after a day, and a restarted one has forgotten them all."""
        try:
            await get_channel_layer().group_add(self._group, self._channel)
        except Exception:
            self._note_failure()

    async def _send(self, **said: Any) -> None:
        message = {"type": "presence.told", "process": self._process, **said}
        try:
            await get_channel_layer().group_send(self._group, message)
            self._has_failed = False
        except Exception:
            # Those at this process see each other still; the next repetition makes up for what was lost.
            self._note_failure()

    def _note_failure(self) -> None:
        if not self._has_failed:
            logger.exception(
                "%s: the channel layer failed; who is at other processes is not known", self._group
            )
        self._has_failed = True

    # ------------------------------------------------------------------------------------------------ hearing

    async def _take(self, message: dict[str, Any]) -> None:
        sender = message["process"]
        if sender == self._process:
            return
        process = self._processes.setdefault(sender, _Process())
        process.heard = time.monotonic()
        if message.get("bye"):
            self._bury_one(sender)
            return
        if "all" in message:
            self._change(process, message["all"], process.people.keys() - message["all"].keys())
        self._change(process, message.get("people", {}), message.get("gone", ()))
        if message.get("hello"):
            await self._send(all=dict(self._mine))

    def _change(self, process: _Process, people: Mapping[str, str], gone: Iterable[str]) -> None:
        changed = {key: text for key, text in people.items() if process.people.get(key) != text}
        left = [key for key in gone if process.people.pop(key, None) is not None]
        process.people.update(changed)
        if changed or left:
            self._news = self._news.followed_by(News(changed, left))
            self._wake.set()

    def _bury(self, now: float) -> None:
        """Forget the processes that fell silent, and whoever was there."""
        for sender in [key for key, process in self._processes.items() if now - process.heard > SILENCE_S]:
            self._bury_one(sender)

    def _bury_one(self, sender: str) -> None:
        process = self._processes.pop(sender)
        self._change(process, {}, list(process.people))
