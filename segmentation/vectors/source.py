"""Where class maps come from: arrays, or the leaves of a segmentation through a table of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK

if TYPE_CHECKING:
    from segmentation.overrides import Overrides
    from segmentation.store import Segmentation

__all__ = ["ArraySource", "ClassSource", "class_source"]


class ClassSource(Protocol):
    """A class map that is read piece by piece."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        """Classes of a window inside the map, uint8 (height, width); 0 = unclassified."""
        ...


class ArraySource:
    """A class map that is in memory: uint8 array, shape (H, W), 0 = unclassified."""

    def __init__(self, classes: NDArray[np.uint8]) -> None:
        if classes.ndim != 2 or classes.dtype != np.uint8:
            raise InvalidArgumentError(
                f"A class map is a uint8 array of rows and columns, not {classes.dtype} of shape {classes.shape}."
            )
        self._classes = classes

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self._classes.shape
        return int(height), int(width)

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        return self._classes[row : row + height, col : col + width]


class _LeafSource:
    """Leaves through a table. A row of blocks is kept, since the reader may want it in several slices."""

    def __init__(
        self,
        segmentation: Segmentation,
        table: NDArray[np.uint8],
        aoi: dict[str, Any] | None,
        overrides: Overrides | None,
        shown: NDArray[np.uint8],
    ) -> None:
        self._segmentation = segmentation
        # One entry for every uint16: ids without a leaf, nodata among them, have no class.
        self._class_of = np.zeros(2**16, np.uint8)
        self._class_of[: len(table)] = table
        self._aoi = aoi
        self._overrides = overrides
        self._shown = shown
        self._kept_row = -1
        self._kept = np.zeros((0, 0), np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        return self._segmentation.shape

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        classes = np.empty((height, width), np.uint8)
        for block_row in range(row // BLOCK, -(-(row + height) // BLOCK)):
            strip, top = self._strip(block_row), block_row * BLOCK
            first, end = max(row, top), min(row + height, top + len(strip))
            classes[first - row : end - row] = strip[first - top : end - top, col : col + width]
        return classes

    def _strip(self, block_row: int) -> NDArray[np.uint8]:
        if block_row != self._kept_row:
            height, width = self.shape
            top = block_row * BLOCK
            leaves = np.asarray(self._segmentation.leaves[top : min(top + BLOCK, height)])
            strip = self._class_of[leaves]
            if self._overrides is not None:
                drawn = self._shown[self._overrides.read(top, 0, len(strip), width)]
                strip = np.where((drawn != 0) & (leaves != NODATA_LEAF), drawn, strip)
            if self._aoi is not None:
                strip *= self._segmentation.georeference.aoi_mask(self._aoi, top, 0, len(strip), width)
            self._kept_row, self._kept = block_row, strip
        return self._kept


def class_source(
    segmentation: Segmentation,
    table: NDArray[np.uint8],
    aoi: dict[str, Any] | None = None,
    overrides: Overrides | None = None,
    shown: NDArray[np.uint8] | None = None,
) -> ClassSource:
    """The class map that a table of classes makes of a segmentation.

    Parameters
    ----------
    segmentation : Segmentation
        An open store. Blocks that are not computed yet count as unclassified.
    table : uint8 array, shape (n_leaves,)
        Class of each leaf, 0 = none.
    aoi : dict, optional
        GeoJSON geometry in lon/lat (pixel x, y without CRS); pixels whose center lies outside count as unclassified.
    overrides : Overrides, optional
        Drawn by hand on the same scene: where there is a leaf, they count before its class.
    shown : uint8 array, shape (256,), optional
        Class that each value of the overrides shows as; 0: it does not show, and the leaf's class does. By default itself.

    Returns
    -------
    ClassSource
        It reads one row of blocks at a time and keeps the last one.

    Raises
    ------
    InvalidArgumentError
        If the table has another type or another number of leaves.
    """
    table = np.asarray(table)
    if table.dtype != np.uint8 or table.shape != (segmentation.n_leaves,):
        raise InvalidArgumentError(
            f"The table of classes is {table.dtype} of shape {table.shape}; this segmentation needs uint8 with one "
            f"class for each of its {segmentation.n_leaves} leaves."
        )
    if shown is None:
        shown = np.arange(256, dtype=np.uint8)
    return _LeafSource(segmentation, table, aoi, overrides, shown)
