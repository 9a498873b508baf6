"""Classes of single pixels that people drew by hand, over those of the leaves.

Every drawing is a *layer*: a mask of pixels in a file of its own, which never changes, and a value for them: a class, or
`ERASED`. Layers lie over one another in the order in which they were drawn, and any list of them can be read at the same time,
so that taking one back rewrites nothing. They belong to the pixels of the scene, whatever its segmentation; but where there is
no leaf there is no map, and an override does not show.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.drawing import polygon_blocks
from segmentation.errors import InvalidArgumentError
from segmentation.masks import LayerInfo, layer_blocks, read_mask, write_layer
from segmentation.pyramid import NODATA_LEAF, level_shape
from segmentation.rasters.windows import BLOCK
from segmentation.regions import region_blocks
from segmentation.split_store import SplitSegmentation

__all__ = [
    "ERASED",
    "Counts",
    "Layer",
    "LayerInfo",
    "Overrides",
    "count_overrides",
    "covered_pixels",
    "layer_blocks",
    "polygon_blocks",
    "region_blocks",
    "write_layer",
]

ERASED = 0  # the value of a layer under which nothing that was drawn before shows any more
_KEPT_BYTES = 64 * 2**20  # of blocks put together, in this process

Block = tuple[int, int]
Mask = NDArray[np.bool_]
Values = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """One drawing: the file of its mask, and the class of its pixels (`ERASED`: none)."""

    path: Path
    value: int


def covered_pixels(path: Path, above: Sequence[Path]) -> list[int]:
    """How many pixels of a layer lie under each of others, those under an earlier one of them left out.

    Only blocks that both have are read, and no more once a block is covered.
    """
    counts = [0] * len(above)
    mine = set(layer_blocks(path))
    shared = {index: mine.intersection(layer_blocks(other)) for index, other in enumerate(above)}
    for block in sorted(set().union(*shared.values())):
        is_open = read_mask(path, block)
        for index, other in enumerate(above):
            if block in shared[index] and is_open.any():
                covered = read_mask(other, block) & is_open
                counts[index] += int(covered.sum())
                is_open &= ~covered
    return counts


# ---------------------------------------------------------------------------------------------------- put together


class _Kept:
    """Blocks put together, the last used ones; what is kept is read-only."""

    def __init__(self, most: int) -> None:
        self._most = most // BLOCK**2
        self._blocks: OrderedDict[tuple[Block, tuple[Layer, ...]], Values] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, block: Block, layers: tuple[Layer, ...]) -> Values | None:
        with self._lock:
            found = self._blocks.get((block, layers))
            if found is not None:
                self._blocks.move_to_end((block, layers))
            return found

    def put(self, block: Block, layers: tuple[Layer, ...], values: Values) -> Values:
        values.flags.writeable = False
        with self._lock:
            self._blocks[block, layers] = values
            while len(self._blocks) > self._most:
                self._blocks.popitem(last=False)
        return values


_kept = _Kept(_KEPT_BYTES)


class Overrides:
    """Layers over one another.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the scene.
    layers : sequence of Layer
        In the order in which they lie, the last one on top.
    """

    def __init__(self, shape: tuple[int, int], layers: Sequence[Layer] = ()) -> None:
        self.shape = shape
        self.layers = tuple(layers)

    @cached_property
    def blocks(self) -> dict[Block, tuple[Layer, ...]]:
        """The layers in each block of level 0 that has any."""
        found: dict[Block, list[Layer]] = {}
        for layer in self.layers:
            for block in layer_blocks(layer.path):
                found.setdefault(block, []).append(layer)
        return {block: tuple(layers) for block, layers in sorted(found.items())}

    def block(self, row: int, col: int) -> Values:
        """Values of a block of level 0, uint8 (512, 512), read-only; 0 where nothing was drawn."""
        block, layers = (row, col), self.blocks.get((row, col), ())
        known = _kept.get(block, layers)
        if known is not None:
            return known
        below = _kept.get(block, layers[:-1]) if layers else None
        if below is not None:  # one more layer was drawn
            values = np.where(read_mask(layers[-1].path, block), np.uint8(layers[-1].value), below)
        else:
            values = _stacked(block, layers)
        return _kept.put(block, layers, values)

    def read(self, row: int, col: int, height: int, width: int) -> Values:
        """Values of a window inside the scene, uint8 (height, width)."""
        return self._at(np.arange(row, row + height), np.arange(col, col + width))

    def texels(self, level: int, row: int, col: int) -> Values:
        """Values of a block of a pyramid level, uint8 (512, 512): of the pixels that its leaf ids are of, 0 beyond the scene."""
        out = np.zeros((BLOCK, BLOCK), np.uint8)
        rows, cols = (
            sampled_pixels(size, level)[index * BLOCK : (index + 1) * BLOCK]
            for size, index in zip(self.shape, (row, col), strict=True)
        )
        if not (len(rows) and len(cols)):
            raise InvalidArgumentError(f"There is no block {row}, {col} at level {level} of this scene.")
        out[: len(rows), : len(cols)] = self._at(rows, cols)
        return out

    def _at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Values:
        """Values at the crossings of ascending rows and columns."""
        out = np.zeros((len(rows), len(cols)), np.uint8)
        block_rows, block_cols = rows // BLOCK, cols // BLOCK
        for block_row in np.unique(block_rows).tolist():
            for block_col in np.unique(block_cols).tolist():
                if (block_row, block_col) not in self.blocks:
                    continue
                mine = slice(*np.searchsorted(block_rows, (block_row, block_row + 1)))
                own = slice(*np.searchsorted(block_cols, (block_col, block_col + 1)))
                block, layers = (block_row, block_col), self.blocks[block_row, block_col]
                within = np.ix_(rows[mine] % BLOCK, cols[own] % BLOCK)
                known = _kept.get(block, layers)
                # Where few of its pixels are wanted, a block need not be put together as a whole.
                is_sparse = 4 * len(within[0]) < BLOCK
                if known is None and not is_sparse:
                    known = self.block(*block)
                out[mine, own] = _stacked(block, layers, within) if known is None else known[within]
        return out


def _stacked(block: Block, layers: Sequence[Layer], within: Any = np.s_[:, :]) -> Values:
    """Values of a block, or of some of its pixels: from the top down, since what is covered need not be read."""
    is_open = np.ones((BLOCK, BLOCK), np.bool_)[within]
    values = np.zeros(is_open.shape, np.uint8)
    for layer in reversed(layers):
        mask = read_mask(layer.path, block)[within] & is_open
        values[mask] = layer.value
        is_open = is_open & ~mask
        if not is_open.any():
            break
    return values


def sampled_pixels(size: int, level: int) -> NDArray[np.int64]:
    """Row (or column) of the pixel that each texel of a level is of, by the rule of `segmentation.pyramid`.

    Parameters
    ----------
    size : int
        Rows or columns of the scene.
    level : int

    Returns
    -------
    int64 array, ascending
    """
    pixels = np.arange(level_shape(size, 1, level)[0])
    for below in reversed(range(level)):
        pixels = np.minimum(2 * pixels + below % 2, level_shape(size, 1, below)[0] - 1)
    return pixels


# ---------------------------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Counts:
    """How many pixels of which leaf show which value of the overrides: arrays of equal length.

    ``values`` uint8; ``leaves`` uint16, ids; ``pixels`` uint32; ``area_m2`` float64, NaN without CRS.
    """

    values: Values
    leaves: NDArray[np.uint16]
    pixels: NDArray[np.uint32]
    area_m2: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Counts]) -> Counts:
        """The counts of several blocks, by value and leaf."""
        keys = np.concatenate([_keys(part.values, part.leaves) for part in parts] or [np.zeros(0, np.int64)])
        found, places = np.unique(keys, return_inverse=True)
        sums = [
            np.bincount(
                places,
                np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0)]),
                minlength=len(found),
            )
            for name in ("pixels", "area_m2")
        ]
        return cls(
            (found >> 16).astype(np.uint8),
            (found & 0xFFFF).astype(np.uint16),
            np.rint(sums[0]).astype(np.uint32),
            sums[1].astype(np.float64),
        )


def _keys(values: Values, leaves: NDArray[np.uint16]) -> NDArray[np.int64]:
    return (values.astype(np.int64) << 16) | leaves


def count_overrides(
    segmentation: SplitSegmentation,
    overrides: Overrides,
    row: int,
    col: int,
    aoi: dict[str, Any] | None = None,
) -> Counts:
    """Count the pixels of one block of level 0 under overrides.

    Parameters
    ----------
    segmentation : SplitSegmentation
        Of the same scene. Pixels without a leaf, of blocks that are not computed yet for example, do not count.
    overrides : Overrides
    row, col : int
        The block.
    aoi : dict, optional
        GeoJSON geometry in lon/lat (pixel x, y without CRS); only pixels whose center lies inside count.
    """
    height, width = segmentation.used_size(0, row, col)
    values = overrides.block(row, col)[:height, :width]
    numbers = segmentation.block_ids(0, row, col)
    drawn = values != ERASED
    if numbers is None or not drawn.any():
        return Counts.joined([])
    drawn &= numbers != NODATA_LEAF
    georeference = segmentation.georeference
    if aoi is not None:
        drawn &= georeference.aoi_mask(aoi, row * BLOCK, col * BLOCK, height, width)
    leaves = segmentation.leaf_ids[numbers[drawn]].astype(np.uint16)
    found, places, pixels = np.unique(_keys(values[drawn], leaves), return_inverse=True, return_counts=True)
    areas = georeference.pixel_areas_m2(row * BLOCK, col * BLOCK, height, width)
    area_m2 = (
        np.full(len(found), np.nan)
        if areas is None
        else np.bincount(places, areas[drawn], minlength=len(found)).astype(np.float64)
    )
    return Counts(
        (found >> 16).astype(np.uint8), (found & 0xFFFF).astype(np.uint16), pixels.astype(np.uint32), area_m2
    )
