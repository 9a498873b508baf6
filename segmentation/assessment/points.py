"""Reference points in files: drawn for people to label, and read back labeled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.examples.reading import parse_samples
from segmentation.legend import Legend
from segmentation.rasters.class_map import MAX_READ_CLASS
from segmentation.rasters.georeference import Georeference

__all__ = ["REFERENCE_FIELD", "LabeledPoints", "points_to_geojson", "read_labeled_points"]

REFERENCE_FIELD = "reference"


@dataclass(frozen=True)
class LabeledPoints:
    """``pixels`` int64 (n, 2), row and column; ``classes`` int64 (n,); and how many points were left aside, and why."""

    pixels: NDArray[np.int64]
    classes: NDArray[np.int64]
    without_class: int
    outside: int


def points_to_geojson(pixels: NDArray[np.int64], georeference: Georeference) -> dict[str, Any]:
    """Points to label, at the middles of their pixels; nothing tells what the map says there.

    Parameters
    ----------
    pixels : int64 array, shape (n, 2)
        Row and column.
    georeference : Georeference
        Of the map.

    Returns
    -------
    dict
        A GeoJSON FeatureCollection in longitude and latitude, or in pixels x, y without a CRS. Properties: ``id`` from 1,
        ``row``, ``col`` and ``reference``, null until somebody says which class is there.
    """
    rows, cols = pixels[:, 0] + 0.5, pixels[:, 1] + 0.5
    lons, lats = (cols, rows) if georeference.crs is None else georeference.to_lonlat(cols, rows)
    features = [
        {
            "type": "Feature",
            "id": number,
            "geometry": {"type": "Point", "coordinates": [round(float(lon), 9), round(float(lat), 9)]},
            "properties": {"id": number, "row": int(row), "col": int(col), REFERENCE_FIELD: None},
        }
        for number, (lon, lat, (row, col)) in enumerate(zip(lons, lats, pixels, strict=True), start=1)
    ]
    return {"type": "FeatureCollection", "features": features}


def read_labeled_points(
    data: bytes | str, georeference: Georeference, legend: Legend, field: str = REFERENCE_FIELD
) -> LabeledPoints:
    """Read points that were labeled.

    Parameters
    ----------
    data : bytes or str
        GeoJSON as `points_to_geojson` makes it; points without a class are left aside.
    georeference : Georeference
        Of the map.
    legend : Legend
        Names that stand for numbers, whatever their case.
    field : str
        Property with the class: a name of the legend, or a number.

    Raises
    ------
    InvalidArgumentError
        If the file is no GeoJSON, has no labeled point, a line or polygon among them, or names a class that the legend does not have.
    """
    found = parse_samples(data, georeference, class_field=_labeled_field(data, field), most_points=1_000_000)
    numbers = {name.casefold(): number for number, name in legend.names.items()}
    pixels, classes = [], []
    for sample in found.samples:
        if len(sample.points) != 1:
            raise InvalidArgumentError(
                f"Feature {sample.feature} stands for {len(sample.points)} pixels; reference data are points, each for its own pixel."
            )
        classes.append(_number(sample.label, numbers, sample.feature))
        pixels.append(sample.points[0])
    if not pixels:
        raise InvalidArgumentError(
            f"None of the {found.n_features:,} points is labeled and lies on the map; are they of this place?"
        )
    return LabeledPoints(
        np.array(pixels, np.int64).reshape(-1, 2),
        np.array(classes, np.int64),
        found.without_class,
        found.outside,
    )


def _labeled_field(data: bytes | str, field: str) -> str:
    """``field``; InvalidArgumentError where it is there and no point has a class yet."""
    try:
        features = json.loads(data)["features"]
        properties = [feature["properties"] or {} for feature in features]
        is_there = any(field in one for one in properties)
        is_empty = all(one.get(field) in (None, "") for one in properties)
    except (ValueError, KeyError, TypeError, AttributeError):
        return field  # whoever reads it says what is wrong
    if features and is_there and is_empty:
        raise InvalidArgumentError(
            f'No point has a class yet; write one into "{field}" of each, a name or a number, for example in QGIS.'
        )
    return field


def _number(label: str, numbers: dict[str, int], feature: int) -> int:
    known = numbers.get(label.casefold())
    if known is not None:
        return known
    if label.isascii() and label.isdigit() and 1 <= int(label) <= MAX_READ_CLASS:
        return int(label)
    names = ", ".join(sorted(numbers)[:12]) or "none"
    raise InvalidArgumentError(
        f"Feature {feature} is labeled {label[:40]!r}, neither a number from 1 to {MAX_READ_CLASS:,} nor one of the classes ({names})."
    )
