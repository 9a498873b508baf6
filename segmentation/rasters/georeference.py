"""Where a scene lies: positions, areas and areas of interest on its pixel grid.

Pixel coordinates are ``col, row``, fractional, from the top left corner of the grid: the center of the first pixel is
(0.5, 0.5). A scene without CRS has no place on Earth; there x is the column and y the row, and areas are None.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict, deque
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from segmentation.errors import AreaOfInterestError, InvalidArgumentError
from segmentation.rasters.aoi import ScanEdges, densified, parse_area, to_geojson
from segmentation.rasters.areas import area_factors, area_product, quad_areas_m2
from segmentation.rasters.lonlat import GridProjection, border, earth_crs
from segmentation.rasters.mesh import control_points, web_mercator
from segmentation.rasters.windows import BLOCK

__all__ = ["Georeference", "earth_crs"]

_OUTLINE_STEPS = 32  # points a side
_KEPT_AREAS = 16  # areas of interest
_KEPT_FACTORS = 256  # blocks, 74 kB each
_CLIP_MARGIN = 0.1  # of the scene's extent: an area of interest is cut to this before it is projected


class Georeference:
    """The grid of a scene on the ground.

    Parameters
    ----------
    transform : Affine
        Pixel (col, row) -> CRS coordinates, as in rasterio; may be rotated, sheared or south-up.
    crs : rasterio CRS or None
        Counts as None where it gives no longitude and latitude on Earth for this grid.
    height, width : int
        Pixels of the scene.
    """

    def __init__(self, transform: Affine, crs: Any, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise InvalidArgumentError(f"A scene of {height} x {width} pixels has no grid.")
        self.transform = Affine(*tuple(transform)[:6])
        self.height, self.width = int(height), int(width)
        self.crs = earth_crs(crs, self.transform, self.height, self.width)
        self._grid = (
            None if self.crs is None else GridProjection(self.transform, self.crs, self.height, self.width)
        )
        self._lock = threading.Lock()
        self._edges: deque[tuple[dict[str, Any], ScanEdges]] = deque(maxlen=_KEPT_AREAS)
        self._factors: OrderedDict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = (
            OrderedDict()
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"transform": self.transform, "crs": self.crs, "height": self.height, "width": self.width}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # Positions

    def to_lonlat(self, cols: ArrayLike, rows: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude (degrees) of pixel coordinates; the coordinates themselves without CRS.

        Longitudes run on over the antimeridian: they start at the scene's west in [-180, 180).
        """
        if self._grid is None:
            return np.array(cols, np.float64), np.array(rows, np.float64)
        return self._grid.to_lonlat(cols, rows)

    def from_lonlat(
        self, lons: ArrayLike, lats: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Columns and rows of longitudes and latitudes (degrees, any turn); infinite where the CRS has none."""
        lons, lats = np.array(lons, np.float64), np.array(lats, np.float64)
        if self._grid is None or self.bounds is None:
            return lons, lats
        west, _, east, _ = self.bounds
        away = np.maximum(west - lons, lons - east) > 1e-9
        turns = np.where(away, np.round((self._grid.center_lon - lons) / 360), 0)
        return self._grid.from_lonlat(lons + 360 * turns, lats)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north in degrees, east > 180 across the antimeridian; None without CRS."""
        if self._grid is None:
            return None
        lons, lats = self._grid.to_lonlat(*border(self.height, self.width, 4 * _OUTLINE_STEPS))
        west, south, east, north = (float(edge) for edge in (lons.min(), lats.min(), lons.max(), lats.max()))
        for pole in (-90.0, 90.0):
            col, row = self._grid.from_lonlat(self._grid.center_lon, pole)
            if 0 <= col <= self.width and 0 <= row <= self.height and not south <= pole <= north:
                west, east = -180.0, 180.0
                south, north = min(south, pole), max(north, pole)
        return west, south, east, north

    @cached_property
    def outline(self) -> list[list[float]]:
        """Closed ring of ``[lon, lat]`` (pixel ``[x, y]`` without CRS) around the grid, counter-clockwise."""
        lons, lats = self.to_lonlat(*border(self.height, self.width, _OUTLINE_STEPS if self._grid else 1))
        ring = shapely.LinearRing(np.stack([lons, lats], axis=1))
        ring = ring if ring.is_ccw else shapely.reverse(ring)
        points: list[list[float]] = shapely.get_coordinates(ring).tolist()
        return points

    @cached_property
    def gsd_m(self) -> float | None:
        """Size of a pixel on the ground at the center of the scene, meters; None without CRS."""
        if self._grid is None:
            return None
        cols = self.width / 2 + np.array([-0.5, 0.5, 0.5, -0.5])
        rows = self.height / 2 + np.array([-0.5, -0.5, 0.5, 0.5])
        return float(np.sqrt(quad_areas_m2(*self._grid.to_lonlat(cols, rows))))

    def block_mesh(self, level: int, row: int, col: int) -> NDArray[np.float64]:
        """Control points of a block of the pyramid.

        Parameters
        ----------
        level, row, col : int
            The block: at ``level`` a texel covers 2^level x 2^level pixels.

        Returns
        -------
        float64 array, shape (n, n, 2)
            Web Mercator x, y (meters) of points evenly spaced over the used texels, row-major from the top left corner;
            linear interpolation in the two triangles of each cell (cut from top left to bottom right) is within a
            quarter texel of the exact positions. x runs on over the antimeridian. Without CRS x, y are column and row.

        Raises
        ------
        InvalidArgumentError
            If there is no such block.
        """
        size = 2**level if 0 <= level < 63 else 0
        used_height = min(BLOCK, -(-self.height // size) - row * BLOCK) if size else 0
        used_width = min(BLOCK, -(-self.width // size) - col * BLOCK) if size else 0
        if min(used_height, used_width) < 1 or min(row, col) < 0:
            raise InvalidArgumentError(f"There is no block {row}, {col} at level {level} of this scene.")
        # The last texels may stick out of the scene, and the mesh with them.
        top, left = row * BLOCK * size, col * BLOCK * size
        return control_points(
            self._positions, top, left, used_height * size, used_width * size, (used_height, used_width)
        )

    def _positions(self, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._grid is None:
            return np.stack([cols, rows], axis=-1)
        places = web_mercator(*self._grid.to_lonlat(cols, rows))
        if not np.isfinite(places).all():  # a texel sticks out of the place where the projection ends
            cols, rows = np.minimum(cols, self.width), np.minimum(rows, self.height)
            places = web_mercator(*self._grid.to_lonlat(cols, rows))
        return places

    # Areas

    def pixel_areas_m2(self, row: int, col: int, height: int, width: int) -> NDArray[np.float64] | None:
        """Geodesic areas of the pixels of a window inside the scene.

        Returns
        -------
        float64 array, shape (height, width), or None
            Square meters on the WGS 84 ellipsoid, the same to the bit whatever the window; None without CRS.

        Raises
        ------
        InvalidArgumentError
            If the window is not inside the scene.
        """
        if (
            min(row, col) < 0
            or min(height, width) < 1
            or row + height > self.height
            or col + width > self.width
        ):
            raise InvalidArgumentError(
                f"The window of {height} x {width} pixels at {row}, {col} is not inside the scene of "
                f"{self.height} x {self.width} pixels."
            )
        if self._grid is None:
            return None
        areas = np.empty((height, width))
        for block_row in range(row // BLOCK, -(-(row + height) // BLOCK)):
            for block_col in range(col // BLOCK, -(-(col + width) // BLOCK)):
                rows_factor, cols_factor = self._area_factors(block_row, block_col)
                top, left = block_row * BLOCK, block_col * BLOCK
                first_row, end_row = max(row, top), min(row + height, top + len(rows_factor))
                first_col, end_col = max(col, left), min(col + width, left + cols_factor.shape[1])
                areas[first_row - row : end_row - row, first_col - col : end_col - col] = area_product(
                    rows_factor[first_row - top : end_row - top],
                    cols_factor[:, first_col - left : end_col - left],
                )
        return areas

    def _area_factors(
        self, block_row: int, block_col: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two narrow matrices whose product is the areas of a block: they are kept, the areas would be too large."""
        key = (block_row, block_col)
        with self._lock:
            if key in self._factors:
                self._factors.move_to_end(key)
                return self._factors[key]
        row, col = block_row * BLOCK, block_col * BLOCK
        height, width = min(BLOCK, self.height - row), min(BLOCK, self.width - col)
        if self._is_plain_lonlat:
            # Every pixel of a row is alike, and exactly known; at a pole the last row is cut off.
            rows, left = row + np.arange(height), np.full(height, col)
            corner_rows = np.stack([rows, rows, rows + 1, rows + 1])
            lons, lats = self._projection.to_lonlat(np.stack([left, left + 1, left + 1, left]), corner_rows)
            factors = quad_areas_m2(lons, lats)[:, None], np.ones((1, width))
        else:
            factors = area_factors(self._projection.to_lonlat, row, col, height, width)
        with self._lock:
            self._factors[key] = factors
            while len(self._factors) > _KEPT_FACTORS:
                self._factors.popitem(last=False)
        return factors

    @property
    def _projection(self) -> GridProjection:
        if self._grid is None:
            raise InvalidArgumentError("A scene without coordinate system has no place on Earth.")
        return self._grid

    @cached_property
    def _is_plain_lonlat(self) -> bool:
        """Whether rows are parallels of WGS 84, unrotated."""
        if self.crs is None or not self.crs.is_geographic or self.transform.b != 0 or self.transform.d != 0:
            return False
        cols, rows = np.linspace(0, self.width, 5), np.linspace(0, self.height, 5)
        lons, lats = self._projection.to_lonlat(cols, rows)
        given = np.clip(self.transform.e * rows + self.transform.f, -90, 90)
        step = np.diff(lons) * 4 / (self.width * self.transform.a)
        return bool(np.abs(lats - given).max() < 1e-12 and np.abs(step - 1).max() < 1e-9)

    # Areas of interest

    def validate_aoi(self, geometry: Any) -> dict[str, Any]:
        """Check an area of interest and bring it into its normal form.

        Parameters
        ----------
        geometry : dict
            GeoJSON in lon/lat, or in pixel x, y without CRS: Polygon, MultiPolygon, or Features with them, which
            are united.

        Returns
        -------
        dict
            A GeoJSON Polygon or MultiPolygon, valid, in two dimensions; normalizing it again gives the same.

        Raises
        ------
        AreaOfInterestError
            If it is no polygon, has too many vertices, or holds no pixel of the scene.
        """
        area = parse_area(geometry, lonlat=self._grid is not None)
        normal = to_geojson(area)
        if not self._holds_a_pixel(self._scan_edges(normal)):
            where = "the scene" if self.bounds is None else self._place()
            raise AreaOfInterestError(
                f"The area of interest holds no pixel of {where}; draw one over the image."
            )
        return normal

    def aoi_mask(
        self, geometry: dict[str, Any], row: int, col: int, height: int, width: int
    ) -> NDArray[np.bool_]:
        """Pixels of a window whose center lies in an area of interest.

        Parameters
        ----------
        geometry : dict
            GeoJSON Polygon or MultiPolygon in lon/lat, or pixel x, y without CRS; edges are straight there.
        row, col, height, width : int
            The window; it may stick out of the scene.

        Returns
        -------
        bool array, shape (height, width)
            The same whatever the window.
        """
        return self._scan_edges(geometry).fill(row, col, height, width)

    def pixel_area(self, area: BaseGeometry) -> BaseGeometry:
        """A valid shapely area in lon/lat (pixel x, y without CRS) in pixel coordinates, cut to about the scene."""
        return self._to_pixels(area)

    def _scan_edges(self, geometry: dict[str, Any]) -> ScanEdges:
        with self._lock:
            # Comparing is ten times faster than making a key of 20,000 vertices for every block.
            found = next((edges for kept, edges in self._edges if kept == geometry), None)
        if found is not None:
            return found
        edges = ScanEdges(self._to_pixels(parse_area(geometry, lonlat=self._grid is not None)))
        with self._lock:
            self._edges.append((copy.deepcopy(geometry), edges))
        return edges

    def _to_pixels(self, area: BaseGeometry) -> BaseGeometry:
        """An area in pixel coordinates, cut to about the scene: far from it the projection may fold or end."""
        if self._grid is None or self.bounds is None:
            return area
        west, south, east, north = self.bounds
        reach_lon = max((east - west) * _CLIP_MARGIN, 1e-6)
        reach_lat = max((north - south) * _CLIP_MARGIN, 1e-6)
        center = self._grid.center_lon
        if east - west + 2 * reach_lon >= 360:
            # Around a pole the bounds begin at -180, wherever the center is.
            west, east = center - 180, center + 180
        around = shapely.box(
            max(west - reach_lon, center - 180),
            max(south - reach_lat, -90),
            min(east + reach_lon, center + 180),
            min(north + reach_lat, 90),
        )
        turned = [
            shapely.transform(area, lambda points, turn=turn: points + np.array([turn, 0.0]))
            for turn in (-720, -360, 0, 360, 720)
        ]
        near = shapely.union_all([one.intersection(around) for one in turned])
        polygons = [
            part for part in shapely.get_parts(near) if part.geom_type == "Polygon" and not part.is_empty
        ]
        return densified(shapely.MultiPolygon(polygons), self._grid.from_lonlat)

    def _holds_a_pixel(self, edges: ScanEdges) -> bool:
        top, bottom, left, right = edges.reach(self.height, self.width)
        return any(
            edges.fill(row, col, min(BLOCK, bottom - row), min(BLOCK, right - col)).any()
            for row in range(top, bottom, BLOCK)
            for col in range(left, right, BLOCK)
        )

    def _place(self) -> str:
        west, south, east, north = self.bounds or (0, 0, 0, 0)
        return f"the scene (longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f})"
