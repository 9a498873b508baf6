"""Masks of pixels as files: a bit for each pixel of the blocks that they touch. A file never changes once it is there."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.drafts import drafts
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.rasters.storage import writing
from segmentation.rasters.windows import BLOCK
from segmentation.regions import MAX_BLOCKS

__all__ = ["LayerInfo", "layer_blocks", "read_mask", "write_layer"]

Block = tuple[int, int]
Mask = NDArray[np.bool_]

_MAGIC = b"CNMASK01"
_HEADER = struct.Struct("<8sI")  # magic, blocks
# Of each block: where its bits are in the file, zlib-compressed; of size 0 where all its pixels belong to the mask.
_ENTRY = struct.Struct("<IIQI")
_LOST = "What was drawn by hand cannot be read any more; undo it, or restore the server's data folder."


@dataclass(frozen=True)
class LayerInfo:
    """What was written: number of pixels, their ``bounds`` (row0, col0, row1, col1; ends excluded), a pixel among them, blocks."""

    pixels: int
    bounds: tuple[int, int, int, int]
    pixel: tuple[int, int]
    blocks: tuple[Block, ...]


def write_layer(path: Path, blocks: Iterable[tuple[Block, Mask]]) -> LayerInfo:
    """Write a mask; the file appears when it is whole.

    Parameters
    ----------
    path : Path
        A file in a folder that is there.
    blocks : iterable of (block row, block column), bool array of shape (512, 512)
        The blocks of level 0 that hold a pixel, row by row, as `polygon_blocks` and `region_blocks` give them.

    Raises
    ------
    InvalidArgumentError
        If there is no pixel, or there are more than 2,048 blocks.
    StorageFullError
        If the disk is full.
    """
    chunks: dict[Block, bytes] = {}
    pixels, bounds, pixel = 0, (2**31, 2**31, 0, 0), (0, 0)
    for (row, col), mask in blocks:
        if len(chunks) == MAX_BLOCKS:
            raise InvalidArgumentError(
                f"The shape reaches over more than {MAX_BLOCKS:,} blocks of {BLOCK} x {BLOCK} pixels; draw it in parts."
            )
        chunks[row, col] = b"" if mask.all() else zlib.compress(np.packbits(mask).tobytes(), 6)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = row * BLOCK, col * BLOCK
        if not pixels:
            pixel = (top + int(rows[0]), left + int(np.flatnonzero(mask[rows[0]])[0]))
        pixels += int(mask.sum())
        bounds = (
            min(bounds[0], top + int(rows[0])),
            min(bounds[1], left + int(cols[0])),
            max(bounds[2], top + int(rows[-1]) + 1),
            max(bounds[3], left + int(cols[-1]) + 1),
        )
    if not pixels:
        raise InvalidArgumentError(
            "The shape holds the center of no pixel of the scene; draw it larger, and over the image."
        )
    with drafts(path) as (draft,), writing(path):
        draft.write_bytes(_packed(chunks))
    return LayerInfo(pixels, bounds, pixel, tuple(sorted(chunks)))


def _packed(chunks: dict[Block, bytes]) -> bytes:
    offset = _HEADER.size + len(chunks) * _ENTRY.size
    entries = []
    for (row, col), chunk in sorted(chunks.items()):
        entries.append(_ENTRY.pack(row, col, offset, len(chunk)))
        offset += len(chunk)
    return b"".join(
        [_HEADER.pack(_MAGIC, len(chunks)), *entries, *(chunks[block] for block in sorted(chunks))]
    )


def layer_blocks(path: Path) -> tuple[Block, ...]:
    """Blocks of level 0 in which a mask has pixels, row by row; StoreError where its file is gone or damaged."""
    return tuple(_index(path))


@lru_cache(maxsize=16_384)
def _index(path: Path) -> dict[Block, tuple[int, int]]:
    """Offset and size of each block's bits."""
    try:
        with path.open("rb") as file:
            magic, n = _HEADER.unpack(file.read(_HEADER.size))
            entries = file.read(n * _ENTRY.size)
            if magic != _MAGIC:
                raise StoreError(_LOST)
            return {(row, col): (offset, size) for row, col, offset, size in _ENTRY.iter_unpack(entries)}
    except (OSError, struct.error) as error:
        raise StoreError(_LOST) from error


def read_mask(path: Path, block: Block) -> Mask:
    """The pixels of one of a mask's blocks, bool (512, 512); StoreError where its file is gone or damaged."""
    offset, size = _index(path)[block]
    try:
        with path.open("rb") as file:
            file.seek(offset)
            bits = zlib.decompress(file.read(size)) if size else b"\xff" * (BLOCK * BLOCK // 8)
        return np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(BLOCK, BLOCK).view(np.bool_)
    except (OSError, ValueError, zlib.error) as error:
        raise StoreError(_LOST) from error
