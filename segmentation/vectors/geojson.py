"""A class map as GeoJSON (RFC 7946), in pieces: one feature per connected polygon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.georeference import Georeference
from segmentation.vectors.antimeridian import Cutter
from segmentation.vectors.positions import Positions
from segmentation.vectors.rings import Polygons, ring_marks
from segmentation.vectors.source import ClassSource
from segmentation.vectors.text import write_rings
from segmentation.vectors.tracing import AreaUnit, trace

__all__ = ["ClassStyle", "geojson_chunks"]

Scaled = NDArray[np.int64]

_CHUNK_CHARS = 1 << 18
_CHUNK_VERTICES = 1 << 14

_ON_EARTH = "Coordinates are longitude and latitude in degrees (WGS 84). Neighboring polygons share all their vertices."
_IN_PIXELS = (
    "The image has no coordinate system, so these are not longitude and latitude but pixels: x is the column, y the row "
    "counted downward, both from the top left corner of the image."
)


@dataclass(frozen=True)
class ClassStyle:
    """How a class is called and drawn; ``color`` as ``"#rrggbb"``."""

    name: str
    color: str


def geojson_chunks(
    source: ClassSource,
    legend: Mapping[int, ClassStyle],
    georeference: Georeference,
    *,
    name: str = "",
    about: Mapping[str, object] | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    strip_rows: int | None = None,
) -> Iterator[str]:
    """Write a class map as GeoJSON, piece by piece.

    Each connected region of pixels of one class (4-connected) is a Feature with the properties ``class``, ``class_id``, ``color``,
    ``area_m2`` (sum of the geodesic areas of its pixels, null without CRS) and ``area_px``. Together they cover exactly
    the classified pixels: neighbors share every vertex along their common border, also where a third one begins.

    Parameters
    ----------
    source : ClassSource
        The class map; 0 = unclassified.
    legend : mapping of int to ClassStyle
        Every class that occurs, 1 to 255.
    georeference : Georeference
        Of the same grid. Without CRS coordinates are pixels (x = column, y = row), and the file says so in its member
        ``clusternet``.
    name : str
        Member ``name`` of the collection.
    about : mapping, optional
        How the map came about, as JSON values; they go into the member ``clusternet`` beside ``coordinates`` and ``note``.
    progress : callable, optional
        Called with the share of rows done, 0 to 1.
    cancelled : callable, optional
        Polled once a strip.
    strip_rows : int, optional
        Rows to read at once; the text does not depend on it, only the memory does.

    Yields
    ------
    str
        A piece of the text. Polygons come in the order of their last row, then of their first pixel.

    Raises
    ------
    InvalidArgumentError
        At once if source, legend and georeference do not fit together; on the way if the map holds a class that the
        legend lacks.
    CancelledError
        If ``cancelled`` says so.

    Notes
    -----
    In memory are one strip and the boundaries of the polygons that are not complete yet, 16 bytes a vertex. Edges
    stay within 0.1 px of the pixels' when the text is projected back: long ones get vertices in between, at fixed rows and columns.
    """
    height, width = source.shape
    if height < 1 or width < 1:
        raise InvalidArgumentError(
            f"A class map of {height} x {width} pixels cannot be written; it needs pixels."
        )
    if (georeference.height, georeference.width) != (height, width):
        raise InvalidArgumentError(
            f"The class map has {height} x {width} pixels, its georeference {georeference.height} x {georeference.width}."
        )
    wrong = [number for number in legend if not 1 <= number <= 255]
    if wrong:
        raise InvalidArgumentError(f"Class {wrong[0]} is outside 1 to 255; number the classes from 1.")
    if strip_rows is not None and strip_rows < 1:
        raise InvalidArgumentError(f"Strips of {strip_rows} rows cannot be read; give at least 1.")
    return _Writer(source, legend, georeference, about or {}).chunks(name, progress, cancelled, strip_rows)


class _Writer:
    def __init__(
        self,
        source: ClassSource,
        legend: Mapping[int, ClassStyle],
        georeference: Georeference,
        about: Mapping[str, object],
    ) -> None:
        self._source = source
        self._about = about
        self._georeference = georeference
        self._known = np.zeros(256, np.bool_)
        self._known[[0, *legend]] = True
        self._heads = {
            number: '{"type":"Feature","properties":'
            + json.dumps(
                {"class": style.name, "class_id": int(number), "color": style.color}, separators=(",", ":")
            )[:-1]
            for number, style in legend.items()
        }

    def chunks(
        self,
        name: str,
        progress: Callable[[float], None] | None,
        cancelled: Callable[[], bool] | None,
        strip_rows: int | None,
    ) -> Iterator[str]:
        height, width = self._source.shape
        self._positions = Positions(self._georeference, height, width)
        self._unit = AreaUnit(self._georeference, height, width)
        write = self._cut if self._positions.must_cut else self._plain
        pieces, size, is_first = [self._opening(name)], 0, True
        polygons = trace(
            self._source,
            self._positions,
            self._unit,
            self._known,
            strip_rows=strip_rows,
            progress=progress,
            cancelled=cancelled,
        )
        for complete in polygons:
            for piece in write(complete):
                # Every feature brings the comma that parts it from the one before.
                pieces.append(piece[1:] if is_first else piece)
                is_first = False
                size += len(piece)
                if size >= _CHUNK_CHARS:
                    yield "".join(pieces)
                    pieces, size = [], 0
        yield "".join([*pieces, "\n]}\n"])

    def _opening(self, name: str) -> str:
        on_earth = self._georeference.crs is not None
        members = {
            "type": "FeatureCollection",
            "name": name,
            "clusternet": {
                "coordinates": "lonlat" if on_earth else "pixel",
                "note": _ON_EARTH if on_earth else _IN_PIXELS,
                **self._about,
            },
        }
        return json.dumps(members)[:-1] + ', "features": ['

    def _head(self, polygons: Polygons, index: int, kind: str) -> str:
        unit = self._unit.square_meters
        area = "null"
        if unit is not None:
            area = f"{int(polygons.area[index]) * unit:.{self._unit.decimals}f}"
        return (
            f',\n{self._heads[int(polygons.class_of[index])]},"area_m2":{area},"area_px":{polygons.pixels[index]}}},'
            f'"geometry":{{"type":"{kind}","coordinates":['
        )

    def _plain(self, polygons: Polygons) -> Iterator[str]:
        """Features of a scene that lies between -180 and 180 degrees."""

        def place(part: slice) -> tuple[Scaled, Scaled]:
            return self._positions.scaled(polygons.rows[part], polygons.cols[part])

        yield from self._features(polygons, 0, len(polygons), place)

    def _cut(self, polygons: Polygons) -> Iterator[str]:
        """Features of a scene across the antimeridian or a pole; those to be cut, few as a rule, come one by one."""
        cutter = Cutter(self._positions.digits, self._positions.has_pole)
        x, y = self._positions.scaled(polygons.rows, polygons.cols)
        turns, must_cut = cutter.turns(x, y, polygons.ring_ends, polygons.vertex_ends)
        sizes = np.diff(polygons.vertex_ends, prepend=0)
        shifted = x - int(cutter.full) * np.repeat(turns, sizes)

        def place(part: slice) -> tuple[Scaled, Scaled]:
            return shifted[part], y[part]

        first = 0
        for index in np.flatnonzero(must_cut).tolist():
            yield from self._features(polygons, first, index, place)
            rings = [np.stack([x[ring], y[ring]], axis=1) for ring in polygons.rings(index)]
            yield self._cut_feature(polygons, index, cutter.cut(rings))
            first = index + 1
        yield from self._features(polygons, first, len(polygons), place)

    def _features(
        self,
        polygons: Polygons,
        first: int,
        end: int,
        place: Callable[[slice], tuple[Scaled, Scaled]],
    ) -> Iterator[str]:
        """Polygons ``first`` to ``end - 1`` with their rings as they are; a large one comes in several pieces."""
        if first == end:
            return
        starts, closes, exteriors = polygons.marks
        index = first
        begin = int(polygons.vertex_ends[first - 1]) if first else 0
        stop = int(polygons.vertex_ends[end - 1])
        for low in range(begin, stop, _CHUNK_VERTICES):
            part = slice(low, min(low + _CHUNK_VERTICES, stop))
            x, y = place(part)
            text, begins = write_rings(
                x, y, starts[part], closes[part], exteriors[part], self._positions.digits
            )
            pieces, at = [], 0
            for new in begins.tolist():
                pieces.append(text[at:new])
                if index > first:
                    pieces.append("]}}")
                pieces.append(self._head(polygons, index, "Polygon"))
                index, at = index + 1, new
            pieces.append(text[at:])
            yield "".join(pieces)
        yield "]}}"

    def _cut_feature(self, polygons: Polygons, index: int, parts: list[list[Scaled]]) -> str:
        texts = [self._rings_text(part) for part in parts]
        if len(texts) == 1:
            return f"{self._head(polygons, index, 'Polygon')}{texts[0]}]}}}}"
        inside = ",".join(f"[{text}]" for text in texts)
        return f"{self._head(polygons, index, 'MultiPolygon')}{inside}]}}}}"

    def _rings_text(self, rings: list[Scaled]) -> str:
        points = np.concatenate(rings)
        starts, closes, exteriors = ring_marks(np.cumsum([len(ring) for ring in rings]), np.array([0]))
        x, y = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
        return write_rings(x, y, starts, closes, exteriors, self._positions.digits)[0]
