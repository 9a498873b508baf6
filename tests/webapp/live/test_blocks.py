"""Leaf blocks as binary frames."""

import gzip

import numpy as np
import pytest

from segmentation.errors import StoreError
from segmentation.store import open_segmentation
from tests.webapp import scenario
from webapp.live import blocks
from webapp.live.blocks import BlockKey

HEIGHT, WIDTH = 700, 1100  # 2 x 3 blocks, then 1 x 2, then 1


def noise(n_leaves=50):
    return np.random.default_rng(5).integers(0, n_leaves, (HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture
def store(tmp_path):
    scenario.write_store(tmp_path / "1.zarr", noise(), 50)
    return open_segmentation(tmp_path / "1.zarr")


def test_whole_frame_is_the_stored_block_with_its_header(store):
    frame = scenario.parse_frame(blocks.whole_frame(7, store, BlockKey(0, 1, 2)))
    assert frame["magic"] == b"CNLB"
    assert frame["format"] == 1
    assert (frame["level"], frame["segmentation"], frame["version"], frame["block"]) == (0, 7, 0, (1, 2))
    assert frame["used"] == (HEIGHT - 512, WIDTH - 1024)
    assert frame["at"] == (0, 0)
    assert frame["ids"].shape == (512, 512)
    assert (frame["ids"][:188, :76] == noise()[512:, 1024:]).all()
    assert (frame["ids"][188:] == 65535).all()
    assert (frame["ids"][:, 76:] == 65535).all()


def test_payload_is_sent_as_it_is_stored(store):
    frame = blocks.whole_frame(7, store, BlockKey(0, 0, 0))
    assert frame.endswith(store.block(0, 0, 0))


def test_mesh_spans_the_used_part_in_pixels_without_crs(store):
    mesh = scenario.parse_frame(blocks.whole_frame(7, store, BlockKey(0, 1, 2)))["mesh"]
    assert mesh[0, 0].tolist() == [1024, 512]
    assert mesh[0, -1].tolist() == [WIDTH, 512]
    assert mesh[-1, 0].tolist() == [1024, HEIGHT]
    assert mesh[-1, -1].tolist() == [WIDTH, HEIGHT]


def test_block_that_is_not_computed_has_no_frame(tmp_path):
    scenario.write_store(tmp_path / "1.zarr", noise(), 50, leave_out=frozenset({(0, 0, 1)}))
    store = open_segmentation(tmp_path / "1.zarr")
    assert blocks.whole_frame(1, store, BlockKey(0, 0, 1)) is None
    assert blocks.whole_frame(1, store, BlockKey(0, 0, 0)) is not None
    assert blocks.whole_frame(1, store, BlockKey(1, 0, 0)) is None


@pytest.mark.parametrize(
    ("key", "exists"),
    [
        ((0, 1, 2), True),
        ((0, 2, 0), False),
        ((0, 0, 3), False),
        ((2, 0, 0), True),
        ((2, 0, 1), False),
        ((3, 0, 0), False),
    ],
)
def test_block_exists(store, key, exists):
    assert blocks.block_exists(store, BlockKey(*key)) == exists


def test_children_are_the_blocks_of_level_0_below(store):
    assert blocks.children(store, BlockKey(1, 0, 1)) == [(0, 2), (1, 2)]
    assert blocks.children(store, BlockKey(2, 0, 0)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_runs_join_neighbors_of_a_row():
    assert list(blocks.runs([(1, 4), (0, 1), (0, 0), (1, 2), (0, 3)])) == [
        [(0, 0), (0, 1)],
        [(0, 3)],
        [(1, 2)],
        [(1, 4)],
    ]
    assert list(blocks.runs([])) == []


@pytest.mark.parametrize("level", [1, 2])
def test_patches_of_all_blocks_make_up_the_overview(store, level):
    rows, cols = blocks.blocks_across(store, level)
    for row in range(rows):
        for col in range(cols):
            key = BlockKey(level, row, col)
            whole = scenario.parse_frame(blocks.whole_frame(1, store, key))["ids"]
            pieced = np.full((512, 512), 65535, np.uint16)
            for run in blocks.runs(blocks.children(store, key)):
                data, done = blocks.patch_frame(1, store, key, run)
                assert done == run
                frame = scenario.parse_frame(data)
                assert frame["block"] == (row, col)
                assert frame["used"] == store.used_size(*key)
                assert frame["ids"].shape != (512, 512)  # else it would pass for the whole block
                (top, left), (height, width) = frame["at"], frame["ids"].shape
                pieced[top : top + height, left : left + width] = frame["ids"]
            assert (pieced == whole).all()


def test_patch_ends_before_a_block_that_is_not_computed(tmp_path):
    scenario.write_store(tmp_path / "1.zarr", noise(), 50, leave_out=frozenset({(0, 0, 1)}))
    store = open_segmentation(tmp_path / "1.zarr")
    run = [(0, 0), (0, 1), (0, 2)]
    data, done = blocks.patch_frame(1, store, BlockKey(2, 0, 0), run)
    assert done == [(0, 0)]
    assert scenario.parse_frame(data)["ids"].shape == (128, 128)
    assert blocks.patch_frame(1, store, BlockKey(2, 0, 0), run[1:]) == (None, [])


def test_open_store_keeps_the_store_open_and_sees_it_grow(data_dir):
    path = data_dir / "segmentations" / "5.zarr"
    with pytest.raises(StoreError, match="no segmentation"):
        blocks.open_store(5)
    writer = scenario.write_store(path, noise(), 50, leave_out=frozenset({(0, 0, 0)}))
    store = blocks.open_store(5)
    assert blocks.open_store(5) is store
    assert not store.complete
    scenario.write_block(writer, noise(), 0, 0)
    frame = blocks.whole_frame(5, store, BlockKey(0, 0, 0))
    assert (scenario.parse_frame(frame)["ids"] == noise()[:512, :512]).all()
    writer.finish()
    assert store.complete


def test_stored_block_is_one_gzip_member(store):
    raw = gzip.decompress(store.block(0, 0, 0))
    assert len(raw) == 512 * 512 * 2
