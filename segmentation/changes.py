"""What changed between two class maps over the same leaves: how much went from which class to which, exact to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.overrides import Overrides
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK
from segmentation.split_store import SplitSegmentation

__all__ = ["Changes", "ClassMap", "count_changes"]

_CLASSES = 256

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ClassMap:
    """A class map over leaves.

    ``table`` uint8 (n_leaves,): class of each leaf *number*, 0 = none. ``overrides`` lie over it, and ``shown`` uint8 (256,)
    says as which class each of their values shows: 0 = what lies below does.
    """

    table: Bytes
    overrides: Overrides
    shown: Bytes

    def of_pixels(self, leaves: NDArray[np.uint16], row: int, col: int) -> Bytes:
        """The class of each pixel in the used part of a block; 0 where there is no leaf."""
        height, width = leaves.shape
        is_leaf = leaves != NODATA_LEAF
        classes = np.zeros(leaves.shape, np.uint8)
        classes[is_leaf] = self.table[leaves[is_leaf]]
        drawn = self.shown[self.overrides.block(row, col)[:height, :width]]
        over = is_leaf & (drawn != 0)
        classes[over] = drawn[over]
        return classes


@dataclass(frozen=True)
class Changes:
    """Pixels and area (m², NaN without CRS) that went from class i to class j: float64, shape (256, 256), 0 = no class.

    Where pixels changed though their leaf did not, because of what was drawn, ``bounds`` holds row0, col0, row1, col1 (ends
    excluded) around those of each 512 x 512 block.
    """

    pixels: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    bounds: tuple[tuple[int, int, int, int], ...] = ()


def count_changes(
    segmentation: SplitSegmentation, before: ClassMap, after: ClassMap, aoi: dict[str, Any] | None = None
) -> Changes:
    """Compare two class maps.

    Only blocks on which something was drawn are read; all others are told by the counts of the leaves.

    Parameters
    ----------
    segmentation : SplitSegmentation
        An open store. Pixels of blocks that are not computed yet do not count.
    before, after : ClassMap
    aoi : dict, optional
        GeoJSON geometry in lon/lat (pixel x, y without CRS); only pixels whose center lies inside count.

    Returns
    -------
    Changes

    Raises
    ------
    InvalidArgumentError
        If a table is not of the segmentation's leaves.
    """
    for one in (before, after):
        if one.table.shape != (segmentation.n_leaves,):
            raise InvalidArgumentError(
                f"the table has {one.table.size} entries, and the segmentation {segmentation.n_leaves} leaves"
            )
    counts = segmentation.statistics(aoi)
    # What the drawn blocks hold is told pixel by pixel, and taken from what the leaves hold as a whole.
    pixels, area_m2 = counts.pixels.astype(np.float64).copy(), counts.area_m2.astype(np.float64).copy()
    total = _Sums()
    bounds = []
    for row, col in sorted({*before.overrides.blocks, *after.overrides.blocks}):
        leaves = segmentation.block_ids(0, row, col)
        if leaves is None:
            continue
        inside = leaves != NODATA_LEAF
        height, width = leaves.shape
        georeference = segmentation.georeference
        if aoi is not None:
            inside &= georeference.aoi_mask(aoi, row * BLOCK, col * BLOCK, height, width)
        known = georeference.pixel_areas_m2(row * BLOCK, col * BLOCK, height, width)
        areas = np.full(int(inside.sum()), np.nan) if known is None else known[inside]
        old, new = (one.of_pixels(leaves, row, col) for one in (before, after))
        total.add(old[inside], new[inside], np.ones(len(areas)), areas)
        numbers = leaves[inside]
        pixels -= np.bincount(numbers, minlength=len(pixels))
        area_m2 -= np.bincount(numbers, areas, minlength=len(pixels))
        apart = inside & (old != new)
        apart[inside] &= (before.table == after.table)[numbers]
        if apart.any():
            rows, cols = (
                np.flatnonzero(apart.any(axis=axis)) + start
                for axis, start in ((1, row * BLOCK), (0, col * BLOCK))
            )
            bounds.append((int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1))
    # Differences of equal sums: a rest of rounding is no area.
    empty = pixels < 0.5
    pixels[empty] = 0
    if not np.isnan(counts.area_m2).any():
        area_m2[empty] = 0
    total.add(before.table, after.table, pixels, area_m2)
    return Changes(total.pixels, total.area_m2, tuple(bounds))


class _Sums:
    """Sums by pairs of classes."""

    def __init__(self) -> None:
        self.pixels = np.zeros((_CLASSES, _CLASSES))
        self.area_m2 = np.zeros((_CLASSES, _CLASSES))

    def add(self, old: Bytes, new: Bytes, pixels: NDArray[np.float64], area_m2: NDArray[np.float64]) -> None:
        pairs = old.astype(np.int64) * _CLASSES + new
        shape = (_CLASSES, _CLASSES)
        self.pixels += np.bincount(pairs, pixels, minlength=_CLASSES**2).reshape(shape)
        self.area_m2 += np.bincount(pairs, area_m2, minlength=_CLASSES**2).reshape(shape)
