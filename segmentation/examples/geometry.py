"""Geometries of GeoJSON features, checked: every complaint names the feature."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from segmentation.errors import InvalidArgumentError

__all__ = ["MAX_VERTICES", "Positions", "Shapes", "read_positions", "shapes_of"]

MAX_VERTICES = 200_000  # of a file
_MAX_DEPTH = 8  # of geometry collections in each other
_MAX_PX = 1e9  # farther than any scene reaches
_WGS84 = re.compile(r"(.*:)?(CRS:?84|EPSG:([\d.]*:)?4326)", re.IGNORECASE)
_EPSG = re.compile(r"(?:urn:ogc:def:crs:)?EPSG:(?:[\d.]*:)?(\d{4,6})", re.IGNORECASE)
_CRS_HINT = "save it as GeoJSON in longitude and latitude (WGS 84)"


@dataclass(frozen=True)
class Positions:
    """How positions of a file are to be understood: longitude and latitude, or pixels, or something to be converted first."""

    in_degrees: bool  # else pixels x, y
    transformer: Transformer | None = None
    name: str = ""  # of the coordinate system to be converted

    def convert(self, points: NDArray[np.float64], place: str) -> NDArray[np.float64]:
        """Checked positions as longitude and latitude, or pixels: float64 (n, 2) -> (n, 2)."""
        if self.transformer is not None:
            points = np.stack(self.transformer.transform(points[:, 0], points[:, 1]), axis=1)
            if not np.isfinite(points).all():
                raise InvalidArgumentError(
                    f"{place} has a position that has no longitude and latitude in {self.name}; {_CRS_HINT}."
                )
        x, y = points[:, 0], points[:, 1]
        wrong = (
            (np.abs(x) > 540) | (np.abs(y) > 90) if self.in_degrees else np.abs(points).max(axis=1) > _MAX_PX
        )
        if wrong.any():
            where = f"{x[wrong][0]:g}, {y[wrong][0]:g}"
            if self.in_degrees:
                raise InvalidArgumentError(
                    f"{place} has the position {where}, which is no longitude and latitude in degrees; {_CRS_HINT}."
                )
            raise InvalidArgumentError(
                f"{place} has the position {where}, which is far outside any scene; give pixels (x, y)."
            )
        return points


@dataclass
class Shapes:
    """The parts of one feature, as longitude and latitude or in pixels."""

    points: list[NDArray[np.float64]] = field(default_factory=list)  # each (n, 2)
    lines: list[shapely.LineString] = field(default_factory=list)
    polygons: list[shapely.Polygon] = field(default_factory=list)
    n_vertices: int = 0


def read_positions(collection: dict[str, Any], has_crs: bool) -> Positions:
    """What the positions of a file mean, from its old ``crs`` member where it has one.

    Raises
    ------
    InvalidArgumentError
        If the member names a coordinate system that is unknown, or makes no sense for a scene without one.
    """
    member = collection.get("crs")
    if not member:
        return Positions(has_crs)
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise InvalidArgumentError(f"The file has a crs member without a name; {_CRS_HINT}.")
    if _WGS84.fullmatch(name.strip()):
        return Positions(has_crs)
    if not has_crs:
        raise InvalidArgumentError(
            f"The file is in the coordinate system {name[:60]}, but the scene has none: give positions as its pixels (x, y), "
            "without a crs member."
        )
    found = _EPSG.fullmatch(name.strip())
    try:
        if found is None:
            raise CRSError("no EPSG code")
        transformer = Transformer.from_crs(CRS.from_epsg(int(found[1])), "EPSG:4326", always_xy=True)
    except (CRSError, ProjError) as error:
        raise InvalidArgumentError(
            f"The file is in the coordinate system {name[:60]}, which is not known here; {_CRS_HINT}."
        ) from error
    return Positions(True, transformer, f"EPSG:{found[1]}")


def shapes_of(geometry: Any, positions: Positions, place: str) -> Shapes:
    """The points, lines and polygons of a GeoJSON geometry.

    Parameters
    ----------
    geometry : dict
        Of any GeoJSON type; heights are dropped.
    positions : Positions
        What its positions mean.
    place : str
        Names the feature in errors, as "Feature 7".

    Raises
    ------
    InvalidArgumentError
        If it is no geometry, or an outline crosses itself or encloses nothing.
    """
    shapes = Shapes()
    _collect(geometry, positions, place, shapes, depth=0)
    return shapes


def _collect(geometry: Any, positions: Positions, place: str, shapes: Shapes, depth: int) -> None:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if depth > _MAX_DEPTH:
        raise InvalidArgumentError(f"{place} is nested too deeply; give its geometry directly.")
    if kind == "GeometryCollection":
        for part in _items(geometry.get("geometries"), place):
            _collect(part, positions, place, shapes, depth + 1)
        return
    if kind not in ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"):
        raise InvalidArgumentError(
            f"{place} has a geometry of the type {str(kind)[:40]!r}; give points, lines or polygons."
        )
    coordinates = geometry.get("coordinates")
    several = _items(coordinates, place) if kind.startswith("Multi") else [coordinates]
    for part in several:
        if kind.endswith("Point"):
            shapes.points.append(_positions([part], positions, place, shapes))
        elif kind.endswith("LineString"):
            line = _positions(part, positions, place, shapes)
            if len(line) < 2:
                raise InvalidArgumentError(f"{place} has a line of a single position; give two or more.")
            shapes.lines.append(shapely.LineString(line))
        else:
            shapes.polygons.append(_polygon(part, positions, place, shapes))


def _polygon(rings: Any, positions: Positions, place: str, shapes: Shapes) -> shapely.Polygon:
    closed = []
    for ring in _items(rings, place):
        points = _positions(ring, positions, place, shapes)
        if len(points) and (points[0] != points[-1]).any():
            points = np.vstack([points, points[:1]])
        if len(points) < 4:
            raise InvalidArgumentError(f"{place} has a ring of fewer than three corners; draw it again.")
        closed.append(points)
    if not closed:
        raise InvalidArgumentError(f"{place} has a polygon without a ring; draw it again.")
    polygon = shapely.Polygon(closed[0], closed[1:])
    if not polygon.is_valid:
        raise InvalidArgumentError(
            f"{place} has an outline that is not clean ({shapely.is_valid_reason(polygon)}); draw it without crossings."
        )
    if polygon.area == 0:
        raise InvalidArgumentError(f"{place} has an outline that encloses nothing; draw it larger.")
    return polygon


def _positions(values: Any, positions: Positions, place: str, shapes: Shapes) -> NDArray[np.float64]:
    """A list of positions, float64 (n, 2), converted."""
    pairs = []
    for value in _items(values, place):
        pair = value[:2] if isinstance(value, list) else []
        if len(pair) < 2 or not all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in pair
        ):
            raise InvalidArgumentError(
                f"{place} has a position that is not a pair of numbers ({str(value)[:40]}); write [x, y]."
            )
        try:
            x, y = float(pair[0]), float(pair[1])
        except OverflowError:  # an integer of hundreds of digits
            x = y = math.inf
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InvalidArgumentError(f"{place} has a coordinate that is not a finite number; write [x, y].")
        pairs.append((x, y))
    shapes.n_vertices += len(pairs)
    return positions.convert(np.array(pairs, np.float64).reshape(-1, 2), place)


def _items(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidArgumentError(f"{place} is not well-formed GeoJSON: a list of coordinates is missing.")
    return value
