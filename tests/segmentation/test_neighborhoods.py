"""Leaves around pixels."""

import numpy as np
import pytest

from segmentation.errors import InvalidArgumentError
from segmentation.neighborhoods import Neighborhoods
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK

HEIGHT, WIDTH = 700, 1100
IDS = np.random.default_rng(5).integers(0, 60_000, (HEIGHT, WIDTH)).astype(np.uint16)
CORNERS = [(0, 0), (0, WIDTH - 1), (HEIGHT - 1, 0), (HEIGHT - 1, WIDTH - 1)]
SEAMS = [(BLOCK - 1, BLOCK - 1), (BLOCK, BLOCK), (BLOCK, 2 * BLOCK - 1), (300, BLOCK), (BLOCK - 1, 7)]


class Store:
    """Blocks of an array; those in ``missing`` are not computed yet."""

    shape = (HEIGHT, WIDTH)
    version = 0

    def __init__(self, missing=()):
        self.missing = set(missing)
        self.n_read = 0

    def block_ids(self, level, row, col):
        assert level == 0
        self.n_read += 1
        if (row, col) in self.missing:
            return None
        return IDS[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]


def expected(row, col):
    return IDS[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2].ravel()


def test_around_agrees_with_the_raster_at_corners_seams_and_inside():
    rng = np.random.default_rng(1)
    inside = [
        (int(row), int(col))
        for row, col in zip(rng.integers(0, HEIGHT, 50), rng.integers(0, WIDTH, 50), strict=True)
    ]
    pixels = [*CORNERS, *SEAMS, *inside, CORNERS[0]]
    for pixel, leaves in zip(pixels, Neighborhoods(Store()).around(pixels), strict=True):
        np.testing.assert_array_equal(leaves, expected(*pixel))


def test_at_is_the_leaf_of_the_pixel_itself():
    pixels = [*CORNERS, *SEAMS, (0, 5), (5, 0), (HEIGHT - 1, 5), (5, WIDTH - 1)]
    assert Neighborhoods(Store()).at(pixels) == [IDS[pixel] for pixel in pixels]


def test_known_pixels_are_not_read_again_and_blocks_only_once_a_call():
    store = Store()
    look_up = Neighborhoods(store)
    look_up.around([(10, 10), (600, 10), (20, 20), (610, 10)])
    assert store.n_read == 2
    look_up.around([(10, 10), (600, 10)])
    assert store.n_read == 2


def test_blocks_that_are_not_computed_are_nodata_until_they_are():
    store = Store(missing=[(1, 1)])
    look_up = Neighborhoods(store)
    (leaves,) = look_up.around([(BLOCK - 1, BLOCK - 1)])
    assert leaves.tolist() == [*expected(BLOCK - 1, BLOCK - 1)[:8], NODATA_LEAF]
    assert look_up.at([(600, 600)]) == [NODATA_LEAF]
    store.missing.clear()
    np.testing.assert_array_equal(look_up.around([(BLOCK - 1, BLOCK - 1)])[0], expected(BLOCK - 1, BLOCK - 1))
    assert look_up.at([(600, 600)]) == [IDS[600, 600]]


def test_new_version_is_read_anew():
    store = Store()
    look_up = Neighborhoods(store)
    look_up.around([(10, 10)])
    store.version = 1
    look_up.around([(10, 10)])
    assert store.n_read == 2


@pytest.mark.parametrize("pixel", [(-1, 0), (0, -1), (HEIGHT, 0), (0, WIDTH)])
def test_pixel_outside_the_scene_is_refused(pixel):
    with pytest.raises(
        InvalidArgumentError, match=f"{pixel[0]}, {pixel[1]} is outside the scene of 700 rows"
    ):
        Neighborhoods(Store()).around([pixel])
