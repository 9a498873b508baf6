"""Examples as GeoJSON: what a GIS shows, and what `reading` reads back to the very same pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.rasters.georeference import Georeference

__all__ = ["WrittenExample", "examples_to_geojson"]

_DECIMALS = 9  # of degrees: a tenth of a millimeter


@dataclass(frozen=True)
class WrittenExample:
    """Pixels that one edit said are, or are not, of one class."""

    points: list[tuple[int, int]]  # row, col
    label: str  # name of the class
    class_number: int
    color: str  # "#rrggbb"
    against: bool
    kind: str  # "click", "stroke" or "import"
    number: int  # of the edit


def examples_to_geojson(examples: Iterable[WrittenExample], georeference: Georeference) -> dict[str, Any]:
    """A FeatureCollection with one Point or MultiPoint for each example.

    Parameters
    ----------
    examples : iterable of WrittenExample
        In the order in which they are to stand in the file.
    georeference : Georeference
        Of the scene.

    Returns
    -------
    dict
        Positions are centers of pixels: longitude (-180 to 180) and latitude, or x and y in pixels where the scene has no
        CRS. Properties: ``class`` (its name), ``class_number``, ``color``, ``against``, ``kind``, ``edit``.
    """
    return {
        "type": "FeatureCollection",
        "features": [_feature(example, georeference) for example in examples],
    }


def _feature(example: WrittenExample, georeference: Georeference) -> dict[str, Any]:
    positions = _positions(np.array(example.points, np.float64), georeference).tolist()
    alone = len(positions) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Point" if alone else "MultiPoint",
            "coordinates": positions[0] if alone else positions,
        },
        "properties": {
            "class": example.label,
            "class_number": example.class_number,
            "color": example.color,
            "against": example.against,
            "kind": example.kind,
            "edit": example.number,
        },
    }


def _positions(points: NDArray[np.float64], georeference: Georeference) -> NDArray[np.float64]:
    """Row, col (n, 2) -> x, y of the pixels' centers (n, 2)."""
    x, y = georeference.to_lonlat(points[:, 1] + 0.5, points[:, 0] + 0.5)
    if georeference.crs is not None:
        x = (x + 180) % 360 - 180
    positions: NDArray[np.float64] = np.stack([x, y], axis=1).round(_DECIMALS)
    return positions
