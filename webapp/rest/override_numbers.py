"""Blocks and counts of what was drawn by hand, packed for the browser: made once, kept for the next."""

from __future__ import annotations

import gzip
import json
import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from django.contrib.auth.models import User

from segmentation import BLOCK
from segmentation.overrides import Counts, Layer, Overrides, count_overrides
from webapp.editing.drawn import unpack_drawn, version_of
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.editing.overrides import OverridesKey, block_version, open_overrides, overrides_key
from webapp.editing.timeline import drawn_at
from webapp.errors import ConflictError, MissingError
from webapp.models import Segmentation
from webapp.permissions import require_project

__all__ = ["Order", "block", "counts", "forget_counts", "order_for", "pack_counts", "question_for"]

DEEPEST = 20  # levels that a pyramid of any scene may have
HEADER = struct.Struct(
    "<IIII"
)  # of the counts: segmentation, version of its leaves, of the drawings, entries


class Order(NamedTuple):
    """What is to be counted, read from the database at one moment."""

    leaves: LeavesKey
    overrides: OverridesKey
    version: int
    aoi: str | None  # as JSON
    is_complete: bool


def order_for(user: User, project_id: int, state: int | None = None) -> Order:
    """For now, or right after edit ``state``; ConflictError where the project has no segmentation."""
    project = require_project(user, project_id)
    if project.segmentation is None:
        raise ConflictError("The project has no segmentation yet, so there is nothing to count.")
    drawn = unpack_drawn(project.overrides) if state is None else drawn_at(user, project_id, state)
    return Order(
        leaves_key(project),
        overrides_key(project, drawn),
        version_of(drawn),
        None if project.aoi is None else json.dumps(project.aoi, sort_keys=True),
        project.segmentation.state == Segmentation.State.COMPLETE,
    )


class Question(NamedTuple):
    """Which block is wanted."""

    overrides: OverridesKey
    version: int  # number of the newest edit that changed it


def question_for(
    user: User, project_id: int, level: int, row: int, col: int, state: int | None = None
) -> Question:
    """For now, or right after edit ``state``; MissingError where the scene has no such block."""
    project = require_project(user, project_id)
    drawn = unpack_drawn(project.overrides) if state is None else drawn_at(user, project_id, state)
    key = overrides_key(project, drawn)
    side = BLOCK << min(max(level, 0), DEEPEST)
    if not (0 <= level <= DEEPEST and 0 <= row * side < key.shape[0] and 0 <= col * side < key.shape[1]):
        raise MissingError(f"The scene has no block {row}, {col} at level {level}.")
    return Question(key, block_version(project.scene_id, drawn, level, row, col))


@lru_cache(maxsize=512)
def block(key: OverridesKey, version: int, level: int, row: int, col: int) -> bytes:
    """The "override block" of docs/protocol.md, gzipped."""
    texels = open_overrides(key).texels(level, row, col)
    return gzip.compress(struct.pack("<II", version, 0) + texels.tobytes(), 5, mtime=0)


def counts(
    leaves: LeavesKey, overrides: OverridesKey, aoi: str | None, *, is_complete: bool = True
) -> Counts:
    """Pixels and area of each leaf under each class that was drawn, inside an area of interest.

    Only blocks that have changed are read: what is found in a block is kept by what is drawn in it.
    """
    blocks = open_overrides(overrides).blocks
    # While blocks are still being computed, what one of them held a moment ago is not to be kept.
    count = _in_block if is_complete else _in_block.__wrapped__
    return Counts.joined([count(leaves, overrides.shape, at, layers, aoi) for at, layers in blocks.items()])


@lru_cache(maxsize=8192)
def _in_block(
    leaves: LeavesKey, shape: tuple[int, int], at: tuple[int, int], layers: tuple[Layer, ...], aoi: str | None
) -> Counts:
    area = None if aoi is None else json.loads(aoi)
    return count_overrides(open_leaves(leaves), Overrides(shape, layers), *at, area)


def forget_counts() -> None:
    """Drop what is kept (tests begin anew with the same ids)."""
    block.cache_clear()
    _in_block.cache_clear()


def pack_counts(order: Order) -> bytes:
    """The "statistics of overrides" of docs/protocol.md, gzipped; StoreError where files are gone."""
    found = counts(order.leaves, order.overrides, order.aoi, is_complete=order.is_complete)
    parts = [
        HEADER.pack(order.leaves.segmentation, order.leaves.version, order.version, len(found.values)),
        np.ascontiguousarray(found.area_m2, "<f8").tobytes(),
        np.ascontiguousarray(found.pixels, "<u4").tobytes(),
        np.ascontiguousarray(found.leaves, "<u2").tobytes(),
        found.values.tobytes(),
    ]
    return gzip.compress(b"".join(parts), 5, mtime=0)
