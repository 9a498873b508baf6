"""The filter bank: independent of the window, right on images whose features are known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from segmentation.errors import FeatureMismatchError, InvalidArgumentError
from segmentation.features.filters import N_SCALES, FilterBank, outer_window
from segmentation.rasters.windows import Window


def noise(n_channels=3, height=300, width=280, seed=0):
    """Rough and smooth parts, and values as large as scaled bands get."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(n_channels, height, width))
    smooth = gaussian_filter(rng.normal(size=(n_channels, height, width)), (0, 9, 9)) * 30
    return np.clip(smooth + rough * (np.arange(width) > width / 2), -2, 2).astype(np.float32)


def features_of(pixels, valid, window):
    """Features of a window of a scene that ends at the array's border."""
    outer = outer_window(window)
    n_channels, height, width = pixels.shape
    channels = np.zeros((n_channels, outer.height, outer.width), np.float32)
    held = np.zeros((outer.height, outer.width), bool)
    rows = slice(max(outer.row, 0), min(outer.row + outer.height, height))
    cols = slice(max(outer.col, 0), min(outer.col + outer.width, width))
    place = (
        slice(rows.start - outer.row, rows.stop - outer.row),
        slice(cols.start - outer.col, cols.stop - outer.col),
    )
    channels[:, *place] = pixels[:, rows, cols]
    held[place] = valid[rows, cols]
    bank = FilterBank(n_channels)
    top, left = window.row - outer.row, window.col - outer.col
    return bank(
        torch.from_numpy(channels), torch.from_numpy(held), top, left, window.height, window.width
    ).numpy()


@pytest.mark.parametrize("holes", [False, True])
def test_features_do_not_depend_on_the_window(holes):
    pixels = noise()
    valid = np.ones(pixels.shape[1:], bool)
    if holes:
        valid[40:90, 60:75] = False
        valid[::17, ::13] = False
    _, height, width = pixels.shape
    whole = features_of(pixels, valid, Window(0, 0, height, width))
    # origins that are no multiples of the coarsest scale, sizes that are no multiples of anything
    for row in range(0, height, 77):
        for col in range(0, width, 101):
            window = Window(row, col, min(77, height - row), min(101, width - col))
            part = features_of(pixels, valid, window)
            held = valid[row : row + window.height, col : col + window.width]
            expected = whole[:, row : row + window.height, col : col + window.width]
            np.testing.assert_allclose(part[:, held], expected[:, held], atol=1e-5, rtol=0)


def test_interior_is_the_same_with_and_without_the_mask_arithmetic():
    pixels = noise(height=512, width=512)
    valid = np.ones((512, 512), bool)
    inner = Window(200, 208, 64, 64)
    plain = features_of(pixels, valid, inner)
    valid[outer_window(inner).row, outer_window(inner).col] = (
        False  # forces the other path, too far to matter
    )
    np.testing.assert_allclose(features_of(pixels, valid, inner), plain, atol=1e-5, rtol=0)


def test_what_lies_under_nodata_does_not_matter():
    pixels = noise()
    valid = np.ones(pixels.shape[1:], bool)
    valid[100:140, 100:140] = False
    window = Window(80, 80, 100, 100)
    before = features_of(pixels, valid, window)
    pixels[:, ~valid] = np.nan
    after = features_of(pixels, valid, window)
    held = valid[80:180, 80:180]
    np.testing.assert_array_equal(before[:, held], after[:, held])
    assert np.isfinite(after).all()


def test_a_flat_image_has_its_value_as_mean_and_no_texture():
    pixels = np.full((2, 200, 200), 0.5, np.float32)
    found = features_of(pixels, np.ones((200, 200), bool), Window(50, 50, 60, 60)).reshape(
        N_SCALES, 4, 60, 60
    )
    np.testing.assert_allclose(found[:, :2], 0.5, atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], np.sqrt(1e-5), atol=1e-6)  # the floor


def test_first_mean_is_a_gaussian_of_one_pixel():
    pixels = noise(1)
    found = features_of(pixels, np.ones(pixels.shape[1:], bool), Window(100, 100, 50, 50))[0]
    expected = gaussian_filter(pixels[0].astype(float), 1, truncate=3)[100:150, 100:150]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradient_of_a_ramp_is_its_slope_at_every_scale():
    ramp = np.broadcast_to(np.arange(400, dtype=np.float32) * 0.004, (1, 400, 400)).copy()
    found = features_of(ramp, np.ones((400, 400), bool), Window(180, 180, 40, 40)).reshape(
        N_SCALES, 3, 40, 40
    )
    for scale in range(N_SCALES):  # in reduced pixels the slope doubles
        np.testing.assert_allclose(found[scale, 2], np.hypot(0.004 * 2**scale, np.sqrt(1e-5)), rtol=1e-3)


def test_names_match_the_features():
    assert len(FilterBank(3).names) == FilterBank(3).n_features == 25


def test_wrong_channels_and_sizes_are_refused():
    with pytest.raises(FeatureMismatchError, match="3 channels, the window has 2"):
        FilterBank(3)(torch.zeros(2, 160, 160), torch.ones(160, 160, dtype=torch.bool), 0, 0, 8, 8)
    with pytest.raises(InvalidArgumentError, match="multiples of 16"):
        FilterBank(2)(torch.zeros(2, 161, 160), torch.ones(161, 160, dtype=torch.bool), 0, 0, 8, 8)
