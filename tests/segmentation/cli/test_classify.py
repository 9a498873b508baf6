"""``classify``: clicks in every form they come in, the map and what lies beside it, and every refusal."""

import json

import numpy as np
import pytest
import rasterio

from segmentation import open_segmentation, segment
from segmentation.clicks import read_clicks
from segmentation.decoder import Click
from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend
from segmentation.testing import synthetic_scene, write_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Image, store, and truth as numbers from 1."""
    folder = tmp_path_factory.mktemp("classify")
    pixels, truth = synthetic_scene(300, 560, 4, seed=3)
    image = write_scene(folder / "scene.tif", pixels)
    return image, segment(image, folder / "s", mode="fast"), truth + 1


def clicks_of(truth, per_class=3):
    rng = np.random.default_rng(0)
    lines = ["row,col,class"]
    for number in np.unique(truth):
        rows, cols = np.nonzero(truth == number)
        chosen = rng.choice(len(rows), per_class, replace=False)
        lines += [f"{rows[i]},{cols[i]},{number}" for i in chosen]
    return "\n".join(lines) + "\n"


def test_map_is_what_the_library_predicts_and_files_agree(scene, tmp_path, call):
    _, store, truth = scene
    (tmp_path / "c.csv").write_text(clicks_of(truth))
    done = call(
        "classify", store.path, "--clicks", tmp_path / "c.csv", "--out", tmp_path / "m.tif", "--json",
        "--certainty", tmp_path / "sure.tif", "--table", tmp_path / "t.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    clicks = read_clicks(tmp_path / "c.csv", store.georeference).clicks
    prediction = store.classify(clicks)
    with rasterio.open(tmp_path / "m.tif") as out, rasterio.open(scene[0]) as image:
        classes = out.read(1)
        assert (out.crs, out.transform, out.nodata) == (image.crs, image.transform, 0)
        assert out.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert out.colormap(1)[1] != out.colormap(1)[2]
    np.testing.assert_array_equal(classes, prediction.classes[store.leaves[:]])
    with rasterio.open(tmp_path / "sure.tif") as out:
        percent = out.read(1)
        assert out.nodata == 255
    np.testing.assert_array_equal(percent, np.rint(100 * prediction.certainty)[store.leaves[:]])
    table = json.loads((tmp_path / "t.json").read_text())
    assert table["leaves"] == prediction.classes.tolist()
    assert {one["class"]: one["pixels"] for one in facts["classes"]} == {
        int(number): int((classes == number).sum()) for number in np.unique(classes)
    }
    assert facts["clicks"] == len(clicks)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == [
        "c.csv", "m.tif", "sure.tif", "t.json",
    ]  # fmt: skip


def test_uncertain_leaves_and_nodata_stay_without_class(tmp_path, call):
    pixels, truth = synthetic_scene(200, 260, 3, seed=1)
    pixels[:, :50] = 0
    store = segment(write_scene(tmp_path / "i.tif", pixels, nodata=0), tmp_path / "s", mode="fast")
    (tmp_path / "c.csv").write_text(f"120,20,{truth[120, 20] + 1}\n150,200,{truth[150, 200] + 7}\n")
    arguments = [
        "classify",
        store.path,
        "--clicks",
        tmp_path / "c.csv",
        "--out",
        tmp_path / "m.tif",
        "--json",
    ]
    all_of_it = json.loads(call(*arguments).stdout)
    assert all_of_it["unclassified"] == 0
    with rasterio.open(tmp_path / "m.tif") as out:
        np.testing.assert_array_equal(out.read(1) == 0, ~store.valid[:])
    sure = json.loads(call(*arguments, "--min-certainty", "0.9").stdout)
    assert sure["unclassified"] > 0
    assert sum(one["pixels"] for one in sure["classes"]) + sure["unclassified"] == store.valid[:].sum()


def test_names_are_numbered_and_the_map_carries_them(scene, tmp_path, call):
    _, store, _ = scene
    (tmp_path / "c.csv").write_text("row,col,class\n10,10,water\n200,200,forest\n100,400,water\n")
    done = call("classify", store.path, "--clicks", tmp_path / "c.csv", "--out", tmp_path / "m.tif")
    assert done.returncode == 0, done.stderr
    assert "water" in done.stdout
    with rasterio.open(tmp_path / "m.tif") as out:
        assert json.loads(out.tags()["CLASSES"])["classes"] == {"1": "forest", "2": "water"}
    (tmp_path / "l.json").write_text('{"classes": {"7": "water", "9": "forest"}}')
    call(
        "classify", store.path, "--clicks", tmp_path / "c.csv", "--out", tmp_path / "m.tif",
        "--legend", tmp_path / "l.json",
    )  # fmt: skip
    with rasterio.open(tmp_path / "m.tif") as out:
        assert set(np.unique(out.read(1))) <= {7, 9}


def test_geojson_and_lonlat_and_pixels_give_the_same_clicks(scene, tmp_path):
    _, store, _ = scene
    pixels = [(10, 20, "water", False), (250, 500, "forest", True)]
    lons, lats = store.georeference.to_lonlat(
        [col + 0.5 for _, col, *_ in pixels], [row + 0.5 for row, *_ in pixels]
    )
    lines = [
        f"{lon},{lat},{name},{against}"
        for lon, lat, (_, _, name, against) in zip(lons, lats, pixels, strict=True)
    ]
    (tmp_path / "lonlat.csv").write_text("\n".join(["lon,lat,class,against", *lines]))
    (tmp_path / "pixels.csv").write_text(
        "row,col,class,against\n" + "\n".join(",".join(map(str, one)) for one in pixels)
    )
    features = [
        {
            "type": "Feature",
            "properties": {"class": name, "against": against},
            "geometry": {"type": "Point", "coordinates": [lon, lat]},
        }
        for lon, lat, (_, _, name, against) in zip(lons, lats, pixels, strict=True)
    ]
    (tmp_path / "c.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    wanted = [Click(10, 20, 2), Click(250, 500, 1, against=True)]
    for name in ("lonlat.csv", "pixels.csv", "c.geojson"):
        assert read_clicks(tmp_path / name, store.georeference).clicks == wanted, name


def test_features_outside_are_told(scene, tmp_path, call):
    _, store, _ = scene
    lon, lat = (float(value) for value in store.georeference.to_lonlat(5.5, 5.5))
    features = [
        {"type": "Feature", "properties": {"class": 1}, "geometry": {"type": "Point", "coordinates": place}}
        for place in ([lon, lat], [lon - 5, lat])
    ]
    (tmp_path / "c.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    done = call("classify", store.path, "--clicks", tmp_path / "c.geojson", "--out", tmp_path / "m.tif")
    assert done.returncode == 0
    assert "left out, since they lie outside the scene: 1." in done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no click on the scene"),
        ("row,col,class\n", "holds no click on the scene"),
        ("x,y,kind\n1,2,3\n", "has the columns x, y, kind; begin with the line"),
        ("row,col,class\n1,2\n", "Line 2 of {path} has 2 columns where the header has 3"),
        ("row,col,class\n1,a,3\n", 'Line 2 of {path} has the col "a"; give a number'),
        ("row,col,class\n1,nan,3\n", 'has the col "nan"'),
        ("row,col,class\n1.5,2,3\n", "the pixel 1.5, 2; rows and columns are whole numbers"),
        ("row,col,class\n300,2,3\n", "lies outside the scene of 300 rows and 560 columns"),
        ("row,col,class\n1,2,\n", "Line 2 of {path} has no class"),
        ("row,col,class\n1,2,0\n", "the class 0; class numbers run from 1 to 255"),
        ("row,col,class\n1,2,256\n", "the class 256; class numbers run from 1 to 255"),
        ("row,col,class,against\n1,2,3,perhaps\n", 'has "perhaps" for against'),
        ("lon,lat,class\n0,0,3\n", "Line 2 of {path} lies outside the scene"),
        ('row,col,class\n1,2,"3\n', "is not CSV"),
    ],
)  # fmt: skip
def test_bad_csv_is_one_sentence_and_leaves_nothing(scene, tmp_path, call, text, sentence):
    _, store, _ = scene
    path = tmp_path / "c.csv"
    path.write_text(text)
    done = call("classify", store.path, "--clicks", path, "--out", tmp_path / "m.tif")
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence.format(path=path) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "m.tif").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ('{"type": "Point", "coordinates": [1, 2]}', "not a GeoJSON FeatureCollection"),
        (
            (
                '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"depth": 3}, "geometry": '
                '{"type": "Point", "coordinates": [15, 52]}}]}'
            ),
            'has no property "class"; name the one to take with --field: depth.',
        ),
    ],
)
def test_bad_geojson_is_one_sentence(scene, tmp_path, call, text, sentence):
    _, store, _ = scene
    (tmp_path / "c.geojson").write_text(text)
    done = call("classify", store.path, "--clicks", tmp_path / "c.geojson", "--out", tmp_path / "m.tif")
    assert done.returncode == 2
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--clicks", "nowhere.csv"], 2, "nowhere.csv cannot be read"),
        (["--min-certainty", "2"], 2, "The least certainty is 2; choose one from 0 to 1"),
        (["--out", "{tmp}/no/m.tif"], 2, "does not exist; make it first"),
        (["--out", "{tmp}"], 2, "is a folder; give the name of a file"),
        (["--out", "{tmp}/c.csv"], 2, "is read by this command"),
        (["--certainty", "{tmp}/m.tif"], 2, "Two outputs have the same name"),
        (["--legend", "{tmp}/c.csv"], 2, "is not JSON"),
        (["--legend", "{tmp}/short.json"], 2, "has the class 2, which the legend lacks; add it"),
        (["--legend", "{tmp}/shape.json"], 2, "is no legend; give"),
        (["--legend", "{tmp}/color.json"], 2, "write colors as #rrggbb"),
        (["--legend", "{tmp}/twice.json"], 2, "gives two classes the same name"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(scene, tmp_path, call, arguments, code, sentence):
    _, store, _ = scene
    (tmp_path / "c.csv").write_text("row,col,class\n1,2,1\n100,200,2\n")
    (tmp_path / "short.json").write_text('{"classes": {"1": "water"}}')
    (tmp_path / "shape.json").write_text('{"classes": {"0": "water"}}')
    (tmp_path / "color.json").write_text('{"classes": {"1": "a", "2": "b"}, "colors": {"1": "blue"}}')
    (tmp_path / "twice.json").write_text('{"classes": {"1": "a", "2": "a"}}')
    given = {"--clicks": str(tmp_path / "c.csv"), "--out": str(tmp_path / "m.tif")}
    given |= {arguments[0]: arguments[1].format(tmp=tmp_path)}
    done = call("classify", store.path, *(part for pair in given.items() for part in pair))
    assert done.returncode == code
    assert sentence in done.stderr
    assert not (tmp_path / "m.tif").exists()
    assert not list(tmp_path.glob(".*"))


def test_incomplete_and_missing_stores_are_refused(scene, tmp_path, call):
    done = call("classify", tmp_path, "--clicks", "c.csv", "--out", tmp_path / "m.tif")
    assert (done.returncode, "There is no segmentation" in done.stderr) == (1, True)
    image, _, _ = scene
    with pytest.raises(KeyboardInterrupt):
        segment(image, tmp_path / "part", progress=_stop_after_first_block, threads=1)
    assert not open_segmentation(tmp_path / "part").complete
    done = call("classify", tmp_path / "part", "--clicks", "c.csv", "--out", tmp_path / "m.tif")
    assert (done.returncode, "is not complete; run segment again" in done.stderr) == (1, True)


def _stop_after_first_block(progress):
    if progress.stage == "leaves" and progress.done == 1:
        raise KeyboardInterrupt


def test_clicks_in_a_scene_without_place_are_pixels(tmp_path):
    pixels, _ = synthetic_scene(60, 80, 3)
    store = segment(write_scene(tmp_path / "i.tif", pixels, crs=None), tmp_path / "s", mode="fast")
    (tmp_path / "c.csv").write_text("lon,lat,class\n1,2,3\n")
    with pytest.raises(InvalidArgumentError, match="has no coordinate system; give row and col"):
        read_clicks(tmp_path / "c.csv", store.georeference)
    feature = {
        "type": "Feature",
        "properties": {"class": 3},
        "geometry": {"type": "Point", "coordinates": [7.5, 4.2]},
    }
    (tmp_path / "c.json").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert read_clicks(tmp_path / "c.json", store.georeference).clicks == [Click(4, 7, 3)]


def test_colors_of_a_legend_are_used_and_others_differ():
    legend = Legend({1: "water"}, {1: "#0a0b0c"})
    assert legend.rgb(1) == (10, 11, 12)
    assert len({legend.rgb(number) for number in range(1, 41)}) == 40
