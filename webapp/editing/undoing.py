"""Undo and redo: an edit is marked dead or live again, and the log is folded anew."""

from __future__ import annotations

import numpy as np
from django.contrib.auth.models import User
from django.db import transaction

from webapp.actions import append_edit, first_edit, lock_project
from webapp.editing.edits import LEAF_KINDS, ProjectState, changes, merge_ranges, ranges_overlap
from webapp.editing.history import ADOPT, REDO, UNDO, later_leaf_edits, redo_target, undo_target
from webapp.editing.snapshots import load_state, replay, save_state
from webapp.errors import ConflictError, NothingToDoError
from webapp.models import Edit, Project, Segmentation

__all__ = ["redo", "undo"]


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
            raise NothingToDoError(
                "There is nothing of yours to undo." if kind == UNDO else "There is nothing of yours to redo."
            )
        if target.kind == ADOPT:
            _require_no_work_on_leaves(project, target, kind)
        before = load_state(project)
        after = replay(project, toggled=target)
        after.note_toggle(target.number, project.number + 1)
        _require_segmentation(after)
        _require_pixels(after, target)
        target.live = not target.live
        target.save(update_fields=["live"])
        save_state(project, before, after)
        same_leaves = before.segmentation == after.segmentation and before.table.shape == after.table.shape
        payload = {
            "target": target.number,
            "changes": changes(before.visible_table(), after.visible_table()) if same_leaves else [],
            "reload": not same_leaves,
            "remark": _remark(project, user, target, before, after),
        }
        return append_edit(project, user, client_id, kind, payload)


def _require_no_work_on_leaves(project: Project, adoption: Edit, kind: str) -> None:
    """Refuse to turn an adoption while later edits name leaves of the segmentation that would go."""
    later = later_leaf_edits(project, adoption).first()
    if later is None:
        return
    who = later.user.username if later.user else "Somebody"
    verb = "undone" if kind == UNDO else "redone"
    raise ConflictError(
        f"{who} has classified leaves since, so that the change of segmentation cannot be {verb}; "
        "adopt the segmentation you want from the list, and the classes come along."
    )


def _require_segmentation(state: ProjectState) -> None:
    if state.segmentation is not None and not Segmentation.objects.filter(pk=state.segmentation).exists():
        raise ConflictError("The segmentation that this would bring back was deleted, so it cannot be done.")


def _require_pixels(state: ProjectState, target: Edit) -> None:
    """Refuse to bring back a split of a leaf whose pixels were given to other children since."""
    splits = [split for refinement in state.refinements.values() for split in refinement.leaf_splits]
    if not target.live and any(target.number in split.replaces for split in splits):
        raise ConflictError(
            "The cluster was split anew since, so that this split cannot be redone; split the cluster by hand."
        )


def _remark(project: Project, user: User, target: Edit, before: ProjectState, after: ProjectState) -> str:
    """What the user should know of others' work in the same place."""
    if target.kind in LEAF_KINDS and "ranges" in target.payload:
        mine = target.payload["ranges"]
        names = sorted(
            {
                edit.user.username if edit.user else "somebody"
                for edit in later_leaf_edits(project, target)
                if edit.user_id != user.pk
                and "ranges" in edit.payload
                and ranges_overlap(merge_ranges(mine), merge_ranges(edit.payload["ranges"]))
            }
        )
        if names:
            return f"Some of these clusters were changed since by {', '.join(names)}; that change stands."
    created = [label["class"] for label in target.payload.get("classes", ())]
    if target.kind == "class.create":
        created.append(target.payload["class"])
    gone = [number for number in created if number not in after.classes]
    lost = int(np.isin(before.visible_table(), gone).sum()) if gone else 0
    if lost:
        whose = "the class, its" if len(created) == 1 else "the classes, their"
        return f"With {whose} {lost} assigned leaves show as unlabelled; redo brings them back."
    # What examples change is only predicted, so that nothing can be told of it here.
    if not target.kind.startswith("examples.") and _same(before, after):
        return "Nothing changes on the map: it was changed again since, and that change stands."
    return ""


def _same(before: ProjectState, after: ProjectState) -> bool:
    return (
        before.classes == after.classes
        and before.aoi == after.aoi
        and before.completion == after.completion
        and before.segmentation == after.segmentation
        and before.refinement == after.refinement
        and before.table.shape == after.table.shape
        and bool((before.visible_table() == after.visible_table()).all())
    )
