"""``apply``: leaves and classes hold on another scene, and what the first scene did not have is unknown."""

import json

import numpy as np
import pytest
import rasterio

from segmentation import NODATA_LEAF, open_segmentation, segment
from segmentation.errors import CancelledError
from segmentation.pyramid import reduce_once
from segmentation.testing import synthetic_scene, write_scene
from segmentation.transfer import carry_to

STRANGE = (slice(100, 200), slice(300, 420))  # rows and columns of ground that the first scene lacks


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Store of the first scene with a table of its true classes, and another scene with its truth."""
    folder = tmp_path_factory.mktemp("apply")
    pixels, truth = synthetic_scene(520, 640, 4, seed=5)
    store = segment(write_scene(folder / "first.tif", pixels), folder / "s", mode="fast")
    votes = np.zeros((store.n_leaves, 6), int)
    np.add.at(votes, (store.leaves[:].ravel(), truth.ravel()), 1)
    table = {
        "classes": {str(n + 1): f"class {n + 1}" for n in range(6)},
        "leaves": (votes.argmax(1) + 1).tolist(),
    }
    (folder / "t.json").write_text(json.dumps(table))
    other, other_truth = synthetic_scene(560, 700, 4, seed=11)
    rng = np.random.default_rng(0)
    other[:, *STRANGE] = rng.integers(11_000, 15_000, (4, 100, 120))  # glaring, as snow is
    other[:, :, :20] = 0
    write_scene(folder / "second.tif", other, nodata=0)
    return folder, store, other_truth + 1


def test_classes_hold_and_strange_ground_is_unknown(scenes, tmp_path, call):
    folder, store, truth = scenes
    done = call(
        "apply", store.path, folder / "second.tif", tmp_path / "carried", "--out", tmp_path / "m.tif",
        "--classes", folder / "t.json", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    with rasterio.open(tmp_path / "m.tif") as out, rasterio.open(folder / "second.tif") as image:
        classes = out.read(1)
        assert (out.crs, out.transform) == (image.crs, image.transform)
        assert json.loads(out.tags()["CLASSES"])["classes"]["255"] == "unknown"
    assert (classes[:, :20] == 0).all()
    inside = (slice(110, 190), slice(310, 410))  # filters mix at the edge
    assert (classes[inside] == 255).mean() > 0.98
    usual = np.ones(classes.shape, bool)
    usual[:, :60], usual[80:220, 280:440] = False, False
    assert (classes[usual] == 255).mean() < 0.1
    known = usual & (classes != 255)
    assert (classes[known] == truth[known]).mean() > 0.85
    carried = open_segmentation(tmp_path / "carried")
    assert facts["unknown"] == (classes == 255).sum() == carried.statistics().pixels[-1]
    assert facts["pixels"] == (classes > 0).sum()
    table = np.append(json.loads((folder / "t.json").read_text())["leaves"], 255)
    np.testing.assert_array_equal(np.append(table, 0)[np.minimum(carried.leaves[:], len(table))], classes)


def test_carried_store_is_whole_and_keeps_the_tree(scenes, tmp_path):
    folder, store, _ = scenes
    shares = []
    found = carry_to(store, folder / "second.tif", tmp_path / "s", progress=shares.append)
    carried = open_segmentation(tmp_path / "s")
    assert carried.complete
    assert shares == sorted(shares)
    assert shares[-1] == 1
    n = store.n_leaves
    assert carried.n_leaves == n + 1
    np.testing.assert_array_equal(carried.means[:n], store.means)
    assert found.pixels == carried.valid[:].sum() == 560 * 680
    ids = carried.block_ids(1, 0, 0)
    np.testing.assert_array_equal(ids, reduce_once(carried.leaves[:], 0))
    assert (carried.leaves[:] == NODATA_LEAF).sum() == 560 * 20
    tree, old = carried.tree, store.tree
    for count in (1, 2, 7, n):
        before, after = old.clusters_at(count), tree.clusters_at(count + 1)
        pairs = set(zip(before.tolist(), after[:n].tolist(), strict=True))
        assert len(pairs) == count == len({a for _, a in pairs})  # the same clusters ...
        assert after[n] not in after[:n]  # ... and what is unknown apart
    assert len(set(tree.clusters_at(1).tolist())) == 1
    assert (np.diff(tree.height[n + 1 :]) >= 0).all() == (np.diff(old.height[n:]) >= 0).all()
    # The unknown leaf's mean is that of what lies in it: far from all others.
    distance = np.linalg.norm(carried.means[:n] - carried.means[n], axis=1).min()
    assert distance > 3 * np.median(store.table("codebook/spread"))


def test_the_scene_itself_is_nearly_all_known_and_takes_its_own_leaves(scenes, tmp_path):
    folder, store, _ = scenes
    found = carry_to(store, folder / "first.tif", tmp_path / "s")
    assert found.unknown_pixels < 0.005 * found.pixels
    carried = open_segmentation(tmp_path / "s").leaves[:]
    known = carried != store.n_leaves
    np.testing.assert_array_equal(carried[known], store.leaves[:][known])
    wide = carry_to(store, folder / "first.tif", tmp_path / "w", percentile=80)
    assert wide.unknown_pixels > found.unknown_pixels
    assert wide.factor < found.factor


def test_rescale_evens_out_light(scenes, tmp_path):
    _, store, _ = scenes
    pixels, _ = synthetic_scene(520, 640, 4, seed=5)
    dim = write_scene(tmp_path / "dim.tif", (pixels * 0.5).astype(np.uint16))
    plain = carry_to(store, dim, tmp_path / "plain")
    rescaled = carry_to(store, dim, tmp_path / "rescaled", rescale=True)
    assert rescaled.unknown_pixels < 0.02 * rescaled.pixels < plain.unknown_pixels
    same = open_segmentation(tmp_path / "rescaled").leaves[:] == store.leaves[:]
    assert same.mean() > 0.8


def test_clicks_on_the_first_scene_make_the_map_of_the_other(scenes, tmp_path, call):
    folder, store, _ = scenes
    (tmp_path / "c.csv").write_text("row,col,class\n20,30,north\n400,500,south\n")
    done = call(
        "apply",
        store.path,
        folder / "second.tif",
        "--out",
        tmp_path / "m.tif",
        "--clicks",
        tmp_path / "c.csv",
    )
    assert done.returncode == 0, done.stderr
    assert "unknown" in done.stdout
    with rasterio.open(tmp_path / "m.tif") as out:
        assert set(np.unique(out.read(1))) == {0, 1, 2, 255}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["c.csv", "m.tif"]


def test_another_pixel_size_is_remarked(scenes, tmp_path, call):
    _, store, _ = scenes
    pixels, _ = synthetic_scene(60, 80, 4)
    coarse = write_scene(
        tmp_path / "coarse.tif", pixels, transform=rasterio.Affine(30, 0, 390_000, 0, -30, 5_820_000)
    )
    done = call("apply", store.path, coarse, tmp_path / "s")
    assert done.returncode == 0
    assert (
        "A pixel of first.tif is 10 m wide, one of coarse.tif 30 m; the same ground looks different"
        in done.stderr
    )


def test_cancelling_stops(scenes, tmp_path):
    folder, store, _ = scenes
    with pytest.raises(CancelledError):
        carry_to(store, folder / "second.tif", tmp_path / "s", cancelled=lambda: True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Nothing is to be written; give OUT_STORE, or --out"),
        (["--out", "{tmp}/m.tif"], 2, "A class map needs classes"),
        (["{tmp}/s", "--classes", "{folder}/t.json"], 2, "no map to write them to; give --out"),
        (["--out", "{tmp}/m.tif", "--classes", "{folder}/t.json", "--clicks", "c.csv"], 2, "choose one"),
        (["{tmp}/s", "--known", "20"], 2, "The percentile of what is known is 20; choose 50 to 100"),
        (["{tmp}/s", "--threads", "0"], 2, "0 threads were asked for"),
        (["{tmp}/s", "--device", "tpu"], 2, 'The device is "tpu"'),
        (["{tmp}/full"], 2, "is not an empty folder"),
        (["{tmp}/s", "--source-image", "{tmp}/none.tif"], 1, "cannot be read; it tells what counts as known"),
        (["{tmp}/s", "--source-image", "{folder}/second.tif"], 2, "give the image that it was made from"),
        (
            ["--out", "{tmp}/m.tif", "--classes", "{tmp}/short.json"],
            2,
            "is for 2 leaves, the segmentation has",
        ),
        (["--out", "{tmp}/m.tif", "--classes", "{tmp}/shape.json"], 2, 'lacks "leaves"'),
        (["--out", "{tmp}/m.tif", "--classes", "{tmp}/taken.json"], 2, 'Class 255 is "snow"'),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(scenes, tmp_path, call, arguments, code, sentence):
    folder, store, _ = scenes
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("kept")
    (tmp_path / "short.json").write_text('{"classes": {}, "leaves": [1, 2]}')
    (tmp_path / "shape.json").write_text('{"classes": {}, "leaves": [256]}')
    (tmp_path / "taken.json").write_text(
        json.dumps({"classes": {"255": "snow"}, "leaves": [1] * store.n_leaves})
    )
    arguments = [one.format(tmp=tmp_path, folder=folder) for one in arguments]
    done = call("apply", store.path, folder / "second.tif", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in " ".join(done.stderr.split())
    assert not (tmp_path / "m.tif").exists()
    assert not (tmp_path / "s").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ({"n_bands": 3}, 2, "has 3 bands, first.tif 4; they must have the same bands"),
        ({"dtype": "uint8"}, 2, "equal numbers do not mean the same; give --rescale"),
    ],
)
def test_other_bands_are_refused(scenes, tmp_path, call, options, code, sentence):
    _, store, _ = scenes
    pixels, _ = synthetic_scene(60, 80, **{"n_bands": 4, **options})
    done = call("apply", store.path, write_scene(tmp_path / "o.tif", pixels), tmp_path / "s")
    assert (done.returncode, sentence in done.stderr) == (code, True)


def test_other_order_of_bands_and_carried_stores_are_refused(tmp_path, call):
    pixels, _ = synthetic_scene(60, 80, 3)
    names = ("red", "green", "blue")
    store = segment(write_scene(tmp_path / "i.tif", pixels, names=names), tmp_path / "s", mode="fast")
    turned = write_scene(tmp_path / "o.tif", pixels, names=names[::-1])
    done = call("apply", store.path, turned, tmp_path / "c")
    assert (done.returncode, "Band 1 is red in i.tif and blue in o.tif" in done.stderr) == (2, True)
    assert call("apply", store.path, tmp_path / "i.tif", tmp_path / "c").returncode == 0
    done = call("apply", tmp_path / "c", tmp_path / "i.tif", tmp_path / "d")
    assert (done.returncode, "was itself carried over from another scene" in done.stderr) == (2, True)


def test_an_image_without_data_is_refused(scenes, tmp_path, call):
    _, store, _ = scenes
    empty = write_scene(tmp_path / "e.tif", np.zeros((4, 60, 80), np.uint16), nodata=0)
    done = call("apply", store.path, empty, tmp_path / "s")
    assert (done.returncode, "No pixel of e.tif holds data" in done.stderr) == (1, True)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_learned_features_are_carried_too(tmp_path):
    pixels, _ = synthetic_scene(128, 160, 3, seed=2)
    image = write_scene(tmp_path / "i.tif", pixels)
    store = segment(image, tmp_path / "s", train_steps=4)
    assert store.learned is not None
    found = carry_to(store, image, tmp_path / "c")
    carried = open_segmentation(tmp_path / "c")
    assert carried.learned == store.learned
    known = carried.leaves[:] != store.n_leaves
    np.testing.assert_array_equal(carried.leaves[:][known], store.leaves[:][known])
    assert known.mean() > 0.95
    assert found.unknown_pixels == (~known).sum()
    assert (tmp_path / "c/network.safetensors").exists()  # for its own blocks, and those of other scenes
