"""Decoded blocks of images and of their overviews, the latest kept: neighboring tiles need the same ones, and decoding is dear."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as DatasetWindow

from segmentation.rasters.lonlat import GridProjection

__all__ = ["ImageBlocks", "ImageFile", "Level", "Pyramid"]

_MASK = 0  # stands for the mask where bands are numbered from 1
_KEPT_PYRAMIDS = 512


class ImageFile(NamedTuple):
    """An image as it was at a moment: another size or time of change, and what was read before no longer counts."""

    path: Path
    mtime_ns: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Level:
    """The image itself (level 0), or one of its overviews."""

    height: int
    width: int
    block: tuple[int, int]  # rows, columns
    factor_y: float  # pixels of the image in one of its own, in each direction
    factor_x: float


@dataclass(frozen=True)
class Pyramid:
    """What is known of an image without reading its pixels."""

    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    all_valid: bool
    transform: Affine
    projection: GridProjection | None  # None without CRS


class ImageBlocks:
    """Reads windows of images block by block; for any number of threads.

    Parameters
    ----------
    max_bytes : int
        Decoded blocks that are kept, over all images.
    max_files : int
        Open files that wait to be used again; each level of an image is a file of its own.
    """

    def __init__(self, max_bytes: int, max_files: int = 32) -> None:
        self._max_bytes = max_bytes
        self._files = _OpenFiles(max_files)
        self._lock = threading.Lock()
        self._pyramids: OrderedDict[ImageFile, Pyramid] = OrderedDict()
        self._kept: OrderedDict[tuple[Any, ...], NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._decoding: dict[tuple[Any, ...], threading.Lock] = {}

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def pyramid(self, image: ImageFile) -> Pyramid:
        """The image's levels and place. Raises rasterio's errors where it cannot be read."""
        with self._lock:
            if image in self._pyramids:
                self._pyramids.move_to_end(image)
                return self._pyramids[image]
        with self._files.lend(image, 0) as dataset:
            found = _describe(dataset, image)
        with self._lock:
            self._pyramids[image] = found
            while len(self._pyramids) > _KEPT_PYRAMIDS:
                self._pyramids.popitem(last=False)
        return found

    def read(
        self,
        image: ImageFile,
        level: int,
        window: tuple[int, int, int, int],
        bands: Sequence[int],
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Read a window that lies inside a level.

        Parameters
        ----------
        image : ImageFile
        level : int
            0 for the image itself, 1 for its first overview, and so on.
        window : (row, col, height, width)
            In pixels of the level.
        bands : sequence of int
            Numbers from 1.

        Returns
        -------
        values : array (B, H, W)
            In the image's own type, whatever lies there where there is no data.
        valid : bool array (H, W), or None
            True where the image's mask and (of floats) every band read holds data; None: everywhere.
        """
        pyramid = self.pyramid(image)
        row, col, height, width = window
        block_height, block_width = pyramid.levels[level].block
        values = np.empty((len(bands), height, width), pyramid.dtype)
        valid = None if pyramid.all_valid else np.empty((height, width), np.bool_)
        for block_row in range(row // block_height, -(-(row + height) // block_height)):
            for block_col in range(col // block_width, -(-(col + width) // block_width)):
                *planes, mask = self._block(image, pyramid, level, (block_row, block_col), bands)
                top, left = block_row * block_height, block_col * block_width
                rows = slice(max(row, top), min(row + height, top + block_height))
                cols = slice(max(col, left), min(col + width, left + block_width))
                source = (
                    slice(rows.start - top, rows.stop - top),
                    slice(cols.start - left, cols.stop - left),
                )
                target = (slice(rows.start - row, rows.stop - row), slice(cols.start - col, cols.stop - col))
                for place, plane in enumerate(planes):
                    values[place][target] = plane[source]
                if valid is not None:
                    valid[target] = mask[source]
        if values.dtype.kind == "f":
            finite = np.asarray(np.isfinite(values).all(axis=0))
            if not finite.all():
                valid = finite if valid is None else np.logical_and(valid, finite)
        return values, valid

    def forget(self, path: Path) -> None:
        """Close what is open of ``path`` and drop its blocks, so that the disk gets its space back when it is deleted."""
        self._files.forget(path)
        with self._lock:
            for image in [image for image in self._pyramids if image.path == path]:
                del self._pyramids[image]
            for key in [key for key in self._kept if key[0].path == path]:
                self._bytes -= self._kept.pop(key).nbytes

    def _block(
        self, image: ImageFile, pyramid: Pyramid, level: int, place: tuple[int, int], bands: Sequence[int]
    ) -> list[Any]:
        """The bands of one block, then its mask (None where all is valid). What two threads need is decoded once."""
        planes = list(bands) if pyramid.all_valid else [*bands, _MASK]
        keys = [(image, level, place, plane) for plane in planes]
        found = self._held(keys)
        if any(held is None for held in found):
            turn = (image, level, place)
            with self._lock:
                lock = self._decoding.setdefault(turn, threading.Lock())
            with lock:
                found = self._held(keys)
                missing = [plane for plane, held in zip(planes, found, strict=True) if held is None]
                if missing:
                    with self._files.lend(image, level) as dataset:
                        decoded = _decode(dataset, pyramid.levels[level], place, missing)
                    self._keep({(*turn, plane): values for plane, values in decoded.items()})
                    found = [
                        decoded.get(plane) if held is None else held
                        for plane, held in zip(planes, found, strict=True)
                    ]
            with self._lock:
                self._decoding.pop(turn, None)
        return [*found, None] if pyramid.all_valid else found

    def _held(self, keys: list[tuple[Any, ...]]) -> list[Any]:
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
            return [self._kept.get(key) for key in keys]

    def _keep(self, blocks: dict[tuple[Any, ...], NDArray[Any]]) -> None:
        with self._lock:
            for key, values in blocks.items():
                if key not in self._kept:
                    self._kept[key] = values
                    self._bytes += values.nbytes
            while self._bytes > self._max_bytes and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


class _OpenFiles:
    """Open datasets, each lent to one thread at a time: one shared by two crashes the process."""

    def __init__(self, max_idle: int) -> None:
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[ImageFile, int, DatasetReader]] = OrderedDict()
        self._lent: dict[int, ImageFile] = {}
        self._forgotten: set[int] = set()

    @contextmanager
    def lend(self, image: ImageFile, level: int) -> Iterator[DatasetReader]:
        dataset = self._take(image, level)
        try:
            yield dataset
        except BaseException:
            self._drop(dataset)
            raise
        self._give_back(image, level, dataset)

    def forget(self, path: Path) -> None:
        with self._lock:
            keys = [key for key, (image, _, _) in self._idle.items() if image.path == path]
            closing = [self._idle.pop(key)[2] for key in keys]
            self._forgotten.update(key for key, image in self._lent.items() if image.path == path)
        for dataset in closing:
            dataset.close()

    def _take(self, image: ImageFile, level: int) -> DatasetReader:
        with self._lock:
            for key in reversed(self._idle):
                if self._idle[key][:2] == (image, level):
                    dataset = self._idle.pop(key)[2]
                    self._lent[key] = image
                    return dataset
        options = {} if level == 0 else {"overview_level": level - 1}
        dataset = rasterio.open(image.path, driver="GTiff", **options)
        with self._lock:
            self._lent[id(dataset)] = image
        return dataset

    def _give_back(self, image: ImageFile, level: int, dataset: DatasetReader) -> None:
        key = id(dataset)
        closing = []
        with self._lock:
            self._lent.pop(key)
            if key in self._forgotten:
                self._forgotten.discard(key)
                closing.append(dataset)
            else:
                self._idle[key] = (image, level, dataset)
                while len(self._idle) > self._max_idle:
                    closing.append(self._idle.popitem(last=False)[1][2])
        for old in closing:
            old.close()

    def _drop(self, dataset: DatasetReader) -> None:
        with self._lock:
            self._lent.pop(id(dataset), None)
            self._forgotten.discard(id(dataset))
        dataset.close()


def _describe(dataset: DatasetReader, image: ImageFile) -> Pyramid:
    levels = []
    for level in range(len(dataset.overviews(1)) + 1):
        options = {} if level == 0 else {"overview_level": level - 1}
        with rasterio.open(image.path, driver="GTiff", **options) as reduced:
            levels.append(
                Level(
                    reduced.height,
                    reduced.width,
                    reduced.block_shapes[0],
                    dataset.height / reduced.height,
                    dataset.width / reduced.width,
                )
            )
    crs: CRS | None = dataset.crs
    return Pyramid(
        levels=tuple(levels),
        dtype=np.dtype(dataset.dtypes[0]),
        all_valid=all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums),
        transform=dataset.transform,
        projection=GridProjection(dataset.transform, crs, dataset.height, dataset.width) if crs else None,
    )


def _decode(
    dataset: DatasetReader, level: Level, place: tuple[int, int], planes: Sequence[int]
) -> dict[int, NDArray[Any]]:
    top, left = place[0] * level.block[0], place[1] * level.block[1]
    height, width = min(level.block[0], level.height - top), min(level.block[1], level.width - left)
    window = DatasetWindow(left, top, width, height)
    bands = [plane for plane in planes if plane != _MASK]
    decoded: dict[int, NDArray[Any]] = {}
    if bands:
        # A plane each of its own, or one that is dropped would keep the others' memory.
        decoded = {
            band: np.array(plane)
            for band, plane in zip(bands, dataset.read(bands, window=window), strict=True)
        }
    if _MASK in planes:
        decoded[_MASK] = dataset.dataset_mask(window=window) > 0
    return decoded
