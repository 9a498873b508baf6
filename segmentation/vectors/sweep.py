"""One sweep over a class map, row by row: connected regions and their boundaries, both in constant time a pixel.

Boundaries are linked lists of nodes on the grid of pixel corners. Every region has its own, traced with the region on the right
hand as seen on the screen. What happens at a corner follows from the four pixels around it alone; a boundary that
comes from above or from the left is known there, one that comes from below or from the right leaves word for the node that will
come. So no boundary is ever walked before its region is complete.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Sweep"]

_FIRST_NODES, _FIRST_REGIONS = 1 << 16, 1 << 12


class Sweep:
    """Regions and boundary nodes that are not given away yet.

    Attributes
    ----------
    node_row, node_col, node_next, node_region : int32 arrays
        Corner position, index of the next node of the boundary (-1: not known yet) and region of each node, in the
        order of the corners; of ``n_nodes`` nodes.
    parent : int32 array
        Regions that turned out to be one point at the older one. Region 0 is none.
    first, last_row, pixels, area : int64 arrays
        Of each region: index of its first pixel in row-major order, its last row, its pixels, the sum of its areas.
    class_of : uint8 array
        Class of each region; of ``n_regions`` regions.
    """

    def __init__(self, width: int, step_rows: int, step_cols: int) -> None:
        """``step_rows``, ``step_cols``: straight boundaries get a node where row or column is a multiple of this."""
        self.width = width
        self._steps = (step_rows, step_cols)
        # One pixel more on each side: beyond the map there is no class.
        self.above_class = np.zeros(width + 2, np.uint8)
        self.above_region = np.zeros(width + 2, np.int32)
        self.source = np.full(
            width + 1, -1, np.int32
        )  # node that the boundary going down at this column comes from
        self.target = np.full(
            width + 1, -1, np.int32
        )  # node that the boundary going up at this column leads to
        self.n_nodes, self.n_regions = 0, 1
        self._grow_nodes(_FIRST_NODES)
        self._grow_regions(_FIRST_REGIONS)

    def advance(
        self, classes: NDArray[np.uint8], areas: NDArray[np.int64], row: int, start: int, max_nodes: int
    ) -> int:
        """Sweep over rows of pixels from ``start`` on, until all are done or more than ``max_nodes`` nodes are held.

        Parameters
        ----------
        classes : uint8 array, shape (h, width)
            Rows of the map; 0 = unclassified.
        areas : int64 array, shape (h, width) or (0, 0)
            Area of each pixel in any unit; none are summed without.
        row : int
            Row of the map that ``classes`` begins with.
        start : int
            Row of ``classes`` to begin with.
        max_nodes : int
            How many nodes to hold before stopping after a row.

        Returns
        -------
        int
            Row of ``classes`` to go on with.
        """
        while start < len(classes) and self.n_nodes <= max_nodes:
            # No row makes more than four nodes a corner, nor more regions than pixels.
            if len(self.node_row) - self.n_nodes < 4 * (self.width + 1):
                self._grow_nodes(2 * len(self.node_row) + 4 * (self.width + 1))
            if len(self.parent) - self.n_regions < self.width:
                self._grow_regions(2 * len(self.parent) + self.width)
            start, self.n_nodes, self.n_regions = _sweep_rows(
                classes,
                areas,
                row,
                start,
                max_nodes,
                self._steps,
                (self.above_class, self.above_region, self.source, self.target),
                (self.node_row, self.node_col, self.node_next, self.node_region),
                self.n_nodes,
                (self.parent, self.first, self.last_row, self.pixels, self.area, self.class_of),
                self.n_regions,
            )
        return start

    def _grow_nodes(self, size: int) -> None:
        for name in ("node_row", "node_col", "node_next", "node_region"):
            setattr(self, name, _grown(getattr(self, name, None), self.n_nodes, size, np.int32))

    def _grow_regions(self, size: int) -> None:
        kinds = {"parent": np.int32, "class_of": np.uint8}
        for name in ("parent", "first", "last_row", "pixels", "area", "class_of"):
            kind = kinds.get(name, np.int64)
            setattr(self, name, _grown(getattr(self, name, None), self.n_regions, size, kind))

    node_row: NDArray[np.int32]
    node_col: NDArray[np.int32]
    node_next: NDArray[np.int32]
    node_region: NDArray[np.int32]
    parent: NDArray[np.int32]
    first: NDArray[np.int64]
    last_row: NDArray[np.int64]
    pixels: NDArray[np.int64]
    area: NDArray[np.int64]
    class_of: NDArray[np.uint8]


def _grown(old: NDArray | None, used: int, size: int, kind: type) -> NDArray:
    new: NDArray = np.zeros(size, kind)
    if old is not None:
        new[:used] = old[:used]
    return new


@numba.njit(nogil=True, cache=True)
def _root(parent, region):  # type: ignore[no-untyped-def]
    while parent[region] != region:
        parent[region] = parent[parent[region]]
        region = parent[region]
    return region


@numba.njit(nogil=True, cache=True)
def _sweep_rows(classes, areas, row, start, max_nodes, steps, front, nodes, n_nodes, regions, n_regions):  # type: ignore[no-untyped-def]
    """As ``Sweep.advance``, and stop also before a row that might not fit into the arrays."""
    height, width = classes.shape
    above_class, above_region = front[0], front[1]
    here_class, here_region = np.zeros(width + 2, np.uint8), np.zeros(width + 2, np.int32)
    node_room, region_room = len(nodes[0]) - 4 * (width + 1), len(regions[0]) - width
    at = start
    while at < height and n_nodes <= min(max_nodes, node_room) and n_regions <= region_room:
        here_class[1 : width + 1] = classes[at]
        n_regions = _label_row(
            here_class, here_region, above_class, above_region, areas, at, row + at, regions, n_regions
        )
        n_nodes = _trace_row(here_class, here_region, front, row + at, steps, nodes, n_nodes)
        above_class[:] = here_class
        above_region[:] = here_region
        at += 1
    return at, n_nodes, n_regions


@numba.njit(nogil=True, cache=True)
def _label_row(here_class, here_region, above_class, above_region, areas, at, row, regions, n_regions):  # type: ignore[no-untyped-def]
    """Give the pixels of one row their regions, joining regions that meet."""
    parent, first, last_row, pixels, area, class_of = regions
    width = len(here_class) - 2
    has_areas = areas.size > 0
    col = 1
    while col <= width:
        label = here_class[col]
        if label == 0:
            here_region[col] = 0
            col += 1
            continue
        begin, region = col, 0
        run_area = 0
        while col <= width and here_class[col] == label:
            # Next to each other above means: of one region already.
            if above_class[col] == label and (col == begin or above_class[col - 1] != label):
                other = _root(parent, above_region[col])
                if region == 0:
                    region = other
                elif region != other:
                    older, younger = min(region, other), max(region, other)
                    parent[younger] = older
                    first[older] = min(first[older], first[younger])
                    pixels[older] += pixels[younger]
                    area[older] += area[younger]
                    region = older
            if has_areas:
                run_area += areas[at, col - 1]
            col += 1
        if region == 0:
            region = n_regions
            n_regions += 1
            parent[region] = region
            first[region] = np.int64(row) * width + begin - 1
            pixels[region] = 0
            area[region] = 0
            class_of[region] = label
        last_row[region] = row
        pixels[region] += col - begin
        area[region] += run_area
        here_region[begin:col] = region
    return n_regions


@numba.njit(nogil=True, cache=True)
def _trace_row(here_class, here_region, front, row, steps, nodes, n):  # type: ignore[no-untyped-def]
    """Follow the boundaries through the corners between two rows of pixels."""
    above_class, above_region, source, target = front
    node_row, node_col, node_next, node_region = nodes
    n_before = n
    row_is_grid = row % steps[0] == 0
    right_source = left_target = -1  # as source and target, for the boundaries along this row of corners
    for col in range(len(source)):
        nw, ne, sw, se = above_class[col], above_class[col + 1], here_class[col], here_class[col + 1]
        if nw == ne and sw == se and nw == sw:
            continue
        from_up, to_up, from_left, to_left = source[col], target[col], right_source, left_target
        col_is_grid = col % steps[1] == 0
        # At a corner that two pixels of one class share diagonally each keeps its own; nodes of such a pair follow
        # each other, hence the order nw, se, ne, sw.
        # comes from above
        if 0 != nw != ne and (nw != sw or sw == se or ne != se or row_is_grid):
            node_region[n] = above_region[col]
            node_col[n] = col
            node_next[n] = -1
            node_next[from_up] = n
            if nw != sw:
                node_next[n] = to_left
            elif sw != se:
                source[col] = n
            else:
                right_source = n
            n += 1
        # comes from below
        if 0 != se != sw and (se != ne or ne == nw or nw != sw or row_is_grid):
            node_region[n] = here_region[col + 1]
            node_col[n] = col
            node_next[n] = -1
            target[col] = n
            if se != ne:
                right_source = n
            elif ne != nw:
                node_next[n] = to_up
            else:
                node_next[n] = to_left
            n += 1
        # comes from the right
        if 0 != ne != se and (ne != nw or nw == sw or sw != se or col_is_grid):
            node_region[n] = above_region[col + 1]
            node_col[n] = col
            node_next[n] = -1
            left_target = n
            if ne != nw:
                node_next[n] = to_up
            elif nw != sw:
                node_next[n] = to_left
            else:
                source[col] = n
            n += 1
        # comes from the left
        if 0 != sw != nw and (sw != se or se == ne or nw != ne or col_is_grid):
            node_region[n] = here_region[col]
            node_col[n] = col
            node_next[n] = -1
            node_next[from_left] = n
            if sw != se:
                source[col] = n
            elif se != ne:
                right_source = n
            else:
                node_next[n] = to_up
            n += 1
    node_row[n_before:n] = row
    return n
