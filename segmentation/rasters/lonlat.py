"""Between a scene's grid and longitude, latitude: which CRS counts, one transformer a thread, no jump at +-180."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from pyproj.enums import TransformDirection
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError

__all__ = ["GridProjection", "border", "earth_crs"]

_EARTH_RADIUS_M = 6_378_137.0
_TABLE = 33  # nodes a side of the table of longitudes; their steps stay under 180 degrees even on a world map
_KEPT_TRANSFORMERS = 32  # of each thread

_threads = threading.local()


def earth_crs(crs: Any, transform: Affine | None = None, height: int = 0, width: int = 0) -> CRS | None:
    """Give the CRS back where its coordinates have a longitude and latitude on Earth, else None.

    Parameters
    ----------
    crs : rasterio CRS, pyproj CRS, WKT, "EPSG:..." or None
        Local and engineering systems, geocentric ones and those of other planets count as none.
    transform, height, width : optional
        Grid of a scene; with it, the CRS also counts as none where a point of the grid's border has no
        longitude and latitude (a full-disk view from a geostationary orbit, a degenerate transform).
    """
    try:
        if isinstance(crs, pyproj.CRS):
            crs = crs.to_wkt()
        found = CRS.from_user_input(crs) if crs else None
        if not found:
            return None
        wkt = found.to_wkt(version="WKT2_2019")
        horizontal = _horizontal(wkt)
        ellipsoid = horizontal.ellipsoid
        flat = horizontal.is_geographic or horizontal.is_projected
        if not flat or ellipsoid is None or abs(ellipsoid.semi_major_metre / _EARTH_RADIUS_M - 1) > 0.01:
            return None
        _transformer(wkt)
    except (CRSError, ProjError):  # not a CRS, or one from which PROJ knows no way: it has no place on Earth
        return None
    if transform is not None and not _is_on_earth(GridProjection(transform, found, height, width)):
        return None
    return found


def _is_on_earth(grid: GridProjection) -> bool:
    """Whether every probed point of the grid's border has a longitude and latitude."""
    if not np.isfinite(grid.transform.determinant) or grid.transform.determinant == 0:
        return False
    cols, rows = border(grid.height, grid.width, 16)
    y = grid.transform.d * cols + grid.transform.e * rows + grid.transform.f
    if np.abs(y).max() > 1.01 * grid.y_limit:
        return False  # no cells that stick out over a pole, but meters or pixels taken for degrees
    lons, lats = grid.raw_lonlat(cols, rows)
    return bool((np.isfinite(lons) & np.isfinite(lats) & (np.abs(lons) <= 720)).all())


def border(height: int, width: int, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows of a closed ring around a grid, ``steps`` points a side."""
    along = np.arange(steps) / steps
    zero = np.zeros(steps)
    rows = np.concatenate([along, zero + 1, 1 - along, zero, [0.0]]) * height
    cols = np.concatenate([zero, along, zero + 1, 1 - along, [0.0]]) * width
    return cols, rows


def _horizontal(wkt: str) -> pyproj.CRS:
    crs = pyproj.CRS.from_wkt(wkt)
    return crs.sub_crs_list[0] if crs.is_compound else crs


def _transformer(wkt: str) -> pyproj.Transformer:
    """The transformer from a CRS to longitude, latitude (WGS 84) of this thread: they are not to be shared."""
    kept: dict[str, pyproj.Transformer] = _threads.__dict__.setdefault("transformers", {})
    if wkt not in kept:
        if len(kept) >= _KEPT_TRANSFORMERS:
            kept.clear()
        kept[wkt] = pyproj.Transformer.from_crs(_horizontal(wkt), "EPSG:4326", always_xy=True)
    return kept[wkt]


class GridProjection:
    """Pixel coordinates of one scene <-> longitude, latitude, in the frame of the scene.

    Longitudes run on without a jump over the scene: it starts at a west in [-180, 180) and may end beyond 180.
    """

    def __init__(self, transform: Affine, crs: CRS, height: int, width: int) -> None:
        self.transform = transform
        self.height, self.width = height, width
        self._wkt = crs.to_wkt(version="WKT2_2019")

    @cached_property
    def _crs(self) -> pyproj.CRS:
        return _horizontal(self._wkt)

    @cached_property
    def y_limit(self) -> float:
        """Largest ordinate that exists: 90 degrees in the unit of a geographic CRS."""
        if not self._crs.is_geographic:
            return float("inf")
        return float(np.pi / 2 / self._crs.axis_info[0].unit_conversion_factor)

    def raw_lonlat(self, cols: ArrayLike, rows: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude as PROJ gives them, degrees; infinite where there are none."""
        cols, rows = np.asarray(cols, np.float64), np.asarray(rows, np.float64)
        a, b, c, d, e, f = self.transform[:6]
        # Grids of cell centers that start on a pole stick out half a cell.
        y = np.clip(d * cols + e * rows + f, -self.y_limit, self.y_limit)
        x = np.array(a * cols + b * rows + c)
        lons, lats = _transformer(self._wkt).transform(x, y)
        return np.asarray(lons, np.float64), np.asarray(lats, np.float64)

    def to_lonlat(self, cols: ArrayLike, rows: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of pixel coordinates, degrees, longitudes unwrapped."""
        cols, rows = np.broadcast_arrays(np.asarray(cols, np.float64), np.asarray(rows, np.float64))
        lons, lats = self.raw_lonlat(cols, rows)
        if not self._wraps:
            return lons, lats
        near = self._near_lons(cols, rows)
        return lons + 360 * np.round((near - lons) / 360), lats

    def from_lonlat(
        self, lons: ArrayLike, lats: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Column and row (fractional, from the grid's top left corner) of longitudes in the frame of the scene."""
        lons, lats = np.asarray(lons, np.float64), np.asarray(lats, np.float64)
        x, y = _transformer(self._wkt).transform(lons, lats, direction=TransformDirection.INVERSE)
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if self._period is not None:
            period, origin_x, origin_lon = self._period
            x = x + period * np.round((origin_x + (lons - origin_lon) * period / 360 - x) / period)
        a, b, c, d, e, f = (~self.transform)[:6]
        there = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(there, x, 0), np.where(there, y, 0)
        return np.where(there, a * x + b * y + c, np.inf), np.where(there, d * x + e * y + f, np.inf)

    @cached_property
    def center_lon(self) -> float:
        """Longitude of the middle of the grid in the frame of the scene."""
        return float(self._lon_table[_TABLE // 2, _TABLE // 2])

    @cached_property
    def _period(self) -> tuple[float, float, float] | None:
        """Where x is linear in longitude: the x of a full turn; x and longitude at the center. Else None."""
        transformer = _transformer(self._wkt)
        probe_lons = self.center_lon + np.array([-40.0, 0.0, 40.0, -40.0, 40.0])
        x, _ = transformer.transform(probe_lons, [0.0, 0, 0, 50, 50], direction=TransformDirection.INVERSE)
        steps = np.diff(x[:3])
        if not np.isfinite(x).all():
            return None
        if self._crs.is_geographic:
            period = 2 * np.pi / self._crs.axis_info[0].unit_conversion_factor
        else:
            period = 4.5 * float(np.abs(steps).min()) * 2  # 40 degrees = 1/9 of the way around
        # Steps across the seam are short of a period, or over by one.
        steps -= period * np.round((steps - np.sign(steps[np.abs(steps).argmin()]) * period / 9) / period)
        shift = (x[3:] - x[[0, 2]]) / period
        if np.abs(steps - steps[0]).max() > 1e-6 * period or np.abs(shift - np.round(shift)).max() > 1e-6:
            return None
        a, b, c = self.transform[:3]
        origin_x = a * self.width / 2 + b * self.height / 2 + c
        return float(np.sign(steps[0]) * period), float(origin_x), self.center_lon

    @cached_property
    def _lon_table(self) -> NDArray[np.float64]:
        """Unwrapped longitudes of nodes evenly spaced over the grid."""
        cols, rows = np.meshgrid(np.linspace(0, self.width, _TABLE), np.linspace(0, self.height, _TABLE))
        lons, _ = self.raw_lonlat(cols, rows)
        middle = _TABLE // 2
        lons = np.where(np.isfinite(lons), lons, lons[middle, middle])
        column = np.unwrap(lons[:, middle], period=360)
        lons = np.unwrap(lons, axis=1, period=360)
        lons += (column - lons[:, middle])[:, None]
        west, east = float(lons.min()), float(lons.max())
        if east - west >= 350:  # of a world map the middle decides: its west may be a hair beyond -180
            start = (west + east) / 2
            turns = -np.ceil((start - 180) / 360)
        else:
            turns = -np.floor((west + 180) / 360)
        return lons + 360 * turns

    @cached_property
    def _wraps(self) -> bool:
        """Whether longitudes as PROJ gives them may need turns."""
        table = self._lon_table
        cols, rows = np.meshgrid(np.linspace(0, self.width, _TABLE), np.linspace(0, self.height, _TABLE))
        raw, _ = self.raw_lonlat(cols, rows)
        return bool((np.abs(raw) > 170).any() or not np.allclose(raw, table, atol=1e-6, rtol=0))

    def _near_lons(self, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Longitudes within 180 degrees of the true ones, from the table."""
        steps = _TABLE - 1
        col = np.clip(cols / self.width * steps, 0, steps)
        row = np.clip(rows / self.height * steps, 0, steps)
        left, top = np.minimum(col.astype(int), steps - 1), np.minimum(row.astype(int), steps - 1)
        right_share, low_share = col - left, row - top
        table = self._lon_table
        upper = table[top, left] * (1 - right_share) + table[top, left + 1] * right_share
        lower = table[top + 1, left] * (1 - right_share) + table[top + 1, left + 1] * right_share
        return upper * (1 - low_share) + lower * low_share
