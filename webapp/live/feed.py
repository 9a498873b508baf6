"""A project's edits for all connections of a process: each is read from the database and written out once.

What is the same for everybody is shared; what only one person is told (what they can undo, remarks, lost races) is added for each.
Hints and heartbeats say how far the project is; only what is beyond the newest edit read makes a reading necessary.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from django.contrib.auth.models import User

from webapp.decoding.completion import Order, order_of
from webapp.editing import history
from webapp.errors import MissingError
from webapp.live import events
from webapp.live.database import in_database
from webapp.live.event_types import event, extended
from webapp.models import Edit, Project

__all__ = ["MAX_RESENT", "Feed", "SharedEdit", "Steps", "told_to"]

MAX_RESENT = 500  # edits; a browser that is further behind gets the whole state
KEPT = 200  # edits that are kept for those who come a little later
KEPT_BYTES = 1024**2  # of their texts
# These may reach past a person's own edits, whoever made them.
_REACH_FAR = frozenset({history.UNDO, history.REDO, history.RESTORE, history.ADOPT})

Result = TypeVar("Result")
Steps = tuple[bool, bool]  # can undo, can redo


class SharedEdit(NamedTuple):
    """One edit as everybody is told of it."""

    edit: Edit  # of its payload only what some people are told apart
    changes_leaves: bool  # so that blocks may be others now
    text: str  # edit.applied without what differs from person to person
    is_ahead: bool = False  # told with leaves that a later edit made: changes up to there speak of other ones

    @property
    def number(self) -> int:
        return int(self.edit.number)


class Feed:
    """One project's edits, and the order for its decoder. Belongs to one event loop."""

    def __init__(self, project_id: int) -> None:
        self._project_id = project_id
        self._newest = 0  # number of the newest edit that was heard of
        self._read = 0  # number up to which edits were read; 0: none yet
        self._kept: deque[SharedEdit] = deque()  # the last of those
        self._order: Order | None = None
        self._lists_asked = self._lists_read = 0  # how often the scene's segmentations were others
        self._list = ""
        self._running: dict[str, asyncio.Task[Any]] = {}

    def heard(self, number: int) -> None:
        """There is an edit of this number."""
        self._newest = max(self._newest, number)

    def stands_at(self, number: int) -> None:
        """The project's newest edit had this number a moment ago."""
        if number < min(self._newest, self._read):  # the database was restored to an earlier state
            self._newest = self._read = 0
            self._kept.clear()
            self._order = None
        self.heard(number)

    async def after(self, number: int) -> list[SharedEdit] | None:
        """The edits after ``number`` in order; None where there are more than 500. MissingError once the project is gone."""
        self.heard(number)
        while self._read < self._newest:
            begin = self._read or number
            if self._newest - begin > MAX_RESENT:
                begin = self._newest - MAX_RESENT  # nobody is told of the ones before
            await self._once("edits", lambda begin=begin: self._advance(begin))
        if self._newest - number > MAX_RESENT:
            return None
        first = self._kept[0].number if self._kept else self._read + 1
        if number + 1 >= first:
            return [edit for edit in self._kept if edit.number > number]
        return await in_database(_read_edits)(self._project_id, number, MAX_RESENT)

    async def one(self, number: int) -> list[SharedEdit]:
        """The edit of this number."""
        return await in_database(_read_edits)(self._project_id, number - 1, 1)

    async def order(self) -> Order:
        """What the decoder is to compute, at least as new as every edit heard of."""
        wanted = self._newest
        if self._order is None or self._order.number < wanted:
            await self._once("order", self._read_order)
        if self._order is None or self._order.number < wanted:
            await self._once("order", self._read_order)  # the reading that was joined had begun too early
        if self._order is None:
            raise MissingError(f"There is no project {self._project_id} (any more).")
        return self._order

    def listed_anew(self) -> None:
        """The segmentations of the scene are others now."""
        self._lists_asked += 1

    async def segmentations(self) -> str:
        """The event that tells them, at least as new as every change heard of. MissingError once the project is gone."""
        wanted = self._lists_asked
        while self._lists_read < wanted:
            await self._once("list", self._read_list)
        return self._list

    async def _read_list(self) -> None:
        asked = self._lists_asked
        self._list = await in_database(_read_list)(self._project_id)
        self._lists_read = asked

    async def _advance(self, begin: int) -> None:
        heard = self._newest
        found = await in_database(_read_edits)(self._project_id, begin, MAX_RESENT)
        if not self._kept or self._kept[-1].number != begin:
            self._kept.clear()
        self._kept.extend(found)
        held = sum(len(edit.text) for edit in self._kept)
        while len(self._kept) > KEPT or (held > KEPT_BYTES and len(self._kept) > 1):
            held -= len(self._kept.popleft().text)
        # What was heard of before this reading and is not in it does not exist: nobody shall ask for it again.
        self._read = max([heard, begin, *(edit.number for edit in found)])
        self.heard(self._read)

    async def _read_order(self) -> None:
        self._order = await in_database(_read_order)(self._project_id)

    async def _once(self, name: str, read: Callable[[], Any]) -> None:
        """Join the reading of this name that runs, or start one; whoever leaves takes back only their own wait."""
        task = self._running.get(name)
        if task is None:
            task = asyncio.create_task(read())
            self._running[name] = task
            task.add_done_callback(lambda _: self._running.pop(name, None))
        await asyncio.shield(task)


def _read_edits(project_id: int, number: int, most: int) -> list[SharedEdit]:
    edits = events.edits_after(project_id, number, most)
    # The project after them: lists are told as they are now, never as they were before an edit.
    project = _project(project_id)
    return [_shared(project, edit) for edit in edits]


def _read_order(project_id: int) -> Order:
    return order_of(_project(project_id))


def _read_list(project_id: int) -> str:
    return event("segmentations.changed", events.segmentations_changed(_project(project_id)))


def _project(project_id: int) -> Project:
    project = Project.objects.select_related("scene", "segmentation").filter(pk=project_id).first()
    if project is None:
        raise MissingError(f"There is no project {project_id} (any more).")
    return project


def _shared(project: Project, edit: Edit) -> SharedEdit:
    fields = events.shared_fields(project, edit)
    kept = {name: edit.payload[name] for name in ("remark", "raced") if name in edit.payload}
    light = Edit(
        project_id=edit.project_id, number=edit.number, kind=edit.kind, user_id=edit.user_id, payload=kept
    )
    changes_leaves = "splits" in fields or fields["reload"]
    is_ahead = "splits" in fields and fields["splits"]["version"] > edit.number
    return SharedEdit(light, changes_leaves, event("edit.applied", fields), is_ahead)


# ---------------------------------------------------------------------------------------------------- for one person


async def told_to(
    user: User, project_id: int, edits: list[SharedEdit], steps: Steps | None
) -> tuple[list[str], Steps]:
    """The events that ``user`` is sent, and what they can undo and redo now.

    ``steps`` is what they could before: others' edits seldom change that, and then the database is not asked.
    """
    if any(_needs_reading(edit.edit, user) for edit in edits):
        return await in_database(_read_told_to)(user, project_id, edits)
    if any(edit.edit.user_id == user.pk for edit in edits):
        steps = (True, False)  # whoever goes on can undo that, and cannot redo what they undid before
    if steps is None:
        return await in_database(_read_told_to)(user, project_id, edits)
    return _texts(user, edits, steps), steps


def _read_told_to(user: User, project_id: int, edits: list[SharedEdit]) -> tuple[list[str], Steps]:
    project = _project(project_id)
    steps = (history.can_undo(project, user.pk), history.can_redo(project, user.pk))
    return _texts(user, edits, steps), steps


def _texts(user: User, edits: list[SharedEdit], steps: Steps) -> list[str]:
    return [extended(edit.text, events.own_fields(edit.edit, user, *steps)) for edit in edits]


def _needs_reading(edit: Edit, user: User) -> bool:
    """Whether only the database knows what an edit means to ``user``."""
    is_loser = any(user_id == user.pk for _, user_id, _ in edit.payload.get("raced", ()))
    return is_loser or edit.kind in _REACH_FAR
