import numpy as np
import pytest

from segmentation.rasters import statistics
from segmentation.rasters.statistics import BandStatistics


def test_small_scenes_are_measured_in_full():
    random = np.random.default_rng(1)
    pixels = random.normal(100, 20, (3, 90, 80)).astype(np.float32)
    valid = random.random((90, 80)) < 0.6
    whole = BandStatistics(3, valid.size)
    for rows in (slice(0, 30), slice(30, 31), slice(31, 90)):
        whole.add(pixels[:, rows], valid[rows])
    chosen = pixels[:, valid].astype(np.float64)
    assert whole.n_valid == valid.sum()
    assert whole.valid_share == pytest.approx(valid.mean())
    np.testing.assert_allclose(whole.means(), chosen.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(whole.percentiles(), np.percentile(chosen, (2, 98), axis=1).T, rtol=1e-5)


def test_large_scenes_are_sampled_within_bounds(monkeypatch):
    monkeypatch.setattr(statistics, "_MIN_PIXELS", 2000)
    monkeypatch.setattr(statistics, "_SAMPLE_VALUES", 4000)
    random = np.random.default_rng(2)
    sampled = BandStatistics(2, 400 * 400)
    everything = random.normal(0, 1, (2, 400, 400)).astype(np.float32)
    for row in range(0, 400, 50):
        sampled.add(everything[:, row : row + 50], np.ones((50, 400), bool))
    assert 1900 < sum(part.shape[1] for part in sampled._samples) < 2100
    np.testing.assert_allclose(sampled.percentiles(), [[-2.054, 2.054]] * 2, atol=0.3)
    np.testing.assert_allclose(sampled.means(), everything.mean(axis=(1, 2)), atol=1e-6)


def test_constant_bands_get_a_range_that_can_be_stretched_by():
    constant = BandStatistics(2, 16)
    constant.add(np.stack([np.zeros((4, 4)), np.full((4, 4), 3e9)]).astype(np.float32), np.ones((4, 4), bool))
    (zero_low, zero_high), (low, high) = constant.percentiles()
    assert (zero_low, zero_high) == (0, 1)
    assert low == 3e9 < high


def test_nothing_valid_is_counted_as_nothing():
    empty = BandStatistics(1, 16)
    empty.add(np.ones((1, 4, 4), np.float32), np.zeros((4, 4), bool))
    assert empty.n_valid == 0
    assert empty.percentiles() == [[0, 1]]
    assert empty.means() == [0]
