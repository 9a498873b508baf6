"""The binary answers on a segmentation, merge tree and leaf statistics: packed once, kept for the next."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segmentation.split_store import SplitSegmentation as Store
from webapp.editing.leaves import LeavesKey, open_leaves
from webapp.live.blocks import open_store
from webapp.models import Segmentation

__all__ = ["etag", "forget_numbers", "statistics", "tree"]

FRESH_S = 5.0  # counts of a segmentation that is still computing are this old at most
KEPT = 32  # packed statistics, up to some 500 KiB each


@lru_cache(maxsize=16)
def tree(segmentation_id: int) -> bytes:
    """The "tree" of docs/protocol.md, gzipped; StoreError while there is no codebook."""
    store = open_store(segmentation_id)
    nodes = store.tree
    parts = [
        struct.pack("<II", store.n_leaves, store.version),
        *(np.ascontiguousarray(part, "<u4").tobytes() for part in (nodes.parent, nodes.low, nodes.high)),
        np.ascontiguousarray(nodes.rgb, np.uint8).tobytes(),
    ]
    return gzip.compress(b"".join(parts), 5, mtime=0)


class _Kept(NamedTuple):
    packed: bytes
    at: float
    is_complete: bool


_kept: OrderedDict[tuple[LeavesKey, str], _Kept] = OrderedDict()
_kept_lock = threading.Lock()
_computing: dict[tuple[LeavesKey, str], threading.Lock] = {}


def etag(segmentation: Segmentation, leaves: LeavesKey, aoi: dict[str, Any] | None) -> str:
    state = "complete" if segmentation.state == Segmentation.State.COMPLETE else f"{time.time():.0f}"
    return f'"statistics-{segmentation.pk}-{_hash(leaves)}-{_hash(aoi)}-{state}"'


def statistics(leaves: LeavesKey, aoi: dict[str, Any] | None, *, is_complete: bool) -> bytes:
    """The "statistics" of docs/protocol.md inside an area of interest, gzipped.

    Of a segmentation that ``is_complete``, counts from before that are not given out any more: the browser would keep
    them as final. StoreError while there is no codebook.
    """
    key = (leaves, _hash(aoi))
    with _kept_lock:
        lock = _computing.setdefault(key, threading.Lock())
    # Reading all leaves inside an area takes a while: of several that ask, one does it.
    with lock:
        kept = _kept.get(key)
        is_fresh = kept is not None and not is_complete and time.monotonic() - kept.at < FRESH_S
        if kept is not None and (kept.is_complete or is_fresh):
            return kept.packed
        packed, has_all = _pack(open_leaves(leaves), aoi)
        with _kept_lock:
            _kept[key] = _Kept(packed, time.monotonic(), has_all)
            _kept.move_to_end(key)
            while len(_kept) > KEPT:
                oldest, _ = _kept.popitem(last=False)
                _computing.pop(oldest, None)
        return packed


def forget_numbers() -> None:
    """Drop what is kept (tests begin anew with the same ids)."""
    tree.cache_clear()
    with _kept_lock:
        _kept.clear()
        _computing.clear()


def _pack(store: Store, aoi: dict[str, Any] | None) -> tuple[bytes, bool]:
    counts = store.statistics(aoi)
    parts = [
        struct.pack("<IIII", store.n_ids, int(counts.complete), 0, 0),
        np.ascontiguousarray(store.by_id(counts.pixels, store.n_ids), "<f8").tobytes(),
        np.ascontiguousarray(_areas_by_id(store, counts.area_m2), "<f8").tobytes(),
    ]
    return gzip.compress(b"".join(parts), 5, mtime=0), bool(counts.complete)


def _areas_by_id(store: Store, areas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spread = np.asarray(store.by_id(areas, store.n_ids), np.float64)
    # Numbers that are no leaf have no area, unless nothing has one.
    return np.full_like(spread, np.nan) if np.isnan(areas).all() else spread


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
