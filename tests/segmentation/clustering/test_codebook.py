"""The two-level quantizer."""

import numpy as np
import pytest
import torch

from segmentation.clustering.codebook import MAX_LEAVES, build_codebook, wanted_leaves
from segmentation.clustering.colors import cluster_colors
from segmentation.clustering.kmeans import find_centroids
from segmentation.errors import EmptySceneError


def blobs(n=4000, dimensions=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dimensions)) * 0.1 + rng.integers(0, 4, (n, dimensions))).astype(np.float32)


@pytest.fixture(scope="module")
def built():
    samples = blobs()
    return samples, *build_codebook(samples, np.ones(len(samples), np.float32), 400, 0)


def test_every_leaf_wins_a_sample_and_is_the_nearest_of_its_cell(built):
    samples, codebook, _ = built
    leaves, nearest, second = codebook.assign(samples)
    assert set(leaves) == set(range(len(codebook.centroids)))
    cells = np.square(samples[:, None] - codebook.coarse).sum(-1).argmin(1)
    distances = np.sqrt(np.square(samples[:, None] - codebook.centroids).sum(-1))
    distances[codebook.cells != cells[:, None]] = np.inf
    np.testing.assert_array_equal(leaves, distances.argmin(1))
    np.testing.assert_allclose(nearest, distances.min(1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(second, np.sort(distances, axis=1)[:, 1], rtol=1e-3, atol=1e-5)


def test_torch_assigns_as_numba_does(built):
    samples, codebook, _ = built
    leaves, nearest, _ = codebook.assign(samples)
    other, other_nearest, _ = codebook._assign_torch(
        torch.from_numpy(samples), torch.from_numpy(codebook.coarse)
    )
    assert (leaves == other).mean() > 0.999  # apart from ties
    np.testing.assert_allclose(nearest, other_nearest, rtol=1e-3, atol=1e-4)


def test_leaves_are_about_as_many_as_wanted(built):
    _, codebook, tree = built
    assert 320 <= len(codebook.centroids) <= 400
    assert len(tree[0]) == 2 * len(codebook.centroids) - 1


def test_same_seed_same_codebook_also_side_by_side(built):
    samples, codebook, _ = built
    weights = np.ones(len(samples), np.float32)
    backwards = lambda function, items: [function(i) for i in list(items)[::-1]][::-1]  # noqa: E731
    again, _ = build_codebook(samples, weights, 400, 0, run_all=backwards)
    np.testing.assert_array_equal(codebook.centroids, again.centroids)
    other, _ = build_codebook(samples, weights, 400, 1)
    assert codebook.centroids.shape != other.centroids.shape or (codebook.centroids != other.centroids).any()


@pytest.mark.parametrize("n_distinct", [1, 2, 3])
def test_few_distinct_samples_give_as_many_leaves(n_distinct):
    samples = np.repeat(np.eye(3, 4, dtype=np.float32)[:n_distinct], 50, axis=0)
    codebook, tree = build_codebook(samples, np.ones(len(samples), np.float32), 40, 0)
    assert len(codebook.centroids) == n_distinct
    assert len(tree[0]) == 2 * n_distinct - 1


def test_no_sample_is_refused():
    with pytest.raises(EmptySceneError, match="No pixel"):
        build_codebook(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 10, 0)


def test_number_of_leaves_follows_the_scene():
    assert wanted_leaves(80_000) == 10_000
    assert wanted_leaves(900) == 900
    assert wanted_leaves(5_000) == 2_048
    assert wanted_leaves(10**9) == MAX_LEAVES == 61_440
    assert wanted_leaves(5_000, 30) == 30
    assert wanted_leaves(10, 30) == 10


def test_centroids_on_torch_match_faiss():
    samples, weights = blobs(2000), np.ones(2000, np.float32)
    ours, theirs = (find_centroids(samples, weights, 20, 3), None)
    from segmentation.clustering.kmeans import _lloyd_torch, _plus_plus

    theirs = _lloyd_torch(samples, weights, np.unique(_plus_plus(samples, 20, 3), axis=0), 12, "cpu")

    def loss(centroids):
        return np.square(samples[:, None] - centroids).sum(-1).min(1).mean()

    assert loss(theirs) == pytest.approx(loss(ours), rel=0.05)


def test_colors_keep_still_when_a_cluster_splits(built):
    _, _, (parent, _, low, high) = built
    n = (len(parent) + 1) // 2
    colors = cluster_colors(parent, low, high, np.ones(n)).astype(int)
    for node in range(n, 2 * n - 1):
        children = np.flatnonzero((parent == node) & (np.arange(2 * n - 1) != node))
        assert any((colors[child] == colors[node]).all() for child in children)
    top = colors[[node for node in range(2 * n - 1) if node < 2 * n - 12 <= parent[node]]]
    gaps = np.abs(top[:, None] - top[None]).sum(-1)[~np.eye(len(top), dtype=bool)]
    assert len(top) == 12
    assert gaps.min() > 40  # of 765: a dozen clusters can be told apart
