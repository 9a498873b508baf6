"""``clusters-to-classes``: fitted on one part, scored on another, never the same pixels."""

import json

import numpy as np
import pytest
import rasterio

from segmentation import segment
from segmentation.majority import fit_majority
from segmentation.rasters.class_map import ClassMap
from segmentation.testing import synthetic_scene, write_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("majority")
    pixels, truth = synthetic_scene(400, 560, 4, seed=5)
    store = segment(write_scene(folder / "i.tif", pixels), folder / "s", mode="fast")
    truth = (truth + 1).astype(np.uint8)
    truth[:40] = 0
    return store, write_scene(folder / "t.tif", truth[None]), truth


def test_every_pixel_is_fitted_or_scored_and_the_purest_clusters_are_kept(scene):
    store, path, truth = scene
    with ClassMap(path) as opened:
        found = fit_majority(store, opened, n_clusters=30, fraction=0.5, keep=0.4, tile_px=50, seed=3)
    clusters = np.unique(store.tree.clusters_at(30)[store.leaves[:]], return_inverse=True)[1].reshape(
        truth.shape
    )
    mapped = found.table.classes[store.leaves[:]]
    for cluster in range(30):
        assert len(np.unique(mapped[clusters == cluster])) == 1
    assert found.fitted_pixels + found.scored_pixels == (truth > 0).sum()
    assert (
        found.scores.confusion.counts.sum() + found.scores.confusion.unclassified.sum() == found.scored_pixels
    )
    assert found.scores.accuracy > 0.5
    assert found.kept_scores.accuracy > found.scores.accuracy
    assert found.kept_scores.coverage < found.scores.coverage
    assert found.kept_share >= 0.4
    kept = found.kept_table.classes
    assert ((kept == 0) | (kept == found.table.classes)).all()
    np.testing.assert_array_equal(np.unique(clusters[(kept[store.leaves[:]] > 0)]).size, found.n_kept)


def test_truth_of_scored_tiles_never_reaches_the_mapping(scene, tmp_path):
    """Whatever stands in the tiles that are scored on, the classes stay the same; what stands in the others changes them."""
    store, path, truth = scene
    options = {"n_clusters": 30, "fraction": 0.5, "keep": 1.0, "tile_px": 100, "seed": 3}
    with ClassMap(path) as opened:
        first = fit_majority(store, opened, **options)
    changed = 0
    for row in range(0, 400, 100):
        for col in range(0, 560, 100):
            other = truth.copy()
            tile = other[row : row + 100, col : col + 100]
            tile[tile > 0] = 1 + (tile[tile > 0] + 2) % 6
            write_scene(tmp_path / "o.tif", other[None])
            with ClassMap(tmp_path / "o.tif") as opened:
                second = fit_majority(store, opened, **options)
            same_scores = (second.scores.confusion.counts == first.scores.confusion.counts).all()
            if not same_scores and (second.table.classes == first.table.classes).all():
                changed += 1  # a scored tile
                assert second.fitted_pixels == first.fitted_pixels
            else:
                # A fitted tile: the truth that is scored on has stayed as it was.
                np.testing.assert_array_equal(
                    [one.truth_pixels for one in second.scores.classes],
                    [one.truth_pixels for one in first.scores.classes],
                )
    assert 8 <= changed <= 12  # of 24 tiles, half of which are fitted on


def test_map_table_and_json(scene, tmp_path, call):
    store, path, _ = scene
    arguments = ["clusters-to-classes", store.path, "--truth", path, "--clusters", 50, "--tile-px", 32]
    done = call(
        *arguments, "--keep", 0.3, "--out", tmp_path / "m.tif", "--table", tmp_path / "t.json", "--json"
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    table = np.array(json.loads((tmp_path / "t.json").read_text())["leaves"])
    with rasterio.open(tmp_path / "m.tif") as out:
        np.testing.assert_array_equal(out.read(1), table[store.leaves[:]])
    assert facts["kept"]["share"] >= 0.3
    assert facts["kept"]["coverage"] < facts["all"]["coverage"]
    text = call(*arguments).stdout
    assert "ALL 50 CLUSTERS" in text
    assert "PUREST CLUSTERS, with" in text
    again = json.loads(call(*arguments, "--keep", 0.3, "--json").stdout)
    assert (again["all"], again["kept"]) == (facts["all"], facts["kept"])
    other = json.loads(call(*arguments, "--seed", 1, "--json").stdout)
    assert other["all"] != facts["all"]
    everything = json.loads(call(*arguments, "--keep", 1, "--json").stdout)
    assert everything["kept"]["accuracy"] == everything["all"]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--fraction", "1"], 2, "The fraction to fit on is 1; choose one between 0 and 1"),
        (["--keep", "0"], 2, "The share to keep is 0"),
        (["--clusters", "0"], 2, "0 clusters were asked for"),
        (["--tile-px", "0"], 2, "A tile of 0 pixels"),
        (["--tile-px", "4000"], 2, "Truth lies in 1 tiles of 4000 x 4000 pixels"),
        (["--truth", "{tmp}/wide.tif"], 2, "must have the same grid"),
        (["--truth", "{tmp}/many.tif"], 2, "has the class 700"),
        (["--truth", "{tmp}/none.tif"], 2, "Truth lies in 0 tiles"),
        (["--truth", "{tmp}/no.tif"], 1, "There is no file"),
        (["--table", "{tmp}/m.tif"], 2, "Two outputs have the same name"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(scene, tmp_path, call, arguments, code, sentence):
    store, path, truth = scene
    write_scene(tmp_path / "wide.tif", np.ones((1, 10, 10), np.uint8))
    write_scene(tmp_path / "many.tif", np.full((1, *truth.shape), 700, np.uint16))
    write_scene(tmp_path / "none.tif", np.zeros((1, *truth.shape), np.uint8))
    given = {
        "--truth": str(path),
        "--out": str(tmp_path / "m.tif"),
        arguments[0]: arguments[1].format(tmp=tmp_path),
    }
    done = call("clusters-to-classes", store.path, *(part for pair in given.items() for part in pair))
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert not (tmp_path / "m.tif").exists()
