"""Examples from GeoJSON: points as they are, lines and polygons as pixels that stand for them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.examples.geometry import MAX_VERTICES, Positions, Shapes, read_positions, shapes_of
from segmentation.examples.spread import line_pixels, polygon_pixels
from segmentation.rasters.georeference import Georeference

__all__ = ["CLASS_FIELDS", "MAX_FEATURES", "PER_LINE", "PER_POLYGON", "Sample", "SampleFile", "parse_samples"]

MAX_FEATURES = 20_000
PER_POLYGON = 25  # pixels that stand for a polygon, at most
PER_LINE = 200  # pixels that stand for a line, at most
# Properties that are taken for the class where nobody says which, the likeliest first; case, "_", "-" and blanks do not count.
CLASS_FIELDS = (
    "class",
    "classname",
    "label",
    "landcover",
    "landuse",
    "lulc",
    "category",
    "name",
    "type",
    "code",
    "classid",
    "classnumber",
)
_COLOR_FIELDS = ("color", "colour", "fill")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_YES, _NO = ("true", "yes", "1", "-"), ("false", "no", "0", "+", "")


@dataclass(frozen=True)
class Sample:
    """What a file says of some pixels."""

    feature: int  # its place in the file, from 1
    label: str
    against: bool  # the pixels are NOT of that class
    color: str | None  # "#rrggbb", where the file gives one
    points: list[tuple[int, int]]  # row, col; inside the scene


@dataclass(frozen=True)
class SampleFile:
    """What was found in a file, and what was left aside."""

    field: str | None  # property that was taken for the class; None where there was none to choose
    fields: list[str]  # properties that could be the class
    n_features: int
    samples: list[Sample] = dataclasses.field(default_factory=list)
    outside: int = 0  # features that no pixel of the scene lies in
    without_class: int = 0  # features
    without_geometry: int = 0  # features
    per_polygon: int = PER_POLYGON  # pixels that a polygon became at most

    @property
    def n_points(self) -> int:
        return sum(len(sample.points) for sample in self.samples)


@dataclass(frozen=True)
class _Found:
    """A feature that has a class and lies in the scene."""

    feature: int
    label: str
    against: bool
    color: str | None
    pixels: NDArray[np.int64]  # (n, 2) row, col, of its points and lines
    area: shapely.Geometry | None  # of its polygons, in pixel coordinates


def parse_samples(
    data: bytes | str,
    georeference: Georeference,
    *,
    class_field: str | None = None,
    most_points: int = 10_000,
    seed: int = 0,
) -> SampleFile:
    """Read examples from GeoJSON.

    Parameters
    ----------
    data : bytes or str
        A FeatureCollection (or one Feature) in longitude and latitude, in what its ``crs`` member names by an EPSG code, or,
        where the scene has no CRS, in pixels x, y. Properties: the class, and perhaps ``against`` (true where it is NOT that
        class) and ``color``.
    georeference : Georeference
        Of the scene.
    class_field : str or None
        Property that holds the class, text or a number; None: the first of CLASS_FIELDS that the features have.
    most_points : int
        Pixels that a file may become. Points count one each; a line becomes at most PER_LINE pixels, a polygon at most PER_POLYGON
        that are spread over its inside, and fewer where many polygons would have to share what is left.
    seed : int
        Of the pixels that stand for polygons; the same file then gives the same pixels.

    Returns
    -------
    SampleFile
        Without samples where the class cannot be told from the properties: ask for the field then.

    Raises
    ------
    InvalidArgumentError
        With the number of the feature, what is wrong with it, and what to do.
    """
    features, positions = _features(data, georeference)
    fields = _scalar_fields(features)
    if class_field is not None and class_field not in fields:
        known = ", ".join(fields) if fields else "none at all"
        raise InvalidArgumentError(
            f"No feature has a property {class_field[:60]!r} with text or a number; the properties are: {known[:300]}."
        )
    chosen = class_field or _likely_field(fields)
    if chosen is None:
        return SampleFile(None, fields, len(features))
    counts = {"outside": 0, "without_class": 0, "without_geometry": 0}
    found = list(_found(features, positions, georeference, chosen, counts))
    n_areas = sum(one.area is not None for one in found)
    n_points = sum(len(one.pixels) for one in found)
    if n_points + n_areas > most_points:
        raise InvalidArgumentError(
            f"The file comes to {n_points + n_areas:,} examples or more inside the scene; at most {most_points:,} are "
            "taken at once. Thin it out, or split it."
        )
    per_polygon = min(PER_POLYGON, (most_points - n_points) // n_areas) if n_areas else PER_POLYGON
    samples = [_sample(one, per_polygon, seed, georeference) for one in found]
    return SampleFile(chosen, fields, len(features), samples, **counts, per_polygon=per_polygon)


# ---------------------------------------------------------------------------------------------------- the file


def _features(data: bytes | str, georeference: Georeference) -> tuple[list[dict[str, Any]], Positions]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgumentError(f"The file is not JSON ({why}); export it as GeoJSON.") from error
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "FeatureCollection":
        features = value.get("features")
    elif kind == "Feature":
        features = [value]
    else:
        raise InvalidArgumentError(
            "The file is not a GeoJSON FeatureCollection; the class is a property of features, so bare geometries do not do."
        )
    if not isinstance(features, list) or not features:
        raise InvalidArgumentError("The file has no features; export at least one.")
    if len(features) > MAX_FEATURES:
        raise InvalidArgumentError(
            f"The file has {len(features):,} features; at most {MAX_FEATURES:,} are taken at once. Split it."
        )
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise InvalidArgumentError(f"Feature {number} is no GeoJSON Feature; export the file anew.")
    return features, read_positions(value, georeference.crs is not None)


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _is_class(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip() != ""


def _scalar_fields(features: list[dict[str, Any]]) -> list[str]:
    """Properties with text or numbers, in the order in which they come up."""
    found: dict[str, None] = {}
    for feature in features:
        for name, value in _properties(feature).items():
            if _is_class(value):
                found.setdefault(name)
    return list(found)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _likely_field(fields: list[str]) -> str | None:
    by_name = {_plain(name): name for name in reversed(fields)}
    return next((by_name[name] for name in CLASS_FIELDS if name in by_name), None)


# ---------------------------------------------------------------------------------------------------- features


def _found(
    features: list[dict[str, Any]],
    positions: Positions,
    georeference: Georeference,
    class_field: str,
    counts: dict[str, int],
) -> Iterator[_Found]:
    n_vertices = 0
    for number, feature in enumerate(features, start=1):
        place = f"Feature {number}"
        properties = _properties(feature)
        label = _label(properties.get(class_field), class_field, place)
        if feature.get("geometry") is None:
            counts["without_geometry"] += 1
            continue
        shapes = shapes_of(feature["geometry"], positions, place)
        n_vertices += shapes.n_vertices
        if n_vertices > MAX_VERTICES:
            raise InvalidArgumentError(
                f"The file has more than {MAX_VERTICES:,} positions up to feature {number}; simplify its outlines, or split it."
            )
        if not shapes.n_vertices:
            counts["without_geometry"] += 1
        elif label is None:
            counts["without_class"] += 1
        else:
            pixels, area = _in_scene(shapes, georeference)
            if not len(pixels) and area is None:
                counts["outside"] += 1
                continue
            yield _Found(number, label, _against(properties, place), _color(properties), pixels, area)


def _label(value: Any, class_field: str, place: str) -> str | None:
    """The class as text; None where the feature has none."""
    if value is None or value == "" or (isinstance(value, str) and not value.strip()):
        return None
    if not _is_class(value):
        raise InvalidArgumentError(
            f"{place} has {str(value)[:40]!r} as its {class_field[:60]}; a class is a name or a number."
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # many programs write whole numbers as 3.0
    return str(value).strip()


def _against(properties: dict[str, Any], place: str) -> bool:
    value = properties.get("against")
    said = str("" if value is None else value).strip().casefold()
    if said not in (*_YES, *_NO):
        raise InvalidArgumentError(
            f"{place} has {said[:40]!r} for against; give true where it is NOT of the class, else false."
        )
    return said in _YES


def _color(properties: dict[str, Any]) -> str | None:
    values = (properties.get(name) for name in _COLOR_FIELDS)
    return next((text.lower() for text in values if isinstance(text, str) and _COLOR.fullmatch(text)), None)


def _in_scene(
    shapes: Shapes, georeference: Georeference
) -> tuple[NDArray[np.int64], shapely.Geometry | None]:
    """Pixels of the points and lines of a feature, and its polygons in pixel coordinates, cut to the scene."""
    frame = shapely.box(0, 0, georeference.width, georeference.height)
    pixels = [np.zeros((0, 2), np.int64)]
    if shapes.points:
        pixels.append(_pixels_of(np.concatenate(shapes.points), georeference))
    for line in shapes.lines:
        cols, rows = georeference.from_lonlat(*shapely.get_coordinates(line).T)
        points = np.stack([cols, rows], axis=1)[np.isfinite(cols) & np.isfinite(rows)]
        if len(points) > 1:
            inside = line_pixels(shapely.intersection(shapely.LineString(points), frame), PER_LINE)
            pixels.append(_clipped(inside, georeference))
    joined = np.concatenate(pixels)
    _, first = np.unique(joined, axis=0, return_index=True)
    area = None
    if shapes.polygons:
        united = shapely.union_all(shapes.polygons)
        area = shapely.intersection(georeference.pixel_area(united), frame)
        parts = [part for part in shapely.get_parts(area) if part.geom_type == "Polygon" and part.area > 0]
        area = shapely.multipolygons(parts) if parts else None
    return joined[np.sort(first)], area


def _pixels_of(points: NDArray[np.float64], georeference: Georeference) -> NDArray[np.int64]:
    """Pixels inside the scene at longitudes and latitudes (or pixel x, y): float64 (n, 2) -> int64 (m, 2) row, col."""
    cols, rows = georeference.from_lonlat(points[:, 0], points[:, 1])
    there = (cols >= 0) & (cols < georeference.width) & (rows >= 0) & (rows < georeference.height)
    return np.floor(np.stack([rows[there], cols[there]], axis=1)).astype(np.int64)


def _clipped(pixels: NDArray[np.int64], georeference: Georeference) -> NDArray[np.int64]:
    """A shape cut at the scene's edges may touch the row or column beyond by rounding."""
    return np.clip(pixels, 0, [georeference.height - 1, georeference.width - 1])


def _sample(found: _Found, per_polygon: int, seed: int, georeference: Georeference) -> Sample:
    pixels = found.pixels
    if found.area is not None:
        # Of its place in the file, so that a feature gets the same pixels whatever else is in it.
        rng = np.random.default_rng([seed, found.feature])
        inside = polygon_pixels(found.area, per_polygon, rng)
        pixels = np.concatenate([pixels, _clipped(inside, georeference)])
    points = dict.fromkeys((int(row), int(col)) for row, col in pixels)
    return Sample(found.feature, found.label, found.against, found.color, list(points))
