import numpy as np
import pytest

from segmentation.decoding.calibration import calibrate, expected_calibration_error


def test_sharpening_keeps_the_order_and_the_sum():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1, 1], 100).astype(np.float32)
    sharp = calibrate(probabilities, 20)
    np.testing.assert_allclose(sharp.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(sharp.argsort(axis=1), probabilities.argsort(axis=1))
    assert (sharp.max(axis=1) >= probabilities.max(axis=1) - 1e-6).all()
    assert sharp.dtype == np.float32


def test_more_clicks_allow_more_certainty_within_bounds():
    row = np.array([[0.6, 0.4]], np.float32)
    found = [calibrate(row, n)[0, 0] for n in (1, 10, 40, 1000, 100_000)]
    assert found[0] == pytest.approx(0.6)
    assert found[0] < found[1] < found[2] < found[3] == found[4]
    assert found[1] == pytest.approx(0.6**1.2 / (0.6**1.2 + 0.4**1.2))


def test_certain_and_even_rows_stay():
    rows = np.array([[1, 0], [0.5, 0.5]], np.float32)
    np.testing.assert_allclose(calibrate(rows, 20), rows)


def test_error_is_the_weighted_gap_of_each_bin():
    # 0.9 claimed and 0.7 right on three quarters; 0.5 claimed and right on the rest.
    certainty = np.array([0.9, 0.5], np.float32)
    error = expected_calibration_error(certainty, np.array([0.7, 0.5]), np.array([3.0, 1.0]))
    assert error == pytest.approx(0.75 * 0.2)


def test_gaps_in_one_bin_cancel_and_in_two_do_not():
    right, weights = np.array([1.0, 0.0]), np.ones(2)
    assert expected_calibration_error(np.array([0.5, 0.5], np.float32), right, weights) == 0
    assert expected_calibration_error(np.array([0.4, 0.6], np.float32), right, weights) == pytest.approx(0.6)
