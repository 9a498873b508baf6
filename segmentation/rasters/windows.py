"""Pixel rectangles in the scene's grid, and the grid of blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["BLOCK", "Window", "n_levels"]

BLOCK = 512  # pixels a side of a block, at every level of the pyramid


@dataclass(frozen=True)
class Window:
    """A pixel rectangle of the scene; it may stick out of it."""

    row: int
    col: int
    height: int
    width: int


def n_levels(height: int, width: int) -> int:
    """Levels of the block pyramid: level k is reduced 2^k, the last one fits a single block."""
    return max(1, math.ceil(math.log2(max(height, width) / BLOCK)) + 1)
