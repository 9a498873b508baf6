"""Reads windows of a scene block by block, and keeps the latest blocks: halos overlap, decoding is dear."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.rasters.scene import Scene
from segmentation.rasters.windows import BLOCK, Window

__all__ = ["BlockReader"]

_EXACT_IN_FLOAT32 = ("uint8", "int8", "uint16", "int16")


class BlockReader:
    """Reader of some bands of a scene, shared by threads.

    Parameters
    ----------
    scene : Scene
        An open scene.
    bands : sequence of int or None
        Band numbers from 1; None for all.
    max_bytes : int
        How much may be kept.
    """

    def __init__(self, scene: Scene, bands: Sequence[int] | None, max_bytes: int = 128_000_000) -> None:
        self._scene = scene
        self._bands = None if bands is None else list(bands)
        self.n_bands = scene.n_bands if bands is None else len(bands)
        # Kept in the scene's own type where that is smaller and comes back exactly.
        self._dtype = np.dtype(scene.dtype) if scene.dtype in _EXACT_IN_FLOAT32 else np.dtype(np.float32)
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[int, int], tuple[NDArray[np.generic], NDArray[np.bool_]]] = (
            OrderedDict()
        )
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window, which may stick out of the scene.

        Returns
        -------
        pixels : float32 array, shape (B, H, W)
            In the scene's unit; 0 where not valid.
        valid : bool array, shape (H, W)
            True where all bands hold data; False outside the scene.
        """
        pixels = np.zeros((self.n_bands, window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        top, bottom = max(window.row, 0), min(window.row + window.height, self._scene.height)
        left, right = max(window.col, 0), min(window.col + window.width, self._scene.width)
        for block_row in range(top // BLOCK, -(-bottom // BLOCK)):
            for block_col in range(left // BLOCK, -(-right // BLOCK)):
                values, held = self._block(block_row, block_col)
                row, col = block_row * BLOCK, block_col * BLOCK
                rows = slice(max(top, row), min(bottom, row + BLOCK))
                cols = slice(max(left, col), min(right, col + BLOCK))
                source = (slice(rows.start - row, rows.stop - row), slice(cols.start - col, cols.stop - col))
                target = (
                    slice(rows.start - window.row, rows.stop - window.row),
                    slice(cols.start - window.col, cols.stop - window.col),
                )
                pixels[:, *target] = values[:, *source]
                valid[target] = held[source]
        return pixels, valid

    def _block(self, row: int, col: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        with self._lock:
            if (row, col) in self._kept:
                self._kept.move_to_end((row, col))
                return self._kept[row, col]
        height = min(BLOCK, self._scene.height - row * BLOCK)
        width = min(BLOCK, self._scene.width - col * BLOCK)
        pixels, valid = self._scene.read(row * BLOCK, col * BLOCK, height, width, bands=self._bands)
        pixels = np.where(valid, pixels, np.float32(0))
        kept = pixels.astype(self._dtype, copy=False), valid
        size = kept[0].nbytes + kept[1].nbytes
        with self._lock:
            if (row, col) not in self._kept:
                self._kept[row, col] = kept
                self._bytes += size
                while self._bytes > self._max_bytes and len(self._kept) > 1:
                    _, (old, old_valid) = self._kept.popitem(last=False)
                    self._bytes -= old.nbytes + old_valid.nbytes
        return kept
