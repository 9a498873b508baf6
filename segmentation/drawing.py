"""Pixels under shapes that were drawn by hand, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.windows import BLOCK

__all__ = ["MAX_VERTICES", "polygon_blocks"]

MAX_VERTICES = 10_000  # of all rings together
_FARTHEST = 1e7  # pixels from the scene's origin: beyond it, positions lose their fractions
_MARGIN = 2.0  # pixels around a block that a shape is cut to, so that no cut runs through a pixel's center

Ring = Sequence[Sequence[float]]
Blocks = Iterator[tuple[tuple[int, int], NDArray[np.bool_]]]


def polygon_blocks(
    polygons: Sequence[Sequence[Ring]],
    shape: tuple[int, int],
    progress: Callable[[float], None] | None = None,
) -> Blocks:
    """Find the pixels whose centers lie inside of polygons.

    Parameters
    ----------
    polygons : sequence of polygons
        Each a sequence of rings of ``[row, col]`` positions on the pixel grid, where pixel (r, c) reaches from r, c to r + 1,
        c + 1. What lies inside an even number of a polygon's rings, or is wound around twice by one that crosses itself, is
        outside of it (even-odd rule), so that holes are rings, too. A ring need not repeat its first position.
    shape : (int, int)
        Rows and columns of the scene; what lies beyond them is left out.
    progress : callable, optional
        Told the share done, 0 to 1; may raise to stop.

    Yields
    ------
    (block row, block column), bool array of shape (512, 512)
        Of every block of level 0 that holds such a pixel, row by row.

    Raises
    ------
    InvalidArgumentError
        If a ring has fewer than three positions, a position is no number or far away, or there are too many.
    """
    area = _area(polygons)
    height, width = shape
    west, south, east, north = area.bounds if not area.is_empty else (0.0, 0.0, 0.0, 0.0)
    rows = range(max(0, int(south) // BLOCK), min(-(-height // BLOCK), int(north) // BLOCK + 1))
    cols = range(max(0, int(west) // BLOCK), min(-(-width // BLOCK), int(east) // BLOCK + 1))
    shapely.prepare(area)
    for done, row in enumerate(rows):
        for col in cols:
            mask = _block(area, row, col)
            if mask is None:
                continue
            mask[max(0, height - row * BLOCK) :] = False
            mask[:, max(0, width - col * BLOCK) :] = False
            if mask.any():
                yield (row, col), mask
        if progress is not None:
            progress((done + 1) / len(rows))


def _area(polygons: Sequence[Sequence[Ring]]) -> BaseGeometry:
    """The polygons as one valid area, x being columns and y rows."""
    vertices = sum(len(ring) for rings in polygons for ring in rings)
    if vertices > MAX_VERTICES:
        raise InvalidArgumentError(
            f"The shape has {vertices:,} corners; at most {MAX_VERTICES:,} can be drawn at once. Draw it in parts."
        )
    areas = []
    for rings in polygons:
        if not rings:
            raise InvalidArgumentError("A polygon has no ring; give each at least one.")
        placed = [_ring(ring) for ring in rings]
        # Symmetric differences of rings, each of which is made valid by its own line work: the even-odd rule.
        area: BaseGeometry = shapely.Polygon()
        for ring in placed:
            area = area.symmetric_difference(_polygons(shapely.make_valid(shapely.Polygon(ring))))
        areas.append(area)
    return _polygons(shapely.union_all(areas))


def _ring(ring: Ring) -> NDArray[np.float64]:
    try:
        positions = np.array(ring, np.float64)
    except (TypeError, ValueError):
        positions = np.zeros(0)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InvalidArgumentError("A ring is a list of [row, column] positions; this one is not.")
    if len(positions) < 3:
        raise InvalidArgumentError(
            f"A ring of {len(positions)} positions encloses nothing; draw three or more."
        )
    if not (np.isfinite(positions).all() and np.abs(positions).max() <= _FARTHEST):
        raise InvalidArgumentError(
            "A position of the shape is no number, or is far outside the scene; draw over the image."
        )
    return positions[:, ::-1]


def _polygons(geometry: BaseGeometry) -> BaseGeometry:
    """What of a geometry has an area: lines would be burned into pixels that they only touch."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.union_all([part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")])


def _block(area: BaseGeometry, row: int, col: int) -> NDArray[np.bool_] | None:
    top, left = row * BLOCK, col * BLOCK
    box = shapely.box(left, top, left + BLOCK, top + BLOCK)
    if shapely.covers(area, box):
        return np.ones((BLOCK, BLOCK), np.bool_)
    if not shapely.intersects(area, box):
        return None
    part = _polygons(
        shapely.clip_by_rect(
            area, left - _MARGIN, top - _MARGIN, left + BLOCK + _MARGIN, top + BLOCK + _MARGIN
        )
    )
    if part.is_empty:
        return None
    burned: NDArray[np.uint8] = rasterio.features.rasterize(
        [(part, 1)],
        out_shape=(BLOCK, BLOCK),
        # Pixels in blocks are counted from the block's corner, so that the numbers stay small.
        transform=Affine.translation(left, top),
        dtype="uint8",
    )
    return burned.astype(np.bool_)
