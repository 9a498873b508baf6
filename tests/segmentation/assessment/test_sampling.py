"""Stratified samples: sizes of the worked example, allocation, and draws that are uniform, repeatable and blind."""

import numpy as np
import pytest

from segmentation.assessment import sampling
from segmentation.assessment.sampling import allocate, count_classes, draw_points, sample_size
from segmentation.errors import InvalidArgumentError
from segmentation.vectors import ArraySource

PIXELS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr("segmentation.rasters.class_map._WINDOW_PX", 512 * 512)


@pytest.fixture
def classes():
    rng = np.random.default_rng(1)
    found = rng.choice([0, 1, 2], (700, 900), p=[0.1, 0.6, 0.3]).astype(np.uint8)
    found[600:604, 800:810] = 3
    return found


def test_size_is_that_of_the_worked_example():
    # Olofsson et al. 2014, section 5.1.1: 641 points.
    expected = {1: 0.7, 2: 0.6, 3: 0.9, 4: 0.95}
    assert sample_size(PIXELS, 0.01, expected) == 641
    assert sample_size(PIXELS, 0.02, expected) == 161


def test_small_maps_need_no_more_points_than_they_have_pixels():
    assert sample_size({1: 40, 2: 60}, 0.001) <= 100


@pytest.mark.parametrize(
    ("sizes", "standard_error", "expected", "sentence"),
    [
        ({}, 0.01, None, "no class anywhere"),
        ({1: 5}, 0.0, None, "standard error of 0 was asked for; choose"),
        ({1: 5}, float("nan"), None, "standard error of nan"),
        ({1: 5}, 0.01, {1: 1.0}, "accuracy of 1 was expected"),
    ],
)
def test_sizes_without_sense_are_refused(sizes, standard_error, expected, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        sample_size(sizes, standard_error, expected)


def test_rare_classes_get_the_least_and_the_others_share_the_rest():
    given = allocate(PIXELS, 641, least=75)
    assert (given[1], given[2]) == (75, 75)
    assert given[3] + given[4] == 641 - 150
    assert given[3] / given[4] == pytest.approx(3.2 / 6.45, rel=0.02)
    assert sum(allocate({1: 10_000, 2: 10_000}, 200, least=50).values()) == 200
    # Together the least of each are more than was asked for.
    assert allocate({1: 10_000, 2: 10_000, 3: 10_000}, 60, least=50) == {1: 50, 2: 50, 3: 50}
    assert allocate({1: 10_000, 2: 7, 3: 0}, 100, least=20) == {1: 80, 2: 7}


def test_what_becomes_rare_once_others_took_theirs_gets_the_least_too():
    given = allocate({1: 10, 2: 110, 3: 1000, 4: 10_000}, 1000, least=100)
    assert given[1] == 10
    assert given[2] == given[3] == 100
    assert given[4] == 700


@pytest.mark.parametrize(("n_points", "least"), [(0, 50), (10, 1)])
def test_allocations_without_sense_are_refused(n_points, least):
    with pytest.raises(InvalidArgumentError, match="were asked for; choose"):
        allocate(PIXELS, n_points, least)


@pytest.mark.usefixtures("small_windows")
def test_points_lie_in_their_class_each_once(classes):
    source, told = ArraySource(classes), []
    sizes = count_classes(source, told.append)
    assert sizes == {number: int((classes == number).sum()) for number in (1, 2, 3)}
    assert told[-1] == 1
    wanted = {1: 300, 2: 200, 3: 40}
    points = draw_points(source, sizes, wanted, seed=4)
    assert (classes[points[:, 0], points[:, 1]] == points[:, 2]).all()
    assert np.bincount(points[:, 2]).tolist() == [0, 300, 200, 40]
    assert len(np.unique(points[:, :2], axis=0)) == 540
    assert (points == draw_points(source, sizes, wanted, seed=4)).all()
    assert (points[:20] != draw_points(source, sizes, wanted, seed=5)[:20]).any()
    # In no order from which a class could be guessed.
    assert 60 < np.flatnonzero(points[:, 2] == 3).mean() < 480


@pytest.mark.usefixtures("small_windows")
def test_clicked_pixels_are_never_drawn(classes):
    source = ArraySource(classes)
    sizes = count_classes(source)
    corner = [(row, col) for row in range(600, 604) for col in range(800, 810)]
    clicked = [*corner[:30], (0, 0), (-1, 5), (700, 3)]
    points = draw_points(source, sizes, {3: 10}, but=clicked)
    assert {(row, col) for row, col, _ in points.tolist()} == set(corner[30:])
    with pytest.raises(InvalidArgumentError, match="11 points of class 3 are wanted, and 10 of its pixels"):
        draw_points(source, sizes, {3: 11}, but=clicked)


def test_every_pixel_of_a_class_is_as_likely(monkeypatch):
    source = ArraySource(np.array([[1, 1, 2], [1, 1, 1]], np.uint8))
    sizes = count_classes(source)
    hits = np.zeros((2, 3))
    for seed in range(600):
        for row, col, _ in draw_points(source, sizes, {1: 2}, seed=seed):
            hits[row, col] += 1
    assert hits[0, 2] == 0
    expected = 600 * 2 / 5
    assert (abs(hits[hits > 0] - expected) < 4 * np.sqrt(expected)).all()


def test_a_map_that_has_changed_since_is_refused(classes):
    source = ArraySource(classes)
    sizes = {**count_classes(source), 2: 10**6}
    with pytest.raises(InvalidArgumentError, match="has changed since"):
        draw_points(source, sizes, {2: 5000})
    assert sampling.DEFAULT_EXPECTED == 0.8
