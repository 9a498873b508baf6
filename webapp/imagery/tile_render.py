"""Reading and encoding one imagery tile; runs in the tile threads."""

from __future__ import annotations

import functools
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image as Picture
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window
from rio_tiler.io import Reader

from segmentation.rasters.drivers import Image, readable
from segmentation.rasters.remote import RemoteDataset, RemoteImage
from webapp.errors import InvalidInputError
from webapp.imagery.tile_query import TileStyle

__all__ = ["FORMATS", "TILE_PX", "Formats", "forget", "is_outside", "render"]

TILE_PX = 256
MAX_ZOOM = 26
WORLD_M = 2 * math.pi * 6378137.0  # side of the Web Mercator square
WEB_MERCATOR = CRS.from_epsg(3857)
MAX_IDLE_READERS = 24
FORMATS = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}


class Formats(NamedTuple):
    """In which format a tile comes: one that is full of data, and one that is partly transparent."""

    whole: str
    clear: str


# Colours of an index from its low end to its high end, evenly spaced; readable with red-green blindness too.
RAMPS = {
    "ndvi": ((84, 48, 5), (191, 144, 84), (246, 232, 195), (161, 196, 120), (59, 136, 66), (0, 68, 27)),
    "ndwi": ((115, 77, 38), (201, 171, 130), (245, 245, 240), (146, 197, 222), (67, 147, 195), (5, 48, 97)),
}


class _Readers:
    """Open scenes, each lent to one thread at a time: a dataset shared by two crashes the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[Image, Reader]] = OrderedDict()
        self._lent: dict[int, Image] = {}
        self._forgotten: set[int] = set()

    @contextmanager
    def lend(self, path: Image) -> Iterator[Reader]:
        reader = self._take(path)
        try:
            yield reader
        except BaseException:
            self._drop(reader)
            raise
        self._give_back(path, reader)

    def forget(self, path: Image) -> None:
        """Close every reader of ``path``, so that the disk gets its blocks back when the file is deleted."""
        with self._lock:
            keys = [key for key, (held, _) in self._idle.items() if held == path]
            closing = [self._idle.pop(key)[1] for key in keys]
            self._forgotten.update(key for key, held in self._lent.items() if held == path)
        for reader in closing:
            _close(reader)

    def _take(self, path: Image) -> Reader:
        with self._lock:
            for key in reversed(self._idle):
                if self._idle[key][0] == path:
                    reader = self._idle.pop(key)[1]
                    self._lent[key] = path
                    return reader
        reader = _open(path)
        with self._lock:
            self._lent[id(reader)] = path
        return reader

    def _give_back(self, path: Image, reader: Reader) -> None:
        key = id(reader)
        closing = []
        with self._lock:
            self._lent.pop(key)
            if key in self._forgotten:
                self._forgotten.discard(key)
                closing.append(reader)
            else:
                self._idle[key] = (path, reader)
                while len(self._idle) > MAX_IDLE_READERS:
                    closing.append(self._idle.popitem(last=False)[1][1])
        for old in closing:
            _close(old)

    def _drop(self, reader: Reader) -> None:
        with self._lock:
            self._lent.pop(id(reader), None)
            self._forgotten.discard(id(reader))
        _close(reader)


def _open(path: Image) -> Reader:
    if not isinstance(path, RemoteImage):
        return Reader(str(path))
    handle = path.open_dataset("GTiff")  # a scene in place is nothing else
    reader = Reader(path.url, dataset=handle.raw)
    _handles[id(reader)] = handle
    return reader


def _close(reader: Reader) -> None:
    reader.close()
    handle = _handles.pop(id(reader), None)
    if handle is not None:
        handle.close()


_handles: dict[
    int, RemoteDataset
] = {}  # of readers of images at URLs, which do not close what they were given
_readers = _Readers()
forget = _readers.forget


def is_outside(info: Mapping[str, Any], z: int, x: int, y: int) -> bool:
    """True where the tile shows nothing of the scene; InvalidInputError for a zoom that no tile has."""
    if info.get("crs") is None:
        if not 0 <= z <= info["max_zoom"]:
            raise InvalidInputError(f"This scene has zoom levels 0 to {info['max_zoom']}, not {z}.")
        side = TILE_PX * 2 ** (info["max_zoom"] - z)
        return x * side >= info["width"] or y * side >= info["height"]
    if not 0 <= z <= MAX_ZOOM:
        raise InvalidInputError(f"Tiles have zoom levels 0 to {MAX_ZOOM}, not {z}.")
    if x >= 2**z or y >= 2**z:
        return True
    west, south, east, north = info["bounds"]
    tile_west, tile_east = (360.0 * column / 2**z - 180 for column in (x, x + 1))
    tile_north, tile_south = (_latitude(1 - 2 * row / 2**z) for row in (y, y + 1))
    # A scene across the antimeridian has its east beyond 180 degrees, so it is compared one turn on as well.
    # A shared edge differs by rounding; a hundred-millionth of a degree is a millimetre.
    west, south, east, north = west + 1e-8, south + 1e-8, east - 1e-8, north - 1e-8
    beside = all(tile_east + turn <= west or tile_west + turn >= east for turn in (-360, 0, 360))
    return beside or tile_south >= north or tile_north <= south


def render(
    path: Image, info: Mapping[str, Any], z: int, x: int, y: int, style: TileStyle, formats: Formats
) -> tuple[str, bytes]:
    """The encoded tile and its format; pixels without data are transparent (white in a JPEG)."""
    told = readable(path) if isinstance(path, RemoteImage) else nullcontext()
    with told, _readers.lend(path) as reader:
        if info.get("crs") is None:
            values, valid = _read_pixels(reader.dataset, info, z, x, y, style.bands)
        else:
            values, valid = _read_warped(reader, info, z, x, y, style.bands)
    if not valid.any():
        return formats.clear, _clear(formats.clear)
    rgb, valid = _color(values, valid, style)
    is_whole = bool(valid.all())
    suffix = formats.whole if is_whole else formats.clear
    return suffix, _encode(rgb, None if is_whole else valid, suffix)


def _read_warped(
    reader: Reader, info: Mapping[str, Any], z: int, x: int, y: int, bands: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    side = WORLD_M / 2**z
    left, top = x * side - WORLD_M / 2, WORLD_M / 2 - y * side
    # Closer than the scene's own pixels they are shown as they are; further away they are blended.
    method = "nearest" if z > info["max_zoom"] else "bilinear"
    image = reader.part(
        (left, top - side, left + side, top),
        dst_crs=WEB_MERCATOR,
        bounds_crs=WEB_MERCATOR,
        width=TILE_PX,
        height=TILE_PX,
        max_size=None,
        indexes=bands,
        resampling_method=method,
        reproject_method=method,
    )
    return image.data, (image.mask > 0) & _is_finite(image.data)


def _read_pixels(
    dataset: rasterio.DatasetReader, info: Mapping[str, Any], z: int, x: int, y: int, bands: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The tile of a scene without CRS: a plain window, reduced by a power of two."""
    factor = 2 ** (info["max_zoom"] - z)
    col, row = x * TILE_PX * factor, y * TILE_PX * factor
    width, height = min(TILE_PX * factor, dataset.width - col), min(TILE_PX * factor, dataset.height - row)
    window = Window(col, row, width, height)
    used = (math.ceil(height / factor), math.ceil(width / factor))
    method = Resampling.nearest if factor == 1 else Resampling.average
    values = np.zeros((len(bands), TILE_PX, TILE_PX), dataset.dtypes[0])
    valid = np.zeros((TILE_PX, TILE_PX), bool)
    read = dataset.read(list(bands), window=window, out_shape=(len(bands), *used), resampling=method)
    values[:, : used[0], : used[1]] = read
    valid[: used[0], : used[1]] = dataset.dataset_mask(window=window, out_shape=used) > 0
    return values, valid & _is_finite(values)


@functools.cache
def _clear(suffix: str) -> bytes:
    """A tile without any data."""
    nothing = np.zeros((TILE_PX, TILE_PX), np.bool_)
    return _encode(np.zeros((TILE_PX, TILE_PX, 3), np.uint8), nothing, suffix)


def _is_finite(values: NDArray[Any]) -> NDArray[np.bool_] | np.bool_:
    """Whether all bands of a pixel are numbers; those of integers always are."""
    return np.isfinite(values).all(axis=0) if values.dtype.kind == "f" else np.True_


def _color(
    values: NDArray[Any], valid: NDArray[np.bool_], style: TileStyle
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Values (bands, h, w) to colors (h, w, 3) and where they hold."""
    if style.index:
        first, second = values.astype(np.float32)
        total = first + second
        valid = valid & (total != 0)
        share = _stretched((first - second) / np.where(total == 0, 1, total), style.stretch[0])
        ramp = np.array(RAMPS[style.index], np.float32)
        stops = np.linspace(0, 1, len(ramp))
        rgb = np.stack([np.interp(share, stops, ramp[:, channel]) for channel in range(3)], axis=-1)
        return np.rint(rgb).astype(np.uint8), valid
    shades = [_shades(band, limits) for band, limits in zip(values, style.stretch, strict=True)]
    return np.stack(shades * 3 if len(shades) == 1 else shades, axis=-1), valid


def _shades(band: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    if band.dtype.name in ("uint8", "uint16"):
        return _shade_table(band.dtype.name, limits)[band]
    return _as_bytes(band.astype(np.float32), limits)


@functools.lru_cache(maxsize=64)
def _shade_table(dtype: str, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """The shade of every value that there can be: looking it up is several times faster than computing it."""
    return _as_bytes(np.arange(np.iinfo(dtype).max + 1, dtype=np.float32), limits)


def _as_bytes(values: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.uint8]:
    return np.rint(_stretched(values, limits) * 255).astype(np.uint8)


def _stretched(values: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    share: NDArray[np.float32] = np.nan_to_num((values - low) / (high - low), posinf=1, neginf=0).clip(0, 1)
    return share


def _encode(rgb: NDArray[np.uint8], valid: NDArray[np.bool_] | None, suffix: str) -> bytes:
    """``valid`` None: everywhere."""
    buffer = io.BytesIO()
    if suffix == "jpg":
        white = rgb if valid is None else np.where(valid[..., None], rgb, np.uint8(255))
        Picture.fromarray(white).save(buffer, "JPEG", quality=88)
        return buffer.getvalue()
    shown = rgb
    if valid is not None:
        # Under transparent pixels black: it compresses to nothing.
        shown = np.where(valid[..., None], rgb, np.uint8(0))
        shown = np.dstack([shown, np.where(valid, np.uint8(255), np.uint8(0))])
    if suffix == "webp":
        Picture.fromarray(shown).save(buffer, "WEBP", quality=88, method=2)
    else:
        Picture.fromarray(shown).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _latitude(y: float) -> float:
    """Latitude of a height in the Web Mercator square, which runs from -1 at the bottom to 1 at the top."""
    return math.degrees(math.atan(math.sinh(math.pi * y)))
