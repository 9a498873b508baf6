"""In which blocks a leaf has pixels: looked up once for all leaves of a segmentation, and kept beside it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import StoreError
from segmentation.objects import StorePath, write_whole
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK
from segmentation.store import Segmentation

__all__ = ["LeafBlocks"]

_FILE = "leaf_blocks.npz"
_THREADS = 4  # inflating lets other threads work


class LeafBlocks:
    """Level-0 blocks of each leaf: ``blocks[starts[leaf]:starts[leaf + 1]]``, numbered row by row."""

    def __init__(self, starts: NDArray[np.int64], blocks: NDArray[np.uint32], n_across: int) -> None:
        self._starts = starts
        self._blocks = blocks
        self._n_across = n_across

    def of(self, leaf: int) -> list[tuple[int, int]]:
        """Row and column of each block in which an initial leaf has pixels, row by row."""
        found = self._blocks[self._starts[leaf] : self._starts[leaf + 1]]
        return [divmod(int(block), self._n_across) for block in found]

    @classmethod
    def of_store(cls, path: StorePath, progress: Callable[[int, int], None] | None = None) -> LeafBlocks:
        """Look at every block once, or read what was found before.

        Parameters
        ----------
        path : Path or ObjectPath
            A complete segmentation store.
        progress : callable, optional
            Called with the number of blocks that were looked at, and of all; may raise to stop.

        Raises
        ------
        StoreError
            If the segmentation is not complete.
        """
        store = Segmentation(path)
        if not store.complete:
            raise StoreError(
                "The segmentation is still computing; its leaves can be split once it is complete."
            )
        rows, cols = (-(-size // BLOCK) for size in store.shape)
        file = path / _FILE
        if file.exists():
            with np.load(io.BytesIO(file.read_bytes())) as kept:
                return cls(kept["starts"], kept["blocks"], cols)
        held: list[NDArray[np.intp]] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for leaves in pool.map(lambda at: _leaves_in(store, *divmod(at, cols)), range(rows * cols)):
                held.append(leaves)
                if progress is not None:
                    progress(len(held), rows * cols)
        leaf_of = np.concatenate(held)
        block_of = np.repeat(np.arange(len(held), dtype=np.uint32), [len(leaves) for leaves in held])
        order = np.argsort(leaf_of, kind="stable")
        starts = np.searchsorted(leaf_of[order], np.arange(store.n_leaves + 1))
        found = cls(starts.astype(np.int64), block_of[order], cols)
        _keep(file, starts=found._starts, blocks=found._blocks)
        return found


def _leaves_in(store: Segmentation, row: int, col: int) -> NDArray[np.intp]:
    member = store.block(0, row, col)
    if member is None:
        raise StoreError(f"Block {row}, {col} of the segmentation is missing; segment the scene again.")
    is_there = np.zeros(2**16, np.bool_)
    is_there[np.frombuffer(gzip.decompress(member), "<u2")] = True
    is_there[NODATA_LEAF] = False
    return np.flatnonzero(is_there)


def _keep(file: StorePath, **arrays: NDArray[Any]) -> None:
    """Write a file as a whole: others may look for it at this moment."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_whole(file, content.getvalue(), lasting=True)
