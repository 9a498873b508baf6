"""Areas of interest: GeoJSON as people draw and upload it, checked, and turned into masks of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from segmentation.errors import AreaOfInterestError

__all__ = ["MAX_VERTICES", "ScanEdges", "densified", "parse_area", "to_geojson"]

MAX_VERTICES = 20_000
_BEND_PX = 0.02  # how far a projected edge may be from the straight line between its vertices
_MAX_ROUNDS = 12
# Repairs take time and memory by the number of crossings, which can be the square of the number of edges.
_MAX_CROSSINGS = 2_000
_MAX_NEAR_PAIRS = 1_000_000  # of edges whose boxes overlap: what counting the crossings may cost
_EDGES_AT_ONCE = 32
_MAX_PX = 1e9  # farther than any scene reaches
_WGS84_NAMES = ("CRS84", "EPSG::4326", "EPSG:4326")

Projection = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


def parse_area(geojson: Any, *, lonlat: bool) -> BaseGeometry:
    """Read a Polygon or MultiPolygon, bare or in Features, FeatureCollections and GeometryCollections.

    Parameters
    ----------
    geojson : dict
        Parsed GeoJSON; several polygons are united, heights are dropped, rings that cross themselves are repaired.
    lonlat : bool
        Whether coordinates must be longitude and latitude in degrees.

    Returns
    -------
    shapely Polygon or MultiPolygon
        Valid and not empty.

    Raises
    ------
    AreaOfInterestError
        With a sentence that says what is wrong.
    """
    polygons: list[Any] = []
    _collect(geojson, polygons, depth=0)
    if not polygons:
        raise AreaOfInterestError("The area of interest holds no polygon; draw or upload at least one.")
    count = sum(
        len(ring) for rings in polygons for ring in _sequence(rings) if isinstance(ring, list | tuple)
    )
    if count > MAX_VERTICES:
        raise AreaOfInterestError(
            f"The area of interest has {count:,} vertices; at most {MAX_VERTICES:,} are allowed. Simplify it first."
        )
    rings_of = [[_ring(ring, lonlat) for ring in _sequence(rings)] for rings in polygons]
    shapes = [shapely.Polygon(rings[0], rings[1:]) for rings in rings_of if rings]
    _check_tangle(shapes)
    repaired = [shapely.make_valid(shape, method="structure", keep_collapsed=False) for shape in shapes]
    united = shapely.union_all(repaired) if len(repaired) > 1 else shapely.union_all(repaired[:1])
    area = _only_polygons(united)
    if area.is_empty or area.area == 0:
        raise AreaOfInterestError(
            "The area of interest is empty: its outline encloses nothing. Draw a larger one."
        )
    return area


def to_geojson(area: BaseGeometry) -> dict[str, Any]:
    """A geometry as GeoJSON with lists, so that it equals itself after a round trip through JSON."""
    area = shapely.normalize(shapely.orient_polygons(area))
    parts = [_rings(part) for part in shapely.get_parts(area)]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def densified(area: BaseGeometry, project: Projection) -> BaseGeometry:
    """Project the rings of an area, with vertices added where a straight edge would bend.

    Parameters
    ----------
    area : shapely Polygon or MultiPolygon
        In the source coordinates; its edges are straight there.
    project : callable
        Source x, y -> pixel columns and rows.

    Returns
    -------
    shapely Polygon or MultiPolygon
        In pixel coordinates, within about 0.02 px of the true curves; valid, perhaps empty.
    """
    shapes = []
    for part in shapely.get_parts(area):
        rings = [
            _project_ring(shapely.get_coordinates(ring), project) for ring in [part.exterior, *part.interiors]
        ]
        shapes.append(shapely.Polygon(rings[0], rings[1:]))
    valid = [shapely.make_valid(shape, method="structure", keep_collapsed=False) for shape in shapes]
    return _only_polygons(shapely.union_all(valid))


class ScanEdges:
    """Edges of an area in pixel coordinates, ready to be filled in any window.

    A pixel belongs to the area if its center lies inside (even-odd). Crossings are computed in coordinates of the
    whole scene, so neighboring windows agree to the last bit.
    """

    def __init__(self, area: BaseGeometry) -> None:
        starts, ends = [np.zeros((0, 2))], [np.zeros((0, 2))]
        for part in shapely.get_parts(area):
            for ring in [part.exterior, *part.interiors]:
                points = shapely.get_coordinates(ring)
                starts.append(points[:-1])
                ends.append(points[1:])
        first, last = np.concatenate(starts), np.concatenate(ends)
        falls = first[:, 1] <= last[:, 1]
        top, bottom = np.where(falls[:, None], first, last), np.where(falls[:, None], last, first)
        sloped = top[:, 1] < bottom[:, 1]
        self._top, self._bottom = top[sloped], bottom[sloped]

    def reach(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Rows and columns (first, end, first, end) of a grid outside of which no pixel is inside."""
        if not len(self._top):
            return 0, 0, 0, 0
        xs = np.concatenate([self._top[:, 0], self._bottom[:, 0]])
        rows = np.clip([self._top[:, 1].min(), self._bottom[:, 1].max() + 1], 0, height).astype(int)
        cols = np.clip([xs.min(), xs.max() + 1], 0, width).astype(int)
        return int(rows[0]), int(rows[1]), int(cols[0]), int(cols[1])

    def fill(self, row: int, col: int, height: int, width: int) -> NDArray[np.bool_]:
        """True where the center of a pixel of the window lies inside: bool (height, width)."""
        # Edge rows: centers y = r + 0.5 with top <= y < bottom.
        first = np.maximum(np.ceil(self._top[:, 1] - 0.5), row).astype(np.int64)
        end = np.minimum(np.ceil(self._bottom[:, 1] - 0.5), row + height).astype(np.int64)
        counts = np.maximum(end - first, 0)
        edges = np.repeat(np.arange(len(counts)), counts)
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
        top, bottom = self._top[edges], self._bottom[edges]
        share = (rows + 0.5 - top[:, 1]) / (bottom[:, 1] - top[:, 1])
        crossing = top[:, 0] + share * (bottom[:, 0] - top[:, 0])
        cols = np.clip(np.ceil(crossing - 0.5) - col, 0, width).astype(np.int64)
        flips = np.zeros((height, width + 1), np.int32)
        np.add.at(flips, (rows - row, cols), 1)
        inside: NDArray[np.bool_] = (np.cumsum(flips[:, :width], axis=1) & 1).astype(bool)
        return inside


def _collect(node: Any, polygons: list[Any], depth: int) -> None:
    """Gather the coordinates of every polygon below a GeoJSON object."""
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        raise AreaOfInterestError("The area of interest is not GeoJSON; a Polygon or MultiPolygon is needed.")
    if depth > 8:
        raise AreaOfInterestError("The area of interest is nested too deeply; give its polygons directly.")
    _check_crs_member(node)
    kind = node["type"]
    if kind == "Polygon":
        polygons.append(node.get("coordinates"))
    elif kind == "MultiPolygon":
        polygons.extend(_sequence(node.get("coordinates")))
    elif kind == "Feature":
        if node.get("geometry") is not None:
            _collect(node["geometry"], polygons, depth + 1)
    elif kind == "FeatureCollection":
        for feature in _sequence(node.get("features")):
            _collect(feature, polygons, depth + 1)
    elif kind == "GeometryCollection":
        for geometry in _sequence(node.get("geometries")):
            _collect(geometry, polygons, depth + 1)
    else:
        raise AreaOfInterestError(
            f"The area of interest holds a {kind[:40]}; only Polygon and MultiPolygon can bound an area."
        )


def _check_crs_member(node: dict[str, Any]) -> None:
    """Refuse the old ``crs`` member unless it names what GeoJSON has anyway."""
    member = node.get("crs")
    if not member:
        return
    properties = member.get("properties") if isinstance(member, dict) else None
    name = str(properties.get("name", "")) if isinstance(properties, dict) else ""
    if not name.endswith(_WGS84_NAMES):
        raise AreaOfInterestError(
            f"The area of interest is in the coordinate system {name[:60] or 'of its crs member'}; "
            "save it as GeoJSON in longitude and latitude (WGS 84)."
        )


def _sequence(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise AreaOfInterestError(
            "The area of interest is not well-formed GeoJSON: a list of coordinates is missing."
        )
    return value


def _ring(value: Any, lonlat: bool) -> NDArray[np.float64]:
    """One closed ring, float64 (n, 2)."""
    points = []
    for position in _sequence(value):
        pair = _sequence(position)[:2]
        if len(pair) < 2 or not all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in pair
        ):
            raise AreaOfInterestError("The area of interest has a position that is not a pair of numbers.")
        try:
            x, y = float(pair[0]), float(pair[1])
        except OverflowError:  # an integer of hundreds of digits
            x = y = math.inf
        if not (math.isfinite(x) and math.isfinite(y)):
            raise AreaOfInterestError("The area of interest has a coordinate that is not a finite number.")
        if not lonlat and max(abs(x), abs(y)) > _MAX_PX:
            raise AreaOfInterestError(
                f"The area of interest has the position {x:g}, {y:g}, which is far outside any scene; give pixels (x, y)."
            )
        if lonlat and not (-540 <= x <= 540 and -90 <= y <= 90):
            raise AreaOfInterestError(
                f"The area of interest has the position {x:g}, {y:g}, which is no longitude and latitude in degrees; "
                "save it as GeoJSON in WGS 84."
            )
        points.append((x, y))
    if points and points[0] != points[-1]:
        points.append(points[0])
    if len(points) < 4:
        raise AreaOfInterestError(
            "The area of interest has a ring of fewer than three corners; draw a larger one."
        )
    return np.array(points)


def _check_tangle(shapes: list[BaseGeometry]) -> None:
    """Refuse edges that cross so often that repairing and uniting would take minutes."""
    if len(shapes) == 1 and shapely.is_valid(shapes[0]):
        return
    points, ring = shapely.get_coordinates(shapely.get_rings(shapes), return_index=True)
    same = ring[1:] == ring[:-1]
    edges = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)[same])
    tree = shapely.STRtree(edges)
    near = crossings = 0
    for start in range(0, len(edges), _EDGES_AT_ONCE):
        first, second = tree.query(edges[start : start + _EDGES_AT_ONCE])
        first += start
        ahead = second > first  # each pair once
        near += int(ahead.sum())
        if near <= _MAX_NEAR_PAIRS:
            crossings += int(shapely.crosses(edges[first[ahead]], edges[second[ahead]]).sum())
        if near > _MAX_NEAR_PAIRS or crossings > _MAX_CROSSINGS:
            raise AreaOfInterestError(
                "The outlines of the area of interest cross each other or themselves thousands of times; "
                "draw or upload outlines that do not cross."
            )


def _project_ring(points: NDArray[np.float64], project: Projection) -> NDArray[np.float64]:
    for _ in range(2):  # so that an edge that bends like an S is not taken for straight
        points = _with_midpoints(points, np.ones(len(points) - 1, bool))
    pixels = np.stack(project(points[:, 0], points[:, 1]), axis=1)
    for _ in range(_MAX_ROUNDS):
        middle = (points[:-1] + points[1:]) / 2
        exact = np.stack(project(middle[:, 0], middle[:, 1]), axis=1)
        bends = np.hypot(*(exact - (pixels[:-1] + pixels[1:]) / 2).T) > _BEND_PX
        if not bends.any():
            break
        where = np.flatnonzero(bends) + 1
        points = np.insert(points, where, middle[bends], axis=0)
        pixels = np.insert(pixels, where, exact[bends], axis=0)
    return pixels


def _with_midpoints(points: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    middle = (points[:-1] + points[1:]) / 2
    return np.insert(points, np.flatnonzero(chosen) + 1, middle[chosen], axis=0)


def _only_polygons(geometry: BaseGeometry) -> BaseGeometry:
    """Drop the points and lines that repairs and unions leave behind."""
    parts = [
        part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and not part.is_empty
    ]
    return shapely.multipolygons(parts) if parts else shapely.Polygon()


def _rings(polygon: BaseGeometry) -> list[list[list[float]]]:
    return [shapely.get_coordinates(ring).tolist() for ring in [polygon.exterior, *polygon.interiors]]
