"""Scores against numbers worked out by hand and scikit-learn's own from the pixels."""

import math

import numpy as np
import pytest
import rasterio
from sklearn import metrics

from segmentation.errors import InvalidArgumentError, SegmentationError
from segmentation.evaluation import Confusion, compare, score
from segmentation.evaluation_plot import plot_scores
from segmentation.legend import Legend
from segmentation.rasters.class_map import ClassMap, map_windows
from segmentation.testing import write_scene


def confusion_of(truth, mapped):
    pairs = np.zeros((1024, 1024), np.int64)
    np.add.at(pairs, (np.asarray(truth), np.asarray(mapped)), 1)
    return Confusion.of_pairs(pairs)


def test_scores_by_hand():
    # True 1: three right, one taken for 2. True 2: two right. One pixel of 2 has no class; one has no truth.
    scores = score(confusion_of([1, 1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 2, 2, 2, 0, 1]), Legend({1: "water"}))
    one, two = scores.classes
    assert (one.name, two.name) == ("water", "2")
    assert (one.iou, one.dice, one.precision, one.recall) == pytest.approx((3 / 4, 6 / 7, 1, 3 / 4))
    assert (two.iou, two.dice, two.precision, two.recall) == pytest.approx((2 / 3, 4 / 5, 2 / 3, 1))
    assert scores.pixels == 6
    assert scores.accuracy == pytest.approx(5 / 6)
    assert scores.coverage == pytest.approx(6 / 7)
    assert scores.accuracy_of_all == pytest.approx(5 / 7)
    assert scores.mean_iou == pytest.approx((3 / 4 + 2 / 3) / 2)
    by_chance = (4 / 6) * (3 / 6) + (2 / 6) * (3 / 6)
    assert scores.kappa == pytest.approx((5 / 6 - by_chance) / (1 - by_chance))


def test_unclassified_pixels_count_as_wrong_when_asked():
    confusion = confusion_of([1, 1, 2, 2], [1, 0, 2, 0])
    scores = score(confusion, count_unclassified=True)
    assert scores.accuracy == scores.accuracy_of_all == 0.5
    assert [one.recall for one in scores.classes] == [0.5, 0.5]
    assert [one.iou for one in scores.classes] == [0.5, 0.5]
    assert score(confusion).accuracy == 1


def test_classes_that_one_side_lacks():
    scores = score(confusion_of([1, 1, 2], [1, 3, 1]))
    by_number = {one.number: one for one in scores.classes}
    assert by_number[2].recall == 0
    assert math.isnan(by_number[2].precision)
    assert by_number[3].precision == 0
    assert math.isnan(by_number[3].recall)
    assert scores.mean_iou == pytest.approx((1 / 3 + 0) / 2)  # of the classes that the truth has
    facts = scores.as_dict()
    assert facts["classes"][1]["precision"] is None
    assert "-" in scores.as_text()


def test_one_class_everywhere_has_no_kappa():
    scores = score(confusion_of([4, 4], [4, 4]))
    assert scores.accuracy == 1
    assert scores.as_dict()["kappa"] is None


def test_scores_equal_scikit_learns_from_the_pixels():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, 5000)
    mapped = np.where(rng.random(5000) < 0.6, truth, rng.integers(1, 7, 5000))
    scores = score(confusion_of(truth, mapped))
    labels = [one.number for one in scores.classes]
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth, mapped))
    assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(truth, mapped))
    for name, function in (("iou", metrics.jaccard_score), ("dice", metrics.f1_score)):
        wanted = function(truth, mapped, labels=labels, average=None, zero_division=0)
        assert [getattr(one, name) for one in scores.classes] == pytest.approx(wanted.tolist())
    np.testing.assert_array_equal(
        scores.confusion.counts, metrics.confusion_matrix(truth, mapped, labels=labels)
    )


def test_maps_are_compared_window_by_window(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, (90, 70)).astype(np.uint8)
    mapped = rng.integers(0, 4, (90, 70)).astype(np.uint8)
    write_scene(tmp_path / "t.tif", truth[None], nodata=3)
    write_scene(tmp_path / "m.tif", mapped[None].astype(np.float32))
    monkeypatch.setattr("segmentation.rasters.class_map._WINDOW_PX", 400)
    monkeypatch.setattr("segmentation.rasters.class_map.BLOCK", 20)  # four windows in a row of blocks
    shares = []
    with ClassMap(tmp_path / "m.tif") as one, ClassMap(tmp_path / "t.tif") as other:
        confusion = compare(one, other, progress=shares.append)
        ignoring = compare(one, other, ignored=[2])
    assert len(shares) == 5 * 4
    assert shares[-1] == 1
    wanted = confusion_of(np.where(truth == 3, 0, truth).ravel(), mapped.ravel())
    np.testing.assert_array_equal(confusion.counts, wanted.counts)
    np.testing.assert_array_equal(confusion.unclassified, wanted.unclassified)
    assert 2 not in ignoring.numbers


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (5000, 3000), (700, 100_000), (100_000, 700)])
def test_windows_cover_a_map_once_and_stay_small(shape):
    windows = list(map_windows(*shape))
    assert sum(one.height * one.width for one in windows) == shape[0] * shape[1]
    assert len({(one.row, one.col) for one in windows}) == len(windows)
    assert max(one.height * one.width for one in windows) <= 8_000_000
    assert all(one.row % 512 == 0 == one.col % 512 for one in windows)


def test_palettes_masks_and_odd_types_are_read(tmp_path):
    classes = np.array([[1, 2, 3, 0, 9]] * 5, np.uint16)
    write_scene(tmp_path / "m.tif", classes[None], mask=classes != 9)
    with ClassMap(tmp_path / "m.tif") as found:
        assert found.read(0, 0, 2, 5).tolist() == [[1, 2, 3, 0, 0]] * 2
    with rasterio.open(
        tmp_path / "p.tif",
        "w",
        driver="GTiff",
        width=5,
        height=5,
        count=1,
        dtype="uint8",
        photometric="palette",
    ) as out:
        out.write(classes.astype(np.uint8), 1)
        out.write_colormap(1, {1: (1, 2, 3, 255)})
    (tmp_path / "p.json").write_text('{"classes": {"1": "water"}, "pixels": {"1": 5}}')
    with ClassMap(tmp_path / "p.tif") as found:
        assert found.read(0, 0, 1, 5).tolist() == [[1, 2, 3, 0, 9]]
        assert found.legend.names == {1: "water"}


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.full((1, 6, 6), 0.5, np.float32), "holds fractions near row 0"),
        (np.full((1, 6, 6), -2, np.int16), "holds -2 near row 0"),
        (np.full((1, 6, 6), 5000, np.uint16), "holds 5000 near row 0"),
        (np.ones((3, 6, 6), np.uint8), "has 3 bands; a class map has one"),
        (np.ones((1, 6, 6), np.complex64), "holds complex64, not class numbers"),
    ],
)
def test_rasters_that_are_no_class_maps_are_refused(tmp_path, pixels, sentence):
    write_scene(tmp_path / "m.tif", pixels)
    with pytest.raises(SegmentationError, match=sentence), ClassMap(tmp_path / "m.tif") as found:
        found.read(0, 0, 6, 6)


def test_nothing_to_score_is_said():
    with pytest.raises(InvalidArgumentError, match="The truth has no class on any pixel"):
        confusion_of([0, 0], [1, 2])
    with pytest.raises(InvalidArgumentError, match="The map has no class on any pixel with a true class"):
        score(confusion_of([1, 2], [0, 0]))


def test_plot_draws_every_class(tmp_path):
    scores = score(confusion_of([1, 1, 2, 5], [1, 2, 2, 0]), Legend({1: "deep water"}))
    plot_scores(scores, tmp_path / "p.svg", title="a against b")
    drawn = (tmp_path / "p.svg").read_text()
    for text in ("deep water", "no class", "a against b", "mapped as"):
        assert f"<!-- {text} -->" in drawn
