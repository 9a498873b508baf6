"""The fold of a long log, begun where it was left: what people undo is nearly always recent.

Of each project one earlier state is kept in this process. It holds as long as no edit up to there has died or come to
life again since, which every undo, redo and restore in the log tells.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet

from webapp.editing.edits import EditRecord, ProjectState, fold
from webapp.editing.liveness import RESTORE, TOGGLES, Flips, flips_of
from webapp.models import Edit, Project

__all__ = ["forget_checkpoints", "refold"]

LAG = 300  # edits before the newest at which a state is kept
STALE = 1_500  # edits after it at which a newer one takes its place
_PROJECTS = 32


class _Kept(NamedTuple):
    upto: int  # number of the last edit that is taken in
    seen: int  # number of the newest edit at that time
    state: ProjectState


_kept: OrderedDict[tuple[int, datetime], _Kept] = OrderedDict()


def forget_checkpoints() -> None:
    """Drop what is kept."""
    _kept.clear()


def refold(project: Project, flips: Flips) -> ProjectState:
    """The state of a locked project from its log, in which the edits of ``flips`` were turned since its last edit."""
    key = (project.pk, project.created_at)
    kept = _kept.get(key)
    start = kept if kept is not None and _holds(project, kept, flips) else None
    first = min((low for low, _ in flips.all), default=project.number)
    upto = project.number - LAG
    # A transaction that is rolled back takes its flips along, so a state is kept only where they do not reach.
    is_due = upto >= LAG and first > upto and (start is None or upto - start.upto > STALE)
    if is_due:
        state = _fold(project, start, upto)
        start = _Kept(upto, project.number, state)
        _kept[key] = start
        while len(_kept) > _PROJECTS:
            _kept.popitem(last=False)
    return _fold(project, start)


def _holds(project: Project, kept: _Kept, flips: Flips) -> bool:
    if kept.seen > project.number or any(low <= kept.upto for low, _ in flips.all):
        return False
    turning = Edit.objects.filter(project=project, number__gt=kept.seen, kind__in=(*TOGGLES, RESTORE))
    return all(
        low > kept.upto
        for kind, payload in turning.values_list("kind", "payload")
        for low, _ in flips_of(kind, payload).all
    )


def _fold(project: Project, start: _Kept | None, upto: int | None = None) -> ProjectState:
    rows: QuerySet[Edit] = Edit.objects.filter(project=project).order_by("number")
    if start is not None:
        rows = rows.filter(number__gt=start.upto)
    if upto is not None:
        rows = rows.filter(number__lte=upto)
    edits = (EditRecord(*row) for row in rows.values_list("number", "kind", "payload", "live").iterator())
    return fold(edits, None if start is None else start.state.copy())
