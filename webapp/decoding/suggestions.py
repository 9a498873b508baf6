"""Next best clicks of a project (docs/protocol.md, "REST"): ranked by the library, kept for all who look at the project."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import User

from segmentation import Suggestion, suggest
from segmentation.places import Places, find_places
from segmentation.split_store import SplitSegmentation as Store
from segmentation.suggestions import MAX_SUGGESTIONS
from webapp.decoding.completion import Completed, Order, order_of
from webapp.decoding.completion_service import completions
from webapp.editing.edits import Table
from webapp.editing.snapshots import load_state
from webapp.errors import ConflictError, InvalidInputError
from webapp.permissions import require_project

__all__ = ["Question", "answer", "forget_suggestions", "question_for"]

KEPT_ANSWERS = 64
KEPT_PLACES = 8  # of one segmentation and area each, some 15 MB

# Ranking holds two cores at most, and never those threads that send blocks.
_pool = ThreadPoolExecutor(2, thread_name_prefix="suggest")


@dataclass(frozen=True)
class Question:
    """What suggestions are asked for, read from the database at one moment."""

    order: Order
    table: Table  # class of each leaf, 0 = none
    aoi: dict[str, Any] | None
    count: int


def question_for(user: User, project_id: int, count: int) -> Question:
    """The question about a project as it is now; MissingError where ``user`` may not know of it."""
    if not 1 <= count <= MAX_SUGGESTIONS:
        raise InvalidInputError(f"There cannot be {count} suggestions; ask for 1 to {MAX_SUGGESTIONS}.")
    project = require_project(user, project_id)
    segmentation = project.segmentation
    if segmentation is None or segmentation.n_leaves == 0:
        raise ConflictError("The project has no clusters yet, so there is nothing to suggest; wait a moment.")
    aoi = None if project.aoi is None else dict(project.aoi)
    return Question(order_of(project), load_state(project).visible_table(), aoi, count)


async def answer(question: Question) -> dict[str, Any]:
    """Rank in a thread; the event loop goes on meanwhile."""
    completed = await completions.answer(question.order)
    return await asyncio.get_running_loop().run_in_executor(_pool, _answered, question, completed)


# ---------------------------------------------------------------------------------------------------- answers


_AnswerKey = tuple[
    tuple[int, datetime], int, int, int, int
]  # project, edit, edit predicted from, version, count

_answers: OrderedDict[_AnswerKey, dict[str, Any]] = OrderedDict()
_places: OrderedDict[tuple[Store, int, str], Places] = OrderedDict()
_lock = threading.Lock()
_finding = threading.Lock()


def forget_suggestions() -> None:
    """Drop what is kept (tests begin anew with the same ids)."""
    with _lock:
        _answers.clear()
        _places.clear()


def _answered(question: Question, completed: Completed) -> dict[str, Any]:
    order = question.order
    key = (order.project, order.number, completed.number, completed.version, question.count)
    with _lock:
        kept = _answers.get(key)
    if kept is not None:
        return kept
    found = suggest(
        completed.store,
        completed.prediction,
        completed.clicks,
        question.count,
        decided=_decided(question.table, completed.store),
        places=_places_of(completed, question.aoi),
    )
    body = {"number": order.number, "suggestions": [_described(one) for one in found]}
    if completed.is_final:
        with _lock:
            _keep(_answers, key, body, KEPT_ANSWERS)
    return body


def _decided(table: Table, store: Store) -> npt.NDArray[np.bool_]:
    """Leaves with a class; the table may be of a segmentation adopted a moment before or after."""
    decided = np.zeros(max(store.n_ids, len(table)), bool)
    decided[: len(table)] = table != 0
    return np.asarray(store.from_ids(decided), np.bool_)


def _places_of(completed: Completed, aoi: dict[str, Any] | None) -> Places:
    if not completed.is_final:
        return find_places(completed.store, aoi)
    key = (completed.store, completed.version, json.dumps(aoi, sort_keys=True))
    # Of several that ask for the first time, one reads the scene.
    with _finding:
        with _lock:
            kept = _places.get(key)
        if kept is None:
            kept = find_places(completed.store, aoi)
            with _lock:
                _keep(_places, key, kept, KEPT_PLACES)
    return kept


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _described(one: Suggestion) -> dict[str, Any]:
    return {
        "row": one.row,
        "col": one.col,
        "bounds": list(one.bounds),
        "area_px": one.area_px,
        "certainty": round(one.certainty, 4),
        "class": one.class_id,
    }
