"""What a person is told about an undo, a redo or a restore of theirs: what others did in the same place since, which stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import User

from segmentation.overrides import covered_pixels
from webapp.editing.edits import LEAF_KINDS, OVERRIDE, ProjectState
from webapp.editing.history import RESTORE, later_leaf_edits
from webapp.editing.liveness import TOGGLES
from webapp.editing.overrides import override_file
from webapp.models import Edit, Project

__all__ = ["list_names", "remark_on_restore", "remark_on_toggle"]

# Kinds of which a later one of the same class (or none) replaces what an earlier one said.
_REPLACED_BY_LATER = {
    "class.rename": "renamed the class",
    "class.recolor": "given the class another color",
    "class.reorder": "moved classes",
    "aoi.set": "set another area of interest",
    "completion.set": "set the completion of the map",
}

Ranges = Sequence[Sequence[int]]


def remark_on_toggle(
    project: Project, user: User, target: Edit, before: ProjectState, after: ProjectState
) -> str:
    """What to tell after ``target`` was undone or redone; nothing where all went as meant."""
    if target.kind in LEAF_KINDS:
        left = _left_alone(project, user, target, after)
        if left:
            return left
    if target.kind == OVERRIDE:
        return _covered(project, user, target, after)
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
        who = _replaced_by(project, user, target)
        return f"Nothing changes on the map: {who}." if who else _UNSEEN
    return ""


_UNSEEN = "Nothing changes on the map: it was changed again since, and that change stands."


def remark_on_restore(project: Project, user: User, number: int) -> str:
    """What a restore of the state after edit ``number`` is about to set aside."""
    since = Edit.objects.filter(project=project, number__gt=number, live=True)
    since = since.exclude(kind__in=(*TOGGLES, RESTORE))
    own = since.filter(user=user).count()
    others = since.exclude(user=user).select_related("user")
    names = _names(others)
    if not own and not names:
        return ""
    total = own + others.count()
    whose = f" (also of {list_names(names)})" if names else ""
    if total == 1:
        return f"1 edit since then{whose} is set aside; undo brings it back."
    return f"{total} edits since then{whose} are set aside; undo brings them back."


def list_names(names: Sequence[str]) -> str:
    """ "ana", "ana and boris", "ana, boris and 2 others"."""
    shown = list(names[:3]) if len(names) <= 3 else [*names[:2], f"{len(names) - 2} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _left_alone(project: Project, user: User, target: Edit, after: ProjectState) -> str:
    """Which of the leaves of ``target`` others have changed since."""
    mine = _mask(after, target)
    if mine is None:
        return ""
    theirs = np.zeros_like(mine)
    names: dict[str, None] = {}
    for edit in later_leaf_edits(project, target):
        mask = None if edit.user_id == user.pk else _mask(after, edit)
        if mask is None or not (mask & mine).any():
            continue
        theirs |= mask
        names[_name(edit)] = None
    total, left = int(mine.sum()), int((mine & theirs).sum())
    if not left:
        return ""
    who = f"{list_names(list(names))} {'has' if len(names) == 1 else 'have'}"
    if left == total:
        which = "this leaf" if total == 1 else f"all {total} leaves"
        return f"Nothing changes on the map: {who} changed {which} since, and that stands."
    them = "it" if left == 1 else "them"
    return (
        f"{left} of {total} leaves {'was' if left == 1 else 'were'} left alone: {who} changed {them} since."
    )


def _covered(project: Project, user: User, target: Edit, after: ProjectState) -> str:
    """How much of what ``target`` drew others have drawn over since."""
    own = override_file(project.scene_id, target.payload["layer"]["token"])
    later = [one for one in after.overrides if one.live and one.number > target.number]
    authors = {
        edit.number: edit
        for edit in Edit.objects.filter(project=project, number__in=[one.number for one in later])
        .exclude(user=user)
        .select_related("user")
    }
    theirs = [one for one in later if one.number in authors]
    covered = covered_pixels(own, [override_file(project.scene_id, one.token) for one in theirs])
    names = [_name(authors[one.number]) for one, pixels in zip(theirs, covered, strict=True) if pixels]
    names = list(dict.fromkeys(names))
    if not names:
        return ""
    who = f"{list_names(names)} {'has' if len(names) == 1 else 'have'} drawn over them since"
    left, total = sum(covered), target.payload["pixels"]
    if left == total:
        return f"Nothing changes on the map: {who}, and that stands."
    return f"{left:,} of {total:,} pixels were left alone: {who}."


def _mask(state: ProjectState, edit: Edit) -> npt.NDArray[np.bool_] | None:
    """The leaves that ``edit`` gave or took a class; None where it did no such thing to those that are there."""
    payload = edit.payload
    if payload.get("segmentation") != state.segmentation:
        return None
    ranges: Ranges = payload.get("ranges") or ()
    if "child" in payload:
        ranges = [[payload["child"], payload["child"] + 1]]
    if not ranges:
        return None
    table = np.zeros(len(state.table), np.uint8)
    refinement = state.refinement
    refinement.paint(table, ranges, 1)
    live = set(refinement.live_splits)
    for split in refinement.leaf_splits:  # numbers that hold no pixels of their own are no leaves
        if split in live:
            table[split.parent] = 0
        else:
            table[split.first : split.first + split.n] = 0
    return table.astype(np.bool_)


def _replaced_by(project: Project, user: User, target: Edit) -> str:
    """Who has said the same thing anew: "boris has renamed the class since"."""
    done = _REPLACED_BY_LATER.get(target.kind)
    if done is None:
        return ""
    later = Edit.objects.filter(project=project, number__gt=target.number, live=True, kind=target.kind)
    if "class" in target.payload:
        later = later.filter(payload__class=target.payload["class"])
    names = _names(later.exclude(user=user).select_related("user"))
    if not names:
        return ""
    return f"{list_names(names)} {'has' if len(names) == 1 else 'have'} {done} since, and that stands"


def _names(edits: Iterable[Edit]) -> list[str]:
    return list(dict.fromkeys(_name(edit) for edit in edits))


def _name(edit: Edit) -> str:
    return edit.user.username if edit.user else "somebody"


def _same(before: ProjectState, after: ProjectState) -> bool:
    return (
        before.classes == after.classes
        and before.aoi == after.aoi
        and before.completion == after.completion
        and before.segmentation == after.segmentation
        and before.refinement == after.refinement
        and before.overrides == after.overrides
        and before.table.shape == after.table.shape
        and bool((before.visible_table() == after.visible_table()).all())
    )
