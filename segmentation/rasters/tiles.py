"""Imagery tiles: 256 x 256 pixels of an image on the grid of the web map, or on its own grid where it has no place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.rasters.image_blocks import ImageBlocks, ImageFile, Pyramid
from segmentation.rasters.lonlat import GridProjection
from segmentation.rasters.resample import blend, pick, spread

__all__ = ["TILE_PX", "read_map_tile", "read_plain_tile"]

TILE_PX = 256
_SIDES = (
    9,
    17,
    33,
    65,
    129,
    256,
)  # nodes of the grid whose positions are computed; the rest lies between them
_TOLERANCE_PX = 0.1  # of the image's pixels; GDAL's warper allows itself 0.125
_FINER = 1.2  # an overview is used up to this much magnified, as GDAL does when it reads

Tile = tuple[NDArray[Any], NDArray[np.bool_]]


def read_map_tile(
    blocks: ImageBlocks, image: ImageFile, z: int, x: int, y: int, bands: Sequence[int], *, smooth: bool
) -> Tile | None:
    """One tile of the Web Mercator map.

    Parameters
    ----------
    blocks : ImageBlocks
    image : ImageFile
        An image with a CRS.
    z, x, y : int
        The tile.
    bands : sequence of int
        Numbers from 1.
    smooth : bool
        Pixels are blended; False: each is shown as it is, in hard squares.

    Returns
    -------
    (values, valid), or None
        Array (B, 256, 256) in the image's type and bool array (256, 256), True where there is data. None where the tile
        touches nothing of the image, or no data of it; in the first case nothing was read.
    """
    pyramid = blocks.pyramid(image)
    projection = pyramid.projection
    if projection is None:
        raise ValueError(f"{image.path.name} has no CRS, so it has no place on the map.")
    cols, rows = _places(projection, z, x, y)
    inside = (cols >= 0) & (cols < projection.width) & (rows >= 0) & (rows < projection.height)
    if not inside.any():
        return None
    step_x, step_y = _steps(cols, rows, inside)
    level = _level(pyramid, min(step_x, step_y)) if smooth else 0
    reduced = pyramid.levels[level]
    # Overviews span the same ground, so that pixels at the right and lower edge may stand for less.
    cols, rows = cols / reduced.factor_x, rows / reduced.factor_y
    step_x, step_y = step_x / reduced.factor_x, step_y / reduced.factor_y
    reach = math.ceil(max(1.0, step_x, step_y)) + 1
    top, bottom = _span(rows[inside], reach, reduced.height)
    left, right = _span(cols[inside], reach, reduced.width)
    values, valid = blocks.read(image, level, (top, left, bottom - top, right - left), bands)
    cols, rows = cols - left, rows - top
    shown = blend(values, valid, cols, rows, step_x, step_y) if smooth else pick(values, valid, cols, rows)
    return shown if shown[1].any() else None


def read_plain_tile(
    blocks: ImageBlocks, image: ImageFile, halvings: int, x: int, y: int, bands: Sequence[int]
) -> Tile | None:
    """One tile of an image that is shown on its own grid, halved so many times. Results as of :func:`read_map_tile`."""
    pyramid = blocks.pyramid(image)
    whole = pyramid.levels[0]
    side = TILE_PX << halvings
    row, col = y * side, x * side
    if row >= whole.height or col >= whole.width:
        return None
    # The coarsest overview that was halved at most as often; what is missing is averaged here.
    at = {round(math.log2(max(each.factor_x, each.factor_y))): k for k, each in enumerate(pyramid.levels)}
    done = max(count for count in at if count <= halvings)
    level = at[done]
    reduced = pyramid.levels[level]
    top, left = row >> done, col >> done
    height = min(side >> done, reduced.height - top)
    width = min(side >> done, reduced.width - left)
    values, valid = blocks.read(image, level, (top, left, height, width), bands)
    values, valid = _averaged(values, valid, 1 << (halvings - done))
    if not valid.any():
        return None
    used = valid.shape
    tile = np.zeros((len(values), TILE_PX, TILE_PX), values.dtype)
    mask = np.zeros((TILE_PX, TILE_PX), np.bool_)
    tile[:, : used[0], : used[1]] = np.where(valid, values, np.zeros((), values.dtype))
    mask[: used[0], : used[1]] = valid
    return tile, mask


def _places(
    projection: GridProjection, z: int, x: int, y: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row in the image of the middle of each of the tile's pixels; infinite where there is none."""
    for side in _SIDES:
        steps = np.linspace(0.5, TILE_PX - 0.5, side)
        cols, rows = _exact(projection, z, x, y, *np.meshgrid(steps, steps))
        if side == TILE_PX:
            return cols, rows
        if not (np.isfinite(cols).all() and np.isfinite(rows).all()):
            continue  # the edge of what the projection knows runs through the tile
        middle = (steps[1:] + steps[:-1]) / 2
        true_cols, true_rows = _exact(projection, z, x, y, *np.meshgrid(middle, middle))
        error = np.hypot(_between(cols) - true_cols, _between(rows) - true_rows)
        finest = max(1.0, abs(cols[0, 1] - cols[0, 0]) / (steps[1] - steps[0]))
        if error.max() <= _TOLERANCE_PX * finest:  # False, too, where it is not a number
            return spread(cols, TILE_PX), spread(rows, TILE_PX)
    raise AssertionError("the last side returns")


def _exact(
    projection: GridProjection, z: int, x: int, y: int, px: NDArray[np.float64], py: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lons = 360 * (x + px / TILE_PX) / 2**z - 180
    lats = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (y + py / TILE_PX) / 2**z))))
    lons += 360 * np.round((projection.center_lon - lons) / 360)
    return projection.from_lonlat(lons, lats)


def _between(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What linear interpolation gives in the middle of each cell of a grid."""
    return (nodes[1:, 1:] + nodes[1:, :-1] + nodes[:-1, 1:] + nodes[:-1, :-1]) / 4


def _steps(
    cols: NDArray[np.float64], rows: NDArray[np.float64], inside: NDArray[np.bool_]
) -> tuple[float, float]:
    """Distance of neighboring places along the image's columns and rows, in its pixels: the median over the tile."""
    apart = 15  # pixels; a few hundred places are as good as all of them
    some = slice(None, None, apart)
    near = inside[some, some][1:, 1:]
    steps = []
    with np.errstate(invalid="ignore"):  # infinite less infinite
        for grid in (cols[some, some], rows[some, some]):
            length = np.hypot(grid[1:, 1:] - grid[1:, :-1], grid[1:, 1:] - grid[:-1, 1:])
            finite = np.isfinite(length)
            known = length[near & finite] if (near & finite).any() else length[finite]
            steps.append(float(np.median(known)) / apart if len(known) else 1.0)
    return steps[0], steps[1]


def _level(pyramid: Pyramid, step: float) -> int:
    """The coarsest level that is fine enough for places ``step`` pixels of the image apart."""
    fine = [
        k for k, level in enumerate(pyramid.levels) if max(level.factor_x, level.factor_y) <= step * _FINER
    ]
    return max(fine, default=0)


def _span(places: NDArray[np.float64], reach: int, size: int) -> tuple[int, int]:
    return max(0, int(places.min()) - reach), min(size, int(places.max()) + 1 + reach)


def _averaged(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, side: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Means over squares of valid pixels, those at the edges smaller."""
    _, height, width = values.shape
    if valid is None:
        valid = np.ones((height, width), np.bool_)
    if side == 1:
        return values, valid
    rows, cols = np.arange(0, height, side), np.arange(0, width, side)

    def total(grid: NDArray[Any]) -> NDArray[np.float64]:
        sums = np.add.reduceat(grid.astype(np.float64), rows, axis=-2)
        return np.asarray(np.add.reduceat(sums, cols, axis=-1))

    count = total(valid)
    means = total(np.where(valid, values, np.zeros((), values.dtype))) / np.maximum(count, 1)
    if values.dtype.kind in "iu":
        means = np.floor(means + 0.5)
    return means.astype(values.dtype), count > 0
