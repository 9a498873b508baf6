"""A class map read in strips and given out as polygons, each as soon as it is complete."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import CancelledError, InvalidArgumentError
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.windows import BLOCK
from segmentation.vectors.positions import Positions
from segmentation.vectors.rings import Polygons, take_complete
from segmentation.vectors.source import ClassSource
from segmentation.vectors.sweep import Sweep

__all__ = ["AreaUnit", "trace"]

_STRIP_PIXELS = 1 << 23
_SPARE_NODES = (
    1 << 20
)  # complete polygons are taken out when so many nodes have come, and at the end of a strip


class AreaUnit:
    """Areas of pixels as whole numbers: their sums do not depend on the order.

    Attributes
    ----------
    square_meters : float or None
        One unit; None without CRS.
    decimals : int
        Decimals of square meters that resolve a thousandth of a pixel.
    """

    def __init__(self, georeference: Georeference, height: int, width: int) -> None:
        self._georeference = georeference
        self.square_meters: float | None = None
        self.decimals = 0
        samples = []
        for row in (0, (height - 1) // 2, height - 1):
            for col in (0, (width - 1) // 2, width - 1):
                areas = georeference.pixel_areas_m2(row, col, 1, 1)
                if areas is None:
                    return
                samples.append(float(areas[0, 0]))
        # A factor of 4 for pixels larger than the sampled ones; the sum of all stays below 2^62.
        largest = 4 * max(samples) * height * width
        self.square_meters = 2.0 ** (math.ceil(math.log2(largest)) - 62)
        typical = float(np.median(samples))
        self.decimals = int(np.clip(3 - math.floor(math.log10(typical)), 0, 9))

    def measure(self, row: int, height: int, width: int) -> NDArray[np.int64]:
        """Areas of the pixels of whole rows in units: int64 (height, width), or (0, 0) without CRS."""
        if self.square_meters is None:
            return np.zeros((0, 0), np.int64)
        areas = np.empty((height, width), np.int64)
        for col in range(0, width, BLOCK):
            block = self._georeference.pixel_areas_m2(row, col, height, min(BLOCK, width - col))
            areas[:, col : col + BLOCK] = np.rint(np.asarray(block) / self.square_meters)
        return areas


def trace(
    source: ClassSource,
    positions: Positions,
    unit: AreaUnit,
    known: NDArray[np.bool_],
    *,
    strip_rows: int | None,
    progress: Callable[[float], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Iterator[Polygons]:
    """Polygons of a class map, in an order that does not depend on the strips.

    Parameters
    ----------
    source : ClassSource
    positions : Positions
        Tells where straight edges need corners, and which way rings turn.
    unit : AreaUnit
    known : bool array, shape (256,)
        Classes that may occur.
    strip_rows, progress, cancelled
        As for `geojson_chunks`.

    Raises
    ------
    InvalidArgumentError
        If the map holds an unknown class.
    CancelledError
        If ``cancelled`` says so.
    """
    height, width = source.shape
    sweep = Sweep(width, positions.step_rows, positions.step_cols)
    rows = strip_rows or _strip_rows(width)
    for row in range(0, height, rows):
        if cancelled is not None and cancelled():
            raise CancelledError("The export was stopped.")
        count = min(rows, height - row)
        classes = np.ascontiguousarray(source.read(row, 0, count, width))
        _check_classes(classes, (count, width), known)
        areas = unit.measure(row, count, width)
        done = 0
        while done < count:
            done = sweep.advance(classes, areas, row, done, 2 * sweep.n_nodes + _SPARE_NODES)
            yield take_complete(sweep, reverse=positions.mirrored)
        if progress is not None:
            progress((row + count) / height)
    # One empty row closes what reaches the lower edge.
    sweep.advance(np.zeros((1, width), np.uint8), np.zeros((0, 0), np.int64), height, 0, 2**31)
    yield take_complete(sweep, reverse=positions.mirrored)


def _strip_rows(width: int) -> int:
    """A power of two up to a row of blocks: strips then never straddle blocks."""
    return 1 << max(4, min(BLOCK, _STRIP_PIXELS // width).bit_length() - 1)


def _check_classes(classes: NDArray[np.uint8], shape: tuple[int, int], known: NDArray[np.bool_]) -> None:
    if classes.dtype != np.uint8 or classes.shape != shape:
        raise InvalidArgumentError(
            f"The source gave {classes.dtype} of shape {classes.shape} for a window of {shape}; uint8 is needed."
        )
    present = np.bincount(classes.ravel(), minlength=256) > 0
    unknown = np.flatnonzero(present & ~known)
    if unknown.size:
        raise InvalidArgumentError(
            f"The class map holds class {unknown[0]}, which the legend lacks; give it a name and a color."
        )
