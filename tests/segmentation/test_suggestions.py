"""Next best clicks: uncertain, large, unlike what is known, and always on a pixel of the place that is meant."""

import itertools

import numpy as np
import pytest
from affine import Affine

from segmentation import NODATA_LEAF, Click, open_segmentation
from segmentation.clustering.merge_tree import build_merge_tree
from segmentation.decoder import NO_CLASS, Prediction
from segmentation.errors import InvalidArgumentError
from segmentation.places import find_places, pixel_of_texel
from segmentation.pyramid import level_shape, reduce_once
from segmentation.rasters.windows import BLOCK
from segmentation.store_writer import StoreWriter
from segmentation.suggestions import suggest


def store(folder, ids, means, leave_out=()):
    """A store of given leaves; ids of the tests are renumbered depth first, as those of any store. -> segmentation, new id of each."""
    means = np.asarray(means, np.float32).reshape(len(means), -1)
    n, (height, width) = len(means), ids.shape
    order, parent, heights, low, high = build_merge_tree(means, np.ones(n), np.zeros(n, np.int32))
    new = np.empty(n, np.int64)
    new[order] = np.arange(n)
    ids = np.where(ids == NODATA_LEAF, NODATA_LEAF, new[np.minimum(ids, n - 1)]).astype(np.uint16)
    n_levels = 1
    while max(level_shape(height, width, n_levels - 1)) > BLOCK:
        n_levels += 1
    writer = StoreWriter(folder, height, width, 1, n_levels)
    writer.create(
        {"height": height, "width": width, "n_levels": n_levels, "n_leaves": n, "device": "cpu", "image": "made up",
         "parameters": {"seed": 0}, "crs": None, "transform": list(Affine.identity())[:6]},
        {"codebook/means": means[order], "codebook/certainty": np.ones(n, np.float32), "tree/parent": parent,
         "tree/low": low, "tree/high": high, "tree/height": heights, "tree/rgb": np.zeros((2 * n - 1, 3), np.uint8)},
    )  # fmt: skip
    for row, col in itertools.product(range(-(-height // BLOCK)), range(-(-width // BLOCK))):
        if (row, col) not in leave_out:
            part = ids[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
            writer.write(0, row, col, part)
    for level in range(1, n_levels):
        rows, cols = (-(-size // BLOCK) for size in level_shape(height, width, level))
        for row, col in itertools.product(range(rows), range(cols)):
            if not leave_out:
                writer.write_overview(level, row, col)
    writer.save_sums()
    return open_segmentation(folder), new


def prediction(new, probabilities, class_ids=(1, 2)):
    """What a decoder would say of the leaves, given in the tests' own order."""
    p = np.zeros((len(new), len(class_ids)), np.float32)
    p[new] = probabilities
    class_ids = np.array(class_ids)
    return Prediction(class_ids[p.argmax(axis=1)], p.max(axis=1), class_ids, p)


@pytest.fixture
def quarters():
    """Leaves 0 and 1 above, 2 and 3 below, of 60 x 80 pixels in all; leaf 3 is the smallest."""
    ids = np.zeros((60, 80), np.uint16)
    ids[:30, 40:] = 1
    ids[30:, :60] = 2
    ids[30:, 60:] = 3
    return ids


FAR_APART = [[0.0], [10.0], [20.0], [30.0]]
SURE, TORN = [1.0, 0.0], [0.5, 0.5]


def leaf_of(ids, suggestion):
    return int(ids[suggestion.row, suggestion.col])


def test_asks_where_the_prediction_is_torn(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, FAR_APART)
    found = suggest(segmentation, prediction(new, [SURE, SURE, SURE, TORN]), [Click(5, 5, 1)], 6)
    assert [leaf_of(quarters, one) for one in found] == [3], "nothing else is uncertain"
    assert (found[0].class_id, found[0].certainty, found[0].area_px) == (1, 0.5, 30 * 20)


def test_of_equally_uncertain_places_the_largest_comes_first(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, [[0.0], [10.0], [10.5], [10.0]])
    found = suggest(segmentation, prediction(new, [SURE, TORN, TORN, TORN]), [Click(5, 5, 1)], 1)
    assert leaf_of(quarters, found[0]) == 2


def test_of_equal_areas_the_less_certain_comes_first(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, [[0.0], [10.0], [20.0], [10.0]])
    found = suggest(segmentation, prediction(new, [SURE, [0.9, 0.1], SURE, [0.6, 0.4]]), [Click(5, 5, 1)], 2)
    assert [leaf_of(quarters, one) for one in found] == [3, 1], "0.97 x 600 pixels against 0.47 x 1,200"


def test_what_looks_like_an_example_comes_last(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, [[0.0], [0.1], [40.0], [41.0]])
    found = suggest(segmentation, prediction(new, [TORN] * 4), [Click(5, 5, 1)], 4)
    assert [leaf_of(quarters, one) for one in found] == [2, 3, 1], "leaf 0 holds the example: it is answered"


def test_suggestions_are_unlike_each_other(tmp_path, quarters):
    # Leaf 1 is the second largest beside 2, yet looks like it; leaf 3 is small and new.
    segmentation, new = store(tmp_path / "s", quarters, [[0.0], [19.9], [20.0], [-15.0]])
    found = suggest(segmentation, prediction(new, [TORN] * 4), [Click(5, 5, 1)], 3)
    assert [leaf_of(quarters, one) for one in found] == [2, 3, 1]


def test_before_any_example_large_typical_clusters_are_asked_about(tmp_path, quarters):
    segmentation, _ = store(tmp_path / "s", quarters, FAR_APART)
    found = suggest(segmentation, None, [], 4)
    assert leaf_of(quarters, found[0]) == 2
    assert {leaf_of(quarters, one) for one in found} == {0, 1, 2, 3}
    assert {(one.class_id, one.certainty) for one in found} == {(None, 0.0)}


def test_with_one_class_alone_other_clusters_are_asked_about(tmp_path, quarters):
    segmentation, _ = store(tmp_path / "s", quarters, FAR_APART)
    examples = [Click(5, 5, 7)]
    found = suggest(segmentation, segmentation.classify(examples), examples, 6)
    assert leaf_of(quarters, found[0]) == 2
    assert {leaf_of(quarters, one) for one in found} == {1, 2, 3}
    assert {one.class_id for one in found} == {7}


def test_a_place_without_any_likely_class_names_none(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, FAR_APART)
    predicted = prediction(new, [SURE, [0.4, 0.6], [0.6, 0.4], SURE], class_ids=(NO_CLASS, 4))
    found = suggest(segmentation, predicted, [], 2)
    assert {leaf_of(quarters, one): one.class_id for one in found} == {1: 4, 2: None}


def test_decided_leaves_are_not_asked_about(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, FAR_APART)
    decided = np.zeros(4, bool)
    decided[new[[0, 2]]] = True
    found = suggest(segmentation, None, [], 6, decided=decided)
    assert {leaf_of(quarters, one) for one in found} == {1, 3}
    assert suggest(segmentation, None, [], 6, decided=np.ones(4, bool)) == []


def test_a_click_on_each_suggestion_gives_new_ones_until_none_is_left(tmp_path):
    ids = (np.arange(60)[:, None] // 10 * 8 + np.arange(80) // 10).astype(np.uint16)
    segmentation, _ = store(tmp_path / "s", ids, np.random.default_rng(0).normal(size=(48, 3)))
    examples, asked = [], set()
    while found := suggest(segmentation, segmentation.classify(examples) if examples else None, examples, 1):
        leaf = leaf_of(ids, found[0])
        assert leaf not in asked
        asked.add(leaf)
        examples.append(Click(found[0].row, found[0].col, leaf % 2))
    assert len(asked) > 24


def test_the_pixel_lies_inside_its_region(tmp_path):
    ids = np.zeros((100, 120), np.uint16)
    ids[20:60, 30:100] = 1
    ids[70:73, 5:115] = 1  # long and thin
    segmentation, new = store(tmp_path / "s", ids, [[0.0], [5.0]])
    (found,) = suggest(segmentation, prediction(new, [SURE, TORN]), [Click(0, 0, 1)], 3)
    assert (ids[found.row - 3 : found.row + 4, found.col - 3 : found.col + 4] == 1).all()
    assert 20 <= found.row < 60
    assert found.area_px == 40 * 70
    row0, col0, row1, col1 = found.bounds
    assert 0 <= row0 <= found.row < row1 <= 100
    assert 0 <= col0 <= found.col < col1 <= 120


def test_bounds_stay_inside_a_tiny_scene(tmp_path):
    ids = np.array([[0, 0, 1], [0, 0, 1]], np.uint16)
    segmentation, _ = store(tmp_path / "s", ids, [[0.0], [5.0]])
    found = suggest(segmentation, None, [], 6)
    assert {one.bounds for one in found} == {(0, 0, 2, 3)}


def test_nodata_is_never_suggested(tmp_path, quarters):
    quarters[:, :50] = NODATA_LEAF
    segmentation, _ = store(tmp_path / "s", quarters, FAR_APART)
    found = suggest(segmentation, None, [], 6)
    assert {leaf_of(quarters, one) for one in found} == {1, 2, 3}
    assert sum(one.area_px for one in found) == 60 * 30


def test_area_of_interest_is_respected_on_an_overview(tmp_path):
    random = np.random.default_rng(3)
    ids = random.integers(0, 6, (130, 150)).repeat(10, 0).repeat(10, 1).astype(np.uint16)
    segmentation, _ = store(tmp_path / "s", ids, np.arange(6)[:, None] * 3.0)
    ring = [[203, 401], [871, 455], [640, 999], [203, 401]]
    aoi = {"type": "Polygon", "coordinates": [ring]}
    inside = segmentation.georeference.aoi_mask(aoi, 0, 0, *ids.shape)
    places = find_places(segmentation, aoi, max_texels=200_000)
    assert places.level == 2
    found = suggest(segmentation, None, [], 6, places=places)
    assert len(found) == 6
    assert all(inside[one.row, one.col] for one in found)
    assert {leaf_of(ids, one) for one in found} == set(range(6))


def test_overviews_and_blocks_give_the_same_places(tmp_path):
    """While overviews are missing, the places are put together from the finished blocks."""
    ids = np.random.default_rng(3).integers(0, 6, (110, 120)).repeat(10, 0).repeat(10, 1).astype(np.uint16)
    means = np.arange(6)[:, None] * 3.0
    done, _ = store(tmp_path / "done", ids, means)
    part, _ = store(tmp_path / "part", ids, means, leave_out={(2, 0), (2, 1), (2, 2)})
    whole, half = find_places(done, max_texels=400_000), find_places(part, max_texels=400_000)
    assert whole.level == half.level == 1
    np.testing.assert_array_equal(whole.leaves[:512], half.leaves[:512])
    assert (half.leaves[512:] == NODATA_LEAF).all()
    assert all(one.row < 1024 for one in suggest(part, None, [], 6, places=half))


@pytest.mark.parametrize("shape", [(1, 1), (5, 8), (13, 7), (64, 33)])
def test_a_texel_leads_to_its_pixel(shape):
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    for level in range(5):
        texels = pixels
        for step in range(level):
            texels = reduce_once(texels, step)
        for row, col in np.ndindex(texels.shape):
            assert pixels[pixel_of_texel(row, col, level, shape)] == texels[row, col]


def test_refuses_what_does_not_fit(tmp_path, quarters):
    segmentation, new = store(tmp_path / "s", quarters, FAR_APART)
    for count in (0, 51):
        with pytest.raises(
            InvalidArgumentError, match=f"{count} suggestions were asked for; ask for 1 to 50"
        ):
            suggest(segmentation, None, [], count)
    other = prediction(np.arange(3), [SURE] * 3)
    with pytest.raises(InvalidArgumentError, match="for 3 leaves, the segmentation has 4; predict again"):
        suggest(segmentation, other, [], 1)
    with pytest.raises(InvalidArgumentError, match="It is said of 5 leaves"):
        suggest(segmentation, None, [], 1, decided=np.zeros(5, bool))
    with pytest.raises(InvalidArgumentError, match="Pixel 60, 0 is outside the scene"):
        suggest(segmentation, prediction(new, [TORN] * 4), [Click(60, 0, 1)], 1)
