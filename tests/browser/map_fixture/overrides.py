"""What was drawn by hand in the fixture: a raster of values, and since which edit each block is as it is."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from scipy import ndimage

from segmentation.drawing import polygon_blocks
from tests.browser.map_fixture.world import BLOCK, N_LEAVES, World

Versions = dict[tuple[int, int], int]


def mask_of(world: World, command: dict[str, Any]) -> np.ndarray:
    """The pixels that an ``override.add`` means."""
    if command.get("region"):
        row, col = command["region"]["point"]
        chosen = np.zeros(65536, bool)
        for low, high in command["region"]["ranges"]:
            chosen[low:high] = True
        pieces = ndimage.label(chosen[world.leaves])[0]
        return pieces == pieces[row, col]
    rows, cols = (-(-size // BLOCK) for size in world.leaves.shape)
    mask = np.zeros((rows * BLOCK, cols * BLOCK), bool)
    for (row, col), block in polygon_blocks(command["polygons"], world.leaves.shape):
        mask[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK] = block
    return mask[: world.height, : world.width]


def changed_blocks(before: np.ndarray, after: np.ndarray) -> list[tuple[int, int]]:
    rows, cols = np.nonzero(before != after)
    return sorted(set(zip((rows // BLOCK).tolist(), (cols // BLOCK).tolist(), strict=True)))


def listed(
    drawn: np.ndarray, versions: Versions, only: list[tuple[int, int]] | None = None
) -> dict[str, Any]:
    """The ``overrides`` of the protocol."""
    blocks = [
        [
            row,
            col,
            version,
            int(drawn[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK].any()),
        ]
        for (row, col), version in sorted(versions.items())
        if only is None or (row, col) in only
    ]
    return {"version": max(versions.values(), default=0), "blocks": blocks}


def block_bytes(drawn: np.ndarray, versions: Versions, level: int, row: int, col: int) -> bytes:
    under = [number for (r, c), number in versions.items() if (r >> level, c >> level) == (row, col)]
    texels = np.zeros((BLOCK, BLOCK), np.uint8)
    part = drawn[:: 2**level, :: 2**level][row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
    texels[: part.shape[0], : part.shape[1]] = part
    return struct.pack("<II", max(under, default=0), 0) + texels.tobytes()


def counts_bytes(drawn: np.ndarray, versions: Versions, world: World, segmentation: int) -> bytes:
    held = (drawn > 0) & (world.leaves < N_LEAVES)
    keys, pixels = np.unique(drawn[held].astype(np.int64) * 65536 + world.leaves[held], return_counts=True)
    areas = pixels * 100.0 if world.has_crs else np.full(len(keys), np.nan)
    head = struct.pack("<IIII", segmentation, 0, max(versions.values(), default=0), len(keys))
    return (
        head
        + areas.astype("<f8").tobytes()
        + pixels.astype("<u4").tobytes()
        + (keys % 65536).astype("<u2").tobytes()
        + (keys // 65536).astype("u1").tobytes()
    )
