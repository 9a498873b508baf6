"""Corners of pixels as coordinates of a file: rounded once, so that whoever shares a corner writes the same digits.

The projection is known exactly at the nodes of a table, bilinear in between; the same positions of the grid give the same numbers
whichever polygon asks for them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from segmentation.errors import UnsupportedSceneError
from segmentation.rasters.georeference import Georeference

__all__ = ["NO_STEP", "Positions"]

NO_STEP = 1 << 30  # larger than any scene
_BOW_PX = 0.05  # of a straight edge; with rounding well under 0.1 px
_TABLE_PX = 0.005  # error of the table
_ROUNDING_PX = 0.01
_MAX_DIGITS = 12
_MAX_NODES = 1 << 20  # of the table, 16 MiB
_SAMPLES = 17  # a side, over the scene

Points = NDArray[np.float64]


class Positions:
    """Where the corners of pixels are written.

    Attributes
    ----------
    digits : int
        Decimals of a coordinate: rounding moves a corner by at most 1/100 px. 0 without CRS.
    step_rows, step_cols : int
        Straight boundaries need a corner at every multiple of these rows and columns, to stay within 0.1 px.
    mirrored : bool
        Whether rings change their sense when they are projected.
    has_pole : bool
        Whether a pole lies in the scene.
    must_cut : bool
        Whether polygons may cross the antimeridian or hold a pole.
    """

    def __init__(self, georeference: Georeference, height: int, width: int) -> None:
        self._georeference = georeference
        self.height, self.width = height, width
        self.digits, self.step_rows, self.step_cols = 0, NO_STEP, NO_STEP
        self.mirrored = self.has_pole = self.must_cut = False
        self._spacing = 0  # pixels between nodes of the table; 0: no table
        if georeference.crs is None:
            return
        self.has_pole = any(self._holds(0.0, pole) for pole in (-90.0, 90.0))
        west, _, east, _ = georeference.bounds or (0.0, 0.0, 0.0, 0.0)
        self.must_cut = self.has_pole or west < -180 - 1e-9 or east > 180 + 1e-9
        self._measure()
        if self.must_cut and east - west > 360 - 1e-6:
            # The sides of the scene meet: the corners of the one must be corners of the other.
            self.step_rows = 1
        self._scale = 10.0**self.digits
        if self._spacing:
            self._rows, self._cols = (_nodes(size, self._spacing) for size in (height, width))
            self._lons, self._lats = self._lonlat(*np.meshgrid(self._cols, self._rows))

    def scaled(self, rows: NDArray[np.int32], cols: NDArray[np.int32]) -> tuple[NDArray, NDArray]:
        """Coordinates of corners times 10^digits.

        Parameters
        ----------
        rows, cols : int32 arrays, shape (n,)
            Corners; 0, 0 is the top left one of the scene.

        Returns
        -------
        x, y : int64 arrays, shape (n,)
            Longitude (unwrapped) and latitude, or column and row without CRS.

        Raises
        ------
        UnsupportedSceneError
            If a corner has no longitude and latitude.
        """
        if self._georeference.crs is None:
            return cols.astype(np.int64), rows.astype(np.int64)
        if self._spacing:
            return _interpolate(
                rows, cols, self._rows, self._cols, self._lons, self._lats, self._spacing, self._scale
            )
        lons, lats = self._lonlat(cols, rows)
        return np.rint(lons * self._scale).astype(np.int64), np.rint(lats * self._scale).astype(np.int64)

    def _lonlat(self, cols: NDArray, rows: NDArray) -> tuple[Points, Points]:
        lons, lats = self._georeference.to_lonlat(cols, rows)
        if not (np.isfinite(lons).all() and np.isfinite(lats).all()):
            raise UnsupportedSceneError(
                "A part of the map lies where its coordinate system has no longitude and latitude, so it cannot be "
                "written as GeoJSON; reproject the image to another coordinate system first."
            )
        return lons, lats

    def _holds(self, lon: float, lat: float) -> bool:
        col, row = self._georeference.from_lonlat(lon, lat)
        if not (0 <= col <= self.width and 0 <= row <= self.height):
            return False
        # On a plain longitude-latitude grid a pole is a whole side of the scene: no ring goes around it.
        _, back = self._georeference.to_lonlat(
            np.array([0.0, self.width]), np.array([float(row), float(row)])
        )
        return bool(np.abs(back - lat).max() > 1e-6)

    def _measure(self) -> None:
        """Set digits, steps, spacing and sense from samples over the scene."""
        middle_cols, middle_rows = self._samples(0, 0)
        jacobian = self._jacobian(middle_cols, middle_rows)
        finite = np.isfinite(jacobian).all(axis=(-2, -1))
        self.mirrored = bool(np.median(np.sign(np.linalg.det(jacobian[finite]))) < 0)
        finest = np.linalg.svd(jacobian[finite], compute_uv=False)[..., -1]  # degrees a pixel, shortest way
        # Where a grid sticks out over a pole, pixels are flat.
        finest_deg = float(finest[finest > 0.05 * np.median(finest)].min())
        self.digits = int(
            np.clip(math.ceil(-math.log10(math.sqrt(2) * _ROUNDING_PX * finest_deg)), 0, _MAX_DIGITS)
        )
        if self.has_pole:  # meridians meet: edges bow without limit
            self.step_rows = self.step_cols = 1
            return
        self.step_cols = self._longest_step(along_cols=True)
        self.step_rows = self._longest_step(along_cols=False)
        spacing = min(self.step_rows, self.step_cols, 1 << max(self.height, self.width).bit_length())
        while spacing >= 4 and self._table_error_px(spacing) > _TABLE_PX:
            spacing //= 2
        n_nodes = (self.height // spacing + 2) * (self.width // spacing + 2)
        self._spacing = spacing if spacing >= 4 and n_nodes <= _MAX_NODES else 0

    def _longest_step(self, *, along_cols: bool) -> int:
        size = self.width if along_cols else self.height
        step = 1 << size.bit_length()
        while step > 1 and self._bow_px(min(step, size), along_cols) > _BOW_PX:
            step //= 2
        return step if step <= size else NO_STEP

    def _bow_px(self, length: int, along_cols: bool) -> float:
        """How far edges of a length are from straight, at worst: pixels across the edge."""
        right, down = (length, 0) if along_cols else (0, length)
        cols, rows = self._samples(right, down)
        start, end = self._points(cols, rows), self._points(cols + right, rows + down)
        worst = 0.0
        for share in (0.25, 0.5, 0.75):  # one alone may be zero by symmetry
            col, row = cols + share * right, rows + share * down
            offset = self._offset_px(_between(start, end, share), self._points(col, row), col, row)
            worst = max(worst, float(np.abs(offset[..., 1 if along_cols else 0]).max()))
        return worst

    def _table_error_px(self, spacing: int) -> float:
        """How far bilinear interpolation is off in the middle of cells, at worst: pixels."""
        right, down = min(spacing, self.width), min(spacing, self.height)
        cols, rows = self._samples(right, down)
        top = _between(self._points(cols, rows), self._points(cols + right, rows), 0.5)
        bottom = _between(self._points(cols, rows + down), self._points(cols + right, rows + down), 0.5)
        col, row = cols + right / 2, rows + down / 2
        offset = self._offset_px(_between(top, bottom, 0.5), self._points(col, row), col, row)
        return float(np.abs(offset).max())

    def _samples(self, right: int, down: int) -> tuple[Points, Points]:
        """Columns and rows spread over the scene, such that so much more fits in."""
        cols = np.linspace(0, self.width - right, _SAMPLES)
        rows = np.linspace(0, self.height - down, _SAMPLES)
        grid_cols, grid_rows = np.meshgrid(cols, rows)
        return grid_cols, grid_rows

    def _points(self, cols: Points, rows: Points) -> Points:
        return np.stack(self._georeference.to_lonlat(cols, rows), axis=-1)

    def _offset_px(self, guess: Points, exact: Points, cols: Points, rows: Points) -> Points:
        """A difference of positions in pixels; infinite where the projection is singular."""
        jacobian = self._jacobian(cols, rows)
        difference = _wrapped(guess - exact)
        numbers = np.concatenate([jacobian.reshape(*cols.shape, 4), difference], axis=-1)
        determinant = np.linalg.det(np.where(np.isfinite(jacobian), jacobian, 0))
        usable = np.isfinite(numbers).all(axis=-1) & (np.abs(determinant) > 0)
        offset = np.full(difference.shape, np.inf)
        offset[usable] = np.linalg.solve(jacobian[usable], difference[usable][..., None])[..., 0]
        return offset

    def _jacobian(self, cols: Points, rows: Points) -> Points:
        """Change of longitude and latitude with column and row: (..., 2, 2), degrees a pixel."""
        cols, rows = np.clip(cols, 0.5, self.width - 0.5), np.clip(rows, 0.5, self.height - 0.5)
        by_col = self._points(cols + 0.5, rows) - self._points(cols - 0.5, rows)
        by_row = self._points(cols, rows + 0.5) - self._points(cols, rows - 0.5)
        return _wrapped(np.stack([by_col, by_row], axis=-1), axis=-2)


def _between(start: Points, end: Points, share: float) -> Points:
    return start + share * _wrapped(end - start)


def _wrapped(difference: Points, axis: int = -1) -> Points:
    """A difference of positions with the one of longitudes in [-180, 180]."""
    turns = np.zeros_like(difference)
    np.moveaxis(turns, axis, 0)[0] = 360 * np.rint(np.moveaxis(difference, axis, 0)[0] / 360)
    return difference - turns


def _nodes(size: int, spacing: int) -> NDArray[np.int64]:
    """Multiples of the spacing, and the end of the scene instead of what is beyond."""
    return np.minimum(np.arange(0, size + spacing, spacing), size)


@numba.njit(nogil=True, cache=True)
def _interpolate(rows, cols, node_rows, node_cols, lons, lats, spacing, scale):  # type: ignore[no-untyped-def]
    x, y = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        row, col = rows[i], cols[i]
        top, left = min(row // spacing, len(node_rows) - 2), min(col // spacing, len(node_cols) - 2)
        down = (row - node_rows[top]) / (node_rows[top + 1] - node_rows[top])
        right = (col - node_cols[left]) / (node_cols[left + 1] - node_cols[left])
        upper = lons[top, left] * (1 - right) + lons[top, left + 1] * right
        lower = lons[top + 1, left] * (1 - right) + lons[top + 1, left + 1] * right
        x[i] = np.int64(np.rint((upper * (1 - down) + lower * down) * scale))
        upper = lats[top, left] * (1 - right) + lats[top, left + 1] * right
        lower = lats[top + 1, left] * (1 - right) + lats[top + 1, left + 1] * right
        y[i] = np.int64(np.rint((upper * (1 - down) + lower * down) * scale))
    return x, y
