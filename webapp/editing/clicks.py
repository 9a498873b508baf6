"""Where people clicked, as the page needs it to part two classes inside one cluster: the clicks that are examples still,
each with its class and its leaf."""

from __future__ import annotations

from collections.abc import Sequence

from segmentation.errors import StoreError
from segmentation.pyramid import NODATA_LEAF
from webapp.editing.edits import LEAF_SPLIT, MERGE
from webapp.editing.examples import Example, fold_examples, of_shown, read_log, shown_classes
from webapp.editing.leaves import leaves_key, open_leaves
from webapp.editing.liveness import RESTORE, TOGGLES
from webapp.live.event_types import ClicksInfo
from webapp.models import Edit, Project

__all__ = ["all_clicks", "clicks_changed"]


def all_clicks(project: Project) -> list[list[int]]:
    """Number, row, column, class and leaf of each click that counts; those of deleted classes included."""
    log = read_log(project)
    numbers = {edit.number for edit in log if edit.is_click}
    shown = shown_classes(project)
    given = [example for example in fold_examples(log) if example.number in numbers]
    # Those of deleted classes are told as they are: the page brings them back with the class.
    return _with_leaves(project, [of_shown(example, shown) or example for example in given])


def clicks_changed(project: Project, edit: Edit) -> ClicksInfo | None:
    """How an edit changed the clicks that count; None where it did not."""
    if edit.kind in TOGGLES or edit.kind in (
        RESTORE,
        MERGE,
        LEAF_SPLIT,
    ):  # which changes the leaves of clicks, too
        return {"all": all_clicks(project)}
    if edit.kind == "examples.remove":
        return {"added": [], "removed": list(edit.payload["targets"])}
    if edit.kind not in ("leaves.assign", "leaves.unassign"):
        return None
    removed = list(edit.payload.get("supersedes", ()))
    point = edit.payload.get("point")
    if edit.kind == "leaves.unassign" or point is None:
        return {"added": [], "removed": removed} if removed else None
    example = Example(edit.number, point[0], point[1], edit.payload["class"])
    return {"added": _with_leaves(project, [example]), "removed": removed}


def _with_leaves(project: Project, clicks: Sequence[Example]) -> list[list[int]]:
    if not clicks or project.segmentation_id is None:
        return []
    try:
        store = open_leaves(leaves_key(project))
        rows = store.neighborhoods.at([(click.row, click.col) for click in clicks])
        leaves = [NODATA_LEAF if row == NODATA_LEAF else int(store.leaf_ids[row]) for row in rows]
    except StoreError:
        leaves = [NODATA_LEAF] * len(clicks)  # its files are gone, which the map itself says
    return [
        [click.number, click.row, click.col, click.class_number, leaf]
        for click, leaf in zip(clicks, leaves, strict=True)
    ]
