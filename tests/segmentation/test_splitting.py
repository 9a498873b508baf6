"""Splitting leaves: library."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest

from segmentation import NODATA_LEAF, Click, open_segmentation, segment, transfer_classes
from segmentation.errors import CancelledError, InvalidArgumentError, StoreError
from segmentation.leaf_blocks import LeafBlocks
from segmentation.split_store import FIRST_CHILD, Split, SplitSegmentation
from segmentation.splitting import assign_units, split_leaf
from segmentation.testing import synthetic_scene, write_scene
from segmentation.vectors import class_source

C = FIRST_CHILD


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Few leaves over several blocks, so that a leaf holds much, in more than one block."""
    folder = tmp_path_factory.mktemp("split")
    pixels, _ = synthetic_scene(700, 1100, seed=3)
    pixels[:, :40, :60] = 0
    image = write_scene(folder / "scene.tif", pixels, nodata=0)
    segment(image, folder / "store.zarr", mode="fast", n_leaves=40, threads=2)
    return image, folder / "store.zarr"


@pytest.fixture(scope="module")
def store(scene):
    return open_segmentation(scene[1])


def largest(store) -> int:
    """The leaf with most pixels."""
    return int(store.statistics().pixels.argmax())


def ids_of(view) -> np.ndarray:
    out = np.full(view.shape, NODATA_LEAF, np.uint16)
    for row in range(-(-view.shape[0] // 512)):
        for col in range(-(-view.shape[1] // 512)):
            part = view.block_of_ids(0, row, col)
            out[row * 512 : row * 512 + part.shape[0], col * 512 : col * 512 + part.shape[1]] = part
    return out


@pytest.fixture(scope="module")
def halves(scene, store, tmp_path_factory):
    """The largest leaf cut in two, freely."""
    leaf = largest(store)
    folder = tmp_path_factory.mktemp("halves") / "one"
    shares: list[float] = []
    result = split_leaf(
        SplitSegmentation(scene[1]), leaf, folder, first=C, n=2, threads=2, progress=shares.append
    )
    return leaf, folder, result, shares


def test_children_take_the_leafs_pixels_and_no_others(scene, store, halves):
    leaf, folder, result, shares = halves
    before = np.asarray(store.leaves[:])
    after = ids_of(SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)]))
    np.testing.assert_array_equal(after[before != leaf], before[before != leaf])
    assert set(np.unique(after[before == leaf])) == {C, C + 1}
    assert result.pixels == tuple(int((after == child).sum()) for child in (C, C + 1))
    assert result.pixels[0] >= result.pixels[1] > 0
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_only_touched_blocks_are_written_and_the_store_is_not(scene, store, halves):
    leaf, folder, result, _ = halves
    before = np.asarray(store.leaves[:])
    touched = {(0, *np.array(place) // 512) for place in np.argwhere(before == leaf)[::50].tolist()}
    written = {
        (int(file.parts[-4]), int(file.parts[-2]), int(file.parts[-1]))
        for file in (folder / "leaves").rglob("c/*/*")
    }
    assert touched <= written
    assert len(written) == result.n_blocks
    assert not (before == C).any()
    np.testing.assert_array_equal(np.asarray(open_segmentation(scene[1]).leaves[:]), before)


def test_overviews_are_the_reduced_copies_of_the_new_blocks(scene, halves):
    leaf, folder, *_ = halves
    view = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)])
    full = ids_of(view)
    from segmentation.pyramid import reduce_once

    np.testing.assert_array_equal(view.block_of_ids(1, 0, 0), reduce_once(full, 0)[:512, :512])
    assert {C, C + 1} & set(np.unique(view.block_of_ids(1, 0, 0)))
    member = view.block(0, 0, 0)
    np.testing.assert_array_equal(
        np.frombuffer(gzip.decompress(member), "<u2").reshape(512, 512), full[:512, :512]
    )


def test_view_numbers_children_in_the_place_of_their_parent(scene, store, halves):
    leaf, folder, *_ = halves
    view = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)], version=7)
    assert (view.version, view.n_leaves, view.n_stored) == (7, store.n_leaves + 1, store.n_leaves)
    expected = [*range(leaf), C, C + 1, *range(leaf + 1, store.n_leaves)]
    assert view.leaf_ids.tolist() == expected
    assert view.range_of(leaf, leaf + 1) == (leaf, leaf + 2)
    assert view.range_of(0, store.n_leaves) == (0, view.n_leaves)
    assert view.range_of(C + 1, C + 2) == (leaf + 1, leaf + 2)
    np.testing.assert_array_equal(
        view.leaf_ids[np.minimum(view.leaves[100:400, 300:700], view.n_leaves - 1)],
        np.where(ids_of(view)[100:400, 300:700] == NODATA_LEAF, expected[-1], ids_of(view)[100:400, 300:700]),
    )
    assert view.leaf_at(5, 5) == NODATA_LEAF
    values = np.arange(view.n_leaves, dtype=np.uint8)
    spread = view.by_id(values, C + 2)
    assert (spread[C], spread[C + 1], spread[leaf], spread[leaf + 1]) == (leaf, leaf + 1, 0, leaf + 2)
    assert view.by_id(values, C + 2, shared=True)[leaf] == leaf
    np.testing.assert_array_equal(view.from_ids(spread), values)
    with pytest.raises(InvalidArgumentError, match="not a range"):
        view.range_of(C + 1, C + 3)


def test_tree_of_a_view_is_a_merge_tree(scene, store, halves):
    leaf, folder, *_ = halves
    tree = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)]).tree
    n = store.n_leaves + 1
    assert tree.n_leaves == n
    parent = tree.parent.astype(int)
    assert (parent[:-1] > np.arange(2 * n - 2)).all()
    assert parent[-1] == 2 * n - 2
    for node in range(n, 2 * n - 1):
        children = np.flatnonzero(parent[:-1] == node)
        assert len(children) == 2
        assert sorted((int(tree.low[c]), int(tree.high[c])) for c in children)[0][0] == tree.low[node]
        assert sum(int(tree.high[c] - tree.low[c]) for c in children) == tree.high[node] - tree.low[node]
    assert parent[leaf] == parent[leaf + 1] == n
    assert (np.diff(tree.height[n:]) >= 0).all()
    # The clusters at every cut but the finest are those of the stored tree.
    for cut in (1, 5, store.n_leaves):
        stored = store.tree.clusters_at(cut)
        mine = tree.clusters_at(cut)
        assert mine[leaf] == mine[leaf + 1]
        same = np.delete(mine, leaf)
        assert [(a == b) for a, b in itertools.pairwise(same)] == [
            (a == b) for a, b in itertools.pairwise(stored)
        ]


def test_statistics_means_and_spectra_of_children(scene, store, halves):
    leaf, folder, result, _ = halves
    view = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)])
    whole, parts = store.statistics(), view.statistics()
    assert tuple(parts.pixels[leaf : leaf + 2]) == result.pixels
    assert parts.pixels.sum() == whole.pixels.sum()
    assert parts.area_m2[leaf : leaf + 2].sum() == pytest.approx(whole.area_m2[leaf], rel=1e-9)
    np.testing.assert_array_equal(np.delete(parts.pixels, [leaf, leaf + 1]), np.delete(whole.pixels, leaf))
    mean, pixels = view.spectrum(leaf, leaf + 2)
    expected, n = store.spectrum(leaf, leaf + 1)
    assert pixels == n
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert view.means.shape == (view.n_leaves, store.means.shape[1])
    assert np.linalg.norm(view.means[leaf] - view.means[leaf + 1]) > 0.1
    # The means are of the very features that the leaf was made of.
    weighted = np.average(view.means[leaf : leaf + 2], axis=0, weights=result.pixels)
    assert np.linalg.norm(weighted - store.means[leaf]) < np.linalg.norm(
        view.means[leaf] - view.means[leaf + 1]
    )
    area = {
        "type": "Polygon",
        "coordinates": [[[13.36, 52.5], [13.5, 52.5], [13.5, 52.6], [13.36, 52.6], [13.36, 52.5]]],
    }
    assert view.statistics(area).pixels.sum() == store.statistics(area).pixels.sum()


def test_a_split_that_is_taken_back_needs_no_rewriting(scene, store, halves):
    leaf, folder, *_ = halves
    view = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2, live=False)])
    assert view.n_leaves == store.n_leaves
    np.testing.assert_array_equal(view.leaves[:], store.leaves[:])
    np.testing.assert_array_equal(view.statistics().pixels, store.statistics().pixels)
    np.testing.assert_array_equal(view.tree.parent, store.tree.parent)
    np.testing.assert_array_equal(view.means, store.means)
    assert C in ids_of(view)
    assert view.rows[C] == leaf


def test_views_beside_each_other_do_not_change_each_other(scene, store, halves, tmp_path):
    leaf, folder, *_ = halves
    one = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)])
    other = SplitSegmentation(scene[1])
    split_leaf(other, leaf, tmp_path / "other", first=C, n=3, threads=1)
    before = ids_of(one)
    three = SplitSegmentation(scene[1], [Split(tmp_path / "other", leaf, C, 3)])
    assert set(np.unique(ids_of(three))) >= {C, C + 1, C + 2}
    np.testing.assert_array_equal(ids_of(one), before)
    np.testing.assert_array_equal(ids_of(other), np.asarray(store.leaves[:]))


def test_children_can_be_split_again(scene, store, halves, tmp_path):
    leaf, folder, result, _ = halves
    first = Split(folder, leaf, C, 2)
    again = split_leaf(SplitSegmentation(scene[1], [first]), C, tmp_path / "again", first=C + 2, n=2)
    second = Split(tmp_path / "again", C, C + 2, 2)
    view = SplitSegmentation(scene[1], [first, second])
    assert sum(again.pixels) == result.pixels[0]
    assert view.leaf_ids[leaf : leaf + 3].tolist() == [C + 2, C + 3, C + 1]
    assert view.range_of(C, C + 1) == (leaf, leaf + 2)
    assert tuple(view.statistics().pixels[leaf : leaf + 3]) == (*again.pixels, result.pixels[1])
    # Without the first split, the second is nothing either.
    undone = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2, live=False), second])
    np.testing.assert_array_equal(undone.leaves[:], store.leaves[:])


def test_a_new_split_takes_the_pixels_of_one_that_was_taken_back(scene, store, halves, tmp_path):
    leaf, folder, *_ = halves
    dead = Split(folder, leaf, C, 2, live=False)
    result = split_leaf(SplitSegmentation(scene[1], [dead]), leaf, tmp_path / "new", first=C + 2, n=3)
    view = SplitSegmentation(scene[1], [dead, Split(tmp_path / "new", leaf, C + 2, result.n)])
    ids = ids_of(view)
    assert not np.isin(ids, [leaf, C, C + 1]).any()
    assert int(np.isin(ids, range(C + 2, C + 5)).sum()) == store.statistics().pixels[leaf]


def two_pixels(store, leaf: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two pixels of a leaf that look as different as any, inside it with their neighbors."""
    held = np.asarray(store.leaves[:]) == leaf
    inner = held.copy()
    for shift in (-1, 1):
        inner &= np.roll(held, shift, 0) & np.roll(held, shift, 1)
    places = np.argwhere(inner[1:-1, 1:-1]) + 1
    return tuple(places[0].tolist()), tuple(places[-1].tolist())


def test_groups_of_clicks_begin_the_children_and_stay_in_them(scene, store, tmp_path):
    leaf = largest(store)
    one, other = two_pixels(store, leaf)
    result = split_leaf(
        SplitSegmentation(scene[1]), leaf, tmp_path / "a", first=C, groups=[[one], [other]], seed=1
    )
    assert not result.by_pixel
    view = SplitSegmentation(scene[1], [Split(tmp_path / "a", leaf, C, 2)])
    ids = ids_of(view)
    assert (ids[one], ids[other]) == (C, C + 1)
    split_leaf(SplitSegmentation(scene[1]), leaf, tmp_path / "b", first=C, groups=[[one], [other]], seed=1)
    again = SplitSegmentation(scene[1], [Split(tmp_path / "b", leaf, C, 2)])
    np.testing.assert_array_equal(ids_of(again), ids)
    np.testing.assert_array_equal(again.means, view.means)
    swapped = split_leaf(
        SplitSegmentation(scene[1]), leaf, tmp_path / "c", first=C, groups=[[other], [one]], seed=1
    )
    assert swapped.pixels == result.pixels[::-1]


def test_clicks_in_one_superpixel_are_parted_pixel_by_pixel(scene, store, tmp_path):
    leaf = largest(store)
    (row, col), _ = two_pixels(store, leaf)
    around = [(row + down, col + right) for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    for tried, beside in enumerate(pixel for pixel in around if store.leaf_at(*pixel) == leaf):
        folder = tmp_path / f"p{tried}"
        groups = [[(row, col)], [beside]]
        result = split_leaf(SplitSegmentation(scene[1]), leaf, folder, first=C, groups=groups)
        if result.by_pixel:  # else a border of superpixels runs between the two
            break
    assert result.by_pixel
    ids = ids_of(SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)]))
    assert (ids[row, col], ids[beside]) == (C, C + 1)


def test_decoder_learns_from_children(scene, store, tmp_path):
    leaf = largest(store)
    one, other = two_pixels(store, leaf)
    split_leaf(SplitSegmentation(scene[1]), leaf, tmp_path / "d", first=C, groups=[[one], [other]])
    view = SplitSegmentation(scene[1], [Split(tmp_path / "d", leaf, C, 2)])
    prediction = view.classify([Click(*one, 1), Click(*other, 2)])
    assert len(prediction.classes) == view.n_leaves
    assert (prediction.classes[leaf], prediction.classes[leaf + 1]) == (1, 2)


def test_export_and_transfer_read_through_a_view(scene, store, halves, tmp_path):
    leaf, folder, *_ = halves
    view = SplitSegmentation(scene[1], [Split(folder, leaf, C, 2)])
    table = np.zeros(view.n_leaves, np.uint8)
    table[leaf + 1] = 5
    classes = class_source(view, table).read(0, 0, *view.shape)
    np.testing.assert_array_equal(classes == 5, ids_of(view) == C + 1)
    other = segment(scene[0], tmp_path / "fine.zarr", mode="fast", n_leaves=400)
    carried = transfer_classes(view, table, other)
    again = np.asarray(np.append(carried, 0)[np.minimum(other.leaves[:], other.n_leaves)])
    assert 0.5 < (again == 5).sum() / (classes == 5).sum() < 1.5


def test_blocks_of_a_leaf_are_found_and_kept(scene, store):
    blocks = LeafBlocks.of_store(scene[1])
    leaves = np.asarray(store.leaves[:])
    for leaf in (0, largest(store), store.n_leaves - 1):
        expected = sorted({(r // 512, c // 512) for r, c in np.argwhere(leaves == leaf).tolist()})
        assert blocks.of(leaf) == expected
    told: list[tuple[int, int]] = []
    kept = LeafBlocks.of_store(scene[1], lambda done, total: told.append((done, total)))
    assert told == []
    assert kept.of(0) == blocks.of(0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"leaf": 9_999}, "There is no leaf 9999"),
        ({"n": 1}, "cannot be split into 1; choose 2 to 8"),
        ({"n": 9}, "cannot be split into 9; choose 2 to 8"),
        ({"first": 65_534}, "are spent in this project"),
        ({"first": 3}, "are spent in this project"),
        ({"groups": [[(100, 100)], []]}, "group without pixels|is not in leaf"),
        ({"groups": [[(5, 5)], [(9, 9)]]}, "is not in leaf|outside"),
        ({"groups": [[(5000, 5)], [(9, 9)]]}, "outside the scene"),
    ],
)
def test_wrong_arguments_are_told_and_leave_nothing(scene, store, tmp_path, changes, sentence):
    arguments = {"leaf": largest(store), "first": C, "n": 2, **changes}
    with pytest.raises(InvalidArgumentError, match=sentence):
        split_leaf(SplitSegmentation(scene[1]), arguments.pop("leaf"), tmp_path / "no", **arguments)
    assert not (tmp_path / "no").exists()


def test_one_pixel_of_two_classes_is_refused(scene, store, tmp_path):
    leaf = largest(store)
    one, _ = two_pixels(store, leaf)
    with pytest.raises(InvalidArgumentError, match="One pixel cannot be of two classes"):
        split_leaf(SplitSegmentation(scene[1]), leaf, tmp_path / "no", first=C, groups=[[one], [one]])


def test_cancelled_split_leaves_nothing(scene, store, tmp_path):
    with pytest.raises(CancelledError):
        split_leaf(
            SplitSegmentation(scene[1]), largest(store), tmp_path / "no", first=C, cancelled=lambda: True
        )
    assert not (tmp_path / "no").exists()


def test_pixels_that_all_look_the_same_cannot_be_split(tmp_path):
    pixels = np.full((3, 90, 90), 7, np.uint8)
    pixels[:, :, 45:] = 200
    image = write_scene(tmp_path / "flat.tif", pixels)
    segment(image, tmp_path / "flat.zarr", mode="fast", n_leaves=2, threads=1)
    store = SplitSegmentation(tmp_path / "flat.zarr")
    # Away from the border all superpixels are alike to the last bit: a leaf of one superpixel.
    pixels_of = store.statistics().pixels
    alone = [leaf for leaf in range(store.n_leaves) if pixels_of[leaf]]
    tiny = segment(image, tmp_path / "tiny.zarr", mode="fast", threads=1)
    sizes = tiny.statistics().pixels
    leaf = int(np.flatnonzero((sizes > 0) & (sizes <= 25))[0])
    assert alone
    with pytest.raises(InvalidArgumentError, match="look the same"):
        split_leaf(SplitSegmentation(tmp_path / "tiny.zarr"), leaf, tmp_path / "no", first=C, n=2)


def test_lost_folder_is_told(scene, store, tmp_path):
    with pytest.raises(StoreError, match="cannot be read any more"):
        SplitSegmentation(scene[1], [Split(tmp_path / "gone", 3, C, 2)])


def test_assign_units_pins_hold_and_centers_move():
    features = np.array([[0.0], [1.0], [10.0], [11.0], [0.4]], np.float32)
    weights = np.ones(5, np.float32)
    centers, nearest = assign_units(features, weights, np.array([[0.0], [9.0]], np.float32), {4: 1})
    assert nearest.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_allclose(centers[:, 0], [0.5, (10 + 11 + 0.4) / 3], rtol=1e-6)
    kept, nearest = assign_units(features, weights, np.array([[0.0], [99.0], [9.0]], np.float32), {})
    assert kept[1, 0] == 99
    assert set(nearest.tolist()) == {0, 2}
