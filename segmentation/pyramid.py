"""Reduced copies of leaf ids: every other pixel, since ids cannot be averaged.

Level k + 1 keeps of each 2 x 2 pixels of level k the one at ``k % 2``, so that over the levels the kept pixel stays
near the middle of the square it stands for. At an odd border the last row or column stands for itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NODATA_LEAF", "level_shape", "reduce_once"]

NODATA_LEAF = 65_535  # the id of pixels without data, at every level


def level_shape(height: int, width: int, level: int) -> tuple[int, int]:
    """Texels of a pyramid level."""
    return -(-height // 2**level), -(-width // 2**level)


def reduce_once(ids: NDArray[np.uint16], level: int) -> NDArray[np.uint16]:
    """Reduce ids of a level to the next one.

    Parameters
    ----------
    ids : uint16 array, shape (H, W)
        Leaf ids of ``level``; its first pixel stands on an even row and column of the level.
    level : int
        Level of ``ids``.

    Returns
    -------
    uint16 array, shape (ceil(H / 2), ceil(W / 2))
    """
    phase = level % 2
    rows = np.minimum(np.arange(phase, ids.shape[0] + phase, 2), ids.shape[0] - 1)
    cols = np.minimum(np.arange(phase, ids.shape[1] + phase, 2), ids.shape[1] - 1)
    return ids[np.ix_(rows, cols)]
