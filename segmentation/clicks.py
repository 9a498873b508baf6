"""Files of clicked pixels: CSV with rows and columns, or GeoJSON points."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmentation.decoder import Click
from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend, number_classes, read_json
from segmentation.rasters.georeference import Georeference

__all__ = ["MAX_CLICKS", "PointExample", "read_clicks", "read_points"]

MAX_CLICKS = 100_000
_AGAINST = {"": False, "0": False, "false": False, "no": False, "+": False}
_AGAINST |= {"1": True, "true": True, "yes": True, "-": True}
_CSV_HELP = 'begin with the line "row,col,class" (or "lon,lat,class")'


@dataclass(frozen=True)
class PointExample:
    """A pixel and what a file says of it: ``label`` is a class number or name, ``against`` means "not that"."""

    row: int
    col: int
    label: int | str
    against: bool
    place: str  # where it stands in the file, for errors


def read_clicks(
    path: Path, georeference: Georeference, *, legend: Legend | None = None, field: str = "class"
) -> tuple[list[Click], Legend]:
    """Read a file of clicks for a scene.

    Parameters
    ----------
    path : Path
        CSV or GeoJSON, as `read_points` takes them.
    georeference : Georeference
        Of the scene.
    legend : Legend or None
        Names with their numbers; None: names are numbered from 1 in alphabetical order.
    field : str
        Column or property that holds the class.

    Returns
    -------
    list of Click
        In the file's order.
    Legend
        Names of the classes, where the file has any.

    Raises
    ------
    InvalidArgumentError
        With the line or feature, what is wrong with it, and what is wanted.
    """
    points = read_points(path, georeference, field=field)
    numbers, legend = number_classes([point.label for point in points], legend, f"The clicks file {path}")
    clicks = [
        Click(point.row, point.col, number, point.against)
        for point, number in zip(points, numbers, strict=True)
    ]
    return clicks, legend


def read_points(path: Path, georeference: Georeference, *, field: str = "class") -> list[PointExample]:
    """Read the points of a file, with their classes as they stand there.

    CSV has a header with ``row`` and ``col`` (pixels from 0) or ``lon`` and ``lat``, the class, and perhaps ``against``; three
    columns of numbers without a header are row, col and class. GeoJSON has Point and MultiPoint features in longitude and
    latitude (pixels x, y where the scene has no CRS), with the class and perhaps ``against`` as properties.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be read, has another form, or a point outside the scene.
    """
    if path.suffix.lower() in (".json", ".geojson"):
        points = list(_geojson_points(read_json(path, "clicks file"), georeference, field, path))
    else:
        points = list(_csv_points(path, georeference, field))
    if not points:
        raise InvalidArgumentError(f"The clicks file {path} holds no click; give at least one.")
    return points


def _csv_points(path: Path, georeference: Georeference, field: str) -> Iterator[PointExample]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidArgumentError(f"The clicks file {path} cannot be read: {error.strerror}.") from error
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
        yield _example(row, col, cells[field.lower()], cells.get("against", ""), place, georeference)


def _numbered(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    for line in reader:
        yield reader.line_num, line


def _geojson_points(data: Any, georeference: Georeference, field: str, path: Path) -> Iterator[PointExample]:
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, list):
        raise InvalidArgumentError(
            f"The clicks file {path} is not a GeoJSON FeatureCollection; give one with Point features."
        )
    if data.get("crs") and "CRS84" not in str(data["crs"]) and "4326" not in str(data["crs"]):
        raise InvalidArgumentError(
            f"The clicks file {path} is in another coordinate system; save it as GeoJSON in longitude and latitude (WGS 84)."
        )
    count = 0
    for number, feature in enumerate(features, start=1):
        place = f"Feature {number} of {path}"
        properties = feature.get("properties") if isinstance(feature, dict) else None
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if kind not in ("Point", "MultiPoint") or not isinstance(geometry, dict):
            raise InvalidArgumentError(
                f"{place} is a {kind or 'feature without geometry'}; clicks are Point or MultiPoint features."
            )
        if not isinstance(properties, dict) or properties.get(field) is None:
            raise InvalidArgumentError(f'{place} lacks the property "{field}", which names its class.')
        coordinates = geometry.get("coordinates")
        positions = [coordinates] if kind == "Point" else coordinates
        for position in positions if isinstance(positions, list) else [None]:
            if not isinstance(position, list) or len(position) < 2:
                raise InvalidArgumentError(f"{place} has a position that is not a pair of numbers.")
            x, y = (_finite(value, f"{place} has the coordinate") for value in position[:2])
            row, col = _pixel(x, y, georeference)
            count += 1
            if count > MAX_CLICKS:
                raise InvalidArgumentError(
                    f"The clicks file {path} has more than {MAX_CLICKS:,} points; give fewer."
                )
            yield _example(row, col, properties[field], properties.get("against", ""), place, georeference)


def _pixel(x: float, y: float, georeference: Georeference) -> tuple[float, float]:
    """Row and column at a longitude and latitude, or at pixel x, y without CRS."""
    cols, rows = georeference.from_lonlat([x], [y])
    row, col = float(rows[0]), float(cols[0])
    return (math.floor(row), math.floor(col)) if math.isfinite(row + col) else (math.inf, math.inf)


def _example(
    row: float, col: float, label: Any, against: Any, place: str, georeference: Georeference
) -> PointExample:
    if row != math.floor(row) or col != math.floor(col):
        raise InvalidArgumentError(
            f"{place} has the pixel {row:g}, {col:g}; rows and columns are whole numbers."
        )
    if not (0 <= row < georeference.height and 0 <= col < georeference.width):
        raise InvalidArgumentError(
            f"{place} lies outside the scene of {georeference.height} rows and {georeference.width} columns."
        )
    if isinstance(label, bool) or not isinstance(label, int | str):
        if not (isinstance(label, float) and label.is_integer()):
            raise InvalidArgumentError(f"{place} has the class {label!r}; give a whole number or a name.")
        label = int(label)
    if isinstance(label, str) and not label.strip():
        raise InvalidArgumentError(f"{place} has no class; give a number or a name.")
    said = str("" if against is None else against).strip().lower()
    if said not in _AGAINST:
        raise InvalidArgumentError(
            f'{place} has "{said[:40]}" for against; give true where the pixel is NOT of the class, else false.'
        )
    return PointExample(int(row), int(col), label, _AGAINST[said], place)


def _finite(value: Any, what: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{what} {str(value)[:40]!r}; give a number.")
    return number


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
