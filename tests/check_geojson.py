"""Holds an exported GeoJSON to the class map that it was made from, pixel by pixel, without the code that made it.

Polygons are brought into the scene's CRS vertex by vertex (an edge that is straight there is not straight in longitude and
latitude), then burned onto the scene's grid by GDAL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.enums import TransformDirection
from rasterio.enums import MergeAlg
from rasterio.features import rasterize

__all__ = ["Burned", "burn", "compare"]


@dataclass(frozen=True)
class Burned:
    """``classes`` uint8 (H, W), 0 where no polygon is; ``covers``: how many polygons hold the center of each pixel."""

    classes: NDArray[np.uint8]
    covers: NDArray[np.uint16]


def burn(collection: dict[str, Any], transform: Affine, crs: Any, height: int, width: int) -> Burned:
    """Burn a FeatureCollection onto a scene's grid.

    Parameters
    ----------
    collection : dict
        The export, parsed.
    transform, crs, height, width
        Of the scene, as rasterio gives them; with ``crs`` None coordinates are pixels (x = column, y = row).
    """
    classes = np.zeros((height, width), np.uint8)
    covers = np.zeros((height, width), np.uint16)
    to_pixels = _to_pixels(transform, crs, height, width)
    shapes: dict[int, list[Any]] = {}
    for feature in collection["features"]:
        properties = feature["properties"]
        number = properties["class_id"]
        for rings in _polygons(feature["geometry"]):
            shapes.setdefault(int(number), []).append(
                {"type": "Polygon", "coordinates": [to_pixels(np.array(ring)) for ring in rings]}
            )
    for number, polygons in shapes.items():
        count = rasterize(
            [(polygon, 1) for polygon in polygons],
            out_shape=(height, width),
            transform=Affine.identity(),
            merge_alg=MergeAlg.add,
            dtype="uint16",
        )
        covers += count
        classes[count > 0] = number
    return Burned(classes, covers)


def compare(
    export: str | bytes | Path | dict[str, Any],
    classes: NDArray[np.uint8],
    transform: Affine,
    crs: Any,
) -> dict[str, Any]:
    """Fail unless an export covers exactly the classified pixels, each once and with its class, by valid polygons.

    Parameters
    ----------
    export : path, text or parsed GeoJSON
    classes : uint8 array, shape (H, W)
        The class map, 0 = unclassified.
    transform, crs
        Of the scene.

    Returns
    -------
    dict
        The parsed export.
    """
    collection = _parse(export)
    assert collection["type"] == "FeatureCollection"
    for index, feature in enumerate(collection["features"]):
        assert feature["type"] == "Feature"
        for rings in _polygons(feature["geometry"]):
            polygon = shapely.Polygon(rings[0], rings[1:])
            assert polygon.is_valid, f"feature {index}: {shapely.is_valid_reason(polygon)}"
            assert polygon.exterior.is_ccw, f"feature {index}: the outer ring is clockwise"
            assert not any(hole.is_ccw for hole in polygon.interiors), (
                f"feature {index}: a hole is counter-clockwise"
            )
    burned = burn(collection, transform, crs, *classes.shape)
    twice = np.argwhere(burned.covers > 1)
    assert not len(twice), f"{len(twice)} pixels lie in several polygons, the first at row, col {twice[0]}"
    wrong = np.argwhere(burned.classes != classes)
    if len(wrong):
        row, col = wrong[0]
        raise AssertionError(
            f"{len(wrong)} of {classes.size} pixels differ; the first at row {row}, col {col} is of class "
            f"{burned.classes[row, col]} in the export and {classes[row, col]} in the map"
        )
    return collection


def _parse(export: str | bytes | Path | dict[str, Any]) -> dict[str, Any]:
    if isinstance(export, dict):
        return export
    parsed: dict[str, Any] = json.loads(export.read_bytes() if isinstance(export, Path) else export)
    return parsed


def _polygons(geometry: dict[str, Any]) -> Iterator[list[Any]]:
    """Rings of each polygon of a geometry."""
    if geometry["type"] == "Polygon":
        yield geometry["coordinates"]
    elif geometry["type"] == "MultiPolygon":
        yield from geometry["coordinates"]
    else:
        raise AssertionError(f"a {geometry['type']} is no polygon")


def _to_pixels(transform: Affine, crs: Any, height: int, width: int) -> Any:
    """Function from a ring's coordinates to [[col, row], ...]."""
    if crs is None:
        return lambda ring: ring.tolist()
    to_lonlat = pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(crs), "EPSG:4326", always_xy=True)
    center = transform * (width / 2, height / 2)
    center_lon, _ = to_lonlat.transform(*center)

    def convert(ring: NDArray[np.float64]) -> list[list[float]]:
        # A part beyond the antimeridian counts from the other side.
        lons = ring[:, 0] + 360 * np.round((center_lon - ring[:, 0].mean()) / 360)
        x, y = to_lonlat.transform(lons, ring[:, 1], direction=TransformDirection.INVERSE)
        cols, rows = ~transform * (np.asarray(x), np.asarray(y))
        return np.stack([cols, rows], axis=1).tolist()

    return convert
