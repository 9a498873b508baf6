import numpy as np
import pytest

from segmentation.decoding.trees import grow_trees


def quadrants(n, seed=0):
    """Points of a square and, by the signs of the first two of six features, one of four classes."""
    vectors = np.random.default_rng(seed).uniform(-1, 1, (n, 6)).astype(np.float32)
    return vectors, (vectors[:, 0] > 0) + 2 * (vectors[:, 1] > 0)


def one_hot(classes, k=4):
    return np.eye(k, dtype=np.float32)[classes]


def test_trees_return_what_they_were_grown_on():
    vectors, classes = quadrants(80)
    shares = grow_trees(vectors, one_hot(classes), 10, 0)(vectors)
    np.testing.assert_allclose(shares, one_hot(classes), atol=1e-6)


def test_trees_are_as_right_as_scikit_learns():
    ensemble = pytest.importorskip("sklearn.ensemble")
    vectors, classes = quadrants(300)
    points, truth = quadrants(2000, seed=1)
    theirs = ensemble.ExtraTreesClassifier(100, max_features=1, random_state=0).fit(vectors, classes)
    ours = grow_trees(vectors, one_hot(classes), 100, 0)(points)
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)
    right = (ours.argmax(axis=1) == truth).mean()
    assert right > 0.8
    assert right == pytest.approx((theirs.predict(points) == truth).mean(), abs=0.05)


def test_one_feature_gives_thresholds_between_the_classes():
    vectors = np.array([[0.0], [1.0]], np.float32)
    trees = grow_trees(vectors, one_hot([0, 1], 2), 200, 0)
    assert (trees(vectors) == [[1, 0], [0, 1]]).all()
    # A threshold is drawn evenly between the two, so that a quarter of the way a quarter of the trees has turned.
    assert trees(np.array([[0.25]], np.float32))[0, 1] == pytest.approx(0.25, abs=0.1)


def test_equal_vectors_share_their_classes():
    vectors = np.zeros((3, 2), np.float32)
    targets = np.array([[1, 0], [1, 0], [0, 2]], np.float32)
    assert grow_trees(vectors, targets, 3, 0)(vectors[:1])[0].tolist() == pytest.approx([0.5, 0.5])


def test_weights_count_like_repeated_examples():
    targets = np.array([[3, 0], [0, 1]], np.float32)
    assert grow_trees(np.zeros((2, 1), np.float32), targets, 3, 0)(np.zeros((1, 1), np.float32))[0, 0] == 0.75


def test_same_seed_same_trees_and_another_seed_others():
    vectors, classes = quadrants(60)
    points, _ = quadrants(500, seed=1)
    first, again, other = (grow_trees(vectors, one_hot(classes), 5, seed)(points) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_first_numbers_are_splitmix64s():
    # 16294208416658607535 is the first output of SplitMix64 for the seed 0, as its authors publish it.
    from segmentation.decoding.trees import _random

    assert _random(np.zeros(1, np.uint64)) == (16294208416658607535 >> 11) / 2**53
