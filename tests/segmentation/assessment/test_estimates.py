"""Accuracy and area estimates: the worked examples of both papers, coverage of the intervals, and what is refused."""

import math

import numpy as np
import pytest

from segmentation.assessment.estimates import Estimate, assess
from segmentation.errors import InvalidArgumentError

# Olofsson et al. 2014, tables 8 and 9: deforestation, forest gain, stable forest, stable non-forest; pixels of 30 m.
SAMPLE = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAP_PIXELS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}
TOTAL_HA = 10_000_000 * 900 / 10_000


def points_of(counts):
    """Mapped and reference class of each point of a matrix of counts."""
    places = np.argwhere(counts > 0)
    return np.repeat(places + 1, counts[tuple(places.T)], axis=0).T


@pytest.fixture(scope="module")
def olofsson():
    mapped, reference = points_of(SAMPLE)
    return assess(mapped, mapped, reference, MAP_PIXELS)


def test_counts_and_proportions_are_those_of_the_paper(olofsson):
    assert olofsson.counts.tolist() == SAMPLE.tolist()
    # Table 9, four digits.
    assert olofsson.proportions.round(4).tolist() == [
        [0.0176, 0.0, 0.0013, 0.0011],
        [0.0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0.0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    assert olofsson.proportions.sum() == pytest.approx(1)


def test_accuracies_and_their_intervals_are_those_of_the_paper(olofsson):
    users = [(round(one.users.value, 2), round(one.users.half_width(), 2)) for one in olofsson.classes]
    assert users == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert [round(one.producers.value, 2) for one in olofsson.classes] == [0.75, 0.85, 0.93, 0.96]
    assert (round(olofsson.overall.value, 2), round(olofsson.overall.half_width(), 2)) == (0.95, 0.02)


def test_producers_errors_are_those_of_the_papers_formula(olofsson):
    """Equation 7, which writes the same variance otherwise; without the correction for finite strata."""
    pixels, points = np.array(list(MAP_PIXELS.values()), float), SAMPLE.sum(axis=1)
    shares = SAMPLE / points[:, None]
    for place, one in enumerate(olofsson.classes):
        column, accuracy, users = shares[:, place], one.producers.value, shares[place, place]
        own = pixels[place] ** 2 * (1 - accuracy) ** 2 * users * (1 - users) / (points[place] - 1)
        others = np.delete(pixels**2 * column * (1 - column) / (points - 1), place).sum()
        error = np.sqrt(own + accuracy**2 * others) / (pixels @ column)
        assert one.producers.standard_error == pytest.approx(error, rel=1e-3)


def test_areas_and_their_intervals_are_those_of_the_paper(olofsson):
    hectares = [
        (round(one.share.value * TOTAL_HA), round(one.share.half_width() * TOTAL_HA))
        for one in olofsson.classes
    ]
    # The paper: 21,158 +- 6,158; 11,686 +- 3,756; 285,770 +- 15,510; 581,386 +- 16,282.
    for (area, half), (wanted, wanted_half) in zip(
        hectares, [(21_158, 6_158), (11_686, 3_756), (285_770, 15_510), (581_386, 16_282)], strict=True
    ):
        assert area == pytest.approx(wanted, abs=1)
        assert half == pytest.approx(
            wanted_half, rel=0.001
        )  # the paper multiplies by 1.96, and leaves the finite correction out


def test_strata_may_differ_from_the_maps_classes():
    """Stehman 2014, tables 2 and 3."""
    strata = np.repeat([1, 2, 3, 4], 10)
    letters = {letter: number for number, letter in enumerate("ABCD", start=1)}
    mapped = [letters[one] for one in "AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"]
    reference = [letters[one] for one in "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"]
    found = assess(strata, mapped, reference, {1: 40_000, 2: 30_000, 3: 20_000, 4: 10_000})
    told = [found.overall, found.of(2).users, found.of(2).producers, found.of(1).share, found.of(3).share]
    assert [(round(e.value, 3), round(e.standard_error, 3)) for e in told] == [
        (0.63, 0.085),
        (0.574, 0.125),
        (0.794, 0.117),
        (0.35, 0.082),
        (0.2, 0.064),
    ]
    assert found.proportions[1, 2] == pytest.approx(0.08)


def test_derived_scores_are_of_the_proportions(olofsson):
    p = olofsson.proportions
    for place, one in enumerate(olofsson.classes):
        users, producers = one.users.value, one.producers.value
        assert one.f1 == pytest.approx(2 * users * producers / (users + producers))
        assert one.iou == pytest.approx(
            p[place, place] / (p[place].sum() + p[:, place].sum() - p[place, place])
        )
        assert one.mapped_share == pytest.approx(MAP_PIXELS[one.number] / 1e7)
    chance = (p.sum(axis=0) * p.sum(axis=1)).sum()
    assert olofsson.kappa == pytest.approx((olofsson.overall.value - chance) / (1 - chance))
    assert [one.n_mapped for one in olofsson.classes] == [75, 75, 165, 325]
    assert [one.n_reference for one in olofsson.classes] == [69, 56, 175, 340]


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    # A scene of a million pixels, 30, 60 and 10 percent mapped; the map is right in 80, 90 and 60 percent of each.
    sizes = {1: 300_000, 2: 600_000, 3: 100_000}
    rows = np.array([[0.8, 0.15, 0.05], [0.05, 0.9, 0.05], [0.1, 0.3, 0.6]])
    true_shares = np.array([0.3, 0.6, 0.1]) @ rows
    strata = np.repeat([1, 2, 3], [150, 250, 60])
    held = 0
    for _ in range(400):
        reference = np.array([rng.choice(3, p=rows[number - 1]) + 1 for number in strata])
        found = assess(strata, strata, reference, sizes)
        low, high = found.of(3).share.interval(0.9)
        held += low <= true_shares[2] <= high
    assert 0.85 <= held / 400 <= 0.95


def test_pixels_that_the_map_leaves_open_are_wrong_and_no_class():
    found = assess([1, 1, 2, 2], [1, 1, 0, 2], [1, 1, 2, 2], {1: 50, 2: 50})
    assert found.numbers.tolist() == [0, 1, 2]
    assert [one.number for one in found.classes] == [1, 2]
    assert found.overall.value == pytest.approx(0.75)
    assert found.of(2).producers.value == pytest.approx(0.5)
    assert found.of(2).users.value == 1


def test_a_class_that_nobody_saw_has_no_accuracy():
    found = assess([1, 1, 2, 2], [1, 1, 3, 3], [1, 1, 2, 2], {1: 50, 2: 50})
    assert math.isnan(found.of(2).users.value)
    assert math.isnan(found.of(3).producers.value)
    assert found.of(3).share == Estimate(0.0, 0.0)
    assert found.of(3).mapped_share == pytest.approx(0.5)


def test_a_census_has_no_error():
    found = assess([1, 1, 2, 2], [1, 1, 2, 2], [1, 2, 2, 2], {1: 2, 2: 2})
    assert found.overall == Estimate(0.75, 0.0)


@pytest.mark.parametrize(
    ("strata", "reference", "sizes", "sentence"),
    [
        ([], [], {1: 5}, "needs points"),
        ([1, 1], [1, 0], {1: 5}, "no reference class"),
        ([1, 1, 2], [1, 1, 2], {1: 5, 2: 5}, "stratum Forest has 1 labeled point; label 2 or more"),
        ([1, 1], [1, 1], {1: 5, 2: 5}, "stratum Forest has no labeled point"),
        ([1, 1, 3, 3], [1, 1, 1, 1], {1: 5}, "stratum 3, which has no pixels"),
        ([1, 1, 0], [1, 1, 1], {1: 5}, "lies where the map .* has no class"),
    ],
)
def test_what_cannot_be_estimated_is_refused(strata, reference, sizes, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        assess(strata, strata, reference, sizes, {2: "Forest"})


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(InvalidArgumentError, match="needs points, each with"):
        assess([1, 1], [1], [1, 1], {1: 5})
