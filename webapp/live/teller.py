"""Tells one browser what is new: edits after the last one told (or that it knows), or the whole state where it is too far behind.

Hints only wake it. It fetches edits while there is room in the browser's outbox, so that one that does not read holds nothing up
and fills no memory; when it reads on, it is told what it missed, or the state afresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.contrib.auth.models import User

from webapp.live import readings
from webapp.live.database import in_database
from webapp.live.event_types import MemberInfo, event
from webapp.live.feed import Feed, SharedEdit, Steps, told_to
from webapp.live.mark import Mark
from webapp.live.outbox import Outbox

__all__ = ["Teller"]


class Teller:
    """``after_edits`` is called with what was told, ``after_start`` once a state was told, or what a page at ``mark`` goes on from."""

    def __init__(
        self,
        user: User,
        project_id: int,
        feed: Feed,
        outbox: Outbox,
        after_edits: Callable[[list[SharedEdit]], Awaitable[None]],
        after_start: Callable[[], Awaitable[None]],
        mark: Mark | None = None,
    ) -> None:
        self._user = user
        self._project_id = project_id
        self._feed = feed
        self._outbox = outbox
        self._after_edits = after_edits
        self._after_start = after_start
        self._mark = mark  # where the page stands, until it was told how to go on from there
        self.number = 0  # of the newest edit told
        self._news = asyncio.Event()
        self._wants_state = True
        self._back_to: int | None = None  # number of an earlier edit, after which they are to be told again
        self._steps: Steps | None = None  # can undo, can redo; None: to be read
        self._repeats: list[int] = []
        self._own: list[int] = []  # edits that this browser made, newer than what it was told
        # Number of the newest edit that a state stood for: its own event may never have come.
        self._covered = 0
        self._progress: dict[int, dict[str, Any]] = {}
        self._statistics: set[int] = set()
        self._notes: set[str] = set()  # "comments", "versions": what has changed beside the edits
        self._is_listed_anew = False
        self._members: list[MemberInfo] | None = None  # who takes part now, where that is to be told
        self._news.set()

    # ------------------------------------------------------------------------------------------------ hints

    def heard(self, number: int) -> None:
        """An edit was recorded."""
        self._feed.heard(number)
        if number > self.number:
            self._news.set()

    def made(self, number: int) -> None:
        """This browser's own command has become an edit: it waits for that very event, whatever else it is told."""
        if number <= self._covered:
            self.tell_again(number)
        elif number > self.number:
            self._own.append(number)
        self.heard(number)

    def tell_again(self, number: int) -> None:
        """One edit once more, whose sender has repeated its command."""
        self._repeats.append(number)
        self._news.set()

    def go_back_to(self, number: int) -> None:
        """The browser has the edits up to ``number``."""
        # Ahead of us it can only be by mistake (a restored database): it needs the whole state.
        self._wants_state = self._wants_state or number > self.number
        self._back_to = number if self._back_to is None else min(self._back_to, number)
        self._news.set()

    def start_anew(self) -> None:
        """The browser wants the whole state."""
        self._wants_state = True
        self._mark = None
        self._news.set()

    def note_progress(self, progress: dict[str, Any]) -> None:
        self._progress[progress["segmentation"]] = progress
        self._news.set()

    def note_list(self) -> None:
        """The segmentations of the scene are others now."""
        self._feed.listed_anew()
        self._is_listed_anew = True
        self._news.set()

    def note_statistics(self, segmentation: int) -> None:
        self._statistics.add(segmentation)
        self._news.set()

    def note_change(self, what: str) -> None:
        """Something beside the edits has changed; the page fetches it."""
        self._notes.add(what)
        self._news.set()

    def note_members(self, members: list[MemberInfo]) -> None:
        """These take part now."""
        self._members = members
        self._news.set()

    # ------------------------------------------------------------------------------------------------ telling

    async def run(self) -> None:
        """Tell until cancelled; MissingError once the project is gone, or is not to be seen any more."""
        while True:
            await self._news.wait()
            await self._outbox.roomy()
            self._news.clear()
            await self.tell()

    async def tell(self) -> None:
        """Tell what is new now."""
        if self._mark is not None:
            await self._resume(self._mark)
        if not self._wants_state:
            await self._tell_edits()
        if self._wants_state:
            await self._tell_state()
        repeats, self._repeats = self._repeats, []
        for number in repeats:
            # What can be undone is of now, and this edit of before.
            again, _ = await self._told(await self._feed.one(number))
            for text in again:
                self._outbox.put(text)
        await self._tell_notices()

    async def _resume(self, mark: Mark) -> None:
        """Begin where the page stands, if it can be told from there."""
        self._mark = None
        resumed = await in_database(readings.resumed)(self._user, self._project_id, mark)
        if resumed is None:
            return
        self._feed.heard(resumed["number"])
        missed = await self._feed.after(mark.number)
        if missed is None or any(edit.is_ahead for edit in missed):
            return  # too far behind
        self._outbox.put(event("project.resumed", resumed))
        self.number, self._steps = mark.number, (resumed["can_undo"], resumed["can_redo"])
        self._wants_state = False
        await self._after_start()

    async def _tell_edits(self) -> None:
        if self._back_to is not None:
            self.number, self._back_to = min(self.number, self._back_to), None
        edits = await self._feed.after(self.number)
        if edits is None or any(edit.is_ahead for edit in edits):
            self._wants_state = True  # too far behind
            return
        if not edits:
            return
        texts, self._steps = await self._told(edits)
        for text in texts:
            self._outbox.put(text)
        self.number = edits[-1].number
        self._own = [number for number in self._own if number > self.number]
        await self._after_edits(edits)

    async def _told(self, edits: list[SharedEdit]) -> tuple[list[str], Steps]:
        return await told_to(self._user, self._project_id, edits, self._steps)

    async def _tell_state(self) -> None:
        self._wants_state = False
        state = await in_database(readings.state)(self._user, self._project_id)
        self._outbox.put(event("project.state", state))
        self._feed.heard(state["number"])
        self.number, self._steps = state["number"], (state["can_undo"], state["can_redo"])
        self._covered = self.number
        self._repeats += [number for number in self._own if number <= self._covered]
        self._own = [number for number in self._own if number > self._covered]
        await self._after_start()

    async def _tell_notices(self) -> None:
        if self._is_listed_anew:
            self._is_listed_anew = False
            self._outbox.put_notice("segmentations", await self._feed.segmentations())
        if self._members is not None:
            members, self._members = self._members, None
            self._outbox.put_notice("members", event("members.changed", {"members": members}))
        progress, self._progress = self._progress, {}
        for segmentation, latest in progress.items():
            self._outbox.put_notice(f"progress {segmentation}", event("segmentation.progress", latest))
        notes, self._notes = self._notes, set()
        for what in sorted(notes):
            self._outbox.put_notice(what, event(f"{what}.changed", {}))
        statistics, self._statistics = self._statistics, set()
        for segmentation in sorted(statistics):
            text = event("statistics.changed", {"segmentation": segmentation})
            self._outbox.put_notice(f"statistics {segmentation}", text)
