"""Geodesic areas of pixels, from the equal-area coordinates of their corners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_factors", "area_product", "quad_areas_m2"]

# WGS 84
_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)
_E = np.sqrt(_E2)

_NODES = (9, 17, 33)  # a side; the first is enough but where a block spans a large part of the Earth
_TOLERANCE = 1e-8  # relative error of the interpolation
_QUAD_M = 30.0  # nodes measure a square of about this size: differences of degrees lose digits on tiny pixels

LonLat = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def quad_areas_m2(lons: NDArray[np.float64], lats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas on the WGS 84 ellipsoid of quadrilaterals.

    Parameters
    ----------
    lons, lats : float64 arrays, shape (4, ...)
        Corners in order, degrees; a pole may lie inside.

    Returns
    -------
    float64 array, shape (...)
        Square meters, always positive.

    Notes
    -----
    Corners are moved to the sphere of equal area (authalic latitude: Snyder 1987, doi:10.3133/pp1395, eq. 3-11 and
    3-12), where two spherical triangles are measured as in Van Oosterom and Strackee (1983),
    doi:10.1109/TBME.1983.325207. Sides are then great circles of that sphere instead of geodesics of the ellipsoid,
    which for pixels of 1 km changes areas by less than 1e-9.
    """
    sine = _authalic_q(np.sin(np.radians(lats))) / _Q_POLE
    cosine = np.sqrt(np.maximum((1 - sine) * (1 + sine), 0))
    turn = np.radians(lons)
    corners = np.stack([cosine * np.cos(turn), cosine * np.sin(turn), sine], axis=-1)
    steradians = _triangles(corners[0], corners[1], corners[2]) + _triangles(
        corners[0], corners[2], corners[3]
    )
    return np.abs(steradians) * (_SEMI_MAJOR_M**2 * _Q_POLE / 2)


def _authalic_q(sine: NDArray[np.float64]) -> NDArray[np.float64]:
    return (1 - _E2) * (sine / (1 - _E2 * sine**2) + np.arctanh(_E * sine) / _E)


_Q_POLE = float(_authalic_q(np.array(1.0)))


def _triangles(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed solid angles of spherical triangles, steradians; differences come first to keep the digits of tiny ones."""
    volume = (a * np.cross(b - a, c - a)).sum(axis=-1)
    return 2 * np.arctan2(volume, 1 + (a * b).sum(axis=-1) + (b * c).sum(axis=-1) + (c * a).sum(axis=-1))


def area_factors(
    lonlat: LonLat, row: int, col: int, height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas of the pixels of a window, as two factors.

    Parameters
    ----------
    lonlat : callable
        Columns and rows -> longitudes and latitudes, degrees.
    row, col, height, width : int
        The window.

    Returns
    -------
    float64 arrays, shapes (height, n) and (n, width)
        For :func:`area_product`. Areas are measured at n Chebyshev nodes a side and interpolated by the polynomial
        through them, since they change smoothly; n is 9 where the window is small beside the Earth, at most 33.
    """
    pixel_m2 = float(_squares(lonlat, np.array(row + height / 2 - 0.5), np.array(col + width / 2 - 0.5), 1.0))
    side = float(np.clip(_QUAD_M / max(np.sqrt(pixel_m2), 1e-9), 1, max(1, min(height, width) / 16)))
    for count in _NODES:
        node_rows, weights_rows = _nodes(height, count, side)
        node_cols, weights_cols = _nodes(width, count, side)
        grid_cols, grid_rows = np.meshgrid(col + node_cols, row + node_rows)
        nodes = _squares(lonlat, grid_rows, grid_cols, side) / side**2
        cols_factor = np.ascontiguousarray(area_product(nodes, weights_cols.T))
        probe_rows, probe_cols = _between(node_rows), _between(node_cols)
        probes = area_product(weights_rows[probe_rows], cols_factor[:, probe_cols])
        grid_cols, grid_rows = np.meshgrid(col + probe_cols, row + probe_rows)
        exact = _squares(lonlat, grid_rows.astype(float), grid_cols.astype(float), side) / side**2
        if np.abs(probes / exact - 1).max() < _TOLERANCE:
            break
    return weights_rows, cols_factor


def area_product(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of two factors; every entry is summed in the same order whatever part of the factors is given.

    So BLAS is out: it rounds by the shape of the whole, and starting its threads costs more than they give here.
    """
    product = rows[:, :1] * cols[:1]
    term = np.empty_like(product)
    for k in range(1, rows.shape[1]):
        product += np.multiply(rows[:, k : k + 1], cols[k : k + 1], out=term)
    return product


def _between(nodes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixels halfway between nodes; the pixel itself where there is but one."""
    return np.rint((nodes[1:] + nodes[:-1]) / 2).astype(np.int64) if len(nodes) > 1 else np.zeros(1, np.int64)


def _squares(
    lonlat: LonLat, rows: NDArray[np.float64], cols: NDArray[np.float64], side: float
) -> NDArray[np.float64]:
    """Areas of squares of ``side`` pixels around the middle of pixels."""
    reach = side / 2
    corner_rows = np.stack([rows - reach, rows - reach, rows + reach, rows + reach]) + 0.5
    corner_cols = np.stack([cols - reach, cols + reach, cols + reach, cols - reach]) + 0.5
    return quad_areas_m2(*lonlat(corner_cols, corner_rows))


def _nodes(size: int, count: int, side: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chebyshev-Lobatto nodes over pixels 0 to size - 1, and the matrix that interpolates from them to every pixel.

    Squares of ``side`` around the nodes stay inside: where the scene ends the projection may end, too.
    """
    n = min(count, size)
    if n == 1:
        return np.zeros(1), np.ones((1, 1))
    nodes = (side - 1) / 2 + (1 - np.cos(np.pi * np.arange(n) / (n - 1))) / 2 * (size - side)
    # Barycentric form (Berrut and Trefethen 2004, doi:10.1137/S0036144502417715).
    signs = (-1.0) ** np.arange(n)
    signs[[0, -1]] /= 2
    distance = np.arange(size)[:, None] - nodes[None, :]
    exact = np.abs(distance) < 1e-9
    terms = signs / np.where(exact, 1, distance)
    terms = np.where(exact.any(axis=1, keepdims=True), exact, terms)
    return nodes, terms / terms.sum(axis=1, keepdims=True)
