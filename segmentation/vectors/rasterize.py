"""Polygons, lines and points of a vector file, burned into a class map on an image's grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from shapely.geometry.base import BaseGeometry

from segmentation.errors import InvalidArgumentError, SegmentationError
from segmentation.legend import Legend, number_classes
from segmentation.rasters.aoi import densified
from segmentation.rasters.drivers import check_path
from segmentation.rasters.georeference import Georeference

__all__ = ["Shapes", "read_shapes"]

_SUFFIXES = (".geojson", ".json", ".gpkg", ".zip", ".shp", ".fgb")
_MAX_VERTICES = 20_000_000
_BEND_STEPS = 16  # parts of a line's edge between its vertices: edges bow between coordinate systems


@dataclass(frozen=True)
class Shapes:
    """Shapes on a scene's grid, to be read as a class map (`segmentation.vectors.ClassSource`).

    ``geometries`` in pixel coordinates, in the file's order: later ones lie on top; ``numbers`` uint8 (n,), their classes;
    ``outside`` counts those that do not touch the grid.
    """

    shape: tuple[int, int]
    geometries: NDArray[np.object_]
    numbers: NDArray[np.uint8]
    tree: shapely.STRtree
    legend: Legend
    outside: int
    all_touched: bool

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        """Classes of a window, uint8 (height, width); 0 where no shape lies."""
        near = np.sort(self.tree.query(shapely.box(col, row, col + width, row + height)))
        if not len(near):
            return np.zeros((height, width), np.uint8)
        burned: NDArray[np.uint8] = rasterio.features.rasterize(
            zip(self.geometries[near], self.numbers[near].tolist(), strict=True),
            out_shape=(height, width),
            transform=Affine.translation(col, row),
            all_touched=self.all_touched,
            dtype="uint8",
        )
        return burned


def read_shapes(
    path: str | Path,
    georeference: Georeference,
    *,
    field: str = "class",
    layer: str | None = None,
    legend: Legend | None = None,
    all_touched: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Shapes:
    """Read a vector file for a scene's grid.

    Parameters
    ----------
    path : str or Path
        GeoJSON, GeoPackage, Shapefile (also zipped) or FlatGeobuf. It is brought from its CRS to the scene's; without a
        CRS of its own its coordinates are the scene's. Where the scene has none, they are pixels: x the column, y the row.
    georeference : Georeference
        Of the scene.
    field : str
        Attribute that holds the class: a number from 1 to 255, or a name.
    layer : str or None
        Where the file has several.
    legend : Legend or None
        Numbers of the names; None: from 1 in alphabetical order.
    all_touched : bool
        True: every pixel that a shape touches. False: those whose center it holds (lines: those that they cross).
    progress : callable or None
        Told the share of the shapes read, 0 to 1.

    Returns
    -------
    Shapes

    Raises
    ------
    InvalidArgumentError
        If layer, field or classes are not as described.
    SegmentationError
        If the file cannot be read, or none of its shapes lies on the image.
    """
    file = check_path(path)
    if file.suffix.lower() not in _SUFFIXES:
        raise InvalidArgumentError(
            f'"{file.name}" is not a vector file that is read here; give GeoJSON, GeoPackage (.gpkg) or a Shapefile (.shp, .zip).'
        )
    meta, wkb, values = _read(file, field, layer)
    geometries = _geometries(file, wkb)
    held = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    labels = [_label(value, place, file) for place, value in enumerate(values.tolist(), start=1)]
    numbers, legend = number_classes(
        [label for label, keep in zip(labels, held, strict=True) if keep], legend, file.name
    )
    project = _projection(meta.get("crs"), georeference, file)
    chosen, touches = geometries[held], np.zeros(int(held.sum()), bool)
    grid = shapely.box(0, 0, georeference.width, georeference.height)
    placed = np.empty(len(chosen), object)
    for place, geometry in enumerate(chosen):
        placed[place] = _to_pixels(geometry, project)
        touches[place] = placed[place] is not None and shapely.intersects(placed[place], grid)
        if progress is not None:
            progress((place + 1) / len(chosen))
    if not touches.any():
        raise SegmentationError(
            f'None of the {len(chosen):,} shapes of "{file.name}" lies on the image; check their coordinate system.'
        )
    placed = placed[touches]
    return Shapes(
        (georeference.height, georeference.width),
        placed,
        np.array(numbers, np.uint8)[touches],
        shapely.STRtree(placed),
        legend,
        int((~touches).sum()),
        all_touched,
    )


def _read(file: Path, field: str, layer: str | None) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any]]:
    """Description, well-known bytes and the field's values of one layer."""
    before = pyogrio.get_gdal_config_option("GDAL_DISABLE_READDIR_ON_OPEN")
    # A Shapefile is several files; `segmentation.rasters` keeps GDAL from looking beside the one it opens.
    pyogrio.set_gdal_config_options({"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"})
    try:
        layers = [str(name) for name in pyogrio.list_layers(file)[:, 0]]
        if layer is None and len(layers) > 1:
            raise InvalidArgumentError(
                f'"{file.name}" has the layers {", ".join(layers[:20])}; choose one with --layer.'
            )
        if layer is not None and layer not in layers:
            raise InvalidArgumentError(
                f'"{file.name}" has no layer "{layer}", but {", ".join(layers[:20]) or "none at all"}.'
            )
        fields = [str(name) for name in pyogrio.read_info(file, layer=layer)["fields"]]
        if field not in fields:
            raise InvalidArgumentError(
                f'"{file.name}" has no field "{field}"; choose one with --field: {", ".join(fields[:20]) or "it has none"}.'
            )
        meta, _, wkb, columns = pyogrio.raw.read(file, layer=layer, columns=[field], force_2d=True)
    except (DataSourceError, DataLayerError, FieldError, OSError) as error:
        raise SegmentationError(
            f'"{file.name}" cannot be read as a vector file. Save it anew as GeoJSON or GeoPackage.'
        ) from error
    finally:
        pyogrio.set_gdal_config_options({"GDAL_DISABLE_READDIR_ON_OPEN": before})
    if wkb is None or not len(wkb):
        raise SegmentationError(f'"{file.name}" holds no shape.')
    return meta, wkb, columns[0]


def _geometries(file: Path, wkb: NDArray[Any]) -> NDArray[np.object_]:
    try:
        geometries: NDArray[np.object_] = shapely.from_wkb(wkb)
    except shapely.errors.ShapelyError as error:
        raise SegmentationError(
            f'"{file.name}" holds a shape that cannot be read, such as a curve. Save it with straight edges.'
        ) from error
    if shapely.get_num_coordinates(geometries).sum() > _MAX_VERTICES:
        raise SegmentationError(
            f'"{file.name}" has more than {_MAX_VERTICES:,} vertices. Simplify it, or cut it to the image.'
        )
    return geometries


def _label(value: Any, place: int, file: Path) -> int | str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)) or not str(value).strip():
        raise InvalidArgumentError(f'Shape {place} of "{file.name}" has no class; give it one, or delete it.')
    if isinstance(value, float):
        if not value.is_integer():
            raise InvalidArgumentError(
                f'Shape {place} of "{file.name}" has the class {value:g}; class numbers are whole.'
            )
        return int(value)
    return int(value) if isinstance(value, int) else str(value)


def _projection(
    crs: str | None, georeference: Georeference, file: Path
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """From the file's coordinates to pixel columns and rows."""
    if georeference.crs is None:
        return lambda x, y: (np.asarray(x, np.float64), np.asarray(y, np.float64))
    inverse = ~georeference.transform
    if crs is None:
        return lambda x, y: _affine(inverse, x, y)
    try:
        transformer = pyproj.Transformer.from_crs(
            pyproj.CRS.from_user_input(crs), pyproj.CRS.from_wkt(georeference.crs.to_wkt()), always_xy=True
        )
    except pyproj.exceptions.ProjError as error:
        raise SegmentationError(
            f'The coordinate system of "{file.name}" cannot be brought to the image\'s. Save it as GeoJSON in WGS 84.'
        ) from error

    def project(
        x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        east, north = transformer.transform(x, y)
        return _affine(inverse, east, north)

    return project


def _affine(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def _to_pixels(geometry: BaseGeometry, project: Any) -> BaseGeometry | None:
    """A geometry in pixel coordinates; None where the image's projection does not reach."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        corners = shapely.get_coordinates(geometry)
        if not np.isfinite(np.stack(project(corners[:, 0], corners[:, 1]))).all():
            return None
        placed = densified(geometry, project)
        return None if placed.is_empty else placed
    if geometry.geom_type == "GeometryCollection":
        parts = [_to_pixels(part, project) for part in geometry.geoms]
        return shapely.GeometryCollection([part for part in parts if part is not None])
    if "Line" in geometry.geom_type:
        longest = max(geometry.bounds[2] - geometry.bounds[0], geometry.bounds[3] - geometry.bounds[1])
        if longest > 0:
            geometry = shapely.segmentize(geometry, longest / _BEND_STEPS)
    placed = shapely.transform(geometry, lambda points: np.stack(project(points[:, 0], points[:, 1]), axis=1))
    return placed if np.isfinite(shapely.get_coordinates(placed)).all() else None
