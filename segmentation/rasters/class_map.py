"""Class maps as files: read window by window, written as cloud optimized GeoTIFFs with a color table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as DatasetWindow

from segmentation.errors import InvalidArgumentError, UnsupportedSceneError
from segmentation.legend import MAX_CLASS, Legend
from segmentation.rasters.drivers import check_path, open_dataset, readable
from segmentation.rasters.earth import earth_crs
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.limits import Limits
from segmentation.rasters.pixels import read_raw, validity_of
from segmentation.rasters.storage import writing
from segmentation.rasters.windows import BLOCK, Window

if TYPE_CHECKING:
    from segmentation.vectors.source import ClassSource

__all__ = ["MAX_READ_CLASS", "NO_CERTAINTY", "ClassMap", "check_same_grid", "map_windows", "write_byte_map"]

MAX_READ_CLASS = 1023  # other people's maps number classes up to 999, such as CORINE's codes
NO_CERTAINTY = 255
_CLASSES_TAG = "CLASSES"
_WINDOW_PX = 8_000_000
_GRID_TOLERANCE_PX = 0.1


class ClassMap:
    """An open raster of class numbers; use it in a ``with`` statement.

    Attributes
    ----------
    path : Path
        Absolute path of the file.
    shape : (int, int)
        Rows and columns.
    georeference : Georeference
        Of its grid.
    legend : Legend
        Names that it carries, or that a legend file of the same name beside it gives.

    Raises
    ------
    UnreadableSceneError
        If it is missing, damaged or of another format.
    UnsupportedSceneError
        If it has several bands or is not made of numbers.
    SceneTooLargeError
        If it is over a limit.
    """

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        self.path = check_path(path)
        self._dataset = open_dataset(self.path, limits or Limits())
        try:
            with readable(self.path):
                self._describe(limits or Limits())
        except BaseException:
            self._dataset.close()
            raise

    def _describe(self, limits: Limits) -> None:
        dataset = self._dataset
        bands = [
            index
            for index, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if meaning != ColorInterp.alpha
        ]
        if len(bands) != 1:
            raise UnsupportedSceneError(
                f'"{self.path.name}" has {len(bands)} bands; a class map has one, with a class number in each pixel.'
            )
        if np.dtype(dataset.dtypes[bands[0] - 1]).kind not in "iuf":
            raise UnsupportedSceneError(f'"{self.path.name}" holds {dataset.dtypes[0]}, not class numbers.')
        itemsize = np.dtype(dataset.dtypes[bands[0] - 1]).itemsize
        limits.check_raster(self.path, dataset.width, dataset.height, 1, itemsize)
        block_height, block_width = dataset.block_shapes[0]
        limits.check_block(self.path, block_height * block_width * itemsize * dataset.count)
        self._bands = tuple(bands)
        self._rules = validity_of(dataset, self._bands)
        self.shape: tuple[int, int] = (dataset.height, dataset.width)
        crs, _ = earth_crs(dataset.crs, dataset.transform, *self.shape)
        self.georeference = Georeference(dataset.transform, crs, *self.shape)
        self.legend = self._find_legend()

    def _find_legend(self) -> Legend:
        carried = self._dataset.tags().get(_CLASSES_TAG)
        beside = self.path.with_suffix(".json")
        try:
            if carried is not None:
                return Legend.from_dict(json.loads(carried), self.path.name)
            return Legend.read(beside) if beside.is_file() else Legend()
        except ValueError:  # something else that bears the name: the map can do without names
            return Legend()

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.int64]:
        """Classes of a window inside the map.

        Returns
        -------
        int64 array, shape (height, width)
            0 to 1,023; 0 where there is none, or no data.

        Raises
        ------
        UnreadableSceneError
            If the file is damaged there.
        UnsupportedSceneError
            If there are other numbers than those.
        """
        where = f" near row {row}, column {col}"
        with readable(self.path, where):
            raw, valid = read_raw(
                self._dataset, self._bands, self._bands, self._rules, Window(row, col, height, width)
            )
        values = np.where(valid, raw[0], raw.dtype.type(0))
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        fraction = values.dtype.kind == "f" and bool((values != np.floor(values)).any())
        if fraction or low < 0 or high > MAX_READ_CLASS:
            wrong = "fractions" if fraction else f"{low if low < 0 else high:g}"
            raise UnsupportedSceneError(
                f'"{self.path.name}" holds {wrong}{where}; a class map has whole numbers from 1 to {MAX_READ_CLASS:,}, and 0 or '
                "nodata where there is no class."
            )
        return values.astype(np.int64)

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_same_grid(first: Georeference, second: Georeference, first_name: str, second_name: str) -> None:
    """Refuse two rasters whose pixels do not lie upon each other.

    Where only one has a coordinate system (a mask painted in a picture editor has none), their sizes decide.

    Raises
    ------
    InvalidArgumentError
        With what differs.
    """
    sizes = [(one.height, one.width) for one in (first, second)]
    if sizes[0] != sizes[1]:
        raise InvalidArgumentError(
            f"{first_name} has {sizes[0][1]} x {sizes[0][0]} pixels and {second_name} {sizes[1][1]} x {sizes[1][0]}; they must "
            "have the same grid. Bring one to the other's, for example with gdalwarp."
        )
    if first.crs is None or second.crs is None:
        return
    cols, rows = np.array([0, first.width, first.width, 0]), np.array([0, 0, first.height, first.height])
    found_cols, found_rows = second.from_lonlat(*first.to_lonlat(cols, rows))
    shift = float(np.hypot(found_cols - cols, found_rows - rows).max())
    if not shift <= _GRID_TOLERANCE_PX:
        raise InvalidArgumentError(
            f"{first_name} and {second_name} have the same size but lie {shift:,.1f} pixels apart; they must have the same "
            "grid. Bring one to the other's, for example with gdalwarp."
        )


def map_windows(height: int, width: int) -> Iterator[Window]:
    """Windows of about 8 megapixels that cover a map, from top to bottom: whole rows of blocks, or parts of one where it is wide."""
    cols = width if width * BLOCK <= _WINDOW_PX else _WINDOW_PX // BLOCK**2 * BLOCK
    rows = max(1, _WINDOW_PX // (cols * BLOCK)) * BLOCK
    for row in range(0, height, rows):
        for col in range(0, width, cols):
            yield Window(row, col, min(rows, height - row), min(cols, width - col))


def write_byte_map(
    path: Path,
    source: ClassSource,
    georeference: Georeference,
    *,
    legend: Legend | None,
    description: str,
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.int64]:
    """Write a map of bytes as a cloud optimized GeoTIFF.

    Parameters
    ----------
    path : Path
        The file; what is written on the way lies beside it. Give a draft (`segmentation.drafts`).
    source : ClassSource
        Read window by window.
    georeference : Georeference
        Of its grid.
    legend : Legend or None
        Of a class map: it gets a color table, the names, and 0 is nodata; overviews show the most frequent class. None
        for certainties in percent: 255 is nodata, overviews are means.
    description : str
        Of the band.
    progress : callable or None
        Told the share done, 0 to 1.

    Returns
    -------
    int64 array, shape (256,)
        How many pixels hold each value.

    Raises
    ------
    InvalidArgumentError
        If grid and source differ.
    StorageFullError
        If the disk is full.
    """
    height, width = source.shape
    if (georeference.height, georeference.width) != (height, width):
        raise InvalidArgumentError(
            f"The map has {width} x {height} pixels, its grid {georeference.width} x {georeference.height}."
        )
    work = path.with_name(f"work-{path.name}")
    counts = np.zeros(MAX_CLASS + 1, np.int64)
    with writing(path):
        with rasterio.open(
            work,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=1,
            dtype="uint8",
            crs=georeference.crs,
            transform=georeference.transform if georeference.crs else None,
            nodata=NO_CERTAINTY if legend is None else 0,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            compress="DEFLATE",
            zlevel="1",
            bigtiff="IF_SAFER",
        ) as target:
            target.set_band_description(1, description)
            if legend is not None:
                # Set before any pixel: the header cannot change afterwards.
                target.write_colormap(1, {k: (*legend.rgb(k), 255) for k in range(1, MAX_CLASS + 1)})
                target.update_tags(**{_CLASSES_TAG: json.dumps(legend.as_dict())})
            for window in map_windows(height, width):
                values = source.read(window.row, window.col, window.height, window.width)
                counts += np.bincount(values.ravel(), minlength=MAX_CLASS + 1)
                target.write(
                    values, 1, window=DatasetWindow(window.col, window.row, window.width, window.height)
                )
                if progress is not None:
                    progress(0.8 * (window.row + window.height) / height)
        copy_raster(
            str(work),
            str(path),
            driver="COG",
            blocksize=str(BLOCK),
            compress="DEFLATE",
            overview_resampling="MODE" if legend is not None else "AVERAGE",
            bigtiff="IF_SAFER",
            num_threads=str(min(4, os.cpu_count() or 1)),
        )
        work.unlink()
    if progress is not None:
        progress(1.0)
    return counts
