"""Examples from and to GeoJSON."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from segmentation.errors import InvalidArgumentError
from segmentation.examples import WrittenExample, examples_to_geojson, parse_samples, reading
from segmentation.rasters.georeference import Georeference

HEIGHT, WIDTH = 700, 1100
UTM = Georeference(Affine(10, 0, 500_000, 0, -10, 5_000_000), CRS.from_epsg(32633), HEIGHT, WIDTH)
PIXELS = Georeference(Affine.identity(), None, HEIGHT, WIDTH)
ROTATED = Georeference(
    Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(3, -3),
    CRS.from_epsg(32633),
    HEIGHT,
    WIDTH,
)
# Across the antimeridian, in degrees.
FIJI = Georeference(Affine(0.001, 0, 179.5, 0, -0.001, -16), CRS.from_epsg(4326), HEIGHT, WIDTH)


def feature(geometry, **properties) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features, **more) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features), **more})


def point(x, y, **properties) -> dict:
    return feature({"type": "Point", "coordinates": [x, y]}, **properties)


def ring(*corners) -> dict:
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in (*corners, corners[0])]]}


SQUARE = ring((100, 100), (200, 100), (200, 200), (100, 200))


# ---------------------------------------------------------------------------------------------------- round trip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1)),
                min_size=1,
                max_size=5,
                unique=True,
            ),
            st.sampled_from(["Water", "Forest é", "3"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([UTM, PIXELS, ROTATED, FIJI]),
)
def test_what_was_written_is_read_back_to_the_same_pixels(examples, georeference):
    written = [
        WrittenExample(points, label, 1, "#aabbcc", against, "click", number)
        for number, (points, label, against) in enumerate(examples, start=1)
    ]
    text = json.dumps(examples_to_geojson(written, georeference))
    found = parse_samples(text, georeference)
    assert found.field == "class"
    assert [(one.points, one.label, one.against, one.color) for one in found.samples] == [
        (points, label, against, "#aabbcc") for points, label, against in examples
    ]


def test_positions_are_pixel_centers_in_longitude_and_latitude():
    [one] = examples_to_geojson([WrittenExample([(20, 30)], "a", 7, "#000000", True, "stroke", 9)], UTM)[
        "features"
    ]
    to_lonlat = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    assert one["geometry"]["coordinates"] == pytest.approx(to_lonlat.transform(500_305, 4_999_795), abs=1e-9)
    assert one["properties"] == {
        "class": "a", "class_number": 7, "color": "#000000", "against": True, "kind": "stroke", "edit": 9
    }  # fmt: skip


def test_longitudes_past_the_antimeridian_are_written_within_180():
    [one] = examples_to_geojson([WrittenExample([(0, 900)], "a", 1, "#000000", False, "click", 1)], FIJI)[
        "features"
    ]
    assert one["geometry"]["coordinates"][0] == pytest.approx(-179.5995)


# ---------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"id": 5, "Class_Name": "x", "name": "y"}, "Class_Name"),
        ({"name": "y", "LABEL": "x"}, "LABEL"),
        ({"fid": 1, "land-cover": "x"}, "land-cover"),
        ({"fid": 1, "CODE": 3}, "CODE"),
    ],
)
def test_the_likeliest_property_is_taken_for_the_class(properties, field):
    assert parse_samples(collection(point(5, 5, **properties)), PIXELS).field == field


def test_without_a_likely_property_the_fields_are_told():
    found = parse_samples(collection(point(5, 5, fid=1, what="x", flag=True, more=[1])), PIXELS)
    assert (found.field, found.fields, found.samples) == (None, ["fid", "what"], [])
    [sample] = parse_samples(collection(point(5, 5, fid=1, what="x")), PIXELS, class_field="what").samples
    assert sample.label == "x"


@pytest.mark.parametrize(
    ("value", "label"), [(3, "3"), (3.0, "3"), (2.5, "2.5"), (" Water ", "Water"), (0, "0")]
)
def test_classes_are_text(value, label):
    [sample] = parse_samples(collection(point(5, 5, label=value)), PIXELS).samples
    assert sample.label == label


def test_features_without_class_or_geometry_and_outside_are_counted():
    found = parse_samples(
        collection(
            point(5, 5, label="a"),
            point(5, 5, label=None),
            point(5, 5, label="  "),
            point(5, 5),
            feature(None, label="a"),
            feature({"type": "MultiPoint", "coordinates": []}, label="a"),
            point(-1, 5, label="a"),
            point(5, 700, label="a"),
            feature(ring((2000, 2000), (2100, 2000), (2100, 2100)), label="a"),
        ),
        PIXELS,
    )
    assert (found.n_features, len(found.samples)) == (9, 1)
    assert (found.without_class, found.without_geometry, found.outside) == (3, 2, 3)


@pytest.mark.parametrize(
    ("value", "against"),
    [(True, True), (1, True), ("Yes", True), ("-", True), (False, False), (None, False), ("+", False)],
)
def test_against(value, against):
    [sample] = parse_samples(collection(point(5, 5, label="a", against=value)), PIXELS).samples
    assert sample.against is against


def test_color_is_read_where_it_is_one():
    samples = parse_samples(
        collection(
            point(5, 5, label="a", color="red", fill="#FF00aa"), point(6, 5, label="a", color="#12345")
        ),
        PIXELS,
    ).samples
    assert [sample.color for sample in samples] == ["#ff00aa", None]


# ---------------------------------------------------------------------------------------------------- geometries


def test_a_point_is_the_pixel_that_it_lies_in():
    samples = parse_samples(
        collection(point(0, 0, label="a"), point(10.999, 20.0, label="a"), point(1099.9, 699.9, label="a")),
        PIXELS,
    ).samples
    assert [sample.points for sample in samples] == [[(0, 0)], [(20, 10)], [(699, 1099)]]


def test_points_outside_are_left_out_of_a_multipoint():
    geometry = {"type": "MultiPoint", "coordinates": [[1, 1], [-5, 1], [2, 1], [1.5, 1.5]]}
    [sample] = parse_samples(collection(feature(geometry, label="a")), PIXELS).samples
    assert sample.points == [(1, 1), (1, 2)]


def test_a_polygon_becomes_pixels_inside_it_the_same_each_time():
    [sample] = parse_samples(collection(feature(SQUARE, label="a")), PIXELS).samples
    points = np.array(sample.points)
    assert len(points) == reading.PER_POLYGON
    assert points.min() >= 100
    assert points.max() < 200
    [again] = parse_samples(collection(feature(SQUARE, label="a")), PIXELS).samples
    assert again.points == sample.points
    [other] = parse_samples(collection(feature(SQUARE, label="a")), PIXELS, seed=1).samples
    assert other.points != sample.points


def test_a_polygon_in_degrees_covers_the_same_pixels_on_a_rotated_scene():
    corners = np.array([(50, 60), (300, 60), (300, 200), (50, 200)], float)
    lons, lats = ROTATED.to_lonlat(corners[:, 0], corners[:, 1])
    geometry = ring(*zip(lons.tolist(), lats.tolist(), strict=True))
    [sample] = parse_samples(collection(feature(geometry, label="a")), ROTATED).samples
    rows, cols = np.array(sample.points).T
    assert len(rows) == reading.PER_POLYGON
    assert (rows >= 60).all()
    assert (rows < 200).all()
    assert (cols >= 50).all()
    assert (cols < 300).all()


def test_a_polygon_across_the_antimeridian_written_with_either_sign():
    for turn in (0, -360):
        geometry = ring(
            (179.9 + turn, -16.1), (180.2 + turn, -16.1), (180.2 + turn, -16.3), (179.9 + turn, -16.3)
        )
        [sample] = parse_samples(collection(feature(geometry, label="a")), FIJI).samples
        rows, cols = np.array(sample.points).T
        assert ((cols >= 400) & (cols < 700)).all()
        assert ((rows >= 100) & (rows < 300)).all()


def test_a_polygon_that_sticks_out_is_cut_to_the_scene():
    [sample] = parse_samples(
        collection(feature(ring((-500, 690), (5000, 690), (5000, 9000), (-500, 9000)), label="a")), PIXELS
    ).samples
    rows, cols = np.array(sample.points).T
    assert ((rows >= 690) & (rows < HEIGHT)).all()
    assert ((cols >= 0) & (cols < WIDTH)).all()
    assert np.ptp(cols) > 800


def test_a_line_becomes_at_most_200_pixels_along_it():
    geometry = {"type": "LineString", "coordinates": [[-100, 10.5], [900.5, 10.5]]}
    [sample] = parse_samples(collection(feature(geometry, label="a")), PIXELS).samples
    assert len(sample.points) == 200
    assert sample.points[0] == (10, 0)
    assert sample.points[-1] == (10, 900)


def test_a_collection_of_geometries_is_one_sample():
    geometry = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Point", "coordinates": [1, 1]},
            {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        ],
    }
    [sample] = parse_samples(collection(feature(geometry, label="a")), PIXELS).samples
    assert len(sample.points) == 26


def test_many_polygons_share_the_pixels_that_are_left():
    squares = [
        feature(ring((x, 0), (x + 30, 0), (x + 30, 30), (x, 30)), label="a") for x in range(0, 1000, 40)
    ]
    found = parse_samples(collection(point(1, 1, label="a"), *squares), PIXELS, most_points=101)
    assert found.per_polygon == 4
    assert [len(sample.points) for sample in found.samples] == [1] + [4] * 25
    assert found.n_points == 101


# ---------------------------------------------------------------------------------------------------- crs


def test_a_named_crs_is_honored():
    text = collection(
        point(500_305, 4_999_795, label="a"),
        crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
    )
    [sample] = parse_samples(text, UTM).samples
    assert sample.points == [(20, 30)]


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326", "urn:ogc:def:crs:EPSG::4326"])
def test_names_of_longitude_and_latitude_change_nothing(name):
    lons, lats = UTM.to_lonlat([30.5], [20.5])
    text = collection(point(lons[0], lats[0], label="a"), crs={"type": "name", "properties": {"name": name}})
    assert parse_samples(text, UTM).samples[0].points == [(20, 30)]


@pytest.mark.parametrize(
    ("member", "georeference", "sentence"),
    [
        ({"properties": {"name": "EPSG:999999"}}, UTM, "coordinate system EPSG:999999, which is not known"),
        ({"properties": {"name": "+init=file:x"}}, UTM, r"\+init=file:x, which is not known"),
        ({"type": "link"}, UTM, "crs member without a name"),
        (
            {"properties": {"name": "EPSG:32633"}},
            PIXELS,
            "but the scene has none: give positions as its pixels",
        ),
    ],
)
def test_other_crs_members_are_refused(member, georeference, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        parse_samples(collection(point(1, 1, label="a"), crs=member), georeference)


def test_positions_outside_of_the_named_crs_are_refused():
    text = collection(point(1e9, 1e9, label="a"), crs={"properties": {"name": "EPSG:32633"}})
    with pytest.raises(
        InvalidArgumentError,
        match="Feature 1 has a position that has no longitude and latitude in EPSG:32633",
    ):
        parse_samples(text, UTM)


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not a GeoJSON FeatureCollection"),
        (json.dumps(SQUARE), "bare geometries do not do"),
        (collection(), "no features"),
        ('{"type": "FeatureCollection"}', "no features"),
        (collection({"type": "Point"}), "Feature 1 is no GeoJSON Feature"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_refuses_what_is_no_geojson(text, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        parse_samples(text, PIXELS)


BOW = ring((0, 0), (10, 10), (10, 0), (0, 10))


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        ({"type": "Circle", "coordinates": [1, 1]}, "a geometry of the type 'Circle'"),
        (7, "a geometry of the type 'None'"),
        ({"type": "Point", "coordinates": ["1", 1]}, "not a pair of numbers"),
        ({"type": "Point", "coordinates": [1]}, "not a pair of numbers"),
        ({"type": "Point", "coordinates": [float("nan"), 1]}, "not a finite number"),
        ({"type": "Point", "coordinates": [10**400, 1]}, "not a finite number"),
        ({"type": "Point", "coordinates": [True, 1]}, "not a pair of numbers"),
        ({"type": "Point", "coordinates": [1e10, 1]}, "far outside any scene; give pixels"),
        ({"type": "MultiPoint", "coordinates": 3}, "not well-formed"),
        ({"type": "LineString", "coordinates": [[1, 1]]}, "a line of a single position"),
        ({"type": "Polygon", "coordinates": []}, "a polygon without a ring"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, "fewer than three corners"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]},
            "not clean|encloses nothing",
        ),
        (BOW, r"an outline that is not clean \(Self-intersection"),
    ],
)
def test_refuses_geometries_by_the_number_of_the_feature(geometry, sentence):
    with pytest.raises(InvalidArgumentError, match=f"^Feature 2 .*({sentence})"):
        parse_samples(collection(point(1, 1, label="a"), feature(geometry, label="a")), PIXELS)


def test_refuses_what_is_no_longitude_and_latitude():
    with pytest.raises(InvalidArgumentError, match="Feature 1 has the position 500000, 5e"):
        parse_samples(collection(point(500_000, 5_000_000, label="a")), UTM)


def test_refuses_deep_collections():
    geometry = {"type": "Point", "coordinates": [1, 1]}
    for _ in range(10):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    with pytest.raises(InvalidArgumentError, match="Feature 1 is nested too deeply"):
        parse_samples(collection(feature(geometry, label="a")), PIXELS)


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"label": [1]}, r"Feature 2 has '\[1\]' as its label; a class is a name or a number"),
        ({"label": True}, "Feature 2 has 'True' as its label"),
        ({"label": "a", "against": "perhaps"}, "Feature 2 has 'perhaps' for against"),
    ],
)
def test_refuses_classes_by_the_number_of_the_feature(properties, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        parse_samples(collection(point(1, 1, label="a"), point(1, 1, **properties)), PIXELS)


def test_refuses_a_field_that_no_feature_has():
    with pytest.raises(
        InvalidArgumentError,
        match="No feature has a property 'kind' with text or a number; the properties are: a, b",
    ):
        parse_samples(collection(point(1, 1, a=1, b="x")), PIXELS, class_field="kind")
    with pytest.raises(InvalidArgumentError, match="none at all"):
        parse_samples(collection(point(1, 1)), PIXELS, class_field="kind")


def test_refuses_more_than_its_limits(monkeypatch):
    text = collection(*(point(x, 1, label="a") for x in range(12)))
    with pytest.raises(
        InvalidArgumentError, match="comes to 12 examples or more inside the scene; at most 10"
    ):
        parse_samples(text, PIXELS, most_points=10)
    monkeypatch.setattr(reading, "MAX_VERTICES", 8)
    with pytest.raises(InvalidArgumentError, match="more than 8 positions up to feature 9"):
        parse_samples(text, PIXELS)
    monkeypatch.setattr(reading, "MAX_FEATURES", 11)
    with pytest.raises(InvalidArgumentError, match="12 features; at most 11"):
        parse_samples(text, PIXELS)


def test_polygons_become_pixels_in_bounded_time_and_memory():
    whole = ring((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))
    comb = shapely.union_all(
        [shapely.box(x, 0, x + 0.2, 600) for x in range(0, 1000, 2)] + [shapely.box(0, 0, 1000, 1)]
    )
    text = collection(feature(whole, label="a"), feature(json.loads(shapely.to_geojson(comb)), label="b"))
    whole_found, comb_found = parse_samples(text, PIXELS).samples
    assert len(whole_found.points) == len(comb_found.points) == reading.PER_POLYGON
