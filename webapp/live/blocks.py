"""Leaf blocks as binary frames (docs/protocol.md, "Leaf block"), from stores that may still compute."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segmentation import BLOCK
from segmentation.split_store import SplitSegmentation as Store
from webapp.editing.leaves import LeavesKey, forget_leaves, open_leaves

__all__ = [
    "HEADER",
    "BlockKey",
    "block_exists",
    "blocks_across",
    "children",
    "forget_stores",
    "open_store",
    "patch_frame",
    "pool",
    "runs",
    "whole_frame",
]

MAGIC = b"CNLB"
FORMAT = 1
# magic, format, level, mesh n, segmentation, version, row, col, used h, w, payload row, col, h, w, payload
# bytes
HEADER = struct.Struct("<4sBBHIIIIHHHHHHI")

# Reading and inflating blocks: bounded, so that a hundred browsers cannot occupy every core of the server.
pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="blocks")


class BlockKey(NamedTuple):
    level: int
    row: int
    col: int


def open_store(segmentation_id: int) -> Store:
    """The store of a segmentation without any project's splits, kept open; StoreError where it has no codebook yet or is gone."""
    return open_leaves(LeavesKey(segmentation_id))


def forget_stores() -> None:
    """Close what is open (a store was removed, or tests begin anew)."""
    forget_leaves()
    _mesh.cache_clear()


def blocks_across(store: Store, level: int) -> tuple[int, int]:
    """Rows and columns of blocks at a level."""
    side = BLOCK << level
    height, width = store.shape
    return -(-height // side), -(-width // side)


def block_exists(store: Store, key: BlockKey) -> bool:
    """Whether there can be such a block at all, computed or not."""
    if not 0 <= key.level < store.n_levels:
        return False
    rows, cols = blocks_across(store, key.level)
    return key.row < rows and key.col < cols


def children(store: Store, key: BlockKey) -> list[tuple[int, int]]:
    """Level-0 blocks under an overview block, row by row."""
    rows, cols = blocks_across(store, 0)
    span = 1 << key.level
    return [
        (row, col)
        for row in range(key.row * span, min((key.row + 1) * span, rows))
        for col in range(key.col * span, min((key.col + 1) * span, cols))
    ]


def runs(blocks: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Neighbors within a row, together: they travel as one patch."""
    run: list[tuple[int, int]] = []
    for row, col in sorted(blocks):
        if run and (row, col) != (run[-1][0], run[-1][1] + 1):
            yield run
            run = []
        run.append((row, col))
    if run:
        yield run


def whole_frame(segmentation_id: int, store: Store, key: BlockKey) -> bytes | None:
    """The frame of a block as it is stored; None while it is not computed."""
    payload = store.block(*key)
    if payload is None:
        return None
    return _frame(segmentation_id, store, key, (0, 0, BLOCK, BLOCK), payload)


def patch_frame(
    segmentation_id: int, store: Store, key: BlockKey, run: Sequence[tuple[int, int]]
) -> tuple[bytes | None, list[tuple[int, int]]]:
    """One patch of an overview block from neighboring level-0 blocks.

    Parameters
    ----------
    key : BlockKey
        The overview block, level 1 or higher.
    run : sequence of (row, col)
        Level-0 blocks under it, side by side in one row.

    Returns
    -------
    frame, done
        The frame of those at the run's beginning that are computed (None without), and which they are.
    """
    parts: list[npt.NDArray[np.uint16]] = []
    done: list[tuple[int, int]] = []
    top = left = 0
    for row, col in run:
        patch = store.patch(row, col, key.level)
        if patch is None:
            break
        if not parts:
            top, left = patch[2], patch[3]
        parts.append(patch[4])
        done.append((row, col))
    if not parts:
        return None, done
    ids = np.concatenate(parts, axis=1)
    height, width = ids.shape
    payload = gzip.compress(np.ascontiguousarray(ids, "<u2").tobytes(), 1, mtime=0)
    return _frame(segmentation_id, store, key, (top, left, height, width), payload), done


@lru_cache(maxsize=2048)
def _mesh(store: Store, key: BlockKey) -> tuple[int, bytes]:
    mesh = np.ascontiguousarray(store.georeference.block_mesh(*key), "<f8")
    return mesh.shape[0], mesh.tobytes()


def _frame(
    segmentation_id: int, store: Store, key: BlockKey, placed: tuple[int, int, int, int], payload: bytes
) -> bytes:
    n, mesh = _mesh(store, key)
    header = HEADER.pack(
        MAGIC,
        FORMAT,
        key.level,
        n,
        segmentation_id,
        store.version,
        key.row,
        key.col,
        *store.used_size(*key),
        *placed,
        len(payload),
    )
    return b"".join((header, mesh, payload))
