"""The connected piece of a cluster around a pixel, over any number of blocks."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.rasters.windows import BLOCK
from segmentation.split_store import SplitSegmentation

__all__ = ["MAX_BLOCKS", "region_blocks"]

MAX_BLOCKS = 2_048  # of one region: half a gigapixel
_KEPT = 32  # blocks whose pieces are kept in memory, a megabyte each

Block = tuple[int, int]


def region_blocks(
    segmentation: SplitSegmentation,
    chosen: NDArray[np.bool_],
    row: int,
    col: int,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[Block, NDArray[np.bool_]]]:
    """Find the pixels of some leaves that are connected with one pixel, by sides, not by corners.

    Parameters
    ----------
    segmentation : SplitSegmentation
        A complete segmentation.
    chosen : bool array, shape (n,)
        Whether each *id* in the blocks belongs to the region; ids beyond the array do not.
    row, col : int
        The pixel.
    progress : callable, optional
        Told the share done at least, 0 to 1: how large the region is shows only at the end. May raise to stop.

    Yields
    ------
    (block row, block column), bool array of shape (512, 512)
        Of every block of level 0 with pixels of the region, row by row.

    Raises
    ------
    InvalidArgumentError
        If the pixel is outside the scene or not of these leaves, or the region is larger than 2,048 blocks.
    StoreError
        If a block is missing.

    Notes
    -----
    A block is looked at again whenever the region enters it anew, and each time at least one of its pieces is added, so that
    this ends. In memory are the pieces of 32 blocks, and a bit for each pixel of the region's blocks.
    """
    height, width = segmentation.shape
    if not (0 <= row < height and 0 <= col < width):
        raise InvalidArgumentError(
            f"Pixel {row}, {col} is outside the scene of {height} rows and {width} columns."
        )
    member = np.zeros(2**16, np.bool_)
    member[: len(chosen)] = chosen
    pieces = _Pieces(segmentation, member)
    start = (row // BLOCK, col // BLOCK)
    inside: NDArray[np.intp] = np.array([row % BLOCK * BLOCK + col % BLOCK])
    if not pieces.of(start).ravel()[inside].any():
        raise InvalidArgumentError(
            f"Pixel {row}, {col} is not of the cluster that was named; click it again."
        )
    found = _grow(pieces, start, inside, (-(-height // BLOCK), -(-width // BLOCK)), progress)
    for block in sorted(found):
        yield block, np.unpackbits(found[block], count=BLOCK * BLOCK).reshape(BLOCK, BLOCK).astype(np.bool_)


class _Pieces:
    """Connected pieces of single blocks, numbered from 1; 0 is what is not of the leaves."""

    def __init__(self, segmentation: SplitSegmentation, member: NDArray[np.bool_]) -> None:
        self._segmentation = segmentation
        self._member = member
        self._kept: OrderedDict[Block, NDArray[np.int32]] = OrderedDict()

    def of(self, block: Block) -> NDArray[np.int32]:
        if block in self._kept:
            self._kept.move_to_end(block)
            return self._kept[block]
        ids = self._segmentation.block_of_ids(0, *block)
        if ids is None:
            raise StoreError(
                f"Block {block[0]}, {block[1]} of the segmentation is missing; segment the scene again."
            )
        inside = np.zeros((BLOCK, BLOCK), np.bool_)
        inside[: ids.shape[0], : ids.shape[1]] = self._member[ids]
        labels: NDArray[np.int32] = ndimage.label(inside)[0]
        self._kept[block] = labels
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return labels


def _grow(
    pieces: _Pieces,
    start: Block,
    inside: NDArray[np.intp],
    grid: tuple[int, int],
    progress: Callable[[float], None] | None,
) -> dict[Block, NDArray[np.uint8]]:
    """A bit for each pixel of every block of the region."""
    found: dict[Block, NDArray[np.uint8]] = {}
    reached: dict[Block, set[int]] = {}
    entries: dict[Block, list[NDArray[np.intp]]] = {start: [inside]}
    queue = deque([start])
    most = min(MAX_BLOCKS, grid[0] * grid[1])
    while queue:
        block = queue.popleft()
        labels = pieces.of(block)
        entered = np.concatenate(entries.pop(block))
        new = set(np.unique(labels.ravel()[entered]).tolist()) - {0} - reached.get(block, set())
        if not new:
            continue
        if block not in found and len(found) == MAX_BLOCKS:
            raise InvalidArgumentError(
                f"The connected region reaches over more than {MAX_BLOCKS:,} blocks of {BLOCK} x {BLOCK} pixels; assign the "
                "cluster as a whole, or draw the part that you mean."
            )
        reached.setdefault(block, set()).update(new)
        added = np.isin(labels, list(new))
        bits = np.packbits(added)
        found[block] = found[block] | bits if block in found else bits
        for neighbor, way_in in _ways_out(added, block, grid):
            if neighbor not in entries:
                entries[neighbor] = []
                queue.append(neighbor)
            entries[neighbor].append(way_in)
        if progress is not None:
            progress(len(found) / most)
    return found


def _ways_out(
    mask: NDArray[np.bool_], block: Block, grid: tuple[int, int]
) -> Iterator[tuple[Block, NDArray[np.intp]]]:
    """Neighbors that a region reaches, and the pixels on their own edge (numbered row by row) where it does."""
    row, col = block
    last = BLOCK - 1
    sides = (
        ((row - 1, col), mask[0], lambda along: last * BLOCK + along),
        ((row + 1, col), mask[last], lambda along: along),
        ((row, col - 1), mask[:, 0], lambda along: along * BLOCK + last),
        ((row, col + 1), mask[:, last], lambda along: along * BLOCK),
    )
    for neighbor, edge, enter in sides:
        if 0 <= neighbor[0] < grid[0] and 0 <= neighbor[1] < grid[1] and edge.any():
            yield neighbor, enter(np.flatnonzero(edge))
