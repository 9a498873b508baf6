"""Cuts at +-180 degrees, by hand and over whole scenes."""

import json

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import gaussian_filter

from segmentation.rasters.georeference import Georeference
from segmentation.vectors import ArraySource, ClassStyle, geojson_chunks
from segmentation.vectors.antimeridian import Cutter

LEGEND = {number: ClassStyle(f"class {number}", "#123456") for number in range(1, 5)}


def degrees(*points):
    """A ring with one digit after the point, closed."""
    return np.rint(np.array([*points, points[0]]) * 10).astype(np.int64)


def cut(*rings, has_pole=False):
    parts = Cutter(1, has_pole).cut(list(rings))
    return shapely.union_all(
        [shapely.Polygon(part[0] / 10, [hole / 10 for hole in part[1:]]) for part in parts]
    )


def test_a_box_over_the_antimeridian_becomes_two():
    area = cut(degrees((179, 0), (181, 0), (181, 1), (179, 1)))
    assert area.equals(shapely.union(shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)))


def test_a_hole_over_the_antimeridian_is_cut_out_of_both_parts():
    area = cut(
        degrees((177, 0), (183, 0), (183, 6), (177, 6)), degrees((179, 2), (179, 4), (181, 4), (181, 2))
    )
    expected = shapely.union(shapely.box(177, 0, 180, 6), shapely.box(-180, 0, -177, 6))
    assert area.equals(expected - shapely.box(179, 2, 180, 4) - shapely.box(-180, 2, -179, 4))


def test_neighbors_find_the_same_crossing():
    upper = Cutter(1, False).cut([degrees((179, 0), (181, 0.7), (181, 3), (179, 3))])
    lower = Cutter(1, False).cut([degrees((179, -3), (181, -3), (181, 0.7), (179, 0))])
    crossings = [{tuple(point) for part in parts for point in part[0].tolist()} for parts in (upper, lower)]
    assert {(1800, 4), (-1800, 4)} <= crossings[0] & crossings[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ring_around_a_pole_reaches_up_to_it(sign):
    ring = degrees((-135, 80 * sign), (-45, 80 * sign), (45, 80 * sign), (135, 80 * sign))[::sign]
    area = cut(ring, has_pole=True)
    assert area.equals(shapely.box(-180, 80 * sign, 180, 90 * sign))


def test_an_annulus_around_a_pole_leaves_the_pole_out():
    outer = degrees((-135, 70), (-45, 70), (45, 70), (135, 70))
    hole = degrees((-135, 80), (-45, 80), (45, 80), (135, 80))[::-1]
    assert cut(outer, hole, has_pole=True).equals(shapely.box(-180, 70, 180, 80))


@pytest.mark.parametrize(("east", "width"), [(10, 90), (100, 180), (170, 250)])
def test_a_wedge_with_its_tip_on_the_pole_has_an_edge_there(east, width):
    middle = east - width / 2
    wedge = degrees((east - width, 80), (middle, 80), (east, 80), (0, 90))
    area = cut(wedge, has_pole=True)
    assert area.is_valid
    assert area.area == pytest.approx(width * 10)


def test_an_edge_straight_over_the_pole_becomes_two_meridians():
    half_disk = degrees((90, 85), (-90, 85), (-45, 80), (0, 80), (45, 80))
    area = cut(half_disk, has_pole=True)
    assert area.is_valid
    assert area.covers(shapely.Point(0, 89))
    assert not area.covers(shapely.Point(180, 89))


def test_only_what_crosses_has_to_be_cut():
    rings = [
        degrees((1, 1), (2, 1), (2, 2)),
        degrees((179, 1), (181, 1), (181, 2)),
        degrees((180, 1), (182, 1), (182, 2)),
        degrees((-541, 1), (-540, 1), (-540, 2)),
    ]
    points, ends = np.concatenate(rings), np.cumsum([len(ring) for ring in rings])
    turns, must_cut = Cutter(1, False).turns(points[:, 0], points[:, 1], ends, ends)
    assert must_cut.tolist() == [False, True, False, False]
    assert [turns[0], turns[2], turns[3]] == [0, 1, -2]


SCENES = {
    "degrees across": (Affine(0.1, 0, 176, 0, -0.1, 50), 4326, (60, 80)),
    "degrees 0 to 360": (Affine(5, 0, 0, 0, -5, 90), 4326, (36, 72)),
    "Pacific mercator": (Affine(9e4, 0, -2e6, 0, -9e4, 4e6), 3832, (70, 70)),
    "pole at a corner of a pixel": (Affine(6e4, 0, -2.4e6, 0, -6e4, 2.4e6), 3413, (80, 80)),
    "pole in a pixel": (Affine(6e4, 0, -2.43e6, 0, -6e4, 2.43e6), 3031, (81, 81)),
    "pole on an edge": (Affine(6e4, 0, -2.43e6, 0, -6e4, 2.4e6), 3031, (80, 81)),
    "pole in a rotated pixel": (Affine(5e4, 3e4, -3.2e6, 3e4, -5e4, 0.8e6), 3413, (80, 80)),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("smooth_px", [0.5, 3.0])
def test_every_pixel_lies_in_one_polygon_of_its_class(name, smooth_px):
    transform, epsg, shape = SCENES[name]
    georeference = Georeference(transform, CRS.from_epsg(epsg), *shape)
    rng = np.random.default_rng(len(name))
    noise = [gaussian_filter(rng.standard_normal(shape), smooth_px) for _ in range(4)]
    classes = np.argmax(noise, axis=0).astype(np.uint8)
    features = json.loads("".join(geojson_chunks(ArraySource(classes), LEGEND, georeference)))["features"]

    shapes = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
    parts, owner = shapely.get_parts(shapes, return_index=True)
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(parts)
    assert all(part.exterior.is_ccw and not any(hole.is_ccw for hole in part.interiors) for part in parts)
    west, south, east, north = shapely.total_bounds(parts)
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    assert any(shape.geom_type == "MultiPolygon" for shape in shapes)

    rows, cols = (index.ravel() for index in np.indices(shape))
    lons, lats = georeference.to_lonlat(cols + 0.5, rows + 0.5)
    # Pixels whose center lies on +-180 touch both parts of their polygon.
    points = shapely.points((lons + 180) % 360 - 180, lats)
    inside, part = shapely.STRtree(parts).query(points, predicate="intersects")
    number = np.array([feature["properties"]["class_id"] for feature in features])
    np.testing.assert_array_equal(number[owner[part]], classes[rows, cols][inside])
    np.testing.assert_array_equal(np.unique(inside), np.flatnonzero(classes.ravel()))
