"""The decoder's answer for a project: class and certainty of every leaf, from its examples.

It is a pure function of the segmentation and the examples, so that every process computes it for its own connections, and
nothing of it is stored. :mod:`webapp.decoding.completion_service` decides when it is computed.
"""

from __future__ import annotations

import gzip
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import User

from segmentation import Click
from segmentation.completion import completed_table, mean_probabilities, prediction_bytes, readable_clicks
from segmentation.decoder import Prediction
from segmentation.split_store import SplitSegmentation as Store
from webapp.editing.examples import Example, live_examples, read_log
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.errors import ConflictError
from webapp.models import Project
from webapp.permissions import require_project

__all__ = ["HEADER", "Completed", "Order", "decode", "order_for", "order_of"]

MAGIC = b"CNDT"
FORMAT = 1
# magic, format, segmentation, version, number, leaves, milliseconds, payload bytes
HEADER = struct.Struct("<4sB3xIIIIII")

SEED = 0

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Order:
    """What is to be decoded, read from the database at one moment."""

    project: tuple[int, datetime]  # id and creation: an id may be given again
    number: int  # of the newest edit
    segmentation: int | None
    examples: tuple[Example, ...]
    has_had_examples: bool  # so that a browser may hold an older answer
    leaves: LeavesKey = field(default_factory=lambda: LeavesKey(0))

    def asks_the_same(self, other: Order) -> bool:
        mine = (self.project, self.segmentation, self.leaves, self.examples)
        return mine == (other.project, other.segmentation, other.leaves, other.examples)


@dataclass(frozen=True, eq=False)
class Completed:
    """The answer to an order."""

    order: Order
    store: Store
    version: int
    is_final: bool  # false while blocks are missing: examples in them do not count yet
    clicks: tuple[Click, ...]  # those that count
    prediction: Prediction | None  # None where no example counts
    classes: Bytes  # of each leaf, 0 = none
    certainty: Bytes  # 0 to 255
    elapsed_ms: int

    @property
    def number(self) -> int:
        """The newest edit that is taken in."""
        return self.order.number

    @cached_property
    def frame(self) -> bytes:
        """The "decoder's table" of docs/protocol.md."""
        payload = gzip.compress(self.classes.tobytes() + self.certainty.tobytes(), 1, mtime=0)
        segmentation = self.order.segmentation or 0
        header = HEADER.pack(
            MAGIC,
            FORMAT,
            segmentation,
            self.version,
            self.number,
            len(self.classes),
            self.elapsed_ms,
            len(payload),
        )
        return header + payload

    @property
    def n_bytes(self) -> int:
        """Memory that this takes, about."""
        held = 0 if self.prediction is None else self.prediction.probabilities.nbytes
        return held + 20 * len(self.classes)

    def complete(self, assigned: Bytes, threshold: float) -> Bytes:
        """The class that each leaf shows on a completed map."""
        return completed_table(assigned, self.classes, self.certainty, threshold)

    def probabilities(self, low: int, high: int) -> list[tuple[int, float]]:
        """Mean probability of each class over leaves ``low`` to ``high - 1`` by their pixels, likeliest first.

        InvalidArgumentError where these are no range of leaves.
        """
        rows = self.store.range_of(low, high)
        if self.prediction is None:
            return []
        return mean_probabilities(self.prediction, self.store.statistics().pixels, *rows)


# ---------------------------------------------------------------------------------------------------- orders

_KEPT = 64
_orders: OrderedDict[tuple[int, datetime], Order] = OrderedDict()


def order_for(user: User, project_id: int) -> Order:
    """The order for a project as it is now; MissingError where ``user`` may not know of it."""
    return order_of(require_project(user, project_id))


def order_of(project: Project) -> Order:
    """The order for a project at ``project.number``; its examples are read once for all connections."""
    key = (project.pk, project.created_at)
    kept = _orders.get(key)
    if kept is not None and (kept.number, kept.segmentation) == (project.number, project.segmentation_id):
        return kept
    has_had = any(edit.given for edit in read_log(project))
    order = Order(
        key,
        project.number,
        project.segmentation_id,
        tuple(live_examples(project)),
        has_had,
        leaves_key(project),
    )
    _orders[key] = order
    while len(_orders) > _KEPT:
        _orders.popitem(last=False)
    return order


# ---------------------------------------------------------------------------------------------------- decoding


def decode(order: Order, previous: Completed | None = None) -> Completed:
    """Answer an order; ``previous``, the latest answer for the same project, saves work where little has changed.

    ConflictError without a segmentation, StoreError where its files are gone.
    """
    if order.segmentation is None:
        raise ConflictError("The project has no segmentation yet, so there is nothing to complete.")
    started = time.perf_counter()
    store = open_leaves(order.leaves)
    # Asked for before the leaves are read: what is written in between is then looked at once more, not missed.
    is_final = store.complete
    all_clicks = [
        Click(example.row, example.col, example.class_number, example.against) for example in order.examples
    ]
    clicks = tuple(readable_clicks(store, all_clicks))
    known = (store, store.version, is_final, clicks)
    if previous is not None and known == (
        previous.store,
        previous.version,
        previous.is_final,
        previous.clicks,
    ):
        # The same pixels say the same, under later numbers perhaps.
        same = previous.order.asks_the_same(order)
        return previous if same else replace(previous, order=order, elapsed_ms=_since(started))
    prediction = store.classify(clicks, seed=SEED) if clicks else None
    classes, certainty = prediction_bytes(prediction, store.n_leaves)
    return Completed(
        order,
        store,
        store.version,
        is_final,
        clicks,
        prediction,
        # By the numbers in the blocks: children whose split was undone show what their parent shows.
        store.by_id(classes, store.n_ids, shared=True),
        store.by_id(certainty, store.n_ids, shared=True),
        _since(started),
    )


def _since(started: float) -> int:
    return round(1000 * (time.perf_counter() - started))
