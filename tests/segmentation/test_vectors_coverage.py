"""Exports as a whole: whatever the map and the grid, polygons cover exactly the classified pixels."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from scipy import ndimage

from segmentation.errors import CancelledError, InvalidArgumentError
from segmentation.rasters.georeference import Georeference
from segmentation.vectors import ArraySource, ClassStyle, class_source, geojson_chunks
from tests.check_geojson import burn, compare

LEGEND = {number: ClassStyle(f"class {number}", f"#00000{number}") for number in range(1, 8)}
GRIDS = {
    "utm": (Affine(10, 0, 5e5, 0, -10, 5e6), 32633),
    "utm-fine": (Affine(0.05, 0, 7.9e5, 0, -0.05, 6.9e6), 32633),
    "rotated": (Affine(10, 0, 5e5, 0, -10, 5e6) * Affine.rotation(30), 32633),
    "south-up": (Affine(10, 0, 5e5, 0, 10, 5e6), 32633),
    "mirrored": (Affine(-10, 0, 5e5, 0, -10, 5e6), 32633),
    "degrees": (Affine(0.001, 0, 10, 0, -0.001, 50), 4326),
    "mercator": (Affine(20, 0, 1e6, 0, -20, 8.4e6), 3857),
    "continent": (Affine(20_000, 0, 2.6e6, 0, -20_000, 5.2e6), 3035),
    "antimeridian-degrees": (Affine(0.01, 0, 179.96, 0, -0.01, -16), 4326),
    "antimeridian-utm": (Affine(2000, 0, 8.1e5, 0, -2000, 8.2e6), 32760),
    "pixels": (Affine.identity(), None),
}
each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
maps = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def place(classes, grid=GRIDS["pixels"]):
    transform, epsg = grid
    return Georeference(transform, None if epsg is None else CRS.from_epsg(epsg), *classes.shape)


def export(classes, georeference, **options):
    chunks = list(geojson_chunks(ArraySource(classes), LEGEND, georeference, **options))
    assert all(isinstance(chunk, str) for chunk in chunks)
    return json.loads("".join(chunks))


def geometries(collection):
    return [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in collection["features"]]


def check(classes, grid=GRIDS["pixels"]):
    """Everything that holds for any map on any grid."""
    georeference = place(classes, grid)
    collection = compare(export(classes, georeference), classes, georeference.transform, georeference.crs)
    features, shapes = collection["features"], geometries(collection)
    assert shapely.coverage_is_valid(shapes)
    # One feature for each connected group of pixels.
    for number in range(1, 4):
        _, count = ndimage.label(classes == number)
        mine = [feature["properties"] for feature in features if feature["properties"]["class_id"] == number]
        assert len(mine) == count
        assert sum(properties["area_px"] for properties in mine) == (classes == number).sum()
        areas = georeference.pixel_areas_m2(0, 0, *classes.shape)
        if areas is None:
            assert all(properties["area_m2"] is None for properties in mine)
        else:
            total = sum(properties["area_m2"] for properties in mine)
            # Each is rounded to a thousandth of a pixel or finer.
            assert total == pytest.approx(
                areas[classes == number].sum(), abs=1e-3 * areas.max() * (count + 1)
            )
        for properties in mine:
            assert (properties["class"], properties["color"]) == (LEGEND[number].name, LEGEND[number].color)
    return collection


@settings(max_examples=300, deadline=None)
@given(maps)
def test_any_map_is_covered_exactly(classes):
    check(classes)


@settings(max_examples=150, deadline=None)
@given(maps, st.sampled_from(sorted(GRIDS)))
def test_any_map_on_any_grid_is_covered_exactly(classes, name):
    check(classes, GRIDS[name])


@settings(max_examples=60, deadline=None)
@given(maps, st.integers(1, 5), st.sampled_from(["utm", "pixels", "antimeridian-degrees"]))
def test_the_text_does_not_depend_on_the_strips(classes, rows, name):
    georeference = place(classes, GRIDS[name])
    whole = "".join(geojson_chunks(ArraySource(classes), LEGEND, georeference))
    assert "".join(geojson_chunks(ArraySource(classes), LEGEND, georeference, strip_rows=rows)) == whole


@pytest.mark.parametrize("rows", [1, 7, 16, 64, 129])
def test_the_text_of_hard_shapes_does_not_depend_on_the_strips(rows):
    for make in (checkerboard, snake, spiral, nested):
        classes = make(129)
        georeference = place(classes, GRIDS["utm"])
        whole = "".join(geojson_chunks(ArraySource(classes), LEGEND, georeference))
        assert "".join(geojson_chunks(ArraySource(classes), LEGEND, georeference, strip_rows=rows)) == whole


@each_grid
def test_noise_is_covered_exactly(grid):
    check(np.random.default_rng(2).integers(0, 4, (61, 83), np.uint8), grid)


@each_grid
def test_large_fields_are_covered_exactly(grid):
    fields = np.random.default_rng(3).integers(0, 4, (9, 11))
    check(np.kron(fields, np.ones((31, 29))).astype(np.uint8), grid)


def checkerboard(size):
    return (np.indices((size, size)).sum(axis=0) % 2 + 1).astype(np.uint8)


def snake(size):
    """One path through the whole map, back and forth."""
    classes = np.zeros((size, size), np.uint8)
    classes[::2] = 1
    classes[1::4, -1] = 1
    classes[3::4, 0] = 1
    return classes


def spiral(size):
    classes = np.zeros((size, size), np.uint8)
    row, col, (down, right) = 0, 0, (0, 1)
    classes[0, 0] = 1
    while True:
        turned = 0
        while turned < 2:
            ahead, beyond = (row + down, col + right), (row + 2 * down, col + 2 * right)
            inside = 0 <= ahead[0] < size and 0 <= ahead[1] < size
            meets = 0 <= beyond[0] < size and 0 <= beyond[1] < size and classes[beyond]
            if inside and not classes[ahead] and not meets:
                break
            down, right = right, -down
            turned += 1
        else:
            return classes
        row, col = ahead
        classes[row, col] = 1


def nested(size):
    rows, cols = np.indices((size, size))
    return (np.minimum(np.minimum(rows, cols), np.minimum(size - 1 - rows, size - 1 - cols)) % 3 + 1).astype(
        np.uint8
    )


@pytest.mark.parametrize("make", [checkerboard, snake, spiral, nested])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 129])
def test_hard_shapes_are_covered_exactly(make, size):
    check(make(size), GRIDS["utm"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 3)])
def test_a_map_of_one_class_is_one_polygon(shape):
    collection = check(np.ones(shape, np.uint8))
    assert len(collection["features"]) == 1


@each_grid
def test_an_unclassified_map_is_an_empty_collection(grid):
    assert check(np.zeros((40, 50), np.uint8), grid)["features"] == []


def test_only_corners_and_junctions_are_vertices():
    classes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 3, 3]], np.uint8)
    first = next(f for f in check(classes)["features"] if f["properties"]["class_id"] == 1)
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    # (2, 2) lies on a straight side of class 1, and is there because 2 and 3 meet at it.
    assert sorted(ring[:-1]) == [[0, 0], [0, 2], [2, 2], [4, 0], [4, 2]]


def test_a_region_that_touches_itself_at_a_corner_has_a_hole_there():
    classes = np.array(
        [
            [1, 1, 1, 1],
            [1, 0, 1, 1],
            [1, 1, 0, 0],
            [1, 1, 0, 0],
        ],
        np.uint8,
    )
    (feature,) = check(classes)["features"]
    exterior, hole = feature["geometry"]["coordinates"]
    assert sorted(hole[:-1]) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert [2, 2] in exterior


def test_regions_that_touch_at_a_corner_are_two():
    features = check(np.array([[1, 0], [0, 1]], np.uint8))["features"]
    assert [feature["properties"]["area_px"] for feature in features] == [1, 1]


def test_holes_hold_what_is_inside():
    classes = np.full((5, 5), 2, np.uint8)
    classes[1:4, 1:4] = 1
    classes[2, 2] = 0
    by_class = {f["properties"]["class_id"]: f["geometry"]["coordinates"] for f in check(classes)["features"]}
    assert len(by_class[2]) == 2
    assert len(by_class[1]) == 2


def test_coordinates_without_crs_are_pixels_and_said_to_be():
    collection = check(np.array([[0, 1]], np.uint8))
    assert collection["clusternet"]["coordinates"] == "pixel"
    assert "not longitude and latitude" in collection["clusternet"]["note"]
    (feature,) = collection["features"]
    assert sorted(feature["geometry"]["coordinates"][0][:-1]) == [[1, 0], [1, 1], [2, 0], [2, 1]]


def test_names_are_escaped():
    legend = {1: ClassStyle('Wald "alt" \\ <b> Größe', "#12aBcd")}
    classes = np.ones((2, 2), np.uint8)
    text = "".join(geojson_chunks(ArraySource(classes), legend, place(classes), name='a "map"\n'))
    collection = json.loads(text)
    assert collection["name"] == 'a "map"\n'
    assert collection["features"][0]["properties"]["class"] == legend[1].name
    assert collection["features"][0]["properties"]["color"] == "#12aBcd"


@pytest.mark.parametrize("name", ["antimeridian-degrees", "antimeridian-utm"])
def test_polygons_are_cut_at_the_antimeridian(name):
    classes = np.ones((30, 20), np.uint8)
    classes[10:20, 1:19] = 2
    collection = check(classes, GRIDS[name])
    for feature in collection["features"]:
        assert feature["geometry"]["type"] == "MultiPolygon"
        west, east = sorted(feature["geometry"]["coordinates"], key=lambda rings: rings[0][0][0])
        west, east = (np.concatenate([np.array(ring) for ring in rings]) for rings in (west, east))
        assert west[:, 0].min() == -180
        assert west[:, 0].max() < -170
        assert east[:, 0].min() > 170
        assert east[:, 0].max() == 180


@each_grid
def test_edges_stay_within_a_tenth_of_a_pixel(grid):
    if grid[1] is None:
        pytest.skip("pixels do not bend")
    classes = np.ones((900, 800), np.uint8)
    classes[100:101, 5:790] = 2
    georeference = place(classes, grid)
    for shape in geometries(export(classes, georeference)):
        for ring in shapely.get_rings(shapely.get_parts(shape)):
            points = shapely.get_coordinates(ring)
            for share in np.linspace(0, 1, 9):
                between = points[:-1] + share * np.diff(points, axis=0)
                # The cut along the antimeridian is no boundary of pixels.
                between = between[~((np.abs(points[:-1, 0]) == 180) & (np.abs(points[1:, 0]) == 180))]
                cols, rows = georeference.from_lonlat(*between.T)
                off_cols, off_rows = np.abs(cols - np.round(cols)), np.abs(rows - np.round(rows))
                assert np.minimum(off_cols, off_rows).max() < 0.1


@each_grid
def test_corners_are_written_to_a_hundredth_of_a_pixel(grid):
    if grid[1] is None:
        pytest.skip("exact")
    classes = np.random.default_rng(5).integers(1, 4, (40, 40), np.uint8)
    georeference = place(classes, grid)
    points = shapely.get_coordinates(geometries(export(classes, georeference)))
    points = points[np.abs(points[:, 0]) != 180]
    cols, rows = georeference.from_lonlat(*points.T)
    assert np.hypot(cols - np.round(cols), rows - np.round(rows)).max() < 0.02


def test_an_export_can_be_cancelled():
    classes = checkerboard(40)
    asked = []
    with pytest.raises(CancelledError):
        list(
            geojson_chunks(
                ArraySource(classes), LEGEND, place(classes), cancelled=lambda: bool(asked.append(1) or True)
            )
        )
    assert asked


def test_progress_runs_to_the_end():
    classes = checkerboard(40)
    shares = []
    list(geojson_chunks(ArraySource(classes), LEGEND, place(classes), progress=shares.append))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] >= 0


def test_a_map_of_another_size_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"4.*5.*\."):
        list(geojson_chunks(ArraySource(np.ones((4, 5), np.uint8)), LEGEND, place(np.ones((5, 5)))))


def test_a_class_without_name_is_refused():
    classes = np.full((4, 4), 9, np.uint8)
    with pytest.raises(InvalidArgumentError, match="9"):
        list(geojson_chunks(ArraySource(classes), LEGEND, place(classes)))


@pytest.mark.parametrize("array", [np.ones((3, 3)), np.ones(3, np.uint8), np.ones((3, 3), np.uint16)])
def test_array_source_refuses_what_is_no_class_map(array):
    with pytest.raises(InvalidArgumentError, match="uint8 array of rows and columns"):
        ArraySource(array)


def fake_segmentation(height=1100, width=700, n_leaves=50):
    leaves = np.random.default_rng(6).integers(0, n_leaves, (height // 10, width // 10), np.uint16)
    leaves = np.kron(leaves, np.ones((10, 10), np.uint16))
    leaves[:50, :60] = 65535
    georeference = Georeference(GRIDS["utm"][0], CRS.from_epsg(32633), height, width)
    return SimpleNamespace(shape=leaves.shape, leaves=leaves, n_leaves=n_leaves, georeference=georeference)


def test_class_source_puts_leaves_through_the_table():
    segmentation = fake_segmentation()
    table = np.random.default_rng(7).integers(0, 4, segmentation.n_leaves, np.uint8)
    source = class_source(segmentation, table)
    expected = np.append(table, 0)[np.minimum(segmentation.leaves, segmentation.n_leaves)]
    assert source.shape == segmentation.shape
    assert np.array_equal(source.read(0, 0, *source.shape), expected)
    assert np.array_equal(source.read(500, 30, 40, 7), expected[500:540, 30:37])
    text = "".join(geojson_chunks(source, LEGEND, segmentation.georeference))
    compare(text, expected, segmentation.georeference.transform, segmentation.georeference.crs)


def test_class_source_leaves_out_what_is_outside_the_area_of_interest():
    segmentation = fake_segmentation()
    table = np.ones(segmentation.n_leaves, np.uint8)
    lons, lats = segmentation.georeference.to_lonlat([100, 600, 350], [100, 100, 900])
    points = np.stack([lons, lats], axis=1).tolist()
    aoi = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    source = class_source(segmentation, table, aoi)
    expected = segmentation.georeference.aoi_mask(aoi, 0, 0, *source.shape).astype(np.uint8)
    assert np.array_equal(source.read(0, 0, *source.shape), expected)
    collection = json.loads("".join(geojson_chunks(source, LEGEND, segmentation.georeference)))
    burned = burn(
        collection, segmentation.georeference.transform, segmentation.georeference.crs, *source.shape
    )
    assert np.array_equal(burned.classes, expected)


@pytest.mark.parametrize("table", [np.zeros(49, np.uint8), np.zeros(50), np.zeros((50, 1), np.uint8)])
def test_class_source_refuses_a_table_that_does_not_fit(table):
    with pytest.raises(InvalidArgumentError, match="one class for each of its 50 leaves"):
        class_source(fake_segmentation(), table)
