"""Pixels that stand for a shape: spread over a polygon, or along a line. Shapes are in pixel coordinates (x = col, y = row)."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

__all__ = ["line_pixels", "polygon_pixels", "thinned"]

# Scan lines over a polygon, and points on them, for each pixel that is wanted: enough to choose among.
_LINES, _MOST_LINES = 4, 64
_CANDIDATES, _MOST_CANDIDATES = 24, 512
_ROUNDS = 8  # of Lloyd's algorithm
_EDGE_PX = 1.0  # pixels this near to an outline are mixed, and outlines are seldom drawn more exactly


def polygon_pixels(area: BaseGeometry, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose pixels that are spread evenly over the inside of a polygon.

    Parameters
    ----------
    area : shapely Polygon or MultiPolygon
        In pixel coordinates, valid, of positive area.
    most : int
        Pixels to choose at most, 1 or more; fewer where the polygon has fewer.
    rng : numpy Generator
        The same state gives the same pixels.

    Returns
    -------
    int64 array, shape (n, 2), 1 <= n <= most
        Row and column, without repetition, sorted. Away from the outline by a pixel where the polygon is wide enough.

    Notes
    -----
    Stratified points on horizontal lines, then the centers of their k-means (Lloyd 1982,
    doi:10.1109/TIT.1982.1056489) as in a centroidal Voronoi tessellation, each moved to the nearest point.
    Unlike drawing from the bounding box this ends for the thinnest polygon, and unlike filling it needs no memory for the largest.
    """
    inner = area.buffer(-_EDGE_PX)
    points = _scattered(area if inner.is_empty else inner, most, rng)
    if not len(points):  # lower than rounding lets a line cross
        points = shapely.get_coordinates(area.representative_point())
    pixels = np.unique(np.floor(points[:, ::-1]).astype(np.int64), axis=0)
    if len(pixels) <= most:
        return pixels
    chosen = pixels[_centers(pixels.astype(np.float64), most)]
    return chosen[np.lexsort((chosen[:, 1], chosen[:, 0]))]


def line_pixels(line: BaseGeometry, most: int) -> NDArray[np.int64]:
    """Pixels on the way of a line, thinned evenly.

    Parameters
    ----------
    line : shapely LineString or MultiLineString
        In pixel coordinates.
    most : int
        Pixels at most.

    Returns
    -------
    int64 array, shape (n, 2)
        Row and column in the line's order, without repetition.
    """
    parts = shapely.get_parts(line)
    if not len(parts):
        return np.zeros((0, 2), np.int64)
    # Half a pixel is fine enough to meet every pixel but those that are only cut at a corner.
    steps = [np.linspace(0, part.length, 1 + max(1, int(np.ceil(part.length * 2)))) for part in parts]
    points = np.concatenate(
        [
            shapely.get_coordinates(shapely.line_interpolate_point(part, at))
            for part, at in zip(parts, steps, strict=True)
        ]
    )
    pixels = np.floor(points[:, ::-1]).astype(np.int64)
    _, first = np.unique(pixels, axis=0, return_index=True)
    return thinned(pixels[np.sort(first)], most)


def thinned(pixels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of the rows, evenly chosen, the first and the last among them: (n, 2) -> (m, 2)."""
    if len(pixels) <= most:
        return pixels
    return pixels[np.round(np.linspace(0, len(pixels) - 1, most)).astype(np.int64)]


def _scattered(area: BaseGeometry, most: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points inside an area to choose ``most`` from, evenly over it: float64 (n, 2), x and y."""
    n_lines, n_points = min(_LINES * most + 8, _MOST_LINES), min(_CANDIDATES * most, _MOST_CANDIDATES)
    parts = shapely.get_parts(area)
    bounds = shapely.bounds(parts)
    # Lines as dense in one part as in another, however far apart the parts are.
    reached = np.concatenate([[0.0], np.cumsum(bounds[:, 3] - bounds[:, 1])])
    at = (np.arange(n_lines) + rng.random(n_lines)) * reached[-1] / n_lines
    part = np.clip(np.searchsorted(reached, at, side="right") - 1, 0, len(parts) - 1)
    heights = bounds[part, 1] + at - reached[part]
    ends = np.stack([bounds[part, 0] - 1, heights, bounds[part, 2] + 1, heights], axis=1).reshape(-1, 2, 2)
    crossed = shapely.get_parts(shapely.intersection(shapely.linestrings(ends), parts[part]))
    crossed = crossed[
        (shapely.get_type_id(crossed) == shapely.GeometryType.LINESTRING) & ~shapely.is_empty(crossed)
    ]
    if not len(crossed):
        return np.zeros((0, 2))
    start, height, end, _ = shapely.bounds(crossed).T
    before = np.concatenate([[0.0], np.cumsum(end - start)])
    if before[-1] <= 0:
        return np.stack([start, height], axis=1)
    # Systematic sampling over all the pieces laid end to end: as many points a piece as its length says.
    at = (np.arange(n_points) + rng.random()) * before[-1] / n_points
    piece = np.clip(np.searchsorted(before, at, side="right") - 1, 0, len(start) - 1)
    return np.stack([start[piece] + at - before[piece], height[piece]], axis=1)


def _centers(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` of the points (n, 2), spread as evenly as the points are."""
    centers = points[np.round(np.linspace(0, len(points) - 1, count)).astype(np.int64)]
    for _ in range(_ROUNDS):
        nearest = _squared_distances(points, centers).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        for axis in range(2):
            sums = np.bincount(nearest, points[:, axis], minlength=count)
            centers[:, axis] = np.where(sizes > 0, sums / np.maximum(sizes, 1), centers[:, axis])
    distances = _squared_distances(points, centers)
    chosen = np.empty(count, np.int64)
    for index in range(count):  # one after the other, so that no two take the same
        chosen[index] = distances[:, index].argmin()
        distances[chosen[index]] = np.inf
    return chosen


def _squared_distances(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((points[:, None] - centers[None]) ** 2).sum(axis=2)
