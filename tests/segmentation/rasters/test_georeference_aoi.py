"""Areas of interest of a georeference: checked against shapely, pixel by pixel, and by a sentence for each bad one."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from segmentation.errors import AreaOfInterestError
from segmentation.rasters.aoi import MAX_VERTICES
from segmentation.rasters.georeference import Georeference

GRIDS = {
    "utm": (Affine(10, 0, 3e5, 0, -10, 5.1e6), 32633, 700, 900),
    "rotated": (
        Affine.translation(5e5, 6.6e6) @ Affine.rotation(33) @ Affine.scale(2.5, -2.5),
        32633,
        600,
        800,
    ),
    "south-up": (Affine(10, 0, 3e5, 0, 10, 5.1e6), 32633, 500, 600),
    "mercator": (Affine(20, 0, 1.1e6, 0, -20, 8.4e6), 3857, 700, 800),
    "degrees": (Affine(0.001, 0, 12, 0, -0.001, 47), 4326, 800, 700),
    "antimeridian": (Affine(0.001, 0, 179.7, 0, -0.001, -16), 4326, 600, 800),
    "antimeridian-utm": (Affine(30, 0, 7.9e5, 0, -30, 8.2e6), 32760, 900, 1000),
    "world": (Affine(0.25, 0, -180, 0, -0.25, 90), 4326, 720, 1440),
    "north-pole": (Affine(6000, 0, -3e6, 0, -6000, 3e6), 3413, 1000, 1000),
    "wide-projection": (Affine(1000, 0, 2.6e6, 0, -1000, 4.5e6), 3035, 900, 900),
    "pixels": (Affine.identity(), None, 500, 700),
}
each_grid = pytest.mark.parametrize("name", list(GRIDS))


def make(name: str) -> Georeference:
    transform, epsg, height, width = GRIDS[name]
    return Georeference(transform, None if epsg is None else CRS.from_epsg(epsg), height, width)


def extent(grid: Georeference) -> tuple[float, float, float, float]:
    return grid.bounds or (0.0, 0.0, float(grid.width), float(grid.height))


def polygon(*rings: list[list[float]]) -> dict:
    return {"type": "Polygon", "coordinates": [[*ring, list(ring[0])] for ring in rings]}


def rectangle(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north]]


def star(grid: Georeference, share: float = 0.45) -> dict:
    """A star with a square hole around the middle of the scene."""
    west, south, east, north = extent(grid)
    x, y, reach_x, reach_y = (
        (west + east) / 2,
        (south + north) / 2,
        (east - west) * share,
        (north - south) * share,
    )
    ring = [
        [
            x + reach_x * math.cos(k * math.pi / 11) * (1 if k % 2 else 0.5),
            y + reach_y * math.sin(k * math.pi / 11) * (1 if k % 2 else 0.5),
        ]
        for k in range(22)
    ]
    hole = rectangle(x - reach_x / 5, y - reach_y / 5, x + reach_x / 5, y + reach_y / 5)
    return polygon(ring, hole)


def whole_mask(grid: Georeference, geometry: dict) -> np.ndarray:
    return grid.aoi_mask(geometry, 0, 0, grid.height, grid.width)


def centers_inside(
    grid: Georeference, area: shapely.Geometry, rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """What shapely says of pixel centers, on any turn of the longitudes."""
    lons, lats = grid.to_lonlat(cols + 0.5, rows + 0.5)
    turns = (0,) if grid.crs is None else (-720, -360, 0, 360, 720)
    return np.any([shapely.contains_xy(area, lons + turn, lats) for turn in turns], axis=0)


def projected_edges(grid: Georeference, geometry: dict) -> shapely.Geometry:
    """The outline in pixel coordinates, so dense that it is the curve."""
    west, south, east, north = extent(grid)
    lines = shapely.segmentize(
        shapely.geometry.shape(geometry).boundary, max(east - west, north - south) / 20_000
    )
    return shapely.transform(lines, lambda points: np.stack(grid.from_lonlat(*points.T), axis=1))


@each_grid
def test_aoi_mask_holds_the_pixels_whose_centers_shapely_finds_inside(name):
    grid = make(name)
    geometry = star(grid)
    rows, cols = np.mgrid[0 : grid.height : 3, 0 : grid.width : 3]
    mask = whole_mask(grid, geometry)[rows, cols]
    wanted = centers_inside(grid, shapely.geometry.shape(geometry), rows, cols)
    assert 0.1 < wanted.mean() < 0.8
    differ = mask != wanted
    # Projected edges are within 0.05 px of the curve; only centers in between may differ.
    assert differ.mean() < 1e-3
    centers = shapely.points(cols[differ] + 0.5, rows[differ] + 0.5)
    assert (shapely.distance(projected_edges(grid, geometry), centers) < 0.06).all()


@each_grid
def test_aoi_mask_does_not_depend_on_the_window(name):
    grid = make(name)
    geometry = star(grid)
    whole = np.zeros((grid.height + 200, grid.width + 200), bool)
    whole[100:-100, 100:-100] = whole_mask(grid, geometry)
    draw = np.random.default_rng(3)
    for _ in range(12):
        row, col = int(draw.integers(0, grid.height)), int(draw.integers(0, grid.width))
        height, width = (int(size) for size in draw.integers(1, 300, 2))
        height, width = min(height, grid.height - row), min(width, grid.width - col)
        window = make(name).aoi_mask(geometry, row, col, height, width)  # afresh: nothing is remembered
        np.testing.assert_array_equal(
            window, whole[100 + row : 100 + row + height, 100 + col : 100 + col + width]
        )


def test_aoi_mask_of_a_window_beside_the_scene_is_false_for_an_area_inside():
    grid = make("pixels")
    geometry = polygon(rectangle(10, 10, 20, 20))
    assert not grid.aoi_mask(geometry, -40, -40, 30, 30).any()
    assert grid.aoi_mask(geometry, -40, -40, 60, 60).sum() == 100


def test_aoi_mask_takes_pixel_centers_by_hand():
    grid = make("pixels")
    geometry = polygon(
        [[1.5, 2.5], [4.5, 2.5], [4.5, 4.5], [1.5, 4.5]]
    )  # through the centers of its corner pixels
    rows, cols = np.nonzero(whole_mask(grid, geometry))
    # Centers on the top and left edge count, those on the bottom and right edge do not: neighbors share none, miss none.
    assert set(zip(rows.tolist(), cols.tolist(), strict=True)) == {(r, c) for r in (2, 3) for c in (1, 2, 3)}


# Around a pole all meridians meet: there is no side by side.
@pytest.mark.parametrize("name", [name for name in GRIDS if name != "north-pole"])
def test_areas_that_share_an_edge_divide_the_pixels_between_them(name):
    grid = make(name)
    west, south, east, north = extent(grid)
    if grid.bounds is not None:
        south, north = max(south - 0.01, -90), min(north + 0.01, 90)
    # An oblique cut, with a vertex that only one of them has.
    low, high = west + (east - west) * 0.4, west + (east - west) * 0.6
    left = polygon([[west - 0.01, south], [low, south], [high, north], [west - 0.01, north]])
    right = polygon([[low, south], [east + 0.01, south], [east + 0.01, north], [high, north]])
    if name == "world":
        left["coordinates"][0][0][0] = left["coordinates"][0][3][0] = left["coordinates"][0][4][0] = -180
        right["coordinates"][0][1][0] = right["coordinates"][0][2][0] = 180
    first, second = whole_mask(grid, left), whole_mask(grid, right)
    assert not (first & second).any()
    assert (first | second).all()
    assert first.any()
    assert second.any()


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("antimeridian", -360),
        ("antimeridian-utm", -360),
        ("degrees", -360),
        ("degrees", 360),
        ("north-pole", 360),
    ],
)
def test_longitudes_may_be_given_on_any_turn(name, turn):
    grid = make(name)
    geometry = star(grid)
    turned = copy.deepcopy(geometry)
    for ring in turned["coordinates"]:
        for position in ring:
            position[0] += turn
    assert (whole_mask(grid, turned) != whole_mask(grid, geometry)).mean() < 1e-5


def test_an_area_split_at_the_antimeridian_is_whole_again():
    grid = make("antimeridian")
    whole = polygon(rectangle(179.8, -16.5, 180.4, -16.1))
    halves = {
        "type": "MultiPolygon",
        "coordinates": [
            polygon(rectangle(179.8, -16.5, 180, -16.1))["coordinates"],
            polygon(rectangle(-180, -16.5, -179.6, -16.1))["coordinates"],
        ],
    }
    np.testing.assert_array_equal(whole_mask(grid, halves), whole_mask(grid, whole))
    assert whole_mask(grid, whole).sum() == 400 * 600


def test_a_cap_around_the_pole_is_a_disk():
    grid = make("north-pole")
    mask = whole_mask(grid, polygon(rectangle(-180, 80, 180, 90)))
    _, rows = grid.from_lonlat(-45.0, 80.0)  # straight down
    radius = float(rows) - grid.height / 2
    assert mask.sum() == pytest.approx(math.pi * radius**2, rel=2e-3)
    assert mask[grid.height // 2, grid.width // 2]


@each_grid
def test_an_area_around_everything_holds_every_pixel(name):
    grid = make(name)
    around = rectangle(-180, -90, 180, 90) if grid.crs else rectangle(-5, -5, 5000, 5000)
    assert whole_mask(grid, grid.validate_aoi(polygon(around))).all()


def test_long_edges_are_straight_in_degrees_not_in_the_projection():
    grid = make("wide-projection")
    west, south, east, north = extent(grid)
    parallel = (south + north) / 2
    mask = whole_mask(grid, polygon(rectangle(west - 1, south - 1, east + 1, parallel)))
    rows, cols = np.mgrid[0 : grid.height : 5, 0 : grid.width : 5]
    _, lats = grid.to_lonlat(cols + 0.5, rows + 0.5)
    assert ((lats < parallel) != mask[rows, cols]).mean() < 2e-4
    border = mask.argmax(axis=0)
    assert np.ptp(border) > 20  # the parallel bows


# The normal form


@each_grid
def test_validate_aoi_keeps_the_pixels_and_is_idempotent(name):
    grid = make(name)
    geometry = star(grid)
    normal = grid.validate_aoi(geometry)
    np.testing.assert_array_equal(whole_mask(grid, normal), whole_mask(grid, geometry))
    assert grid.validate_aoi(json.loads(json.dumps(normal))) == normal


def test_validate_aoi_leaves_its_argument_alone():
    grid = make("utm")
    geometry = star(grid)
    before = copy.deepcopy(geometry)
    grid.validate_aoi(geometry)
    assert geometry == before


def test_validate_aoi_drops_heights_and_closes_rings():
    grid = make("pixels")
    normal = grid.validate_aoi(
        {"type": "Polygon", "coordinates": [[[0, 0, 7], [9, 0, 7], [9, 9, 7], [0, 9, 7]]]}
    )
    assert normal["type"] == "Polygon"
    (ring,) = normal["coordinates"]
    assert ring[0] == ring[-1]
    assert {tuple(position) for position in ring} == {(0, 0), (9, 0), (9, 9), (0, 9)}


def test_validate_aoi_does_not_mind_the_direction_of_rings():
    grid = make("degrees")
    geometry = star(grid)
    backwards = {"type": "Polygon", "coordinates": [ring[::-1] for ring in geometry["coordinates"]]}
    assert grid.validate_aoi(backwards) == grid.validate_aoi(geometry)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda shape: {"type": "Feature", "properties": {}, "geometry": shape},
        lambda shape: {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape}]},
        lambda shape: {"type": "GeometryCollection", "geometries": [shape]},
        lambda shape: {"type": "MultiPolygon", "coordinates": [shape["coordinates"]]},
        lambda shape: (
            shape | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}}
        ),
    ],
)
def test_validate_aoi_takes_what_programs_save(wrap):
    grid = make("degrees")
    assert grid.validate_aoi(wrap(star(grid))) == grid.validate_aoi(star(grid))


def test_validate_aoi_unites_features():
    grid = make("pixels")
    features = [
        {"type": "Feature", "geometry": polygon(rectangle(0, 0, 10, 10))},
        {"type": "Feature", "geometry": None},
        {"type": "Feature", "geometry": polygon(rectangle(5, 0, 15, 10))},
        {"type": "Feature", "geometry": polygon(rectangle(100, 0, 110, 10))},
    ]
    normal = grid.validate_aoi({"type": "FeatureCollection", "features": features})
    assert normal["type"] == "MultiPolygon"
    assert whole_mask(grid, normal).sum() == 150 + 100


def test_validate_aoi_untangles_a_bow_tie():
    grid = make("pixels")
    normal = grid.validate_aoi(polygon([[0, 0], [20, 20], [20, 0], [0, 20]]))
    assert normal["type"] == "MultiPolygon"
    assert shapely.geometry.shape(normal).is_valid
    mask = whole_mask(grid, normal)
    assert not mask[0, 10]
    assert mask[10, 1]
    assert mask[10, 18]


def test_validate_aoi_takes_as_many_vertices_as_it_says():
    grid = make("pixels")
    angles = np.linspace(0, 2 * np.pi, MAX_VERTICES - 1, endpoint=False)
    ring = np.stack([250 + 200 * np.cos(angles), 250 + 200 * np.sin(angles)], axis=1).tolist()
    normal = grid.validate_aoi(polygon(ring))
    assert whole_mask(grid, normal).sum() == pytest.approx(math.pi * 200**2, rel=1e-3)


# Refused, each with a sentence

SQUARE = rectangle(12.1, 46.5, 12.3, 46.7)
CORNERS = [[12.1, 46.5], [12.3, 46.5], [12.3, 46.7]]


def with_first(position: object) -> dict:
    return {"type": "Polygon", "coordinates": [[position, *CORNERS]]}


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        (None, "is not GeoJSON"),
        ("POLYGON((0 0, 1 1))", "is not GeoJSON"),
        ([], "is not GeoJSON"),
        ({}, "is not GeoJSON"),
        ({"type": ["Polygon"]}, "is not GeoJSON"),
        ({"type": "FeatureCollection", "features": [5]}, "is not GeoJSON"),
        ({"type": "Point", "coordinates": [12.2, 46.6]}, "holds a Point"),
        ({"type": "LineString", "coordinates": CORNERS}, "holds a LineString"),
        ({"type": "Polygon"}, "a list of coordinates is missing"),
        ({"type": "Polygon", "coordinates": {"0": SQUARE}}, "a list of coordinates is missing"),
        ({"type": "Polygon", "coordinates": [12.1, 46.5, 12.3, 46.5]}, "a list of coordinates is missing"),
        ({"type": "MultiPolygon", "coordinates": None}, "a list of coordinates is missing"),
        ({"type": "MultiPolygon", "coordinates": [SQUARE]}, "a list of coordinates is missing"),
        ({"type": "FeatureCollection", "features": None}, "a list of coordinates is missing"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ({"type": "Feature", "geometry": None}, "holds no polygon"),
        ({"type": "MultiPolygon", "coordinates": []}, "holds no polygon"),
        ({"type": "Polygon", "coordinates": []}, "is empty"),
        (polygon([[12.1, 46.5], [12.3, 46.7], [12.1, 46.5]]), "encloses nothing"),
        ({"type": "Polygon", "coordinates": [[]]}, "fewer than three corners"),
        ({"type": "Polygon", "coordinates": [SQUARE[:2]]}, "fewer than three corners"),
        ({"type": "Polygon", "coordinates": [SQUARE, [[12.2, 46.6]]]}, "fewer than three corners"),
        (with_first([12.1]), "not a pair of numbers"),
        (with_first(["12.1", "46.7"]), "not a pair of numbers"),
        (with_first([True, 46.7]), "not a pair of numbers"),
        (with_first([None, 46.7]), "not a pair of numbers"),
        (with_first([math.nan, 46.7]), "not a finite number"),
        (with_first([12.1, math.inf]), "not a finite number"),
        (with_first([10**400, 46.7]), "not a finite number"),
        (with_first([12.1, 90.5]), "no longitude and latitude"),
        (polygon(rectangle(3.0e5, 5.0e6, 3.1e5, 5.1e6)), "no longitude and latitude"),
        (
            polygon(SQUARE)
            | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}},
            "in longitude and latitude",
        ),
        (polygon(rectangle(0, 0, 1, 1)), "holds no pixel of the scene (longitude 12.0000 to 12.7000"),
        (polygon(rectangle(-168.1, -46.7, -167.9, -46.5)), "holds no pixel of the scene"),  # the antipodes
        (polygon(rectangle(12.10002, 46.50002, 12.10008, 46.50008)), "holds no pixel of the scene"),
    ],
)
def test_validate_aoi_refuses_with_a_sentence(geometry, sentence):
    with pytest.raises(AreaOfInterestError) as refusal:
        make("degrees").validate_aoi(geometry)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        (polygon(rectangle(-90, -90, -1, -1)), "holds no pixel of the scene"),
        (polygon(rectangle(0, 0, 1e12, 10)), "far outside any scene"),
        (polygon(rectangle(5.1, 5.1, 5.2, 5.2)), "holds no pixel of the scene"),
    ],
)
def test_validate_aoi_refuses_pixels_with_a_sentence(geometry, sentence):
    with pytest.raises(AreaOfInterestError, match=sentence):
        make("pixels").validate_aoi(geometry)


def test_validate_aoi_refuses_too_many_vertices():
    ring = [[12.1 + 1e-6 * k, 46.5] for k in range(MAX_VERTICES)]
    with pytest.raises(AreaOfInterestError, match="20,001 vertices; at most 20,000"):
        make("degrees").validate_aoi(polygon(ring))


def test_validate_aoi_refuses_deep_nesting():
    nested: dict = polygon(SQUARE)
    for _ in range(20):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    with pytest.raises(AreaOfInterestError, match="nested too deeply"):
        make("degrees").validate_aoi(nested)


def test_validate_aoi_refuses_a_scribble_before_it_is_untangled():
    # 3,000 random edges cross about two million times: to repair that took minutes.
    ring = (np.random.default_rng(0).random((3000, 2)) * 0.5 + [12.1, 46.3]).tolist()
    with pytest.raises(AreaOfInterestError, match="thousands of times"):
        make("degrees").validate_aoi(polygon(ring))


def test_validate_aoi_refuses_combs_that_cross_each_other():
    steps = np.arange(200)
    down = np.stack([12.1 + steps * 1e-3, 46.3 + (steps % 2) * 0.5], axis=1).tolist()
    across = np.stack([12.05 + (steps % 2) * 0.5, 46.35 + steps * 1e-3], axis=1).tolist()
    combs = {"type": "MultiPolygon", "coordinates": [polygon(ring)["coordinates"] for ring in (down, across)]}
    with pytest.raises(AreaOfInterestError, match="thousands of times"):
        make("degrees").validate_aoi(combs)


def test_aoi_mask_follows_a_geometry_that_is_changed_in_place():
    grid = make("pixels")
    geometry = polygon(rectangle(0, 0, 10, 10))
    assert whole_mask(grid, geometry).sum() == 100
    geometry["coordinates"] = polygon(rectangle(0, 0, 10, 20))["coordinates"]
    assert whole_mask(grid, geometry).sum() == 200
