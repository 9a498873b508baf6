import numpy as np
import pytest
from scipy.spatial.distance import cdist

from segmentation.decoding.kernel import (
    _FLOOR,
    _NOISE,
    _REACH,
    MAX_CENTERS,
    feature_scale,
    fit_kernel,
    spread_centers,
)


def test_scale_is_the_total_variance():
    means = np.array([[0, 10], [2, 10], [4, 10]], np.float32)
    assert feature_scale(means) == pytest.approx(8 / 3)
    assert feature_scale(np.ones((5, 2), np.float32)) > 0


def test_kernel_regression_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    centers, points = (rng.normal(size=(n, 5)).astype(np.float32) for n in (20, 50))
    targets = rng.uniform(0.1, 1, (20, 3)).astype(np.float32)
    got = fit_kernel(centers, targets, 5.0)(points)

    def kernel(one, other):
        return np.exp(-cdist(one, other) / np.sqrt(_REACH * 5.0))

    weight = targets.sum(axis=1)
    mean = targets / weight[:, None] - 1 / 3
    alpha = np.linalg.inv(kernel(centers, centers) + np.diag(_NOISE / weight)) @ mean
    expected = np.maximum(kernel(points, centers) @ alpha + 1 / 3, _FLOOR)
    np.testing.assert_allclose(got, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert got.dtype == np.float32


def test_far_from_all_examples_classes_are_even():
    targets = np.array([[1, 0], [0, 1]], np.float32)
    predict = fit_kernel(np.array([[0.0], [1.0]], np.float32), targets, 1.0)
    assert predict(np.array([[1000.0]], np.float32))[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)
    near = predict(np.array([[-0.2], [1.2]], np.float32))
    assert near[0, 0] > 0.6
    assert near[1, 1] > 0.6


def test_few_examples_are_all_centers():
    assert spread_centers(np.ones((7, 2), np.float32)).tolist() == list(range(7))


def test_centers_are_shared_among_classes_and_spread():
    targets = np.zeros((5000, 2), np.float32)
    targets[:4990, 0] = 1
    targets[4990:, 1] = 1
    chosen = spread_centers(targets)
    assert len(chosen) == MAX_CENTERS // 2 + 10  # all ten of the rare class
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] == 0
    assert 4989 in chosen
