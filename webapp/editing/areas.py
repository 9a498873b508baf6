"""Areas of interest as they come from outside: checked once, here."""

from __future__ import annotations

import math
from typing import Any

import shapely
from shapely.geometry import box, shape

from webapp.errors import InvalidInputError
from webapp.models import Scene

__all__ = ["check_area"]

MAX_VERTICES = 20_000


def check_area(geometry: dict[str, Any], scene: Scene) -> dict[str, Any]:
    """The polygons of a GeoJSON geometry, rewritten plainly; InvalidInputError with the reason where it is
    none.

    Lon/lat in degrees, or pixel x/y where the scene has no CRS. Only the first two of each position count.
    """
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise InvalidInputError(
            f"An area of interest must be a GeoJSON Polygon or MultiPolygon, not {str(kind)[:40]!r}; draw "
            "or upload one."
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise InvalidInputError("The area of interest has no coordinates; draw it again.")
    clean = [_polygon(polygon) for polygon in polygons]
    n_vertices = sum(len(ring) for polygon in clean for ring in polygon)
    if n_vertices > MAX_VERTICES:
        raise InvalidInputError(
            f"The area of interest has {n_vertices} corners; simplify it to at most {MAX_VERTICES}."
        )
    plain: dict[str, Any] = {"type": kind, "coordinates": clean[0] if kind == "Polygon" else clean}
    area = shape(plain)
    if not area.is_valid:
        raise InvalidInputError(
            f"The outline of the area of interest is not clean ({shapely.is_valid_reason(area)}); draw it "
            "without crossings."
        )
    if area.area == 0:
        raise InvalidInputError("The area of interest has no inside; draw at least three corners apart.")
    _check_touches(area, scene)
    return plain


def _polygon(polygon: Any) -> list[list[list[float]]]:
    if not isinstance(polygon, list) or not polygon:
        raise InvalidInputError("A polygon of the area of interest has no ring; draw it again.")
    return [_ring(ring) for ring in polygon]


def _ring(ring: Any) -> list[list[float]]:
    if not isinstance(ring, list) or len(ring) < 4:
        raise InvalidInputError(
            "A ring of the area of interest needs four positions or more, the last like the first."
        )
    positions = [_position(position) for position in ring]
    if positions[0] != positions[-1]:
        raise InvalidInputError(
            "A ring of the area of interest is not closed: its last position must be its first."
        )
    return positions


def _position(position: Any) -> list[float]:
    if not isinstance(position, list) or not 2 <= len(position) <= 4:
        raise InvalidInputError(f"{str(position)[:60]} is not a position; write [longitude, latitude].")
    x, y = position[:2]
    for value in (x, y):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidInputError(f"{str(position)[:60]} is not a position; write two finite numbers.")
    if max(abs(x), abs(y)) > 1e9:
        raise InvalidInputError(
            f"The position {str(position)[:60]} is far outside any scene; check its unit."
        )
    return [float(x), float(y)]


def _check_touches(area: Any, scene: Scene) -> None:
    info = scene.info or {}
    if not info:
        return  # still importing: the segmentation itself will tell
    bounds = info.get("bounds")
    if bounds is None:
        if not area.intersects(box(0, 0, info["width"], info["height"])):
            raise InvalidInputError(
                f"The area of interest does not touch the scene, which is {info['width']} x "
                f"{info['height']} pixels; "
                "it has no map coordinates, so areas are given in its pixels."
            )
        return
    west, south, east, north = bounds
    # Longitudes may be written one turn away, on either side of the antimeridian.
    if not any(area.intersects(box(west + turn, south, east + turn, north)) for turn in (-360, 0, 360)):
        raise InvalidInputError(
            f"The area of interest does not touch the scene, which reaches from {west:.4f}, {south:.4f} to "
            f"{east:.4f}, "
            f"{north:.4f} (longitude, latitude)."
        )
