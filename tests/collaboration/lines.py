"""Connections of the real server, whose every step is taken when the test says so: no task, no timer, no thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.contrib.auth.models import User

from webapp.editing import checkpoints
from webapp.errors import LimitError
from webapp.live import consumers, feed, readings, standings, teller
from webapp.live.event_types import event
from webapp.live.mark import Mark
from webapp.messages import EditCommand, RedoEdit, RestoreState, SplitLeaf, UndoEdit

__all__ = ["Line", "finish", "stepwise"]


class Tray:
    """An outbox that the test empties: edits, states and rejections, and the notices behind them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.notices: dict[str, str] = {}

    def put(self, text: str) -> None:
        self.texts.append(text)

    def put_notice(self, key: str, text: str) -> None:
        self.notices[key] = text


class NoLimit:
    def take(self) -> bool:
        return True


class Line(consumers.ProjectConsumer):
    """One connection, as far as edits go."""

    def __init__(self, user: User, project_id: int, shared: feed.Feed, mark: Mark | None = None) -> None:
        super().__init__()
        self.user, self.project_id = user, project_id
        _, person = readings.entrance(user, project_id)
        self.role = person.role
        self.tray = Tray()
        self.outbox = self.tray  # type: ignore[assignment]
        self.feed = shared
        self.teller = teller.Teller(
            user,
            project_id,
            shared,
            self.tray,  # type: ignore[arg-type]
            self._nothing,
            self._nothing,
            mark,
        )
        self.bucket = self.presence_bucket = NoLimit()  # type: ignore[assignment]
        self.commands = asyncio.Queue()
        self.aside: SplitLeaf | None = None  # what is computed beside the other commands

    async def _nothing(self, *told: Any) -> None:
        """Leaf blocks and the decoder's table are no part of this."""

    # -------------------------------------------------------------------------------------------- steps

    async def work(self, perform: Callable[..., Any]) -> bool:
        """Take the next command that was read; False where there is none."""
        if self.commands.empty():
            return False
        command = self.commands.get_nowait()
        assert isinstance(command, EditCommand)
        if isinstance(command, SplitLeaf):
            if self.aside is not None:
                busy = LimitError("A cluster is being split already; wait for it.")
                await self._reject(command.client_id, busy)
            else:
                self.aside = command
        elif self.aside is not None and isinstance(command, UndoEdit | RedoEdit | RestoreState):
            waits = LimitError("Your split is still being made; undo or redo once it is there.")
            await self._reject(command.client_id, waits)
        else:
            await self._do(command, perform)
        return True

    async def end_aside(self, perform: Callable[..., Any]) -> None:
        if self.aside is not None:
            command, self.aside = self.aside, None
            await self._do(command, perform)

    async def _do(self, command: EditCommand, perform: Callable[..., Any]) -> None:
        with patch.object(consumers, "perform", perform):
            await self._perform(command, in_turn=True)

    async def beat(self) -> None:
        [(number, role)] = standings.read(self.project_id, [standings.Guest(self.user.pk, None)])
        if role != self.role:
            await self.look_at_members()
        self.tray.put_notice("heartbeat", event("heartbeat", {"number": number}))
        self.feed.stands_at(number)
        self.teller.heard(number)

    async def look_at_members(self) -> None:
        listed = readings.members(self.user, self.project_id)
        if listed.role != self.role:
            self.role = listed.role
            self.teller.start_anew()
        self.teller.note_members(listed.members)

    def taken(self) -> deque[str]:
        """What is on its way to the browser now."""
        texts, self.tray.texts = self.tray.texts, []
        return deque(texts)

    def taken_notices(self) -> deque[str]:
        notices, self.tray.notices = self.tray.notices, {}
        return deque(notices.values())


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end what, in these tests, never has to wait. No event loop runs: in one, Django would use another connection."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


@contextmanager
def stepwise() -> Iterator[None]:
    """The database is asked where one stands, so that a test is one transaction, and limits on what is kept are low."""

    def at_once(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **fields: Any) -> Any:
            return function(*args, **fields)

        return call

    async def alone(self: feed.Feed, name: str, read: Callable[[], Any]) -> None:
        await read()

    with (
        patch.object(consumers, "in_database", at_once),
        patch.object(feed, "in_database", at_once),
        patch.object(teller, "in_database", at_once),
        patch.object(feed.Feed, "_once", alone),
        patch.object(feed, "MAX_RESENT", 12),
        patch.object(feed, "KEPT", 5),
        patch.object(checkpoints, "LAG", 6),
        patch.object(checkpoints, "STALE", 8),
    ):
        yield
