import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "clicks_to_accuracy.py"


@pytest.fixture(scope="module", autouse=True)
def beside_the_benchmarks():
    """The benchmarks import each other as scripts do."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


def squares(side=64):
    """Two classes of squares and a rim that nobody knows."""
    truth = (np.indices((side, side)) // 16).sum(axis=0) % 2
    truth[:4] = -1
    return truth.astype(np.int64)


def blurred_vision(truth):
    """A method that knows the nearest click, and nothing else."""

    def predict(clicks):
        places = np.array([click[:2] for click in clicks])
        grid = np.moveaxis(np.indices(truth.shape), 0, -1)
        nearest = np.square(grid[:, :, None] - places).sum(axis=-1).argmin(axis=-1)
        return np.array([click[2] for click in clicks])[nearest]

    return predict


def test_score_counts_a_pixel_without_class_as_wrong():
    from clicking import score

    truth = np.array([[0, 0, 1, 1, -1]])
    accuracy, iou = score(np.array([[0, -1, 1, 0, 0]]), truth, 2)
    assert accuracy == 0.5
    assert iou == pytest.approx(
        (1 / 3 + 1 / 2) / 2
    )  # class 0: one of {hit, missed, false}; class 1: one of two


def test_user_first_clicks_each_class_and_then_only_errors():
    from clicking import simulate

    truth = squares()
    seen = []

    def predict(clicks):
        seen.append(list(clicks))
        return np.zeros_like(truth)

    run = simulate(predict, truth, 2, [2, 5], seed=0)
    assert [click[2] for click in seen[0]] == [0, 1]
    assert all(truth[row, col] == class_id for row, col, class_id in seen[-1])
    assert all(class_id == 1 for _, _, class_id in seen[-1][2:])  # all zeros are right, all ones wrong
    assert set(run.scores) == {2, 5}
    assert run.scores[2][0] == pytest.approx((truth[truth >= 0] == 0).mean())


def test_perfect_map_ends_the_session():
    from clicking import simulate

    truth = squares()
    run = simulate(lambda clicks: truth, truth, 2, [2, 10], seed=0)
    assert run.scores[10] == (1.0, 1.0)
    assert len(run.seconds) == 1


@pytest.mark.skipif(not TOOL.exists(), reason="the shared measuring tool is not there")
def test_user_is_the_shared_tools_user():
    from clicking import simulate

    spec = importlib.util.spec_from_file_location("shared_clicks_to_accuracy", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    truth = squares()
    predict = blurred_vision(truth)
    for seed in range(3):
        expected, _ = tool.simulate(lambda clicks, _: predict(clicks), truth, 2, [2, 5, 9], seed)
        got = simulate(predict, truth, 2, [2, 5, 9], seed).scores
        assert {n: pytest.approx(score) for n, score in expected.items()} == got


def test_load_task_leaves_out_rare_classes_and_names_the_others(tmp_path):
    from clicking import load_task

    image, truth = tmp_path / "image.tif", tmp_path / "truth.tif"
    numbers = np.full((100, 100), 7, np.uint8)
    numbers[:50], numbers[0, :5] = 3, 9  # class 9: five pixels of ten thousand
    profile = {"driver": "GTiff", "height": 100, "width": 100, "dtype": "uint8"}
    with rasterio.open(image, "w", count=2, **profile) as out:
        out.write(np.stack([numbers, numbers + 1]))
    with rasterio.open(truth, "w", count=1, **profile) as out:
        out.write(numbers, 1)
    (tmp_path / "truth.json").write_text(json.dumps({"classes": {"3": "water", "7": "land"}}))
    task = load_task("scene", image, truth, tmp_path, size=60, offset=(20, 0))
    assert task.class_names == ["water", "land"]
    assert task.bands.shape == (2, 60, 60)
    assert (np.unique(task.truth[:30]), np.unique(task.truth[30:])) == (0, 1)
    whole = load_task("whole", image, truth, tmp_path)
    assert (whole.truth[0, :5] == -1).all()


def test_load_task_refuses_a_truth_on_another_grid(tmp_path):
    from clicking import load_task

    for name, side in (("image.tif", 20), ("truth.tif", 21)):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=side, width=side, count=1, dtype="uint8"
        ) as out:
            out.write(np.ones((1, side, side), np.uint8))
    with pytest.raises(SystemExit, match="must be on one grid"):
        load_task("scene", tmp_path / "image.tif", tmp_path / "truth.tif", tmp_path)


def test_default_cut_is_the_pages():
    from classifiers import DEFAULT_CUT

    page = (ROOT / "static/js/state.js").read_text()
    assert int(re.search(r"DEFAULT_CUT = (\d+)", page).group(1)) == DEFAULT_CUT


def test_clicks_of_two_classes_part_a_cluster():
    from classifiers import assign_clusters

    from segmentation.clustering.merge_tree import MergeTree

    # Leaves 0..3; node 4 = {0, 1}, 5 = {2, 3}, 6 = all.
    parent = np.array([4, 4, 5, 5, 6, 6, 6], np.uint32)
    low, high = np.array([0, 1, 2, 3, 0, 2, 0]), np.array([1, 2, 3, 4, 2, 4, 4])
    tree = MergeTree(parent, low, high, np.zeros(7, np.float32), np.zeros((7, 3), np.uint8))
    one = np.full(4, 6, np.uint32)
    assert assign_clusters(tree, one, [(0, 5)]).tolist() == [5, 5, 5, 5]
    assert assign_clusters(tree, one, [(0, 5), (3, 8)]).tolist() == [5, 5, 8, 8]
    assert assign_clusters(tree, one, [(0, 5), (3, 8), (1, 8)]).tolist() == [5, 8, 8, 8]
    assert assign_clusters(tree, one, [(0, 5), (0, 8)]).tolist() == [8, 8, 8, 8]
    two = np.array([4, 4, 5, 5], np.uint32)
    assert assign_clusters(tree, two, [(2, 1)]).tolist() == [-1, -1, 1, 1]


def test_network_of_2019_gives_every_pixel_its_features():
    import torch
    from clusternet2019 import N_FEATURES, RIM_PX, UNet, embed, train

    assert UNet(3)(torch.zeros(1, 3, 140, 140)).shape == (1, N_FEATURES, 140 - 2 * RIM_PX, 140 - 2 * RIM_PX)
    bands = np.random.default_rng(0).uniform(0, 1, (3, 90, 150)).astype(np.float32)
    network = train(bands, seed=0, batches=1)
    features = embed(network, bands)
    assert features.shape == (N_FEATURES, 90, 150)
    assert np.isfinite(features).all()
    again = embed(train(bands, seed=0, batches=1), bands)
    np.testing.assert_allclose(features, again, atol=1e-5)


RESULTS = {
    "t": {
        "title": "Toy",
        "is_tuned_on": False,
        "groups": {
            name: {
                "methods": {name: {"runs": [{"10": [score, score / 2]}, {"10": [score, score / 2]}], "click_s": 0.01}},
                "prepare_s": 2.0, "first_s": None, "learning_s": 1.0, "device": "cpu", "megapixels": 3.0,
                "classes": ["a", "b"], "seeds": 2, "peak_bytes": 1e8,
            }
            for name, score in (("ours", 0.8), ("forest on bands", 0.6), ("K-means on bands", 0.5))
        },
    }
}  # fmt: skip


def test_report_shows_the_gain_over_the_best_peer(tmp_path):
    from clicks_report import markdown, plot

    text = markdown(RESULTS, [10, 20])
    assert "| ours | **0.800** / **0.400** ± 0.000 |" in text
    assert "| Toy | +0.200 / +0.100 |  |" in text
    assert "| Toy | ours | cpu |  | 2.0 | 1.0 | 3.00 | 10 | 100 |" in text
    plot(RESULTS, [10, 20], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
