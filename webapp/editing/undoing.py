"""Undo and redo: edits are marked dead or live again, and the log is folded anew."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from webapp.actions import append_edit, first_edit, lock_project
from webapp.editing.checkpoints import refold
from webapp.editing.edits import ProjectState, changes
from webapp.editing.history import (
    ADOPT,
    REDO,
    RESTORE,
    UNDO,
    later_leaf_edits,
    others_adoption,
    redo_target,
    undo_target,
)
from webapp.editing.liveness import TOGGLES, Flips, LogEntry, flips_between, live_numbers
from webapp.editing.remarks import remark_on_toggle
from webapp.editing.snapshots import load_state, read_liveness, save_state
from webapp.errors import ConflictError, NothingToDoError
from webapp.models import Edit, Project, Segmentation

__all__ = ["redo", "turn", "undo"]


def undo(user: User, project_id: int, client_id: str) -> Edit:
    """Take back the user's latest live edit; where others changed the same since, theirs stands."""
    return _toggle(user, project_id, client_id, UNDO)


def redo(user: User, project_id: int, client_id: str) -> Edit:
    """Bring back the edit that the user undid last, at its old place in the log."""
    return _toggle(user, project_id, client_id, REDO)


def _toggle(user: User, project_id: int, client_id: str, kind: str) -> Edit:
    with transaction.atomic():
        project = lock_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            return first
        target = undo_target(project, user.pk) if kind == UNDO else redo_target(project, user.pk)
        if target is None:
            raise NothingToDoError(_nothing(project, user, kind))
        if target.kind == ADOPT:
            _require_no_work_on_leaves(project, target, kind)
        flips = _flips(project, target, kind)
        before = load_state(project)
        after = turn(project, before, flips)
        if target.kind == RESTORE and after.segmentation != before.segmentation:
            _require_no_work_on_leaves(project, target, kind)
        payload = {
            "target": target.number,
            **(flips.pack() if target.kind == RESTORE else {}),
            **difference(before, after),
            "remark": remark_on_toggle(project, user, target, before, after),
        }
        return append_edit(project, user, client_id, kind, payload)


def _nothing(project: Project, user: User, kind: str) -> str:
    if kind == REDO:
        return "There is nothing of yours to redo."
    adoption = others_adoption(project, user.pk)
    if adoption is None:
        return "There is nothing of yours to undo."
    who = adoption.user.username if adoption.user else "The server"
    return (
        f"{who} has changed the segmentation since your last edits, so that they cannot be undone one by one; "
        "the history brings back an earlier state."
    )


def _flips(project: Project, target: Edit, kind: str) -> Flips:
    if target.kind != RESTORE:
        own = ((target.number, target.number + 1),)
        return Flips(died=own) if kind == UNDO else Flips(revived=own)
    log = read_liveness(project)
    toggled = [*log, LogEntry(project.number + 1, kind, target=target.number)]
    return flips_between(log, live_numbers(log), live_numbers(toggled))


def turn(project: Project, before: ProjectState, flips: Flips) -> ProjectState:
    """Mark edits of a locked project dead or live, as its next edit, and store the state that follows.

    ConflictError where something stands against that state.
    """
    number = project.number + 1
    edits = Edit.objects.filter(project=project).exclude(kind__in=TOGGLES)
    for ranges, is_live in ((flips.died, False), (flips.revived, True)):
        for low, high in ranges:
            edits.filter(number__gte=low, number__lt=high).update(live=is_live)
    after = refold(project, flips)
    after.note_flips(flips.all, number)
    _require_segmentation(after)
    _require_pixels(before, after)
    _require_names(before, after)
    save_state(project, before, after)
    return after


def difference(before: ProjectState, after: ProjectState) -> dict[str, Any]:
    """How the table changes, as part of a payload."""
    same_leaves = before.segmentation == after.segmentation and before.table.shape == after.table.shape
    return {
        "changes": changes(before.visible_table(), after.visible_table()) if same_leaves else [],
        "reload": not same_leaves,
    }


def _require_no_work_on_leaves(project: Project, adoption: Edit, kind: str) -> None:
    """Refuse to change the segmentation while later edits name leaves of the one that would go."""
    later = later_leaf_edits(project, adoption).first()
    if later is None:
        return
    who = later.user.username if later.user else "Somebody"
    verb = "undone" if kind == UNDO else "redone"
    what = (
        "the change of segmentation"
        if adoption.kind == ADOPT
        else "the restore, which changed the segmentation,"
    )
    raise ConflictError(
        f"{who} has classified leaves since, so that {what} cannot be {verb}; "
        "adopt the segmentation you want from the list, and the classes come along."
    )


def _require_segmentation(state: ProjectState) -> None:
    if state.segmentation is not None and not Segmentation.objects.filter(pk=state.segmentation).exists():
        raise ConflictError("The segmentation that this would bring back was deleted, so it cannot be done.")


def _require_pixels(before: ProjectState, after: ProjectState) -> None:
    """Refuse to bring back a split of a leaf whose pixels were given to other children since."""
    splits = [split for refinement in after.refinements.values() for split in refinement.leaf_splits]
    was_live = {
        split.number
        for refinement in before.refinements.values()
        for split in refinement.leaf_splits
        if split.live
    }
    revived = {split.number for split in splits if split.live} - was_live
    if any(revived.intersection(split.replaces) for split in splits):
        raise ConflictError(
            "A cluster was split anew since, so that its earlier split cannot be brought back; split it by hand."
        )


def _require_names(before: ProjectState, after: ProjectState) -> None:
    """Refuse to bring back a class whose name another one has by now."""
    twice = _names_held_twice(after) - _names_held_twice(before)
    if twice:
        raise ConflictError(
            f"This would bring back a second class {min(twice)!r}; rename the one that is there, then do it again."
        )


def _names_held_twice(state: ProjectState) -> set[str]:
    # As people see them: names are compared whatever their case, and told as they are written.
    shown = {label.name.casefold(): label.name for label in state.live_classes()}
    counts = Counter(label.name.casefold() for label in state.live_classes())
    return {shown[name] for name, count in counts.items() if count > 1}
