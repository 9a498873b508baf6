"""Which edit a person's undo or redo speaks of (docs/protocol.md, "Edits").

Undo is per person: it takes back that person's latest live edit. Leaf numbers mean nothing across an
adoption, so undoing past one's own undoes the adoption first. Somebody else's is not one's to undo, and the
server's own (of the first segmentation, or when one was deleted) replaces nothing that could come back: edits
of leaves before those are beyond undo; an earlier state can still be restored.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from webapp.editing.edits import LEAF_KINDS
from webapp.editing.liveness import REDO, RESTORE, UNDO
from webapp.models import Edit, Project

__all__ = [
    "ADOPT",
    "REDO",
    "RESTORE",
    "UNDO",
    "can_redo",
    "can_undo",
    "later_leaf_edits",
    "others_adoption",
    "redo_target",
    "undo_target",
]

ADOPT = "segmentation.adopt"
_BOUND_TO_LEAVES = frozenset({*LEAF_KINDS, ADOPT})


@dataclass(frozen=True)
class _Adoptions:
    floor: int  # number of the latest live one that is not the person's to undo; 0 without
    latest: int  # number of the latest live adoption; 0 without


def undo_target(project: Project, user_id: int) -> Edit | None:
    """The edit that an undo by this user would mark dead."""
    adoptions = _adoptions(project, user_id)
    mine = _edits(project).filter(user_id=user_id, live=True).exclude(kind__in=(UNDO, REDO))
    mine = mine.exclude(kind__in=_BOUND_TO_LEAVES, number__lte=adoptions.floor)
    # What a restore said counts no more once a later one has spoken.
    latest = (
        _edits(project).filter(kind=RESTORE, live=True).order_by("-number").values_list("number", flat=True)
    )
    mine = mine.exclude(kind=RESTORE, number__lt=latest.first() or 0)
    target = mine.order_by("-number").first()
    if target is not None and target.kind in _BOUND_TO_LEAVES and target.number < adoptions.latest:
        return _edits(project).get(number=adoptions.latest)
    return target


def redo_target(project: Project, user_id: int) -> Edit | None:
    """The edit that a redo by this user would mark live: the latest undone, unless the user went on since."""
    stack: list[int] = []
    trail: list[tuple[str, int]] = []
    mine = _edits(project).filter(user_id=user_id).order_by("-number")
    for kind, payload in mine.values_list("kind", "payload").iterator(chunk_size=50):
        if kind not in (UNDO, REDO):
            break
        trail.append((kind, payload["target"]))
    for kind, number in reversed(trail):
        if kind == UNDO:
            stack.append(number)
        elif number in stack:
            stack.remove(number)
    if not stack:
        return None
    # Somebody else may have brought it back already.
    dead = _edits(project).filter(number__in=stack, live=False)
    target = max(dead, key=lambda edit: stack.index(edit.number), default=None)
    if (
        target is not None
        and target.kind in _BOUND_TO_LEAVES
        and target.number < _adoptions(project, user_id).latest
    ):
        return None
    return target


def can_undo(project: Project, user_id: int) -> bool:
    return undo_target(project, user_id) is not None


def can_redo(project: Project, user_id: int) -> bool:
    return redo_target(project, user_id) is not None


def others_adoption(project: Project, user_id: int) -> Edit | None:
    """The adoption beyond which work of this user cannot be undone any more; None where nothing of theirs lies there."""
    floor = _adoptions(project, user_id).floor
    mine = _edits(project).filter(user_id=user_id, live=True, kind__in=_BOUND_TO_LEAVES, number__lt=floor)
    return _edits(project).select_related("user").get(number=floor) if floor and mine.exists() else None


def later_leaf_edits(project: Project, edit: Edit) -> QuerySet[Edit]:
    """Live edits of leaves after ``edit``, in order."""
    later = _edits(project).filter(number__gt=edit.number, live=True, kind__in=LEAF_KINDS)
    return later.select_related("user").order_by("number")


def _edits(project: Project) -> QuerySet[Edit]:
    return Edit.objects.filter(project=project)


def _adoptions(project: Project, user_id: int) -> _Adoptions:
    # The payload also holds a table of up to some 20 KiB, so only the one key is read.
    rows = (
        _edits(project)
        .filter(kind=ADOPT, live=True)
        .order_by("number")
        .values_list("number", "user_id", "payload__replaces")
    )
    floor = latest = 0
    for number, author, replaces in rows:
        latest = number
        if replaces is None or author != user_id:
            floor = number
    return _Adoptions(floor, latest)
