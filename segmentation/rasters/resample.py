"""Pixels of one grid at the places of another: compiled, and without holding up other threads."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["blend", "pick", "spread"]

_COMPILED = ("uint8", "uint16", "int16", "float32")  # each is compiled once; others go through float64


def pick(
    values: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The pixel in which each place lies. Arguments and results as of :func:`blend`."""
    _, height, width = values.shape
    shown = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)  # False for what is not finite
    col = np.where(shown, cols, 0).astype(np.int64)
    row = np.where(shown, rows, 0).astype(np.int64)
    if valid is not None:
        shown &= valid[row, col]
    return np.where(shown, values[:, row, col], np.zeros((), values.dtype)), shown


def blend(
    values: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
    step_x: float,
    step_y: float,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Weigh the pixels around each place, the more the nearer (bilinear, widened where places are further apart than pixels).

    Parameters
    ----------
    values : array (B, H, W)
    valid : bool array (H, W), or None
        Pixels that hold data; None: all. The others take no part.
    cols, rows : float64 arrays (h, w)
        Places, in pixels from the top left corner: the middle of the first pixel is 0.5, 0.5. Not finite: nowhere.
    step_x, step_y : float
        Distance of neighboring places, in pixels; what is at most 1 is plain bilinear interpolation.

    Returns
    -------
    blended : array (B, h, w)
        In the type of ``values``, whole numbers rounded; 0 where not shown.
    shown : bool array (h, w)
        True where the place lies in a pixel with data.

    Notes
    -----
    The triangle kernel with a radius of one step is what GDAL's warper uses for "bilinear" when it reduces.
    """
    kept = values.dtype
    work = values if kept.name in _COMPILED else values.astype(np.float64)
    out = np.zeros((len(values), *cols.shape), work.dtype)
    shown = np.zeros(cols.shape, np.bool_)
    mask = np.ones((1, 1), np.bool_) if valid is None else valid
    whole = kept.kind in "iu"
    _blend(work, mask, valid is not None, cols, rows, max(1.0, step_x), max(1.0, step_y), whole, out, shown)
    return out.astype(kept, copy=False), shown


@numba.njit("float64[:,::1](float64[:,::1], int64)", nogil=True, cache=True)
def spread(nodes, side):  # type: ignore[no-untyped-def]
    """Enlarge an evenly spaced grid to ``side`` x ``side``, its corners kept, linear between its nodes.

    Not as a product of matrices: the threads of a linear algebra library cost more than so small a product.
    """
    last = len(nodes) - 1
    out = np.empty((side, side))
    scale = last / (side - 1)
    for i in range(side):
        top = min(int(i * scale), last - 1)
        down = i * scale - top
        for j in range(side):
            left = min(int(j * scale), last - 1)
            right = j * scale - left
            upper = nodes[top, left] + right * (nodes[top, left + 1] - nodes[top, left])
            lower = nodes[top + 1, left] + right * (nodes[top + 1, left + 1] - nodes[top + 1, left])
            out[i, j] = upper + down * (lower - upper)
    return out


@numba.njit(nogil=True, cache=True)
def _blend(values, valid, masked, cols, rows, radius_x, radius_y, whole, out, shown):  # type: ignore[no-untyped-def]
    n_bands, height, width = values.shape
    weights = np.empty(int(2 * radius_x) + 3)
    sums = np.empty(n_bands)
    for i in range(cols.shape[0]):
        for j in range(cols.shape[1]):
            x, y = cols[i, j], rows[i, j]
            if not (x >= 0 and x < width and y >= 0 and y < height):
                continue
            if masked and not valid[int(y), int(x)]:
                continue
            left = max(0, math.floor(x - 0.5 - radius_x) + 1)
            right = min(width - 1, math.ceil(x - 0.5 + radius_x) - 1)
            top = max(0, math.floor(y - 0.5 - radius_y) + 1)
            bottom = min(height - 1, math.ceil(y - 0.5 + radius_y) - 1)
            for col in range(left, right + 1):
                weights[col - left] = 1.0 - abs(col + 0.5 - x) / radius_x
            total = 0.0
            sums[:] = 0.0
            for row in range(top, bottom + 1):
                weight_y = 1.0 - abs(row + 0.5 - y) / radius_y
                for col in range(left, right + 1):
                    if masked and not valid[row, col]:
                        continue
                    weight = weight_y * weights[col - left]
                    total += weight
                    for band in range(n_bands):
                        sums[band] += weight * values[band, row, col]
            if total <= 0.0:
                continue
            shown[i, j] = True
            for band in range(n_bands):
                value = sums[band] / total
                out[band, i, j] = math.floor(value + 0.5) if whole else value
