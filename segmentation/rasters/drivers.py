"""Which files are opened, and how: four formats, told by their first bytes, each by its one GDAL driver."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # what properties of a dataset raise; it has no public name
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from segmentation.errors import SegmentationError, UnreadableSceneError
from segmentation.rasters.limits import Limits
from segmentation.rasters.remote import RemoteImage

__all__ = ["FORMATS", "Image", "check_path", "open_dataset", "readable", "sniff_driver"]

Image = Path | RemoteImage  # where an image is

FORMATS = "GeoTIFF, JPEG 2000, PNG and JPEG"

_SIGNATURES = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),  # BigTIFF
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),  # a bare codestream
)

# An image without georeference is an ordinary case here, not one to warn of.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def check_path(path: str | Path) -> Path:
    """The absolute path of an existing plain file; symbolic links are followed.

    Names that GDAL would take for something else (/vsicurl/..., GTIFF_DIR:..., URLs) never get past this.

    Raises
    ------
    UnreadableSceneError
        If there is no such file.
    """
    text = str(path)
    if text.startswith("/vsi") or "://" in text or "\0" in text:
        raise UnreadableSceneError(
            f"{text[:200]!r} is not the path of a file; download the image and give its path, or open it as a remote image."
        )
    real = Path(text).expanduser().resolve()
    if real.is_dir():
        raise UnreadableSceneError(f"{text!r} is a folder; give the path of one image file.")
    if not real.exists():
        raise UnreadableSceneError(f"There is no file {text!r}; check its path.")
    if not real.is_file():
        raise UnreadableSceneError(f"{text!r} is not a plain file; give the path of one image file.")
    return real


def sniff_driver(path: Image) -> str:
    """The GDAL driver for a file, by its first bytes; its name plays no part.

    Raises
    ------
    UnreadableSceneError
        If it is none of the four formats, or cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise UnreadableSceneError(
            f'"{path.name}" cannot be read: {error.strerror}. Check the file and its permissions.'
        ) from error
    if not head:
        raise UnreadableSceneError(f'"{path.name}" is empty; copy or download it again.')
    for signature, driver in _SIGNATURES:
        if head.startswith(signature):
            return driver
    raise UnreadableSceneError(
        f'"{path.name}" is not an image that can be opened here. {FORMATS} are; convert it to GeoTIFF, for example with gdal_translate.'
    )


def open_dataset(path: Image, limits: Limits) -> DatasetReader:
    """Open a file that :func:`check_path` has passed, with the one driver that its first bytes call for."""
    limits.check_file(path)
    driver = sniff_driver(path)
    if driver == "PNG":
        _check_png_is_whole(path)
    with readable(path):
        if isinstance(path, RemoteImage):
            return path.open_dataset(driver)
        return rasterio.open(path, driver=driver, sharing=False)


def _check_png_is_whole(path: Image) -> None:
    """GDAL fills what is missing of a PNG with black and says nothing, so its chunks are followed to the last."""
    end = path.stat().st_size
    with path.open("rb") as file:
        place = 8  # after the signature
        while place + 12 <= end:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            place += 12 + length
            if kind == b"IEND" and place <= end:
                return
    raise UnreadableSceneError(
        f'"{path.name}" is damaged or incomplete: its end is missing. Copy or download it again.'
    )


@contextmanager
def readable(path: Image, where: str = "") -> Iterator[None]:
    """Turn GDAL's errors while reading ``path`` into a sentence."""
    if isinstance(path, RemoteImage):
        path.failure()  # of an earlier read, which was told
    try:
        yield
        _tell_failure(path)
    except SegmentationError:
        raise  # it is a sentence already
    except (RasterioError, CPLE_BaseError, MemoryError, ValueError) as error:
        _tell_failure(path)
        raise UnreadableSceneError(
            f'"{path.name}" is damaged or incomplete{where}: it cannot be read. Copy or download it again.'
        ) from error


def _tell_failure(path: Image) -> None:
    """Raise why a remote image could not be read, where it was that: GDAL may even go on with what it had."""
    failure = path.failure() if isinstance(path, RemoteImage) else None
    if failure is not None:
        raise failure
