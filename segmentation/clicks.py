"""Files of clicked pixels: CSV with rows and columns, or GeoJSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segmentation.decoder import Click
from segmentation.errors import InvalidArgumentError
from segmentation.examples import parse_samples
from segmentation.legend import Legend, number_classes
from segmentation.rasters.georeference import Georeference

__all__ = ["MAX_CLICKS", "ClickFile", "read_clicks"]

MAX_CLICKS = 100_000
_MAX_FILE_BYTES = 64 * 2**20
_AGAINST = {"": False, "0": False, "false": False, "no": False, "+": False}
_AGAINST |= {"1": True, "true": True, "yes": True, "-": True}
_CSV_HELP = 'begin with the line "row,col,class" (or "lon,lat,class")'


@dataclass(frozen=True)
class ClickFile:
    """What a file holds: ``clicks`` in its order, names of the classes where it has any, and sentences on what was left aside."""

    clicks: list[Click]
    legend: Legend
    remarks: list[str]


@dataclass(frozen=True)
class _Labeled:
    """A pixel and what the file calls it."""

    row: int
    col: int
    label: str
    against: bool


def read_clicks(
    path: Path, georeference: Georeference, *, legend: Legend | None = None, field: str | None = None
) -> ClickFile:
    """Read a file of clicks for a scene.

    Parameters
    ----------
    path : Path
        CSV with a header: ``row`` and ``col`` (pixels from 0) or ``lon`` and ``lat``, the class, and perhaps ``against`` (true where the
        pixel is NOT of that class); three columns of which the first two are numbers, without a header, are row, col and class.
        Or GeoJSON (.json, .geojson), as `segmentation.examples.parse_samples` takes it: points, and lines and polygons, which
        become some of their pixels.
    georeference : Georeference
        Of the scene.
    legend : Legend or None
        Names with their numbers; None: names are numbered from 1 in alphabetical order.
    field : str or None
        Column or property that holds the class; None: ``class``, in GeoJSON also others that are called like it.

    Returns
    -------
    ClickFile

    Raises
    ------
    InvalidArgumentError
        With the line or feature, what is wrong with it, and what is wanted.
    """
    if path.suffix.lower() in (".json", ".geojson"):
        points, remarks = _geojson_points(path, georeference, field)
    else:
        points, remarks = list(_csv_points(path, georeference, field or "class")), []
    if not points:
        raise InvalidArgumentError(f"The clicks file {path} holds no click on the scene; give at least one.")
    numbers, legend = number_classes([point.label for point in points], legend, f"The clicks file {path}")
    clicks = [
        Click(point.row, point.col, number, point.against)
        for point, number in zip(points, numbers, strict=True)
    ]
    return ClickFile(clicks, legend, remarks)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidArgumentError(
                f"The clicks file {path} has more than {_MAX_FILE_BYTES // 2**20} MiB; give fewer clicks."
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"The clicks file {path} cannot be read: {error.strerror}.") from error


def _geojson_points(
    path: Path, georeference: Georeference, field: str | None
) -> tuple[list[_Labeled], list[str]]:
    try:
        found = parse_samples(_read(path), georeference, class_field=field, most_points=MAX_CLICKS)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}") from error
    if found.field is None:
        raise InvalidArgumentError(
            f'The clicks file {path} has no property "class"; name the one to take with --field: '
            f"{', '.join(found.fields[:20]) or 'it has none with text or numbers'}."
        )
    points = [
        _Labeled(row, col, sample.label, sample.against)
        for sample in found.samples
        for row, col in sample.points
    ]
    left_aside = (
        (found.outside, "they lie outside the scene"),
        (found.without_class, f'they have no "{found.field}"'),
        (found.without_geometry, "they have no geometry"),
    )
    return points, [
        f"Features of {path} left out, since {why}: {count:,}." for count, why in left_aside if count
    ]


def _csv_points(path: Path, georeference: Georeference, field: str) -> Iterator[_Labeled]:
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"The clicks file {path} is not text; give CSV or GeoJSON.") from error
    try:
        lines = [(number, line) for number, line in _numbered(text) if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise InvalidArgumentError(f"The clicks file {path} is not CSV: {error}.") from error
    if len(lines) - 1 > MAX_CLICKS:
        raise InvalidArgumentError(
            f"The clicks file {path} has {len(lines):,} lines; at most {MAX_CLICKS:,} are taken."
        )
    if not lines:
        return
    header = [cell.strip().lower() for cell in lines[0][1]]
    if len(header) == 3 and all(_is_number(cell) for cell in header[:2]):
        header, body = ["row", "col", field.lower()], lines
    else:
        body = lines[1:]
    missing = {field.lower()} - set(header)
    in_pixels = {"row", "col"} <= set(header)
    if missing or not (in_pixels or {"lon", "lat"} <= set(header)):
        raise InvalidArgumentError(
            f"The clicks file {path} has the columns {', '.join(header)}; {_CSV_HELP}."
        )
    if not in_pixels and georeference.crs is None:
        raise InvalidArgumentError(
            f"The clicks file {path} has longitudes and latitudes, but the scene has no coordinate system; give row and col."
        )
    for number, line in body:
        place = f"Line {number} of {path}"
        if len(line) != len(header):
            raise InvalidArgumentError(f"{place} has {len(line)} columns where the header has {len(header)}.")
        cells = dict(zip(header, (cell.strip() for cell in line), strict=True))
        names = ("row", "col") if in_pixels else ("lat", "lon")
        first, second = (_finite(cells[name], f"{place} has the {name}") for name in names)
        row, col = (first, second) if in_pixels else _pixel(second, first, georeference)
        yield _labeled(row, col, cells[field.lower()], cells.get("against", ""), place, georeference)


def _numbered(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    for line in reader:
        yield reader.line_num, line


def _pixel(lon: float, lat: float, georeference: Georeference) -> tuple[float, float]:
    cols, rows = georeference.from_lonlat([lon], [lat])
    row, col = float(rows[0]), float(cols[0])
    return (math.floor(row), math.floor(col)) if math.isfinite(row + col) else (math.inf, math.inf)


def _labeled(
    row: float, col: float, label: str, against: str, place: str, georeference: Georeference
) -> _Labeled:
    if math.isfinite(row + col) and (row != math.floor(row) or col != math.floor(col)):
        raise InvalidArgumentError(
            f"{place} has the pixel {row:g}, {col:g}; rows and columns are whole numbers."
        )
    if not (0 <= row < georeference.height and 0 <= col < georeference.width):
        raise InvalidArgumentError(
            f"{place} lies outside the scene of {georeference.height} rows and {georeference.width} columns."
        )
    if not label:
        raise InvalidArgumentError(f"{place} has no class; give a number or a name.")
    if against.lower() not in _AGAINST:
        raise InvalidArgumentError(
            f'{place} has "{against[:40]}" for against; give true where the pixel is NOT of the class, else false.'
        )
    return _Labeled(int(row), int(col), label, _AGAINST[against.lower()])


def _finite(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgumentError(f'{what} "{text[:40]}"; give a number.')
    return number


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
