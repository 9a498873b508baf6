"""Leaves around pixels, as examples need them: read block by block, and kept for the next time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK

if TYPE_CHECKING:
    from segmentation.store import Segmentation

__all__ = ["Neighborhoods"]

Pixel = tuple[int, int]  # row, col
Leaves = NDArray[np.uint16]
BlockReader = Callable[[int, int], NDArray[np.uint16] | None]

_KEPT = 65_536  # pixels, some 200 bytes each
_BLOCKS = 16  # inflated at once, half a megabyte each


class Neighborhoods:
    """The leaves of the up to 3 x 3 pixels around pixels of one segmentation.

    A click is decoded together with all clicks before it, so that the same pixels are asked for again and again, while
    reading one costs the inflating of a whole block. What lies in blocks that are not computed yet is not kept.
    """

    def __init__(self, segmentation: Segmentation) -> None:
        self._segmentation = segmentation
        self._version = segmentation.version
        self._kept: dict[Pixel, Leaves] = {}

    def around(self, pixels: Sequence[Pixel]) -> list[Leaves]:
        """Look up the leaves around pixels.

        Parameters
        ----------
        pixels : sequence of (row, col)
            Inside the scene.

        Returns
        -------
        list of uint16 arrays, shape (4,), (6,) or (9,)
            Row-major, one array a pixel, cut off at the scene's borders; 65,535 = nodata or not computed yet.

        Raises
        ------
        InvalidArgumentError
            If a pixel lies outside the scene.
        """
        if self._version != self._segmentation.version:
            self._version, self._kept = self._segmentation.version, {}
        kept = self._kept
        found = {pixel: kept[pixel] for pixel in pixels if pixel in kept}
        # Those of one block one after another, so that it is inflated once.
        missing = sorted(set(pixels) - found.keys(), key=lambda pixel: (_block(pixel), pixel))

        @lru_cache(_BLOCKS)
        def block_ids(row: int, col: int) -> NDArray[np.uint16] | None:
            return self._segmentation.block_ids(0, row, col)

        if len(kept) + len(missing) > _KEPT:
            kept.clear()
        for pixel in missing:
            self._check(pixel)
            found[pixel], is_final = self._read(pixel, block_ids)
            if is_final:
                kept[pixel] = found[pixel]
        return [found[pixel] for pixel in pixels]

    def at(self, pixels: Sequence[Pixel]) -> list[int]:
        """Leaf of each pixel itself, 65,535 where there is none (yet)."""
        return [
            int(leaves[self._center(pixel)])
            for pixel, leaves in zip(pixels, self.around(pixels), strict=True)
        ]

    def _center(self, pixel: Pixel) -> int:
        row, col = pixel
        width = min(col + 2, self._segmentation.shape[1]) - max(col - 1, 0)
        return min(row, 1) * width + min(col, 1)

    def _check(self, pixel: Pixel) -> None:
        height, width = self._segmentation.shape
        if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
            raise InvalidArgumentError(
                f"Pixel {pixel[0]}, {pixel[1]} is outside the scene of {height} rows and {width} columns."
            )

    def _read(self, pixel: Pixel, block_ids: BlockReader) -> tuple[Leaves, bool]:
        height, width = self._segmentation.shape
        top, left = max(pixel[0] - 1, 0), max(pixel[1] - 1, 0)
        bottom, right = min(pixel[0] + 2, height), min(pixel[1] + 2, width)
        leaves = np.full((bottom - top, right - left), NODATA_LEAF, np.uint16)
        is_final = True
        for block_row in range(top // BLOCK, (bottom - 1) // BLOCK + 1):
            for block_col in range(left // BLOCK, (right - 1) // BLOCK + 1):
                ids = block_ids(block_row, block_col)
                if ids is None:
                    is_final = False
                    continue
                row0, col0 = block_row * BLOCK, block_col * BLOCK
                rows = slice(max(top, row0), min(bottom, row0 + BLOCK))
                cols = slice(max(left, col0), min(right, col0 + BLOCK))
                leaves[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = ids[
                    rows.start - row0 : rows.stop - row0, cols.start - col0 : cols.stop - col0
                ]
        return leaves.ravel(), is_final


def _block(pixel: Pixel) -> Pixel:
    return pixel[0] // BLOCK, pixel[1] // BLOCK
