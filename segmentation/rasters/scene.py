"""A scene: an image opened safely, read window by window from any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from segmentation.errors import InvalidArgumentError, UnsupportedSceneError
from segmentation.rasters.bands import alpha_holds_data, band_names, band_roles
from segmentation.rasters.drivers import Image, check_path, open_dataset, readable
from segmentation.rasters.earth import earth_crs
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.limits import Limits
from segmentation.rasters.pixels import read_raw, to_float32, validity_of
from segmentation.rasters.remote import RemoteImage
from segmentation.rasters.windows import Window

__all__ = ["MIN_SIDE_PX", "Scene", "open_scene"]

MIN_SIDE_PX = 4  # below that there are no neighborhoods to cluster


class Scene:
    """An open image; :func:`open_scene` makes one. Close it, or use it in a ``with`` statement.

    Attributes
    ----------
    path : Path or RemoteImage
        Absolute path of the file, or the image at a URL.
    height, width : int
        Pixels.
    n_bands : int
        Bands, alpha not counted.
    dtype : str
        NumPy name of the type that holds all bands, as stored.
    transform : Affine
        From pixel (column, row) to the CRS.
    crs : CRS or None
        None where there is none that gives longitude and latitude on Earth.
    gsd_m : float or None
        Size of a pixel on the ground at the center, meters.
    band_names : tuple of str
        Descriptions, "" where unknown.
    band_roles : tuple of str
        "red", "green", "blue", "nir" or "" for each band.
    has_gcps : bool
        Positioned by ground control points alone; :func:`segmentation.rasters.cog.ingest` warps such an image.
    remarks : tuple of str
        Sentences on how the file is read.
    """

    def __init__(self, path: Image, limits: Limits) -> None:
        self.path = path
        self._limits = limits
        self._idle: list[DatasetReader] = []
        self._lock = threading.Lock()
        self._closed = False
        dataset = open_dataset(path, limits)
        try:
            with readable(path):
                self._describe(dataset)
        except BaseException:
            dataset.close()
            raise
        self._idle.append(dataset)

    def _describe(self, dataset: DatasetReader) -> None:
        remarks: list[str] = []
        self.height, self.width = dataset.height, dataset.width
        _check_header(dataset, self.path, self._limits)
        self._indexes = tuple(
            index
            for index, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if meaning != ColorInterp.alpha or alpha_holds_data(dataset, index)
        )
        marked = [index for index in self._indexes if dataset.colorinterp[index - 1] == ColorInterp.alpha]
        if marked:
            remarks.append(
                f"Band {marked[0]} is marked as alpha but holds measured values, so it is used as a band."
            )
        if not self._indexes:
            self._indexes = (1,)
            remarks.append("The only band is marked as alpha; it is used as a band.")
        self.n_bands = len(self._indexes)
        self.dtype = str(np.result_type(*(dataset.dtypes[index - 1] for index in self._indexes)))
        self.rules = validity_of(dataset, self._indexes)
        if self.rules.alpha is not None:
            remarks.append(f"Band {self.rules.alpha} is alpha: where it is 0 there is no data.")
        elif self.rules.mask:
            remarks.append("The image's own mask tells where there is data.")
        self.transform: Affine = dataset.transform
        self.crs, reason = earth_crs(dataset.crs, dataset.transform, self.height, self.width)
        points, _ = dataset.gcps
        self.has_gcps = self.crs is None and len(points) > 0
        if self.has_gcps:
            remarks.append(f"The image is positioned by {len(points)} ground control points.")
        elif reason:
            remarks.append(reason)
        self.gsd_m = Georeference(self.transform, self.crs, self.height, self.width).gsd_m
        self.band_names = band_names(dataset, self._indexes)
        self.band_roles = band_roles(dataset, self._indexes)
        if len(dataset.subdatasets) > 1:
            remarks.append(f"The file holds {len(dataset.subdatasets)} images; the first is used.")
        self.block_shape: tuple[int, int] = dataset.block_shapes[self._indexes[0] - 1]
        self.remarks = tuple(remarks)

    def read(
        self, row: int, col: int, height: int, width: int, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window, from any thread.

        Parameters
        ----------
        row, col : int
            First row and column; the window may stick out of the scene, also wholly.
        height, width : int
            Pixels.
        bands : sequence of int or None
            Band numbers from 1; None for all.

        Returns
        -------
        pixels : float32 array, shape (B, height, width)
            In the file's unit; 0 where not valid. Integers above 16,777,216 and 64-bit floats are rounded to float32.
        valid : bool array, shape (height, width)
            True where all these bands hold data (see :class:`segmentation.rasters.pixels.Validity`); False outside.

        Raises
        ------
        InvalidArgumentError
            For a band that there is not, or an empty window.
        UnreadableSceneError
            If the file is damaged there.
        """
        indexes = self._indexes_of(bands)
        if height < 1 or width < 1:
            raise InvalidArgumentError(
                f"A window of {height} x {width} pixels cannot be read; ask for at least 1 x 1."
            )
        pixels = np.zeros((len(indexes), height, width), np.float32)
        valid = np.zeros((height, width), np.bool_)
        top, bottom = max(row, 0), min(row + height, self.height)
        left, right = max(col, 0), min(col + width, self.width)
        if top < bottom and left < right:
            inside = (slice(top - row, bottom - row), slice(left - col, right - col))
            values, held = self._read_inside(indexes, Window(top, left, bottom - top, right - left))
            pixels[:, *inside], valid[inside] = values, held
        return pixels, valid

    def read_reduced(
        self, factor: int, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read the whole scene at a reduced size, from its overviews where it has them.

        Parameters
        ----------
        factor : int
            How many pixels become one, along each axis.
        bands : sequence of int or None
            Band numbers from 1; None for all.

        Returns
        -------
        pixels : float32 array, shape (B, ceil(H / factor), ceil(W / factor))
            As :meth:`read` gives them.
        valid : bool array, shape (ceil(H / factor), ceil(W / factor))
        """
        if factor < 1:
            raise InvalidArgumentError(f"A reduction by {factor} is not possible; give 1 or more.")
        shape = (-(-self.height // factor), -(-self.width // factor))
        return self._read_inside(self._indexes_of(bands), Window(0, 0, self.height, self.width), shape)

    def close(self) -> None:
        """Close the file; handles that other threads still use are closed when they finish."""
        with self._lock:
            self._closed = True
            handles, self._idle = self._idle, []
        for handle in handles:
            handle.close()

    @contextmanager
    def dataset(self) -> Iterator[DatasetReader]:
        """Lend a dataset to this thread alone: one shared by two threads crashes the process."""
        with self._lock:
            if self._closed:
                raise InvalidArgumentError(
                    f"The scene {self.path.name} is closed; open it again to read from it."
                )
            handle = self._idle.pop() if self._idle else None
        if handle is None:
            handle = open_dataset(self.path, self._limits)
        try:
            yield handle
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(handle)
            if not keep:
                handle.close()

    def dataset_bands(self) -> tuple[int, ...]:
        """Which bands of the dataset are the scene's bands."""
        return self._indexes

    def _read_inside(
        self, indexes: Sequence[int], window: Window, shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        where = f" near row {window.row}, column {window.col}"
        with self.dataset() as dataset, readable(self.path, where):
            raw, valid = read_raw(dataset, indexes, self._indexes, self.rules, window, shape)
        return to_float32(raw, valid)

    def _indexes_of(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        if bands is None:
            return self._indexes
        wrong = [band for band in bands if not 1 <= band <= self.n_bands]
        if wrong or not len(bands):
            raise InvalidArgumentError(
                f"Bands {list(bands)} were asked for; the scene has bands 1 to {self.n_bands}. Choose one or more of them."
            )
        return tuple(self._indexes[band - 1] for band in bands)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_scene(path: str | Image, limits: Limits | None = None) -> Scene:
    """Open an image for reading: GeoTIFF, JPEG 2000, PNG or JPEG, and nothing else.

    The first bytes decide which one GDAL driver sees the file; files beside it and network paths are never opened. Only
    the header is read, and compared with the limits.

    Parameters
    ----------
    path : str, Path or RemoteImage
        The file; see `segmentation.rasters.remote.open_remote` for one at a URL.
    limits : Limits or None
        How large it may be; None for the defaults.

    Raises
    ------
    UnreadableSceneError
        If it is missing, damaged, or of another format.
    UnsupportedSceneError
        If it holds complex values or a palette, or is smaller than 4 x 4 pixels.
    SceneTooLargeError
        If it is over a limit.
    """
    return Scene(path if isinstance(path, RemoteImage) else check_path(path), limits or Limits())


def _check_header(dataset: DatasetReader, path: Image, limits: Limits) -> None:
    height, width = dataset.height, dataset.width
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise UnsupportedSceneError(
            f'"{path.name}" holds complex numbers ({dataset.dtypes[0]}), as raw radar does; convert it to amplitude first.'
        )
    n_alpha = sum(meaning == ColorInterp.alpha for meaning in dataset.colorinterp)
    widest = max(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    limits.check_raster(path, width, height, dataset.count - n_alpha, widest)
    # Blocks of interleaved bands are decoded for all bands at once.
    block_height, block_width = dataset.block_shapes[0]
    limits.check_block(path, block_height * block_width * widest * dataset.count)
    # GDAL gives every 1-bit image a palette of black and white; two values are a mask, whatever their colors.
    one_bit = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    if ColorInterp.palette in dataset.colorinterp and not one_bit:
        raise UnsupportedSceneError(
            f'"{path.name}" is a picture with a palette: its numbers are entries of a color table, not measurements. '
            "Convert it to red, green and blue first, for example with gdal_translate -expand rgb."
        )
    if min(height, width) < MIN_SIDE_PX:
        raise UnsupportedSceneError(
            f'"{path.name}" has {width} x {height} pixels; at least {MIN_SIDE_PX} x {MIN_SIDE_PX} are needed to find clusters.'
        )
