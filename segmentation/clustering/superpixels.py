"""Superpixels: small regions of like pixels, found block by block, so that blocks need not know each other.

SLIC (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120) with each pixel looking only at the centers of the 3 x 3 grid
cells around it (as in gSLICr, Ren et al. 2015, arXiv:1509.04232): no search windows, one pass over memory per round.
Written here because scikit-image's takes 0.5 to 1 s a megapixel and this is the largest part of a segmentation.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError

__all__ = ["MAX_SUPERPIXEL_PX", "MIN_SUPERPIXEL_PX", "default_superpixel_px", "find_superpixels"]

MIN_SUPERPIXEL_PX, MAX_SUPERPIXEL_PX = 10, 40
_ROUNDS = 5
_SMALLEST_PART = 0.25  # of the wanted size; smaller connected parts join a neighbor
_DOWN, _RIGHT = (1, -1, 0, 0), (0, 0, 1, -1)


def default_superpixel_px(gsd_m: float | None) -> int:
    """Area in pixels that suits a pixel size on the ground: finer images need larger superpixels.

    Parameters
    ----------
    gsd_m : float or None
        Pixel size in meters; None where the scene has no CRS.

    Returns
    -------
    int
        16 (10 m and coarser) to 36 (0.5 m and finer), in between by the logarithm; 25 where unknown.
    """
    if gsd_m is None or not gsd_m > 0:
        return 25
    share = np.clip(np.log(10 / gsd_m) / np.log(10 / 0.5), 0, 1)
    return round(float(16 + 20 * share))


def find_superpixels(
    channels: NDArray[np.float32], valid: NDArray[np.bool_], superpixel_px: int, compactness: float = 0.12
) -> tuple[NDArray[np.int32], int]:
    """Divide one block into superpixels of about the given area.

    Parameters
    ----------
    channels : float32 array, shape (C, H, W)
        Scaled bands (no unit; about one between the darkest and the brightest).
    valid : bool array, shape (H, W)
        True where all bands hold data.
    superpixel_px : int
        Wanted area in pixels, 10 to 40.
    compactness : float
        Color difference that weighs as much as the distance between two centers; larger is rounder.

    Returns
    -------
    labels : int32 array, shape (H, W)
        Superpixel of each pixel in [0, n), connected by edges; -1 where not valid.
    n : int
        Number of superpixels.

    Raises
    ------
    InvalidArgumentError
        If the area is outside its range.
    """
    if not MIN_SUPERPIXEL_PX <= superpixel_px <= MAX_SUPERPIXEL_PX:
        raise InvalidArgumentError(
            f"The superpixel size is {superpixel_px} pixels; "
            f"choose one from {MIN_SUPERPIXEL_PX} to {MAX_SUPERPIXEL_PX}."
        )
    step = float(np.sqrt(superpixel_px))
    pixels = np.ascontiguousarray(np.moveaxis(channels, 0, -1), dtype=np.float32)
    labels = _slic(pixels, valid, step, np.float32((compactness / step) ** 2), _ROUNDS)
    return _connect(labels, pixels, max(1, int(superpixel_px * _SMALLEST_PART)))


# Not full fastmath, which assumes that there are no infinities.
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "arcp", "nsz"})
def _slic(pixels, valid, step, space_weight, rounds):  # type: ignore[no-untyped-def]
    height, width, n_channels = pixels.shape
    grid_rows = max(1, round(height / step))
    grid_cols = max(1, round(width / step))
    n = grid_rows * grid_cols
    centers = np.zeros((n, n_channels), np.float32)
    places = np.zeros((n, 2), np.float32)
    labels = np.empty((height, width), np.int32)
    row_cell = np.empty(height, np.int32)
    col_cell = np.empty(width, np.int32)
    for row in range(height):
        row_cell[row] = min(grid_rows - 1, row * grid_rows // height)
    for col in range(width):
        col_cell[col] = min(grid_cols - 1, col * grid_cols // width)
    for row in range(height):  # start: every pixel belongs to its own cell
        for col in range(width):
            labels[row, col] = row_cell[row] * grid_cols + col_cell[col] if valid[row, col] else -1
    counts = np.zeros(n, np.float32)
    color = np.empty(n_channels, np.float32)
    for _ in range(rounds):
        centers[:] = 0
        places[:] = 0
        counts[:] = 0
        for row in range(height):
            for col in range(width):
                label = labels[row, col]
                if label >= 0:
                    counts[label] += 1
                    places[label, 0] += row
                    places[label, 1] += col
                    for c in range(n_channels):
                        centers[label, c] += pixels[row, col, c]
        for label in range(n):
            if counts[label] > 0:
                share = np.float32(1) / counts[label]
                places[label, 0] *= share
                places[label, 1] *= share
                for c in range(n_channels):
                    centers[label, c] *= share
        for row in range(height):
            first_row, last_row = max(row_cell[row] - 1, 0), min(row_cell[row] + 1, grid_rows - 1)
            for col in range(width):
                if not valid[row, col]:
                    continue
                for c in range(n_channels):
                    color[c] = pixels[row, col, c]
                best, best_label = np.float32(np.inf), labels[row, col]
                first_col, last_col = max(col_cell[col] - 1, 0), min(col_cell[col] + 1, grid_cols - 1)
                for grid_row in range(first_row, last_row + 1):
                    for grid_col in range(first_col, last_col + 1):
                        label = grid_row * grid_cols + grid_col
                        if counts[label] == 0:
                            continue
                        down, right = row - places[label, 0], col - places[label, 1]
                        distance = (down * down + right * right) * space_weight
                        for c in range(n_channels):
                            difference = color[c] - centers[label, c]
                            distance += difference * difference
                        if distance < best:
                            best, best_label = distance, label
                labels[row, col] = best_label
    return labels


@numba.njit(nogil=True, cache=True)
def _connect(labels, pixels, smallest):  # type: ignore[no-untyped-def]
    """Give each 4-connected part its own number; parts below ``smallest`` join the neighbor most like them."""
    height, width, n_channels = pixels.shape
    part_of = np.full((height, width), -1, np.int32)
    stack = np.empty((height * width, 2), np.int32)
    sizes = np.empty(height * width, np.int32)
    n = 0
    for start_row in range(height):
        for start_col in range(width):
            label = labels[start_row, start_col]
            if label < 0 or part_of[start_row, start_col] >= 0:
                continue
            part_of[start_row, start_col] = n
            stack[0, 0], stack[0, 1] = start_row, start_col
            size, done = 1, 0
            while done < size:
                row, col = stack[done]
                done += 1
                for side in range(4):
                    next_row, next_col = row + _DOWN[side], col + _RIGHT[side]
                    if not (0 <= next_row < height and 0 <= next_col < width):
                        continue
                    if labels[next_row, next_col] == label and part_of[next_row, next_col] < 0:
                        part_of[next_row, next_col] = n
                        stack[size, 0], stack[size, 1] = next_row, next_col
                        size += 1
            sizes[n] = size
            n += 1
    means = np.zeros((n, n_channels), np.float32)
    for row in range(height):
        for col in range(width):
            part = part_of[row, col]
            if part >= 0:
                for c in range(n_channels):
                    means[part, c] += pixels[row, col, c] / sizes[part]
    root = np.arange(n)
    nearest = np.full(n, np.float32(np.inf))
    likest = np.arange(n)
    for row in range(height):
        for col in range(width):
            part = part_of[row, col]
            if part < 0 or sizes[part] >= smallest:
                continue
            for side in range(4):
                next_row, next_col = row + _DOWN[side], col + _RIGHT[side]
                if 0 <= next_row < height and 0 <= next_col < width:
                    other = part_of[next_row, next_col]
                    if other >= 0 and other != part:
                        distance = np.float32(0)
                        for c in range(n_channels):
                            distance += (means[part, c] - means[other, c]) ** 2
                        if distance < nearest[part]:
                            nearest[part], likest[part] = distance, other
    for part in range(n):  # two small parts may have chosen each other: a union, not a pointer
        a, b = _root(root, part), _root(root, likest[part])
        root[max(a, b)] = min(a, b)
    numbers = np.full(n, -1, np.int32)
    count = 0
    for part in range(n):
        top = _root(root, part)
        if numbers[top] < 0:
            numbers[top] = count
            count += 1
        numbers[part] = numbers[top]
    for row in range(height):
        for col in range(width):
            if part_of[row, col] >= 0:
                part_of[row, col] = numbers[part_of[row, col]]
    return part_of, count


@numba.njit(nogil=True, cache=True)
def _root(root, part):  # type: ignore[no-untyped-def]
    while root[part] != part:
        root[part] = root[root[part]]
        part = root[part]
    return part
