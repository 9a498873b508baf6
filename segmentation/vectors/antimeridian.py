"""Polygons cut at longitude +-180 (RFC 7946, section 3.1.9), those around a pole included.

All coordinates are whole numbers of 10^-digits degrees, held as float64, so that a cut falls on the same numbers in both neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

__all__ = ["Cutter"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Cutter:
    """Cuts polygons whose coordinates are degrees times ``10^digits``."""

    digits: int

    @property
    def _half(self) -> float:
        """180 degrees."""
        return 180.0 * 10.0**self.digits

    def cut(self, rings: list[NDArray[np.int64]]) -> list[list[NDArray[np.int64]]]:
        """Bring a polygon into longitudes -180 to 180.

        Parameters
        ----------
        rings : list of int64 arrays, shape (n, 2)
            Exterior counter-clockwise and holes clockwise on the ground, closed; longitudes in any turn, perhaps with jumps.

        Returns
        -------
        list of polygons, each a list of int64 arrays, shape (n, 2)
            One polygon if nothing had to be cut. Where nothing of a thin polygon is left: none.
        """
        lows = [np.min(ring[:, 0]) for ring in rings]
        highs = [np.max(ring[:, 0]) for ring in rings]
        turn = self._turn_of(min(lows), max(highs))
        if turn is not None and not any(self._is_odd(ring) for ring in rings):
            shift = np.array([int(-2 * self._half) * turn, 0], np.int64)
            return [[ring + shift for ring in rings]]
        exterior = self._region(rings[0].astype(np.float64))
        holes = [self._region(ring[::-1].astype(np.float64)) for ring in rings[1:]]
        area = exterior.difference(shapely.union_all(holes)) if holes else exterior
        parts = [part for part in shapely.get_parts(area) if part.geom_type == "Polygon" and not part.is_empty]
        return [_rings_of(part) for part in shapely.orient_polygons(np.array(parts, object))]

    def _turn_of(self, low: float, high: float) -> int | None:
        """Which turn around the Earth holds all of a range of longitudes."""
        turn = int((low + self._half) // (2 * self._half))
        return turn if high <= (2 * turn + 1) * self._half else None

    def _is_odd(self, ring: NDArray[np.int64]) -> bool:
        """Whether a ring jumps, or comes to a pole."""
        jumps = np.abs(np.diff(ring[:, 0])).max() > self._half
        return bool(jumps or np.abs(ring[:, 1]).max() >= self._half / 2)

    def _region(self, ring: Points) -> BaseGeometry:
        """What a counter-clockwise ring encloses, between -180 and 180."""
        ring = self._with_crossings(self._unwrapped(ring))
        winding = ring[-1, 0] - ring[0, 0]
        if abs(winding) > self._half:
            ring = self._around_pole(ring, winding)
        polygon = shapely.Polygon(ring)
        low, high = ring[:, 0].min(), ring[:, 0].max()
        first, last = (int((edge + self._half) // (2 * self._half)) for edge in (low, high))
        pieces = []
        for turn in range(first, last + 1):
            west, east = (2 * turn - 1) * self._half, (2 * turn + 1) * self._half
            window = shapely.box(west, -self._half, east, self._half)
            pieces.append(
                shapely.transform(
                    polygon.intersection(window),
                    lambda points, turn=turn: points - [2 * self._half * turn, 0],
                )
            )
        return shapely.union_all(pieces)

    def _unwrapped(self, ring: Points) -> Points:
        """The ring without jumps. On a pole, which has no longitude, two corners: with the one before's and the one after's."""
        pole_lat = self._half / 2
        at_pole = np.abs(ring[:-1, 1]) >= pole_lat
        if at_pole.any() and not at_pole.all():
            start = int(np.flatnonzero(~at_pole)[0])
            ring = np.concatenate([ring[start:-1], ring[: start + 1]])
        points = [ring[0]]
        for index in range(1, len(ring)):
            x, y = ring[index]
            before = points[-1][0]
            if abs(y) >= pole_lat:
                points.append(np.array([before, y]))
                continue
            ahead = x - before
            if abs(points[-1][1]) >= pole_lat:
                # The polygon is to the left: along the north pole it goes west, along the south pole east.
                ahead = -((-ahead) % (2 * self._half)) if points[-1][1] > 0 else ahead % (2 * self._half)
                points.append(np.array([before + ahead, points[-1][1]]))
            else:
                ahead -= 2 * self._half * np.rint(ahead / (2 * self._half))
            points.append(np.array([before + ahead, y]))
        return np.array(points)

    def _with_crossings(self, ring: Points) -> Points:
        """The ring with a corner wherever an edge crosses +-180."""
        starts, ends = ring[:-1], ring[1:]
        west, east = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
        # The one odd multiple of 180 that an edge under 360 degrees long can cross.
        line = (2 * np.floor((west + self._half) / (2 * self._half)) + 1) * self._half
        crossing = np.flatnonzero((west < line) & (line < east))
        if not crossing.size:
            return ring
        # From west to east whichever way the ring goes: neighbors must find the same latitude.
        goes_east = starts[crossing, 0] < ends[crossing, 0]
        first = np.where(goes_east[:, None], starts[crossing], ends[crossing])
        last = np.where(goes_east[:, None], ends[crossing], starts[crossing])
        share = (line[crossing] - first[:, 0]) / (last[:, 0] - first[:, 0])
        lats = np.rint(first[:, 1] + share * (last[:, 1] - first[:, 1]))
        return np.insert(ring, crossing + 1, np.stack([line[crossing], lats], axis=1), axis=0)

    def _around_pole(self, ring: Points, winding: float) -> Points:
        """Lead a ring that goes once around the Earth along its pole; the seam comes to lie on +-180."""
        on_seam = np.flatnonzero(np.mod(ring[:-1, 0] + self._half, 2 * self._half) == 0)
        start = int(on_seam[0])  # the ring passes every longitude, and has a corner wherever it crosses this one
        turned = np.concatenate([ring[start:-1], ring[: start + 1] + [winding, 0]])
        pole = self._half / 2 * np.sign(winding)  # eastwards with the inside to the left: around the north pole
        cap = np.array([[turned[-1, 0], pole], [turned[0, 0], pole], turned[0]])
        return np.concatenate([turned, cap])


def _rings_of(polygon: BaseGeometry) -> list[NDArray[np.int64]]:
    rings = [polygon.exterior, *polygon.interiors]
    return [np.rint(shapely.get_coordinates(ring)).astype(np.int64) for ring in rings]
