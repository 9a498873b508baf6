"""The merge tree against SciPy, and the promises that readers of the tree rely on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from segmentation.clustering.merge_tree import MergeTree, build_merge_tree, weighted_ward
from segmentation.errors import InvalidArgumentError


def points(n, seed, dimensions=3):
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def tree_of(means, weights, cells):
    order, parent, height, low, high = build_merge_tree(
        means.astype(np.float32), weights, cells.astype(np.int32)
    )
    return order, MergeTree(parent, low, high, height, np.zeros((len(parent), 3), np.uint8))


def partition(labels):
    """The same for any names of the parts."""
    return (
        np.unique(labels, return_inverse=True)[1][:, None] == np.unique(labels, return_inverse=True)[1][None]
    )


@pytest.mark.parametrize("n", [2, 3, 10, 60])
def test_weighted_ward_with_equal_weights_has_scipys_heights(n):
    x = points(n, n)
    _, heights = weighted_ward(x, np.ones(n))
    np.testing.assert_allclose(heights, linkage(x, "ward")[:, 2], rtol=1e-9)


def test_weighted_ward_treats_a_weight_of_two_as_two_equal_points():
    x = points(12, 1)
    weights = np.array([1, 2] * 6, float)
    _, heights = weighted_ward(x, weights)
    doubled = linkage(np.repeat(x, weights.astype(int), axis=0), "ward")[:, 2]
    np.testing.assert_allclose(heights, doubled[-11:], rtol=1e-6)


def test_one_cell_cuts_like_scipy():
    x = points(40, 2)
    order, tree = tree_of(x, np.ones(40), np.zeros(40))
    expected = linkage(x.astype(np.float32), "ward")
    for k in (1, 2, 5, 17, 40):
        ours = np.empty(40, int)
        ours[order] = tree.clusters_at(k)
        assert (partition(ours) == partition(fcluster(expected, k, "maxclust"))).all()


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), n_cells=st.integers(1, 8), seed=st.integers(0, 999))
def test_tree_is_nested_and_every_node_is_a_leaf_range(n, n_cells, seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, n_cells, n)
    # few distinct values: ties and equal points are where trees go wrong
    order, tree = tree_of(rng.integers(0, 3, (n, 2)).astype(float), rng.uniform(1, 9, n), cells)
    assert sorted(order) == list(range(n))
    assert len(tree.parent) == 2 * n - 1
    root = 2 * n - 2
    assert (tree.low[root], tree.high[root], tree.parent[root]) == (0, n, root)
    assert (np.diff(tree.height[n:]) >= 0).all()
    np.testing.assert_array_equal(tree.low[:n], np.arange(n))
    for node in range(root):
        parent = tree.parent[node]
        assert parent >= n
        assert parent > node
        assert tree.low[parent] <= tree.low[node] < tree.high[node] <= tree.high[parent]
    coarser = tree.clusters_at(1)
    for k in range(1, n + 1):
        finer = tree.clusters_at(k)
        assert len(np.unique(finer)) == k
        assert all(len(np.unique(coarser[finer == cluster])) == 1 for cluster in np.unique(finer))
        coarser = finer


def test_leaves_of_a_cell_stay_together():
    cells = np.array([0, 1, 0, 1, 2, 2, 0])
    order, tree = tree_of(points(7, 3) + cells[:, None] * 100, np.ones(7), cells)
    assert len(np.unique(partition(cells[order]), axis=0)) == 3
    top = tree.clusters_at(3)
    assert (partition(top) == partition(cells[order])).all()


@pytest.mark.parametrize("n_clusters", [0, 6, -1])
def test_cut_outside_the_tree_is_refused(n_clusters):
    _, tree = tree_of(points(5, 4), np.ones(5), np.zeros(5))
    with pytest.raises(InvalidArgumentError, match="1 to 5"):
        tree.clusters_at(n_clusters)
