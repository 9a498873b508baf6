"""What goes wrong when images are written, as sentences."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; it has no public name
from rasterio.errors import RasterioError

from segmentation.errors import SegmentationError, StorageFullError

__all__ = ["writing"]

_ROOM_BYTES = 8 * 2**20  # a disk with less is full
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of writing at ``path`` into a sentence.

    Raises
    ------
    StorageFullError
        If the disk is full, or a quota used up.
    SegmentationError
        If it fails for another reason.
    """
    try:
        yield
    except SegmentationError:
        raise  # it is a sentence already
    except (OSError, RasterioError, CPLE_BaseError) as error:
        if _is_full(error, path):
            raise StorageFullError(
                "The disk is full, so the image could not be stored. Free some space, or delete scenes, and try again."
            ) from error
        raise SegmentationError(
            f"The image could not be stored: {error}. Check the disk and the rights on the data folder."
        ) from error


def _is_full(error: BaseException, path: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    # GDAL tells the reason in words, or not at all.
    if any(os.strerror(code) in str(error) for code in _FULL):
        return True
    near = next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(near).free < _ROOM_BYTES
