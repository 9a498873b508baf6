"""Writes a segmentation store, block by block; what is written once is never computed again."""

from __future__ import annotations

import errno
import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import GzipCodec

from segmentation.errors import StorageFullError
from segmentation.objects import (
    ObjectPath,
    StorePath,
    open_zarr,
    remove_tree,
    storage_errors,
    write_whole,
)
from segmentation.pyramid import NODATA_LEAF, level_shape, reduce_once
from segmentation.rasters.windows import BLOCK
from segmentation.store import DESCRIPTION, FORMAT, KeptBlocks, read_description

__all__ = ["StoreWriter"]

_GZIP_LEVEL = 4  # a block of leaves: level 9 saves 3 % more and takes five times as long


class StoreWriter:
    """The one writer of a store; its methods may be called from several threads."""

    def __init__(self, path: StorePath, height: int, width: int, n_bands: int, n_levels: int) -> None:
        self.path: Any = path
        # In object storage: the blocks that are there, and the latest of them, for the overviews above.
        self._there: set[str] | None = set() if isinstance(path, ObjectPath) else None
        self._kept = None if self._there is None else KeptBlocks()
        self.shape = (height, width)
        self.n_bands = n_bands
        self.n_levels = n_levels
        self.sums: NDArray[np.float64] = np.zeros((0, 2 + n_bands))
        self._lock = threading.Lock()
        self._description: dict[str, Any] = {}

    def matches(self, parameters: dict[str, Any]) -> bool:
        """Whether a store made with the same parameters is there, codebook and all."""
        description = read_description(self.path)
        return (
            description is not None
            and description.get("format") == FORMAT
            and description["parameters"] == parameters
            and (description["height"], description["width"]) == self.shape
        )

    def create(
        self,
        description: dict[str, Any],
        tables: dict[str, NDArray[Any]],
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        """Start afresh: empty blocks and the tables; the description comes last, so that readers see all or nothing.

        ``prepare`` may write files of its own into the store before that.
        """
        with _Storage(self.path):
            remove_tree(self.path)
            group = open_zarr(self.path, "w")
            for level in range(self.n_levels):
                group.create_array(
                    f"leaves/{level}",
                    shape=level_shape(*self.shape, level),
                    chunks=(BLOCK, BLOCK),
                    dtype="uint16",
                    fill_value=NODATA_LEAF,
                    compressors=[GzipCodec(level=_GZIP_LEVEL)],
                    # A chunk of nodata alone would be left out, and look as if it were not computed yet.
                    config={"write_empty_chunks": True},
                )
            for name, table in tables.items():
                group.create_array(name, data=table, chunks=table.shape)
            self.sums = np.zeros((len(tables["codebook/means"]), 2 + self.n_bands))
            group.create_array("statistics/sums", data=self.sums, chunks=self.sums.shape)
            if prepare is not None:
                prepare(self.path)
            self._describe({"format": FORMAT, "complete": False, "version": 0, **description})

    def resume(self) -> dict[str, Any]:
        """Go on with the store that is there; sums are counted anew from its blocks by the caller."""
        self._description = read_description(self.path) or {}
        if self._there is not None:
            # One listing, instead of a question for each block.
            before = len(self.path.key) + 1
            self._there = {key[before:] for key, _ in (self.path / "leaves").below()}
        self.sums = np.zeros((self._description["n_leaves"], 2 + self.n_bands))
        return self._description

    def has(self, level: int, row: int, col: int) -> bool:
        """Whether a block is written."""
        if self._there is not None:
            return _key(level, row, col) in self._there
        return bool(self._file(level, row, col).exists())

    def write(self, level: int, row: int, col: int, ids: NDArray[np.uint16]) -> None:
        """Write one block, shape at most 512 x 512, padded with nodata; as a whole or not at all."""
        full = ids
        if ids.shape != (BLOCK, BLOCK):
            full = np.full((BLOCK, BLOCK), NODATA_LEAF, np.uint16)
            full[: ids.shape[0], : ids.shape[1]] = ids
        # The chunk is written as Zarr's gzip codec would (one member): its own write path takes several times as long.
        member = gzip.compress(full.astype("<u2", copy=False).tobytes(), _GZIP_LEVEL, mtime=0)
        file = self._file(level, row, col)
        with _Storage(self.path):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, member)
        if self._there is not None and self._kept is not None:
            self._there.add(_key(level, row, col))
            self._kept.put(_key(level, row, col), member)

    def read(self, level: int, row: int, col: int) -> NDArray[np.uint16]:
        """The part of a written block that lies inside the scene."""
        height, width = level_shape(*self.shape, level)
        kept = None if self._kept is None else self._kept.get(_key(level, row, col))
        member = self._file(level, row, col).read_bytes() if kept is None else kept
        ids = np.frombuffer(gzip.decompress(member), "<u2").reshape(BLOCK, BLOCK)
        return ids[: min(BLOCK, height - row * BLOCK), : min(BLOCK, width - col * BLOCK)]

    def write_overview(self, level: int, row: int, col: int) -> None:
        """Write one overview block from its up to four children, which are there."""
        height, width = level_shape(*self.shape, level)
        out = np.full(
            (min(BLOCK, height - row * BLOCK), min(BLOCK, width - col * BLOCK)), NODATA_LEAF, np.uint16
        )
        half = BLOCK // 2
        for down in (0, 1):
            for right in (0, 1):
                if out.shape[0] > down * half and out.shape[1] > right * half:
                    child = reduce_once(self.read(level - 1, 2 * row + down, 2 * col + right), level - 1)
                    out[
                        down * half : down * half + child.shape[0],
                        right * half : right * half + child.shape[1],
                    ] = child
        self.write(level, row, col, out)

    def add_sums(self, leaves: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
        """Add pixels, area and band sums, shape (m, 2 + B), of distinct leaves."""
        with self._lock:
            self.sums[leaves] += sums

    def save_sums(self) -> None:
        """Make the sums known to readers."""
        with self._lock, _Storage(self.path):
            group = open_zarr(self.path, "r+")
            group["statistics/sums"][:] = self.sums  # type: ignore[index]

    def set_last_leaf(self, mean: NDArray[np.float32], spread: float) -> None:
        """Mean feature vector, float32 (D,), and spread of the last leaf, where they are known only after the blocks."""
        with self._lock, _Storage(self.path):
            group = open_zarr(self.path, "r+")
            group["codebook/means"][-1] = mean  # type: ignore[index]
            group["codebook/spread"][-1] = spread  # type: ignore[index]

    def finish(self) -> None:
        """Declare the store complete."""
        self.save_sums()
        with _Storage(self.path):
            self._describe({**self._description, "complete": True})

    def _describe(self, description: dict[str, Any]) -> None:
        self._description = description
        write_whole(self.path / DESCRIPTION, json.dumps(description).encode())

    def _file(self, level: int, row: int, col: int) -> Any:
        return self.path / _key(level, row, col)


def _key(level: int, row: int, col: int) -> str:
    return f"leaves/{level}/c/{row}/{col}"


class _Storage:
    """Turns a full disk into a sentence."""

    def __init__(self, path: StorePath) -> None:
        self._path = path
        self._errors = storage_errors(path)

    def __enter__(self) -> None:
        self._errors.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"The disk that holds {self._path.parent} is full; free some space and start the segmentation again."
            ) from error
        self._errors.__exit__(kind, error, trace)
