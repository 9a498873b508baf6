"""Reading pixels of an open dataset together with where they are valid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as DatasetWindow

from segmentation.rasters.windows import Window

__all__ = ["Validity", "read_raw", "to_float32", "validity_of"]


@dataclass(frozen=True)
class Validity:
    """How a dataset says where it holds data. Every rule that it gives must hold for a pixel to be valid.

    Parameters
    ----------
    nodata : tuple
        Nodata value of each band of the dataset, in the band's own type; None without.
    nodata_in_all : bool
        True: a pixel is without data where *all* bands hold nodata; False: where any does. In an 8-bit picture of
        several bands 0 or 255 is an ordinary value of a single band (a shadow, a white roof), so it must be in all.
        Elsewhere nodata values do not occur as data, and one missing band is enough to make features meaningless.
    alpha : int or None
        Band above 0 where there is data.
    mask : bool
        True where the dataset has a mask of its own.
    """

    nodata: tuple[Any, ...]
    nodata_in_all: bool
    alpha: int | None
    mask: bool

    @property
    def has_rules(self) -> bool:
        """False where every finite pixel is valid."""
        return self.mask or self.alpha is not None or any(value is not None for value in self.nodata)


def validity_of(dataset: DatasetReader, indexes: Sequence[int]) -> Validity:
    """Find the rules of a dataset whose bands ``indexes`` are measured ones."""
    nodata = tuple(
        _in_dtype(value, dtype) for value, dtype in zip(dataset.nodatavals, dataset.dtypes, strict=True)
    )
    alpha = next(
        (
            index
            for index, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if meaning == ColorInterp.alpha and index not in indexes
        ),
        None,
    )
    flags = [dataset.mask_flag_enums[index - 1] for index in indexes]
    mask = any(
        (MaskFlags.per_dataset in flag and MaskFlags.alpha not in flag)
        or not set(flag) & {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha, MaskFlags.per_dataset}
        for flag in flags
    )
    in_all = len(indexes) > 1 and all(dataset.dtypes[index - 1] == "uint8" for index in indexes)
    return Validity(nodata, in_all, alpha, mask)


def read_raw(
    dataset: DatasetReader,
    indexes: Sequence[int],
    measured: Sequence[int],
    rules: Validity,
    window: Window,
    shape: tuple[int, int] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands in their own type, and where they are valid.

    Parameters
    ----------
    dataset : DatasetReader
        Used by this thread alone.
    indexes : sequence of int
        Bands of the dataset to read.
    measured : sequence of int
        All its bands that are not alpha: where nodata must be in all of them, all are looked at.
    rules : Validity
        Of this dataset.
    window : Window
        Inside the dataset.
    shape : (int, int) or None
        Rows and columns to return, where fewer than the window's: the nearest pixels, of an overview if there is one.

    Returns
    -------
    pixels : array, shape (B, h, w)
        As stored, also where not valid.
    valid : bool array, shape (h, w)
        True where every rule holds and every value is finite.
    """
    area = DatasetWindow(window.col, window.row, window.width, window.height)
    height, width = shape or (window.height, window.width)
    looked_at = list(
        measured if rules.nodata_in_all and rules.nodata[measured[0] - 1] is not None else indexes
    )
    pixels = dataset.read(looked_at, window=area, out_shape=(len(looked_at), height, width))
    valid = np.ones((height, width), np.bool_)
    missing = [
        band == rules.nodata[index - 1]
        for band, index in zip(pixels, looked_at, strict=True)
        if rules.nodata[index - 1] is not None
    ]
    if missing:
        together = np.logical_and if rules.nodata_in_all else np.logical_or
        valid &= ~together.reduce(missing)
    if looked_at != list(indexes):
        pixels = pixels[[looked_at.index(index) for index in indexes]]
    if pixels.dtype.kind == "f":
        valid &= np.isfinite(pixels).all(axis=0)
    if rules.alpha is not None:
        valid &= dataset.read(rules.alpha, window=area, out_shape=(height, width)) > 0
    if rules.mask:
        masks = dataset.read_masks(list(indexes), window=area, out_shape=(len(indexes), height, width))
        valid &= (masks > 0).all(axis=0)
    return pixels, valid


def to_float32(
    pixels: NDArray[Any], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cast to float32 with 0 where not valid; what float32 cannot hold (above 3.4e38) becomes not valid."""
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        floats = pixels.astype(np.float32)
    if pixels.dtype == np.float64:
        valid = valid & np.isfinite(floats).all(axis=0)
    if not valid.all():
        floats[:, ~valid] = 0
    return floats, valid


def _in_dtype(value: float | None, dtype: str) -> Any:
    """A nodata value as the band's type holds it, so that float32 bands find their 32-bit value; None if it cannot."""
    if value is None or np.isnan(value):
        return None  # NaN is never valid anyway
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if value != int(value) or not limits.min <= value <= limits.max:
            return None
        return kind.type(int(value))
    with np.errstate(over="ignore"):
        return kind.type(value)
