"""What goes wrong when images are written, as sentences."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; it has no public name
from rasterio.errors import RasterioError

from segmentation.errors import SegmentationError, StorageFullError

__all__ = ["writing"]

_PROBE_BYTES = 4 * 2**20
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
            f"The image could not be stored ({_reason(error)}). Check the disk and the rights on the data folder."
        ) from error


def _is_full(error: BaseException, path: Path) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    # GDAL does not tell why a write failed, so the disk is asked: a quota does not show in its free space.
    near = next(parent for parent in (path, *path.absolute().parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=near) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as refusal:
        return refusal.errno in _FULL
    return False


def _reason(error: BaseException) -> str:
    """What GDAL or the system said first: what rasterio says on top only points there."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error).strip().rstrip(".")
