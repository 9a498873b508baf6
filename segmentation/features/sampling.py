"""Which parts of a scene are looked at before the codebook is fixed: a seeded draw, whatever the order and workers."""

from __future__ import annotations

import numpy as np

from segmentation.rasters.windows import BLOCK, Window

__all__ = ["all_blocks", "is_sampled_whole", "sample_windows", "seeded_hash"]

_WHOLE_PX = 4_000_000  # up to this size everything is looked at
# Of larger ones a quarter, within bounds: nothing is on the map before, and each leaf wants some superpixels.
_LEAST_SAMPLED_PX, _MOST_SAMPLED_PX = 3_000_000, 8_000_000
_MAX_WINDOWS = 220


def seeded_hash(seed: int, *numbers: int) -> int:
    """Mix integers into 64 bits that look random (SplitMix64; Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    state = seed & 0xFFFFFFFFFFFFFFFF
    for number in numbers:
        state = (state ^ (number & 0xFFFFFFFFFFFFFFFF)) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state


def all_blocks(height: int, width: int) -> list[Window]:
    """Every block of a scene, row by row."""
    return [
        Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col))
        for row in range(0, height, BLOCK)
        for col in range(0, width, BLOCK)
    ]


def is_sampled_whole(blocks: list[Window]) -> bool:
    """Whether blocks are few enough to be looked at as a whole."""
    return sum(block.height * block.width for block in blocks) <= _WHOLE_PX


def sample_windows(blocks: list[Window], seed: int) -> list[Window]:
    """Choose the windows that stand for some blocks of a scene.

    Parameters
    ----------
    blocks : list of Window
        Blocks that may hold data, in row-major order.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of Window
        In row-major order: the blocks themselves where they are few; else one window in each of up to 220 blocks, drawn by
        a hash of seed and block, a quarter of the blocks' area but at most 8 megapixels in all.
    """
    if is_sampled_whole(blocks):
        return blocks
    area_px = sum(block.height * block.width for block in blocks)
    if len(blocks) > _MAX_WINDOWS:
        rank = np.array([seeded_hash(seed, block.row, block.col) for block in blocks], np.uint64)
        blocks = [blocks[i] for i in np.sort(np.argsort(rank, kind="stable")[:_MAX_WINDOWS])]
    sampled = min(max(area_px / 4, _LEAST_SAMPLED_PX), _MOST_SAMPLED_PX)
    # A multiple of the filters' alignment, so that its halo is not wider than need be.
    side = min(BLOCK, int((sampled / len(blocks)) ** 0.5) // 16 * 16)
    windows = []
    for block in blocks:
        height, width = min(side, block.height), min(side, block.width)
        draw = seeded_hash(seed, block.row, block.col, 1)
        top = block.row + draw % (block.height - height + 1)
        left = block.col + (draw >> 32) % (block.width - width + 1)
        windows.append(Window(top, left, height, width))
    return windows
