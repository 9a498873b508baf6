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

_NEARLY = 4  # last digits: an edge that spans 180 degrees up to rounding leads straight over the pole


@dataclass(frozen=True)
class Cutter:
    """Cuts polygons whose coordinates are degrees times ``10^digits``, with at least one digit.

    ``has_pole``: whether meridians may meet in the scene. Longitudes then may jump anywhere, and mean nothing at latitude 90;
    else they run on without a jump, and latitude 90 is an edge like others.
    """

    digits: int
    has_pole: bool

    @property
    def full(self) -> float:
        """Once around the Earth."""
        return 360.0 * 10.0**self.digits

    @property
    def _half(self) -> float:
        return self.full / 2

    @property
    def _pole(self) -> float:
        return self.full / 4

    def turns(
        self,
        x: NDArray[np.int64],
        y: NDArray[np.int64],
        ring_ends: NDArray[np.int64],
        vertex_ends: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Find out which polygons must be cut.

        Parameters
        ----------
        x, y : int64 arrays, shape (V,)
            Longitudes (in any turn, perhaps with jumps) and latitudes of closed rings, polygon after polygon.
        ring_ends : int64 array, shape (R,)
        vertex_ends : int64 array, shape (P,)
            Where each ring and each polygon ends.

        Returns
        -------
        turns : int64 array, shape (P,)
            How many times around the Earth the polygon has to be moved west to lie between -180 and 180.
        must_cut : bool array, shape (P,)
            Whether that is not enough.
        """
        if not len(x):
            return np.zeros(0, np.int64), np.zeros(0, np.bool_)
        half = int(self._half)
        begins = np.append(0, vertex_ends[:-1])
        low, high = np.minimum.reduceat(x, begins), np.maximum.reduceat(x, begins)
        turns = (low + half) // (2 * half)
        must_cut = high > (2 * turns + 1) * half
        if self.has_pole:
            odd = np.abs(np.diff(x, append=x[-1:])) >= half - _NEARLY
            odd[ring_ends - 1] = False
            odd |= np.abs(y) >= int(self._pole)
            must_cut |= np.logical_or.reduceat(odd, begins)
        return turns, must_cut

    def cut(self, rings: list[NDArray[np.int64]]) -> list[list[NDArray[np.int64]]]:
        """Bring a polygon into longitudes -180 to 180.

        Parameters
        ----------
        rings : list of int64 arrays, shape (n, 2)
            Exterior counter-clockwise and holes clockwise on the ground, closed; longitudes in any turn, perhaps with jumps.

        Returns
        -------
        list of polygons, each a list of int64 arrays, shape (n, 2)
            Exteriors counter-clockwise.
        """
        exterior = self._region(rings[0].astype(np.float64))
        holes = [self._region(ring[::-1].astype(np.float64)) for ring in rings[1:]]
        area = exterior.difference(shapely.union_all(holes)) if holes else exterior
        parts = [
            part for part in shapely.get_parts(area) if part.geom_type == "Polygon" and not part.is_empty
        ]
        return [_rings_of(part) for part in shapely.orient_polygons(np.array(parts, object))]

    def _region(self, ring: Points) -> BaseGeometry:
        """What a counter-clockwise ring encloses, between -180 and 180."""
        ring = self._with_crossings(self._unwrapped(ring) if self.has_pole else ring)
        winding = ring[-1, 0] - ring[0, 0]
        if abs(winding) > self._half:
            ring = self._around_pole(ring, winding)
        polygon = shapely.Polygon(ring)
        pieces = []
        for turn in self._turns_between(ring[:, 0].min(), ring[:, 0].max()):
            center = self.full * turn
            window = shapely.box(center - self._half, -self._half, center + self._half, self._half)
            piece = polygon.intersection(window)
            pieces.append(shapely.transform(piece, lambda points, center=center: points - [center, 0]))
        return shapely.union_all(pieces)

    def _turns_between(self, west: float, east: float) -> range:
        first, last = (int((edge + self._half) // self.full) for edge in (west, east))
        return range(first, last + 1)

    def _unwrapped(self, ring: Points) -> Points:
        """The ring without jumps; where it comes through a pole it gets two corners there, before and after the turn."""
        away = np.flatnonzero(np.abs(ring[:-1, 1]) < self._pole)
        ring = np.concatenate([ring[away[0] : -1], ring[: away[0] + 1]])
        points = [(ring[0, 0], ring[0, 1])]
        pole = 0.0  # latitude of the pole that the ring has just come to
        for lon, lat in ring[1:].tolist():
            if abs(lat) >= self._pole:
                pole = lat
                continue
            before, lat_before = points[-1]
            ahead = lon - before - self.full * np.rint((lon - before) / self.full)
            if not pole and abs(ahead) >= self._half - _NEARLY:
                pole = float(np.copysign(self._pole, lat + lat_before))  # straight over it
            if pole:
                # The inside is to the left: along the north pole it goes west, along the south pole east.
                ahead = ahead % self.full if pole < 0 else -(-ahead % self.full)
                points += [(before, pole), (before + ahead, pole)]
                pole = 0.0
            points.append((before + ahead, lat))
        return np.array(points)

    def _with_crossings(self, ring: Points) -> Points:
        """The ring with a corner wherever an edge crosses +-180."""
        turns = self._turns_between(ring[:, 0].min(), ring[:, 0].max())
        for line in [(2 * turn + 1) * self._half for turn in turns]:
            starts, ends = ring[:-1], ring[1:]
            crossing = np.flatnonzero((starts[:, 0] - line) * (ends[:, 0] - line) < 0)
            # From west to east whichever way the ring goes: neighbors must find the same latitude.
            goes_east = (starts[crossing, 0] < line)[:, None]
            west = np.where(goes_east, starts[crossing], ends[crossing])
            east = np.where(goes_east, ends[crossing], starts[crossing])
            share = (line - west[:, 0]) / (east[:, 0] - west[:, 0])
            lats = np.rint(west[:, 1] + share * (east[:, 1] - west[:, 1]))
            ring = np.insert(ring, crossing + 1, np.stack([np.full(len(lats), line), lats], axis=1), axis=0)
        return ring

    def _around_pole(self, ring: Points, winding: float) -> Points:
        """Lead a ring that goes once around the Earth along its pole; the seam comes to lie on +-180."""
        pole = self._pole * np.sign(winding)  # eastward with the inside to the left: around the north pole
        # The ring passes every longitude, and has a corner wherever it crosses the seam. From the one nearest to the pole
        # the way there is free.
        on_seam = np.flatnonzero(np.mod(ring[:-1, 0] + self._half, self.full) == 0)
        start = int(on_seam[np.argmin(np.abs(pole - ring[on_seam, 1]))])
        once_around = np.array([winding, 0.0])
        turned = np.concatenate([ring[start:-1], ring[: start + 1] + once_around])
        cap = np.array([[turned[-1, 0], pole], [turned[0, 0], pole], turned[0]])
        return np.concatenate([turned, cap])


def _rings_of(polygon: BaseGeometry) -> list[NDArray[np.int64]]:
    rings = [polygon.exterior, *polygon.interiors]
    return [np.rint(shapely.get_coordinates(ring)).astype(np.int64) for ring in rings]
