"""Pixels under shapes that were drawn by hand, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rasterio.features
from affine import Affine
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.windows import BLOCK

__all__ = ["MAX_VERTICES", "polygon_blocks"]

MAX_VERTICES = 10_000  # of all rings together
_FARTHEST = 1e7  # pixels from the scene's origin: beyond it, positions lose their fractions

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

    Notes
    -----
    A row of blocks is filled at a time, scan line by scan line, from the edges as they are: where they cross is never
    computed, of which a scribble of 10,000 corners has millions.
    """
    shapes = _shapes(polygons)
    height, width = shape
    corners = np.concatenate([np.array(ring) for one in shapes for ring in one["coordinates"]])
    (west, north), (east, south) = corners.min(axis=0), corners.max(axis=0)
    first, end = max(0, int(west) // BLOCK), min(-(-width // BLOCK), int(east) // BLOCK + 1)
    rows = range(max(0, int(north) // BLOCK), min(-(-height // BLOCK), int(south) // BLOCK + 1))
    for done, row in enumerate(rows):
        if first < end:
            yield from _strip(shapes, row, first, end, shape)
        if progress is not None:
            progress((done + 1) / len(rows))


def _strip(
    shapes: Sequence[dict[str, Any]], row: int, first: int, end: int, shape: tuple[int, int]
) -> Blocks:
    """Blocks ``first`` to ``end - 1`` of a row."""
    top, left = row * BLOCK, first * BLOCK
    burned: NDArray[np.uint8] = rasterio.features.rasterize(
        [(one, 1) for one in shapes],
        out_shape=(BLOCK, (end - first) * BLOCK),
        transform=Affine.translation(left, top),
        dtype="uint8",
    )
    burned[max(0, shape[0] - top) :] = 0
    burned[:, max(0, shape[1] - left) :] = 0
    for col in range(first, end):
        mask = burned[:, (col - first) * BLOCK : (col - first + 1) * BLOCK]
        if mask.any():
            yield (row, col), mask.astype(np.bool_)


def _shapes(polygons: Sequence[Sequence[Ring]]) -> list[dict[str, Any]]:
    """The polygons as GeoJSON in x (columns) and y (rows)."""
    vertices = sum(len(ring) for rings in polygons for ring in rings)
    if vertices > MAX_VERTICES:
        raise InvalidArgumentError(
            f"The shape has {vertices:,} corners; at most {MAX_VERTICES:,} can be drawn at once. Draw it in parts."
        )
    if not polygons or not all(polygons):
        raise InvalidArgumentError("A polygon has no ring; give each at least one.")
    return [{"type": "Polygon", "coordinates": [_ring(ring) for ring in rings]} for rings in polygons]


def _ring(ring: Ring) -> list[list[float]]:
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
    closed: list[list[float]] = np.concatenate([positions, positions[:1]])[:, ::-1].tolist()
    return closed
