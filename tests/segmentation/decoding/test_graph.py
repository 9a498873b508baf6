import numpy as np
import pytest

from segmentation import segment
from segmentation.decoding.graph import MAX_TEXELS, LeafGraph, build_graph, count_contacts, leaf_graph
from segmentation.pyramid import NODATA_LEAF
from segmentation.testing import write_scene


def test_contacts_are_pixel_edges_between_leaves():
    ids = np.array([[0, 0, 1], [0, 2, 1], [NODATA_LEAF, 2, 2]], np.uint16)
    first, second, counts = count_contacts(ids)
    found = {(a, b): n for a, b, n in zip(first.tolist(), second.tolist(), counts.tolist(), strict=True)}
    # 0-1: top row; 0-2: above and left of the middle pixel; 1-2: right of it, and below.
    assert found == {(0, 1): 1, (0, 2): 2, (1, 2): 2}


def test_image_of_one_leaf_has_no_contacts():
    first, second, counts = count_contacts(np.zeros((4, 4), np.uint16))
    assert (len(first), len(second), len(counts)) == (0, 0, 0)
    graph = build_graph(first, second, counts, np.zeros((1, 2), np.float32))
    assert graph.smooth(np.array([[0.3, 0.7]], np.float32))[0].tolist() == pytest.approx([0.3, 0.7])


def three_in_a_row(means):
    pairs = np.array([0, 1], np.int32), np.array([1, 2], np.int32), np.array([4, 4])
    return build_graph(*pairs, np.array(means, np.float32))


def test_neighbors_that_look_alike_pull_a_leaf_over():
    own = np.array([[1, 0], [0.4, 0.6], [1, 0]], np.float32)
    alike = three_in_a_row([[0, 0], [0, 0], [0, 0]]).smooth(own)
    assert alike[1, 0] > 0.5
    np.testing.assert_allclose(alike.sum(axis=1), 1, atol=1e-6)
    # The middle one looks unlike the two, and keeps to itself.
    unlike = three_in_a_row([[0, 0], [3, 0], [0, 0]]).smooth(own)
    assert unlike[1, 0] == pytest.approx(0.4, abs=0.05)


def test_smoothing_heads_for_the_minimum_of_its_quadratic():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 12, (20, 20)).astype(np.uint16)
    means = rng.normal(size=(12, 3)).astype(np.float32)
    graph = build_graph(*count_contacts(ids), means)
    own = rng.dirichlet([1, 1], 12).astype(np.float32)
    weights = np.zeros((12, 12))
    for leaf in range(12):
        span = slice(graph.starts[leaf], graph.starts[leaf + 1])
        weights[leaf, graph.neighbors[span]] = graph.weights[span]
    total = 1 + weights.sum(axis=1, keepdims=True)
    fixed_point = np.linalg.solve(np.eye(12) - weights / total, own / total)
    before, after = np.abs(own - fixed_point).max(), np.abs(graph.smooth(own) - fixed_point).max()
    assert after < 0.3 * before


def test_graph_of_a_stored_segmentation_is_that_of_its_pixels(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, 40, 700)).astype(np.uint8)  # two blocks
    image = write_scene(tmp_path / "scene.tif", pixels)
    segmentation = segment(image, tmp_path / "store", mode="fast", n_leaves=50)
    expected = build_graph(*count_contacts(segmentation.leaves[:]), segmentation.means)
    got = leaf_graph(segmentation)
    for name in ("starts", "neighbors", "weights"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert isinstance(segmentation.graph, LeafGraph)
    assert MAX_TEXELS >= 1_000_000
