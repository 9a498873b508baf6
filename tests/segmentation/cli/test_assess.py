"""``sample`` and ``assess``: points drawn, labeled and judged; what is wrong with files is told."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from segmentation.testing import write_scene

SHAPE = (300, 400)


@pytest.fixture
def scene(tmp_path):
    """A map of two classes, of which a tenth is wrong, and the truth."""
    rng = np.random.default_rng(0)
    truth = np.ones(SHAPE, np.uint8)
    truth[:, 300:] = 2
    mapped = np.where(rng.random(SHAPE) < 0.1, 3 - truth, truth).astype(np.uint8)
    mapped[:10] = 0
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=SHAPE[1], height=SHAPE[0], count=1, dtype="uint8", crs="EPSG:32633",
        transform=Affine(10, 0, 400_000, 0, -10, 5_500_000), nodata=0,
    ) as out:  # fmt: skip
        out.write(mapped, 1)
    path.with_suffix(".json").write_text('{"classes": {"1": "Water", "2": "Forest"}}')
    return path, mapped, truth


def label(path, truth, names=("Water", "Forest")):
    """Write the true class into each point, as people would."""
    found = json.loads(path.read_text())
    for feature in found["features"]:
        row, col = feature["properties"]["row"], feature["properties"]["col"]
        feature["properties"]["reference"] = names[truth[row, col] - 1]
    path.write_text(json.dumps(found))


def test_points_are_drawn_labeled_and_judged(scene, tmp_path, call):
    path, mapped, truth = scene
    points, out = tmp_path / "points.geojson", tmp_path / "a.json"
    done = call("sample", path, points, "--points", "600", "--least", "100", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["points"] == 600
    assert facts["pixels"] == {"Water": int((mapped == 1).sum()), "Forest": int((mapped == 2).sum())}
    text = points.read_text()
    assert "Water" not in text
    assert "class" not in text
    label(points, truth)
    done = call("assess", path, points, "--json", out)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    inside = mapped > 0
    assert told["overall_accuracy"]["value"] == pytest.approx((mapped == truth)[inside].mean(), abs=0.04)
    water = told["classes"][0]
    assert (water["name"], water["points_mapped"]) == ("Water", facts["by_class"]["Water"])
    assert water["share"]["value"] == pytest.approx(
        (truth == 1)[inside].mean(), abs=3 * water["share"]["standard_error"] + 0.01
    )
    area = sum(one["mapped_area_m2"] for one in told["classes"])
    assert area == pytest.approx(inside.sum() * 100, rel=2e-3)  # UTM's scale
    assert "overall accuracy 0." in done.stdout
    assert " ha" in done.stdout
    assert json.loads(call("assess", path, points, "--json", "-").stdout) == told


def test_the_size_follows_from_the_wanted_precision(scene, tmp_path, call):
    path, *_ = scene
    points = tmp_path / "p.geojson"
    done = call("sample", path, points, "--standard-error", "0.02", "--expect", "0.9")
    assert done.returncode == 0, done.stderr
    assert "points written to" in done.stdout
    assert len(json.loads(points.read_text())["features"]) == pytest.approx(225, abs=2)


def test_clicked_pixels_are_not_drawn(scene, tmp_path, call):
    path, mapped, _ = scene
    clicks = tmp_path / "clicks.csv"
    rows = [f"{row},{col},{mapped[row, col]}" for row in range(10, 290, 2) for col in range(0, 400, 4)]
    clicks.write_text("row,col,class\n" + "\n".join(rows))
    done = call("sample", path, tmp_path / "p.geojson", "--points", "3000", "--clicks", clicks)
    assert done.returncode == 0, done.stderr
    properties = [one["properties"] for one in json.loads((tmp_path / "p.geojson").read_text())["features"]]
    clicked = {tuple(map(int, row.split(",")[:2])) for row in rows}
    assert not clicked & {(one["row"], one["col"]) for one in properties}


def test_another_map_is_judged_by_the_points_of_the_first(scene, tmp_path, call):
    path, _, truth = scene
    points = tmp_path / "p.geojson"
    call("sample", path, points, "--points", "200")
    label(points, truth, names=("1", "2"))
    right = write_scene(tmp_path / "right.tif", truth[None])
    with rasterio.open(path) as one, rasterio.open(right, "r+") as other:
        other.transform, other.crs = one.transform, one.crs
    done = call("assess", right, points, "--strata", path, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["overall_accuracy"] == {
        "value": 1.0,
        "standard_error": 0.0,
        "half_width": 0.0,
    }


def test_points_without_a_class_are_counted_and_left_aside(scene, tmp_path, call):
    path, _, truth = scene
    points = tmp_path / "p.geojson"
    call("sample", path, points, "--points", "200")
    label(points, truth)
    found = json.loads(points.read_text())
    for feature in found["features"][:7]:
        feature["properties"]["reference"] = None
    points.write_text(json.dumps(found))
    done = call("assess", path, points)
    assert done.returncode == 0, done.stderr
    assert "7 points have no class yet and do not count." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--standard-error", "0"), "A standard error of 0 was asked for"),
        (("--expect", "1"), "An accuracy of 1 was expected"),
        (("--points", "0"), "0 points with 50 or more of each class"),
        (("--points", "90000"), "That comes to 90,000 points, and at most 50,000"),
        (("--least", "1"), "with 1 or more of each class"),
    ],
)
def test_samples_without_sense_are_refused(scene, tmp_path, call, arguments, sentence):
    path, *_ = scene
    done = call("sample", path, tmp_path / "p.geojson", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "p.geojson").exists()


def test_a_map_without_classes_is_refused(tmp_path, call):
    path = write_scene(tmp_path / "m.tif", np.zeros((1, 20, 20), np.uint8))
    done = call("sample", path, tmp_path / "p.geojson")
    assert done.returncode == 2
    assert "has no class anywhere" in done.stderr


def point(label_, lon=13.62, lat=49.643):
    return {
        "type": "Feature",
        "properties": {"reference": label_},
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
    }


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([point(None), point("")], "No point has a class yet"),
        (
            [point("Rock")],
            "Feature 1 is labeled 'Rock', neither a number from 1 to 1,023 nor one of the classes (forest, water)",
        ),
        ([point("0")], "is labeled '0'"),
        (
            [
                {
                    **point("Water"),
                    "geometry": {"type": "LineString", "coordinates": [[13.60, 49.64], [13.65, 49.64]]},
                }
            ],
            "reference data are points",
        ),
        (
            [{"type": "Feature", "properties": {"use": "Water"}, "geometry": None}],
            "No feature has a property 'reference'",
        ),
        ([point("Water", 0, 0)], "None of the 1 points is labeled and lies on the map"),
        (
            [point("Water"), point("Water")],
            "has no labeled point; label 2 or more in each",
        ),
    ],
)
def test_points_without_sense_are_refused(scene, tmp_path, call, features, sentence):
    path, *_ = scene
    points = tmp_path / "p.geojson"
    points.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    done = call("assess", path, points)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr


def test_missing_files_and_senseless_confidence_are_told(scene, tmp_path, call):
    path, *_ = scene
    done = call("assess", path, tmp_path / "none.geojson")
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    done = call("assess", path, tmp_path / "none.geojson", "--confidence", "2")
    assert done.returncode == 2
    assert "A confidence of 2 was asked for" in done.stderr
