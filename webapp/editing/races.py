"""Lost races: what an edit of leaves overwrites that its author had not seen when making it.

A command says with ``seen`` up to which edit its browser knew the project. Where others classified the same leaves
otherwise after that, the later edit stands, everywhere; those who were first are told that theirs does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.contrib.auth.models import User

from webapp.editing.edits import ProjectState
from webapp.models import Edit, Project

__all__ = ["lost_by", "overwritten"]

MOST = 200  # edits that are looked through, the newest first: who was offline for long is told of those

Ranges = Sequence[Sequence[int]]


def overwritten(
    project: Project, state: ProjectState, user: User, seen: int | None, ranges: Ranges, class_number: int
) -> dict[str, Any]:
    """As part of the payload: number, user and leaves of each edit that loses to one of ``ranges``, nothing without."""
    if seen is None or seen >= project.number:
        return {}
    later = Edit.objects.filter(
        project=project, number__gt=seen, live=True, kind__in=("leaves.assign", "leaves.unassign")
    )
    later = later.exclude(user=user).exclude(user=None).order_by("-number")
    open_leaves = _mask(state, ranges)
    raced = []
    for number, user_id, payload in later.values_list("number", "user_id", "payload")[:MOST]:
        given = payload.get("class", 0)
        if payload["segmentation"] != state.segmentation:
            continue
        theirs = _mask(state, payload["ranges"]) & open_leaves
        open_leaves &= ~theirs  # of an earlier edit nothing was left there
        lost = int((theirs & (state.table == given)).sum()) if given != class_number else 0
        if lost:
            raced.append([number, user_id, lost])
    return {"raced": raced} if raced else {}


def lost_by(user_id: int, edit: Edit) -> dict[str, Any] | None:
    """What an edit took from ``user_id`` unseen: leaves, and the class that they had been given last (0: none)."""
    mine = [(number, leaves) for number, who, leaves in edit.payload.get("raced", ()) if who == user_id]
    if not mine:
        return None
    newest = Edit.objects.filter(project=edit.project_id, number=mine[0][0]).values_list(
        "payload__class", flat=True
    )
    return {"leaves": sum(leaves for _, leaves in mine), "label": newest.first() or 0}


def _mask(state: ProjectState, ranges: Ranges) -> Any:
    table = np.zeros(len(state.table), np.uint8)
    state.refinement.paint(table, ranges, 1)
    return table.astype(np.bool_)
