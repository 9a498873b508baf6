"""Which parts of a scene are looked at before the codebook is fixed: a seeded draw, whatever the order and workers."""

from __future__ import annotations

import numpy as np

from segmentation.rasters.windows import BLOCK, Window

__all__ = ["sample_windows", "seeded_hash"]

_WHOLE_SCENE_PX = 4_000_000  # scenes up to this size are looked at as a whole
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


def is_sampled_whole(height: int, width: int) -> bool:
    """Whether a scene is small enough to be looked at as a whole."""
    return height * width <= _WHOLE_SCENE_PX


def sample_windows(height: int, width: int, seed: int) -> list[Window]:
    """Choose the windows that stand for a scene.

    Parameters
    ----------
    height, width : int
        The scene, in pixels.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of Window
        In row-major order: all blocks of a small scene; else one window in each of up to 220 blocks, drawn by a hash of
        seed and block, a quarter of the scene but at most 8 megapixels in all.
    """
    blocks = [(row, col) for row in range(0, height, BLOCK) for col in range(0, width, BLOCK)]
    if is_sampled_whole(height, width):
        return [Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col)) for row, col in blocks]
    if len(blocks) > _MAX_WINDOWS:
        rank = np.array([seeded_hash(seed, row, col) for row, col in blocks], np.uint64)
        blocks = [blocks[i] for i in np.sort(np.argsort(rank, kind="stable")[:_MAX_WINDOWS])]
    sampled = min(max(height * width / 4, _LEAST_SAMPLED_PX), _MOST_SAMPLED_PX)
    # A multiple of the filters' alignment, so that its halo is not wider than need be.
    side = min(BLOCK, int((sampled / len(blocks)) ** 0.5) // 16 * 16)
    windows = []
    for row, col in blocks:
        free_rows, free_cols = (
            max(min(BLOCK, height - row) - side, 0),
            max(min(BLOCK, width - col) - side, 0),
        )
        draw = seeded_hash(seed, row, col, 1)
        top, left = row + draw % (free_rows + 1), col + (draw >> 32) % (free_cols + 1)
        windows.append(Window(top, left, min(side, height - top), min(side, width - left)))
    return windows
