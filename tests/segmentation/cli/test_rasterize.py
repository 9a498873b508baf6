"""``rasterize``: shapes of several formats and coordinate systems on an image's grid."""

import json
import zipfile

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from segmentation.rasters.georeference import Georeference
from segmentation.rasters.scene import open_scene
from segmentation.testing import write_scene
from segmentation.vectors.rasterize import read_shapes

RECTANGLES = (
    ("water", 3, 5, 20, 30),
    ("forest", 10, 20, 40, 45),
    ("water", 500, 500, 510, 510),
)  # c0 r0 c1 r1


@pytest.fixture
def image(tmp_path):
    # Rotated a little, so that axes cannot be mixed up.
    turned = Affine(10, 0, 390_000, 0, -10, 5_820_000) @ Affine.rotation(5)
    return write_scene(tmp_path / "i.tif", np.ones((1, 60, 80), np.uint8), transform=turned)


def grid_of(image):
    with open_scene(image) as scene:
        return Georeference(scene.transform, scene.crs, scene.height, scene.width)


def lonlat_shapes(image):
    grid = grid_of(image)
    shapes = []
    for _, left, top, right, bottom in RECTANGLES:
        ring = shapely.segmentize(shapely.box(left, top, right, bottom), 1)
        shapes.append(shapely.transform(ring, lambda p: np.stack(grid.to_lonlat(p[:, 0], p[:, 1]), axis=1)))
    return np.array(shapes)


def wanted():
    classes = np.zeros((60, 80), np.uint8)
    classes[5:30, 3:20] = 2
    classes[20:45, 10:40] = 1  # later ones lie on top
    return classes


def write_geojson(path, shapes, properties):
    features = [
        {"type": "Feature", "properties": one, "geometry": json.loads(shapely.to_geojson(shape))}
        for shape, one in zip(shapes, properties, strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("kind", ["geojson", "gpkg", "shp", "zip"])
def test_formats_and_coordinate_systems(image, tmp_path, call, kind):
    shapes, names = lonlat_shapes(image), [name for name, *_ in RECTANGLES]
    if kind == "geojson":
        path = write_geojson(tmp_path / "v.geojson", shapes, [{"class": name} for name in names])
    else:
        # Another zone's projection, as people have it.
        to_zone = pyproj.Transformer.from_crs(4326, 25832, always_xy=True).transform
        moved = shapely.transform(shapes, lambda p: np.stack(to_zone(p[:, 0], p[:, 1]), axis=1))
        path = tmp_path / f"v.{'shp' if kind == 'zip' else kind}"
        pyogrio.raw.write(
            path,
            shapely.to_wkb(moved),
            [np.array(names, object)],
            ["class"],
            crs="EPSG:25832",
            geometry_type="Polygon",
        )
        if kind == "zip":
            with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
                for part in sorted(tmp_path.glob("v.*")):
                    if part.suffix != ".zip":
                        archive.write(part, part.name)
            path = tmp_path / "v.zip"
    done = call("rasterize", path, "--like", image, "--out", tmp_path / "m.tif", "--json")
    assert done.returncode == 0, done.stderr
    assert "do not touch the image: 1 shapes" in done.stderr
    facts = json.loads(done.stdout)
    assert (facts["shapes"], facts["outside"]) == (2, 1)
    with rasterio.open(tmp_path / "m.tif") as out, rasterio.open(image) as like:
        np.testing.assert_array_equal(out.read(1), wanted())
        assert (out.crs, out.transform) == (like.crs, like.transform)
    assert json.loads((tmp_path / "m.json").read_text()) == {"classes": {"1": "forest", "2": "water"}}


def test_windows_join_without_seams(image, tmp_path):
    rng = np.random.default_rng(0)
    grid = grid_of(image)
    outlines = [shapely.Point(*rng.uniform((0, 0), (80, 60))).buffer(rng.uniform(2, 9)) for _ in range(40)]
    shapes = [
        shapely.transform(one, lambda p: np.stack(grid.to_lonlat(p[:, 0], p[:, 1]), axis=1))
        for one in outlines
    ]
    numbers = [{"class": int(number)} for number in rng.integers(1, 9, 40)]
    found = read_shapes(write_geojson(tmp_path / "v.geojson", shapes, numbers), grid)
    whole = found.read(0, 0, 60, 80)
    parts = [[found.read(row, col, 20, 16) for col in range(0, 80, 16)] for row in range(0, 60, 20)]
    np.testing.assert_array_equal(np.block(parts), whole)
    centers = shapely.points(*(axis.ravel() + 0.5 for axis in np.meshgrid(np.arange(80), np.arange(60))))
    last = np.zeros(4800, int)
    for outline, number in zip(outlines, numbers, strict=True):
        last[shapely.contains(outline, centers)] = number["class"]
    assert (last.reshape(60, 80) != whole).mean() < 0.002  # but for rounding at outlines


def test_lines_points_numbers_and_all_touched(image, tmp_path, call):
    grid = grid_of(image)

    def placed(shape):
        return shapely.transform(shape, lambda p: np.stack(grid.to_lonlat(p[:, 0], p[:, 1]), axis=1))

    shapes = [placed(shapely.Point(4.5, 7.5)), placed(shapely.LineString([(10.5, 3.5), (10.5, 9.5)]))]
    path = write_geojson(tmp_path / "v.json", shapes, [{"code": 7}, {"code": 9}])
    done = call("rasterize", path, "--like", image, "--out", tmp_path / "m.tif", "--field", "code")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "m.tif") as out:
        classes = out.read(1)
    assert np.argwhere(classes == 7).tolist() == [[7, 4]]
    assert np.argwhere(classes == 9).tolist() == [[row, 10] for row in range(3, 10)]
    assert not (tmp_path / "m.json").exists()  # numbers need no legend
    sliver = write_geojson(tmp_path / "s.json", [placed(shapely.box(2.6, 2.6, 4.4, 3.4))], [{"class": 1}])
    call("rasterize", sliver, "--like", image, "--out", tmp_path / "m.tif", "--all-touched")
    with rasterio.open(tmp_path / "m.tif") as out:
        assert (out.read(1) == 1).sum() == 6


def test_image_without_place_takes_pixels(tmp_path, call):
    image = write_scene(tmp_path / "i.tif", np.ones((1, 60, 80), np.uint8), crs=None)
    shapes = [shapely.box(*corners) for _, *corners in RECTANGLES]
    path = write_geojson(tmp_path / "v.geojson", shapes, [{"class": name} for name, *_ in RECTANGLES])
    done = call("rasterize", path, "--like", image, "--out", tmp_path / "m.tif")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "m.tif") as out:
        np.testing.assert_array_equal(out.read(1), wanted())


@pytest.mark.parametrize(
    ("properties", "arguments", "code", "sentence"),
    [
        ({"kind": 1}, [], 2, 'has no field "class"; choose one with --field: kind'),
        ({"class": None, "a": 1}, [], 2, 'Shape 1 of "v.geojson" has no class'),
        ({"class": 1.5}, [], 2, 'Shape 1 of "v.geojson" has the class 1.5; class numbers are whole'),
        ({"class": 0}, [], 2, "has the class 0; class numbers run from 1 to 255"),
        ({"class": 1}, ["--layer", "roads"], 2, 'has no layer "roads"'),
        ({"class": "sea"}, ["--legend", "{tmp}/l.json"], 2, 'has the class "sea", which the legend lacks'),
        ({"class": 1}, ["--out", "{tmp}/m.json"], 2, "let its name end in .tif"),
        ({"class": 1}, ["--out", "{tmp}/i.tif"], 2, "is read by this command"),
        ({"class": 1}, ["--like", "{tmp}/l.json"], 1, "is not an image that can be opened"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(
    image, tmp_path, call, properties, arguments, code, sentence
):
    path = write_geojson(tmp_path / "v.geojson", lonlat_shapes(image)[:1], [properties])
    (tmp_path / "l.json").write_text('{"classes": {"1": "water"}}')
    given = {"--like": str(image), "--out": str(tmp_path / "m.tif")}
    given |= dict(zip(arguments[::2], (one.format(tmp=tmp_path) for one in arguments[1::2]), strict=True))
    done = call("rasterize", path, *(part for pair in given.items() for part in pair))
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert not (tmp_path / "m.tif").exists()
    assert not list(tmp_path.glob(".*"))


def test_files_that_hold_no_shape_on_the_image_are_refused(image, tmp_path, call):
    arguments = ["--like", image, "--out", tmp_path / "m.tif"]
    away = write_geojson(tmp_path / "away.geojson", lonlat_shapes(image)[2:], [{"class": 1}])
    done = call("rasterize", away, *arguments)
    assert (done.returncode, "None of the 1 shapes" in done.stderr) == (1, True)
    (tmp_path / "broken.gpkg").write_text("no database")
    done = call("rasterize", tmp_path / "broken.gpkg", *arguments)
    assert (done.returncode, "cannot be read as a vector file" in done.stderr) == (1, True)
    (tmp_path / "table.txt").write_text("1")
    done = call("rasterize", tmp_path / "table.txt", *arguments)
    assert (done.returncode, "is not a vector file that is read here" in done.stderr) == (2, True)
    assert call("rasterize", tmp_path / "no.gpkg", *arguments).returncode == 1
