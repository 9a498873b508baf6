"""Going back: the project as it was right after one of its edits, brought back as a new edit (docs/decisions/0019)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from webapp.actions import append_edit, first_edit, lock_project
from webapp.editing.history import RESTORE
from webapp.editing.liveness import TOGGLES, LogEntry, flips_between, live_numbers
from webapp.editing.remarks import remark_on_restore
from webapp.editing.snapshots import load_state, read_liveness
from webapp.editing.undoing import difference, turn
from webapp.errors import ConflictError, MissingError, NothingToDoError
from webapp.models import Edit, Project

__all__ = ["require_number", "restore_state"]


def restore_state(user: User, project_id: int, client_id: str, *, number: int) -> Edit:
    """Bring back the state right after edit ``number``: what was done since is set aside, and undo brings it back.

    It marks edits dead and live, so that everybody's own undo goes on from what holds then.
    """
    with transaction.atomic():
        project = lock_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            return first
        require_number(project, number)
        log = read_liveness(project)
        dead = _dead_at(log, number)
        restored = [*log, LogEntry(project.number + 1, RESTORE, restored=number, dead=dead)]
        flips = flips_between(log, live_numbers(log), live_numbers(restored))
        if not flips.all:
            raise NothingToDoError("The map is in that state already.")
        remark = remark_on_restore(project, user, number)
        before = load_state(project)
        after = turn(project, before, flips)
        if after.segmentation is None:
            raise ConflictError("At that time the project had no clusters yet; choose a later state.")
        payload: dict[str, Any] = {
            "number": number,
            "dead": dead,
            **flips.pack(),
            **difference(before, after),
            "remark": remark,
        }
        return append_edit(project, user, client_id, RESTORE, payload)


def require_number(project: Project, number: int) -> None:
    """MissingError where the project has no such edit."""
    if not 1 <= number <= project.number:
        raise MissingError(
            f"There is no edit {number} in this project; its edits have the numbers 1 to {project.number}."
            if project.number
            else "Nothing was done in this project yet, so there is nothing to go back to."
        )


def _dead_at(log: list[LogEntry], number: int) -> list[int]:
    upto = [entry for entry in log if entry.number <= number]
    live = live_numbers(upto)
    return [
        entry.number
        for entry in upto
        if entry.kind not in TOGGLES and entry.kind != RESTORE and entry.number not in live
    ]
