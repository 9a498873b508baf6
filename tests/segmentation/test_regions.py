"""Connected regions over blocks against labels of the whole scene at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segmentation import regions
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.rasters.windows import BLOCK
from segmentation.regions import region_blocks
from segmentation.split_store import SplitSegmentation
from tests.webapp.scenario import write_store


def store_of(tmp_path, ids, **options):
    write_store(tmp_path / "store.zarr", ids.astype(np.uint16), 4, **options)
    return SplitSegmentation(tmp_path / "store.zarr")


def region(store, leaves, row, col):
    chosen = np.zeros(max(leaves) + 1, bool)
    chosen[list(leaves)] = True
    rows, cols = (-(-size // BLOCK) for size in store.shape)
    mask = np.zeros((rows * BLOCK, cols * BLOCK), bool)
    for (r, c), block in region_blocks(store, chosen, row, col):
        mask[r * BLOCK : (r + 1) * BLOCK, c * BLOCK : (c + 1) * BLOCK] = block
    return mask[: store.shape[0], : store.shape[1]]


def expected(ids, leaves, row, col):
    labels = ndimage.label(np.isin(ids, list(leaves)))[0]
    return labels == labels[row, col]


@pytest.mark.parametrize("seed", range(3))
def test_regions_over_blocks_are_those_of_the_whole_scene(tmp_path, seed):
    random = np.random.default_rng(seed)
    coarse = ndimage.zoom(random.integers(0, 4, (45, 70)), 16, order=0)[:700, :1100]
    ids = np.where(random.random(coarse.shape) < 0.05, random.integers(0, 4, coarse.shape), coarse)
    store = store_of(tmp_path, ids)
    for row, col in random.integers(0, (700, 1100), (4, 2)).tolist():
        leaves = {int(ids[row, col]), 3}
        assert (region(store, leaves, row, col) == expected(ids, leaves, row, col)).all()


def test_a_snake_that_enters_a_block_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "_KEPT", 1)  # pieces are found anew, and are the same
    ids = np.zeros((600, 1100), np.uint16)
    ids[::4] = 1  # rungs through all three blocks of a row, joined left and right in turn
    for index, row in enumerate(range(0, 596, 4)):
        ids[row : row + 4, 1099 if index % 2 else 0] = 1
    store = store_of(tmp_path, ids)
    found = region(store, {1}, 596, 550)
    assert (found == (ids == 1)).all()


def test_corners_do_not_connect(tmp_path):
    ids = np.zeros((600, 600), np.uint16)
    ids[500:512, 500:512] = 1
    ids[512:520, 512:520] = 1  # touches the other at the corner of four blocks
    store = store_of(tmp_path, ids)
    assert region(store, {1}, 505, 505).sum() == 144
    assert region(store, {1}, 515, 515).sum() == 64


def test_a_pixel_of_another_cluster_is_refused(tmp_path):
    store = store_of(tmp_path, np.zeros((600, 600)))
    with pytest.raises(InvalidArgumentError, match="Pixel 5, 5 is not of the cluster"):
        region(store, {2}, 5, 5)
    with pytest.raises(InvalidArgumentError, match="outside the scene of 600 rows"):
        region(store, {0}, 600, 5)


def test_a_region_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "MAX_BLOCKS", 3)
    store = store_of(tmp_path, np.zeros((600, 600)))
    with pytest.raises(InvalidArgumentError, match="more than 3 blocks of 512 x 512 pixels"):
        region(store, {0}, 5, 5)


def test_a_missing_block_is_told(tmp_path):
    store = store_of(tmp_path, np.zeros((600, 600)), leave_out=frozenset({(0, 1, 1)}))
    with pytest.raises(StoreError, match="Block 1, 1 of the segmentation is missing"):
        region(store, {0}, 5, 5)
