"""Looking back: the map as it was right after an edit, on the leaves that there are now, and two such states compared.

Reading an old state means folding the log once more, which takes a moment in a long one; since the past does not change,
the last few are kept. What takes longer (predicting as of then, carrying classes over from another segmentation, counting)
is for a thread of its own: see ``look_back`` and ``compare``.
"""

from __future__ import annotations

import base64
import dataclasses
from collections import OrderedDict
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from django.contrib.auth.models import User

from segmentation import transfer_classes
from segmentation.changes import ClassMap, count_changes
from webapp.decoding import completion
from webapp.editing.drawn import Drawn, version_of
from webapp.editing.edits import LabelState, ProjectState, Table, class_lookup, pack_table
from webapp.editing.examples import Example, fold_examples, of_shown, read_log
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.editing.liveness import live_numbers
from webapp.editing.overrides import OverridesKey, block_states, open_overrides, overrides_key
from webapp.editing.refinements import Refinement
from webapp.editing.restoring import require_number
from webapp.editing.snapshots import load_state, read_liveness, state_at
from webapp.errors import ConflictError
from webapp.models import Edit, Project, Segmentation
from webapp.permissions import require_project

__all__ = [
    "LookedBack",
    "Past",
    "Question",
    "ask",
    "compare",
    "describe",
    "drawn_at",
    "forget_past",
    "look_back",
    "pair",
]

_KEPT = 16


class Past(NamedTuple):
    """A state of the past, as it is read from the database."""

    number: int
    at: datetime
    user: User | None
    kind: str
    state: ProjectState
    examples: tuple[Example, ...]
    overrides: OverridesKey


class Question(NamedTuple):
    """A state of the past, and the leaves on which it is to be seen."""

    past: Past
    project: tuple[int, datetime]
    leaves: LeavesKey
    then: LeavesKey  # of the segmentation of then, with its splits of now
    refinement: Refinement  # of those
    aoi: dict[str, Any] | None
    newest: int


class LookedBack(NamedTuple):
    """The map of the past on the leaves of now."""

    past: Past
    shown: Table  # class of each number, predicted ones included
    is_exact: bool  # false where it was carried over from another segmentation


_past: OrderedDict[tuple[int, datetime, int], Past] = OrderedDict()
_looked: OrderedDict[tuple[tuple[int, datetime], int, LeavesKey], LookedBack] = OrderedDict()


def forget_past() -> None:
    """Drop what is kept."""
    _past.clear()
    _looked.clear()


def ask(user: User, project_id: int, number: int) -> Question:
    """What is needed to see a state of the past; for the thread that may use the database.

    MissingError where there is no such edit, ConflictError where there were no clusters then, or are none now.
    """
    project = require_project(user, project_id)
    require_number(project, number)
    now = load_state(project)
    if now.segmentation is None:
        raise ConflictError("The project has no segmentation now, so that no earlier map can be shown.")
    past = _read(project, number)
    segmentation = past.state.segmentation or 0  # never 0: _read refuses a state without one
    return Question(
        past,
        (project.pk, project.created_at),
        leaves_key(project),
        leaves_key(project, segmentation),
        now.refinements.get(segmentation, Refinement(len(past.state.table))),
        project.aoi,
        project.number,
    )


def drawn_at(user: User, project_id: int, number: int) -> tuple[Drawn, ...]:
    """What was drawn by hand right after edit ``number``; errors as for ``ask``."""
    return ask(user, project_id, number).past.state.overrides


def pair(user: User, project_id: int, before: int, after: int | None) -> tuple[Question, Question]:
    """Two states to compare; ``after`` None means the newest."""
    project = require_project(user, project_id)
    newest = project.number if after is None else after
    return ask(user, project_id, before), ask(user, project_id, newest)


def _read(project: Project, number: int) -> Past:
    key = (project.pk, project.created_at, number)
    kept = _past.get(key)
    if kept is not None:
        return kept
    edit = Edit.objects.select_related("user").get(project=project, number=number)
    state = state_at(project, number)
    if state.segmentation is None:
        raise ConflictError("At that time the project had no clusters yet; choose a later state.")
    if not Segmentation.objects.filter(pk=state.segmentation).exists():
        raise ConflictError("The segmentation of that time was deleted, so that its map cannot be shown.")
    live = live_numbers(read_liveness(project, number))
    log = [
        one._replace(live=one.number in live)
        for one in read_log(Project.objects.get(pk=project.pk))
        if one.number <= number
    ]
    lookup = class_lookup(state.classes.values())
    shown = {label: int(lookup[label]) for label in state.classes if lookup[label]}
    examples = (of_shown(example, shown) for example in fold_examples(log))
    past = Past(
        number,
        edit.created_at,
        edit.user,
        edit.kind,
        state,
        tuple(example for example in examples if example is not None),
        overrides_key(project, state.overrides),
    )
    _keep(_past, key, past)
    return past


def look_back(question: Question) -> LookedBack:
    """The map of the past; takes up to some seconds, and needs no database. StoreError where files are gone."""
    key = (question.project, question.past.number, question.leaves)
    kept = _looked.get(key)
    if kept is not None:
        return kept
    past, now = question.past, question.leaves
    # Leaves that were split since are there in the blocks by their children's numbers.
    table = question.refinement.extend(past.state.visible_table())
    is_exact = question.then.segmentation == now.segmentation
    if not is_exact:
        store, old = open_leaves(now), open_leaves(question.then)
        carried = transfer_classes(old, old.from_ids(table), store)
        table = np.asarray(store.by_id(carried, store.n_ids, shared=True), np.uint8)
    if past.state.completion.on and past.examples:
        # Predicted anew from the examples of then: the decoder's answer is stored nowhere.
        order = completion.Order(question.project, past.number, now.segmentation, past.examples, True, now)
        table = completion.decode(order).complete(table, past.state.completion.threshold)
    looked = LookedBack(past, table, is_exact)
    _keep(_looked, key, looked)
    return looked


def describe(looked: LookedBack) -> dict[str, Any]:
    """As the browser gets it."""
    past = looked.past
    state = past.state
    return {
        "number": past.number,
        "at": past.at.isoformat(),
        "user": past.user.username if past.user else None,
        "kind": past.kind,
        "classes": [dataclasses.asdict(label) for label in state.ordered_classes()],
        "table": base64.b64encode(pack_table(looked.shown)).decode("ascii"),
        "segmentation": state.segmentation,
        "exact": looked.is_exact,
        "aoi": state.aoi,
        "completion": {"on": state.completion.on, "threshold": state.completion.threshold},
        "overrides": {
            "version": version_of(state.overrides),
            "blocks": [
                [row, col, version, int(is_drawn)]
                for row, col, version, is_drawn in block_states(past.overrides.scene, state.overrides)
            ],
        },
    }


# ---------------------------------------------------------------------------------------------------- comparing


def compare(before: Question, after: Question) -> dict[str, Any]:
    """How much changed from which class to which, and where, between two states."""
    old, new = look_back(before), look_back(after)
    store = open_leaves(after.leaves)
    aoi = after.aoi
    counted = count_changes(store, _class_map(old, after.leaves), _class_map(new, after.leaves), aoi)
    pairs = np.argwhere(counted.pixels > 0).tolist()
    return {
        "before": _outline(old),
        "after": _outline(new),
        "exact": old.is_exact and new.is_exact,
        "in_area": not np.isnan(counted.area_m2).any(),
        "classes": _both(old.past.state, new.past.state),
        "matrix": [
            {
                "before": i,
                "after": j,
                "pixels": float(counted.pixels[i, j]),
                "area_m2": None if np.isnan(counted.area_m2[i, j]) else float(counted.area_m2[i, j]),
            }
            for i, j in pairs
        ],
        "leaves": _runs(old.shown != new.shown),
        "blocks": [list(block) for block in counted.bounds],
    }


def _class_map(looked: LookedBack, leaves: LeavesKey) -> ClassMap:
    store = open_leaves(leaves)
    lookup = class_lookup(looked.past.state.classes.values())
    return ClassMap(store.from_ids(looked.shown), open_overrides(looked.past.overrides), lookup)


def _outline(looked: LookedBack) -> dict[str, Any]:
    past = looked.past
    return {
        "number": past.number,
        "at": past.at.isoformat(),
        "user": past.user.username if past.user else None,
    }


def _both(old: ProjectState, new: ProjectState) -> list[dict[str, Any]]:
    """The classes of either state, with the later name and color, in the later order."""
    merged: dict[int, LabelState] = {label.number: label for label in old.live_classes()}
    merged |= {label.number: label for label in new.live_classes()}
    return [
        {"number": label.number, "name": label.name, "color": label.color}
        for label in sorted(merged.values(), key=lambda label: (label.position, label.number))
    ]


def _runs(mask: Any) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return edges.reshape(-1, 2).tolist()


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
