"""Edits as the list of recent ones shows them: who, what, of which class, where, how much (docs/protocol.md, "Edit description").

No sentences here: the page makes them from this (static/js/model/edits.js), with the names that classes have by now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import User

from segmentation.errors import SegmentationError
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.editing.liveness import TOGGLES, flips_of
from webapp.live.colors import color_of
from webapp.live.event_types import AreaInfo, AuthorInfo, EditInfo, EditSummary
from webapp.models import Edit, Project, Segmentation

__all__ = ["author_of", "describe_edits", "edits_before", "flips_info", "summarize"]


def author_of(user: User | None) -> AuthorInfo | None:
    """Who somebody is to others; None for the server itself, and for an account that is gone."""
    return None if user is None else {"id": user.pk, "name": user.username, "color": color_of(user.pk)}


def edits_before(project: Project, number: int | None, limit: int) -> tuple[list[Edit], bool]:
    """Up to ``limit`` edits before ``number`` (None: up to the newest), newest first; whether there are earlier ones."""
    rows = Edit.objects.filter(project=project).select_related("user").order_by("-number")
    if number is not None:
        rows = rows.filter(number__lt=number)
    found = list(rows[: limit + 1])
    return found[:limit], len(found) > limit


def describe_edits(project: Project, edits: Iterable[Edit]) -> list[EditInfo]:
    """The "Edit description" of the protocol, of each."""
    listed = list(edits)
    targets = _targets(project, listed)
    return [
        {
            "number": edit.number,
            "author": author_of(edit.user),
            "at": edit.created_at.isoformat(),
            "live": edit.live,
            **summarize(project, edit, targets),
        }
        for edit in listed
    ]


def summarize(project: Project, edit: Edit, targets: dict[int, Edit] | None = None) -> EditSummary:
    """What an edit did; of an undo or redo also what it took back or brought again."""
    summary: EditSummary = {
        "kind": edit.kind,
        "label": _label(edit.payload),
        "place": _place(edit.payload),
        "area": _area(project, edit),
        "detail": _detail(edit),
    }
    if edit.kind in TOGGLES:
        known = targets if targets is not None else _targets(project, [edit])
        target = known.get(edit.payload["target"])
        if target is not None:
            what = summarize(project, target, {})
            summary |= {"label": what["label"], "place": what["place"], "area": what["area"]}
            summary["detail"] |= {"what": {"kind": what["kind"], "detail": what["detail"]}}
    return summary


def flips_info(edit: Edit) -> dict[str, list[list[int]]]:
    """Which edits this one turned dead and live, for ``edit.applied``; nothing where it turned none."""
    flips = flips_of(edit.kind, edit.payload)
    return flips.pack() if flips.all else {}


def _targets(project: Project, edits: Iterable[Edit]) -> dict[int, Edit]:
    numbers = {edit.payload["target"] for edit in edits if edit.kind in TOGGLES}
    if not numbers:
        return {}
    rows = Edit.objects.filter(project=project, number__in=numbers)
    return {edit.number: edit for edit in rows}


def _label(payload: dict[str, Any]) -> int | None:
    """The one class that an edit speaks of: None where it speaks of none or of several."""
    if isinstance(payload.get("class"), int):
        return int(payload["class"]) or None
    if "target" in payload and "sources" in payload:  # a merge
        return int(payload["target"])
    numbers = {one["class"] for one in payload.get("examples", ())}
    return int(numbers.pop()) if len(numbers) == 1 else None


def _place(payload: dict[str, Any]) -> list[float] | None:
    """A pixel of the scene at which the edit happened, as far as it says."""
    if payload.get("point"):
        return list(payload["point"])
    if payload.get("place"):
        return list(payload["place"])
    for example in payload.get("examples", ()):
        return list(example["points"][0])
    return None


# What people may want to know of an edit beside its class, place and area; all of it short.
_KEPT = ("name", "was", "color", "on", "threshold", "number", "segmentation")


def _detail(edit: Edit) -> dict[str, Any]:
    payload = edit.payload
    detail = {name: payload[name] for name in _KEPT if name in payload}
    if "geometry" in payload:
        detail["is_set"] = payload["geometry"] is not None
    if "parts" in payload:
        detail["parts"] = len(payload["parts"])
    if "pixels" in payload and isinstance(payload["pixels"], list):
        detail["parts"] = len(payload["pixels"])
    if "sources" in payload:
        detail["sources"] = payload["sources"]
    if "classes" in payload:
        detail["classes"] = len(payload["classes"])
    if "examples" in payload:
        detail["points"] = sum(len(one["points"]) for one in payload["examples"])
    if "targets" in payload:
        detail["targets"] = len(payload["targets"])
    if edit.kind in TOGGLES:
        detail["target"] = payload["target"]
    return detail


# ---------------------------------------------------------------------------------------------------- areas


@lru_cache(maxsize=16)
def _sums(leaves: LeavesKey) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Running sums of pixels and m² over the leaves of a complete segmentation."""
    counts = open_leaves(leaves).statistics()
    start = np.zeros(1)
    return np.concatenate((start, counts.pixels.cumsum())), np.concatenate((start, counts.area_m2.cumsum()))


# What was found for an edit, by the leaves that it was found for: each of a project's sockets asks for it.
_areas: OrderedDict[tuple[int, LeavesKey], AreaInfo] = OrderedDict()
_MOST_AREAS = 2_000


def _area(project: Project, edit: Edit) -> AreaInfo | None:
    """How much an edit classified; None where that is not known (yet), or it is of another segmentation."""
    ranges = edit.payload.get("ranges")
    segmentation = project.segmentation
    if not ranges or segmentation is None or edit.payload.get("segmentation") != segmentation.pk:
        return None
    if segmentation.state != Segmentation.State.COMPLETE:
        return None
    leaves = leaves_key(project)
    known = _areas.get((edit.pk, leaves))
    if known is not None:
        return known
    try:
        pixels, area_m2 = _sums(leaves)
        rows = open_leaves(leaves).ranges_of((low, high) for low, high in ranges)
    except SegmentationError:
        return None  # its files are gone, which the map itself says
    n_pixels = sum(pixels[high] - pixels[low] for low, high in rows)
    n_m2 = sum(area_m2[high] - area_m2[low] for low, high in rows)
    found: AreaInfo = {"pixels": float(n_pixels), "area_m2": None if np.isnan(n_m2) else float(n_m2)}
    _areas[edit.pk, leaves] = found
    while len(_areas) > _MOST_AREAS:
        _areas.popitem(last=False)
    return found
