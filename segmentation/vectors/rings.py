"""Rings of the regions that a sweep has completed; what is still open stays, packed together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from segmentation.vectors.sweep import Sweep

__all__ = ["Polygons", "ring_marks", "take_complete"]


@dataclass(frozen=True)
class Polygons:
    """Complete regions as polygons, in the order of their last row, then of their first pixel.

    Attributes
    ----------
    class_of : uint8 array, shape (P,)
    pixels, area : int64 arrays, shape (P,)
    ring_count : int64 array, shape (P,)
        Rings of each polygon: the exterior, then its holes.
    ring_ends : int64 array, shape (R,)
        Where each ring ends in ``rows`` and ``cols``.
    rows, cols : int32 arrays, shape (V,)
        Corners of the rings, closed. With x to the right and y *down* the screen exteriors are clockwise as seen there;
        that is counter-clockwise by the sign of the area of (col, row).
    """

    class_of: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    area: NDArray[np.int64]
    ring_count: NDArray[np.int64]
    ring_ends: NDArray[np.int64]
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.class_of)

    @cached_property
    def vertex_ends(self) -> NDArray[np.int64]:
        """Where each polygon ends in ``rows`` and ``cols``."""
        return self.ring_ends[np.cumsum(self.ring_count) - 1]

    @cached_property
    def marks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """As `ring_marks`."""
        return ring_marks(self.ring_ends, np.cumsum(self.ring_count) - self.ring_count)

    def rings(self, index: int) -> list[slice]:
        """Where the rings of one polygon lie in ``rows`` and ``cols``."""
        last = int(self.ring_count[: index + 1].sum())
        ends = np.append(0, self.ring_ends)[last - int(self.ring_count[index]) : last + 1].tolist()
        return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def ring_marks(
    ring_ends: NDArray[np.int64], exteriors: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """For each vertex, bool: whether a ring starts there, whether one ends, whether a polygon starts.

    ``exteriors``: numbers of the rings that polygons start with.
    """
    size = int(ring_ends[-1]) if len(ring_ends) else 0
    starts, closes, begins = (np.zeros(size, np.bool_) for _ in range(3))
    first = np.append(0, ring_ends)[:-1]
    starts[first], closes[ring_ends - 1], begins[first[exteriors]] = True, True, True
    return starts, closes, begins


def take_complete(sweep: Sweep, *, reverse: bool) -> Polygons:
    """Take the regions that have no pixel in the last row out of a sweep.

    Parameters
    ----------
    sweep : Sweep
        Is left with the open regions, numbered anew in the old order.
    reverse : bool
        Turn every ring around.

    Returns
    -------
    Polygons
        Each ring starts at its first corner in row-major order. No ring touches itself: where a region meets itself at a corner, the
        enclosed part is a hole that touches the other ring there, as OGC 06-103r4 wants it. (Both pixels at such a corner are
        of one 4-connected region, and the path between them parts what is to their sides, so no ring comes there twice.)
    """
    n_nodes, n_regions = sweep.n_nodes, sweep.n_regions
    roots = _roots(sweep.parent, n_regions)
    open_roots = np.unique(roots[sweep.above_region])
    is_complete = roots == np.arange(n_regions)
    is_complete[open_roots] = False
    is_complete[0] = False
    complete = np.flatnonzero(is_complete)
    complete = complete[np.lexsort((sweep.first[complete], sweep.last_row[complete]))]
    rank_of_root = np.full(n_regions, -1, np.int32)
    rank_of_root[complete] = np.arange(len(complete))
    rank = rank_of_root[roots]

    nodes = (
        sweep.node_row[:n_nodes],
        sweep.node_col[:n_nodes],
        sweep.node_next[:n_nodes],
        sweep.node_region[:n_nodes],
    )
    _part_touching(nodes, rank)
    starts, ranks, sizes, are_holes = _find_rings(nodes, rank)
    order = np.lexsort((starts, are_holes, ranks))
    ends = np.cumsum(sizes[order] + 1)
    rows, cols = _collect(nodes, starts[order], ends, reverse)
    polygons = Polygons(
        sweep.class_of[complete],
        sweep.pixels[complete],
        sweep.area[complete],
        np.bincount(ranks, minlength=len(complete)),
        ends,
        rows,
        cols,
    )
    _keep_open(sweep, roots, rank, open_roots)
    return polygons


def _keep_open(
    sweep: Sweep, roots: NDArray[np.int32], rank: NDArray[np.int32], open_roots: NDArray[np.int32]
) -> None:
    kept = open_roots[open_roots > 0]
    new_region = np.zeros(sweep.n_regions, np.int32)
    new_region[kept] = np.arange(1, len(kept) + 1)
    new_region = new_region[roots]
    sweep.n_nodes = _pack(
        (sweep.node_row, sweep.node_col, sweep.node_next, sweep.node_region),
        sweep.n_nodes,
        rank,
        new_region,
        sweep.source,
        sweep.target,
    )
    sweep.n_regions = len(kept) + 1
    for name in ("first", "last_row", "pixels", "area", "class_of"):
        array = getattr(sweep, name)
        array[1 : sweep.n_regions] = array[kept]
    sweep.parent[: sweep.n_regions] = np.arange(sweep.n_regions)
    sweep.above_region[:] = new_region[sweep.above_region]


@numba.njit(nogil=True, cache=True)
def _roots(parent, n):  # type: ignore[no-untyped-def]
    roots = np.empty(n, np.int32)
    for region in range(n):
        # A region points at an older one, whose root is known.
        roots[region] = region if parent[region] == region else roots[parent[region]]
    return roots


@numba.njit(nogil=True, cache=True)
def _part_touching(nodes, rank):  # type: ignore[no-untyped-def]
    """Where a boundary comes to one corner twice, exchange how it goes on: two rings instead of one."""
    node_row, node_col, node_next, node_region = nodes
    for node in range(len(node_row) - 1):
        other = node + 1
        if (
            node_col[node] == node_col[other]
            and node_row[node] == node_row[other]
            and rank[node_region[node]] >= 0
            and rank[node_region[node]] == rank[node_region[other]]
        ):
            node_next[node], node_next[other] = node_next[other], node_next[node]


@numba.njit(nogil=True, cache=True)
def _find_rings(nodes, rank):  # type: ignore[no-untyped-def]
    """First node, rank of the region, number of nodes and whether it is a hole, of each complete ring."""
    node_row, node_col, node_next, node_region = nodes
    n = len(node_row)
    seen = np.zeros(n, np.bool_)
    room, count = 1024, 0
    starts, ranks = np.empty(room, np.int64), np.empty(room, np.int64)
    sizes, are_holes = np.empty(room, np.int64), np.empty(room, np.bool_)
    for start in range(n):
        if seen[start] or rank[node_region[start]] < 0:
            continue
        if count == room:
            room *= 2
            starts, ranks = _doubled(starts), _doubled(ranks)
            sizes, are_holes = _doubled(sizes), _doubled(are_holes)
        node, size, twice_area = start, 0, np.int64(0)
        while not seen[node]:
            seen[node] = True
            size += 1
            after = node_next[node]
            twice_area += (
                np.int64(node_col[node]) * node_row[after] - np.int64(node_col[after]) * node_row[node]
            )
            node = after
        starts[count], ranks[count] = start, rank[node_region[start]]
        sizes[count], are_holes[count] = size, twice_area < 0
        count += 1
    return starts[:count], ranks[:count], sizes[:count], are_holes[:count]


@numba.njit(nogil=True, cache=True)
def _doubled(array):  # type: ignore[no-untyped-def]
    longer = np.empty(2 * len(array), array.dtype)
    longer[: len(array)] = array
    return longer


@numba.njit(nogil=True, cache=True)
def _collect(nodes, starts, ends, reverse):  # type: ignore[no-untyped-def]
    """Corners of the rings, each closed with its first."""
    node_row, node_col, node_next = nodes[0], nodes[1], nodes[2]
    total = ends[-1] if len(ends) else 0
    rows, cols = np.empty(total, np.int32), np.empty(total, np.int32)
    begin = 0
    for ring in range(len(starts)):
        node, end = starts[ring], ends[ring]
        for step in range(end - begin):
            at = end - 1 - step if reverse else begin + step
            rows[at], cols[at] = node_row[node], node_col[node]
            node = node_next[node]
        begin = end
    return rows, cols


@numba.njit(nogil=True, cache=True)
def _pack(nodes, n, rank, new_region, source, target):  # type: ignore[no-untyped-def]
    """Move the nodes of open regions together."""
    node_row, node_col, node_next, node_region = nodes
    new_index = np.full(n, -1, np.int32)
    count = 0
    for node in range(n):
        if rank[node_region[node]] < 0:
            new_index[node] = count
            count += 1
    for node in range(n):
        at = new_index[node]
        if at >= 0:
            node_row[at], node_col[at] = node_row[node], node_col[node]
            node_region[at] = new_region[node_region[node]]
            after = node_next[node]
            node_next[at] = new_index[after] if after >= 0 else -1
    # Columns that no boundary crosses any more hold old values.
    for col in range(len(source)):
        source[col] = new_index[source[col]] if 0 <= source[col] < n else -1
        target[col] = new_index[target[col]] if 0 <= target[col] < n else -1
    return count
