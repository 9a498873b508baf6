"""Control points of a block: as few as hold linear interpolation between them to a quarter of a texel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["MERCATOR_LAT", "control_points", "interpolate", "web_mercator"]

MERCATOR_LAT = 85.05112877980659  # where the square map of the world ends
_RADIUS_M = 6_378_137.0
_SIDES = (2, 3, 5, 9, 17, 33)
_TOLERANCE_TEXELS = 0.2  # a quarter is promised; probes may miss the worst point by a little

Positions = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def web_mercator(lons: NDArray[np.float64], lats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Web Mercator x, y in meters, float64 (..., 2); longitudes are taken as they are, latitudes clipped to the map."""
    phi = np.radians(np.clip(lats, -MERCATOR_LAT, MERCATOR_LAT))
    return np.stack([np.radians(lons) * _RADIUS_M, np.arcsinh(np.tan(phi)) * _RADIUS_M], axis=-1)


def interpolate(
    points: NDArray[np.float64], row: NDArray[np.float64], col: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions between control points, linear in the two triangles of a cell cut from top left to bottom right.

    Parameters
    ----------
    points : float64 array, shape (n, n, 2)
        Control points, row-major.
    row, col : float64 arrays
        Where, in cells from the first control point, 0 to n - 1.

    Returns
    -------
    float64 array, shape (..., 2)
    """
    last = len(points) - 2
    top, left = np.clip(row.astype(int), 0, last), np.clip(col.astype(int), 0, last)
    down, right = (row - top)[..., None], (col - left)[..., None]
    first, opposite = points[top, left], points[top + 1, left + 1]
    over, under = points[top, left + 1], points[top + 1, left]
    upper = first + right * (over - first) + down * (opposite - over)
    lower = first + down * (under - first) + right * (opposite - under)
    return np.where(right >= down, upper, lower)


def control_points(
    positions: Positions, row: float, col: float, height: float, width: float, texels: tuple[int, int]
) -> NDArray[np.float64]:
    """Choose the control points of a rectangle.

    Parameters
    ----------
    positions : callable
        Columns and rows in pixels -> map positions, float64 (..., 2).
    row, col, height, width : float
        The rectangle, pixels.
    texels : (int, int)
        Texels that it holds, in height and width: errors are measured in them.

    Returns
    -------
    float64 array, shape (n, n, 2)
        Evenly spaced, row-major; n is 2, 3, 5, 9, 17 or 33.
    """
    for probes, sides in ((17, _SIDES[:4]), (65, _SIDES[4:])):
        steps = np.linspace(0, 1, probes)
        grid_cols, grid_rows = np.meshgrid(col + steps * width, row + steps * height)
        exact = positions(grid_cols, grid_rows)
        for side in sides:
            points = exact[:: (probes - 1) // (side - 1), :: (probes - 1) // (side - 1)]
            if side == _SIDES[-1] or _error_texels(points, exact, texels) <= _TOLERANCE_TEXELS:
                return np.ascontiguousarray(points)
    raise AssertionError("the last side returns")


def _error_texels(points: NDArray[np.float64], exact: NDArray[np.float64], texels: tuple[int, int]) -> float:
    """Largest distance between interpolated and exact positions, in texels of the place."""
    probes = len(exact)
    steps = np.linspace(0, len(points) - 1, probes)
    col, row = np.meshgrid(steps, steps)
    error = interpolate(points, row, col) - exact
    down = np.gradient(exact, axis=0) * (probes - 1) / texels[0]  # map distance of a texel
    right = np.gradient(exact, axis=1) * (probes - 1) / texels[1]
    # Solve error = rows * down + cols * right. Where latitudes were clipped the map has no height to measure in.
    area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    flat = np.abs(area) <= 1e-9 * np.abs(area).max()
    area = np.where(flat, np.inf, area)
    rows = (right[..., 0] * error[..., 1] - right[..., 1] * error[..., 0]) / area
    cols = (error[..., 0] * down[..., 1] - error[..., 1] * down[..., 0]) / area
    return float(np.hypot(rows, cols).max())
