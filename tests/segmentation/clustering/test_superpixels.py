"""Superpixels of one block."""

import numpy as np
import pytest
from scipy.ndimage import label

from segmentation.clustering.superpixels import default_superpixel_px, find_superpixels
from segmentation.errors import InvalidArgumentError


def image(height=120, width=130, seed=0):
    return np.random.default_rng(seed).normal(0, 0.05, (3, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [10, 16, 25, 40])
def test_superpixels_have_about_the_wanted_size_and_are_connected(size):
    pixels = image()
    labels, n = find_superpixels(pixels, np.ones((120, 130), bool), size)
    assert labels.min() == 0
    assert labels.max() == n - 1
    counts = np.bincount(labels.ravel(), minlength=n)
    assert (counts > 0).all()
    assert 0.6 * size < counts.mean() < 1.4 * size
    for number in range(0, n, 17):
        assert label(labels == number)[1] == 1


def test_borders_follow_edges():
    pixels = image()
    pixels[:, :, 61:] += 1
    labels, _ = find_superpixels(pixels, np.ones((120, 130), bool), 25)
    assert not set(labels[:, :61].ravel()) & set(labels[:, 61:].ravel())


def test_nodata_has_no_superpixel():
    valid = np.ones((120, 130), bool)
    valid[20:50, 30:90] = False
    valid[100, :] = False
    labels, n = find_superpixels(image(), valid, 20)
    assert ((labels >= 0) == valid).all()
    assert set(labels[valid]) == set(range(n))


def test_all_nodata_and_single_pixel():
    assert find_superpixels(image(4, 4), np.zeros((4, 4), bool), 16)[1] == 0
    labels, n = find_superpixels(image(1, 1), np.ones((1, 1), bool), 40)
    assert (n, labels.tolist()) == (1, [[0]])


def test_same_image_same_superpixels():
    first, _ = find_superpixels(image(), np.ones((120, 130), bool), 16)
    second, _ = find_superpixels(image(), np.ones((120, 130), bool), 16)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [9, 41, 0])
def test_size_outside_its_range_is_refused(size):
    with pytest.raises(InvalidArgumentError, match=f"{size} pixels; choose one from 10 to 40"):
        find_superpixels(image(), np.ones((120, 130), bool), size)


def test_default_size_grows_as_images_get_finer():
    assert default_superpixel_px(30) == default_superpixel_px(10) == 16
    assert default_superpixel_px(0.3) == default_superpixel_px(0.5) == 36
    assert 16 < default_superpixel_px(2) < 36
    assert default_superpixel_px(None) == default_superpixel_px(float("nan")) == 25
