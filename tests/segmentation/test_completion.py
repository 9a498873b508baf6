"""The rule of the completed map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segmentation.completion import (
    completed_table,
    lowest_certainty,
    mean_probabilities,
    prediction_bytes,
    readable_clicks,
    warm_up,
)
from segmentation.decoder import NO_CLASS, Click, Prediction
from segmentation.errors import InvalidArgumentError
from segmentation.neighborhoods import Neighborhoods

N = 20
BYTES = hnp.arrays(np.uint8, N)


def prediction(class_ids, probabilities):
    probabilities = np.asarray(probabilities, np.float32)
    class_ids = np.asarray(class_ids, np.int64)
    winner = probabilities.argmax(axis=1)
    return Prediction(class_ids[winner], probabilities.max(axis=1), class_ids, probabilities)


def test_assignment_comes_first_then_what_is_certain_enough_then_none():
    assigned = np.array([3, 0, 0, 0], np.uint8)
    classes = np.array([1, 1, 1, 0], np.uint8)
    certainty = np.array([255, 128, 127, 255], np.uint8)
    assert completed_table(assigned, classes, certainty, 0.5).tolist() == [3, 1, 0, 0]
    assert completed_table(assigned, classes, certainty, 1.0).tolist() == [3, 0, 0, 0]
    assert completed_table(assigned, classes, certainty, 0.0).tolist() == [3, 1, 1, 0]


@given(BYTES, BYTES, BYTES, st.floats(0, 1))
def test_completed_table_follows_the_rule_leaf_by_leaf(assigned, classes, certainty, threshold):
    expected = [
        one or (likely if sure / 255 >= threshold else 0)
        for one, likely, sure in zip(assigned.tolist(), classes.tolist(), certainty.tolist(), strict=True)
    ]
    assert completed_table(assigned, classes, certainty, threshold).tolist() == expected


@given(st.floats(0, 1))
def test_lowest_certainty_is_the_first_that_reaches_the_threshold(threshold):
    lowest = lowest_certainty(threshold)
    assert lowest / 255 >= threshold
    assert lowest == 0 or (lowest - 1) / 255 < threshold


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(InvalidArgumentError, match=f"The certainty cannot be {threshold}; choose 0 to 1"):
        lowest_certainty(threshold)


def test_tables_of_different_segmentations_are_refused():
    tables = (np.zeros(3, np.uint8), np.zeros(4, np.uint8), np.zeros(4, np.uint8))
    with pytest.raises(InvalidArgumentError, match="3, 4 and 4 leaves"):
        completed_table(*tables, 0.5)


def test_bytes_round_down_so_that_only_what_is_certain_is_255():
    almost = np.nextafter(np.float32(1), np.float32(0))
    got = prediction([4, 250], [[1, 0], [1 - almost, almost], [0.5, 0.5]])
    classes, certainty = prediction_bytes(got, 3)
    assert (classes.tolist(), certainty.tolist()) == ([4, 250, 4], [255, 254, 127])


def test_bytes_of_no_class_are_zero():
    classes, certainty = prediction_bytes(prediction([NO_CLASS, 7], [[0.9, 0.1], [0.2, 0.8]]), 2)
    assert (classes.tolist(), certainty.tolist()) == ([0, 7], [0, 204])
    assert [part.tolist() for part in prediction_bytes(None, 2)] == [[0, 0], [0, 0]]


def test_bytes_refuse_what_does_not_fit():
    with pytest.raises(InvalidArgumentError, match="Class 256 does not fit a byte"):
        prediction_bytes(prediction([256], [[1]]), 1)
    with pytest.raises(InvalidArgumentError, match="of 1 leaves, the segmentation has 2"):
        prediction_bytes(prediction([1], [[1]]), 2)


def test_mean_probabilities_are_weighted_by_pixels():
    got = prediction([2, 5], [[1, 0], [0.5, 0.5], [0, 1]])
    pixels = np.array([100.0, 300.0, 0.0])
    assert mean_probabilities(got, pixels, 0, 3) == [(2, 0.625), (5, 0.375)]
    assert mean_probabilities(got, pixels, 2, 3) == [(5, 1.0), (2, 0.0)]


def test_mean_probabilities_leave_out_no_class_and_break_ties_by_number():
    got = prediction([NO_CLASS, 2, 5], [[0.5, 0.25, 0.25]])
    assert mean_probabilities(got, np.zeros(1), 0, 1) == [(2, 0.25), (5, 0.25)]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (1, 1), (2, 1), (0, 2)])
def test_mean_probabilities_refuse_what_is_no_range(low, high):
    with pytest.raises(InvalidArgumentError, match=f"leaves {low} to {high} are not a range"):
        mean_probabilities(prediction([2], [[1]]), np.ones(1), low, high)


class Store:
    """One column of blocks, of which only the first is computed."""

    shape = (1024, 512)
    version = 0

    def __init__(self):
        self.neighborhoods = Neighborhoods(self)

    def block_ids(self, level, row, col):
        if row:
            return None
        ids = np.zeros((512, 512), np.uint16)
        ids[:, 256:] = 65535
        return ids


def test_readable_clicks_are_those_where_leaves_are():
    there, seam, nodata, later = Click(5, 5, 1), Click(512, 5, 2), Click(5, 300, 3), Click(900, 5, 4)
    assert readable_clicks(Store(), [later, there, nodata, seam]) == [there, seam]
    assert readable_clicks(Store(), [later]) == []


def test_clicks_against_alone_are_not_readable():
    no = Click(5, 5, 1, against=True)
    assert readable_clicks(Store(), [no, Click(900, 5, 4)]) == []
    assert readable_clicks(Store(), [no, Click(9, 9, 4)]) == [no, Click(9, 9, 4)]


def test_warming_up_fits_the_decoder():
    warm_up()  # raises where the made-up leaves do not suit the decoder


def test_click_outside_the_scene_is_refused():
    with pytest.raises(InvalidArgumentError, match="2000, 5 is outside the scene"):
        readable_clicks(Store(), [Click(2000, 5, 1)])
