"""Extremely randomized trees for few examples with shares of several classes, and many leaves to predict.

scikit-learn's take a third of a second for 60,000 leaves, most of it in calls for each tree, know no example that is partly
of one class and partly of another, and must be loaded first. Here a tree is a few rows of one table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Trees", "grow_trees"]

_SHARE_OF_FEATURES = 0.15
_ROWS = 256  # predicted side by side: they stay in the processor's cache while all trees are asked


@dataclass(frozen=True, eq=False)
class Trees:
    """Grown trees, one node a row.

    ``roots`` int32 (t,); ``features`` int32 (nodes,), -1 in an end node; ``thresholds`` float32 (nodes,); ``lefts`` int32
    (nodes,), the child for values up to the threshold, the next row is the other; ``shares`` float32 (nodes, k), of each
    class in the node.
    """

    roots: NDArray[np.int32]
    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    lefts: NDArray[np.int32]
    shares: NDArray[np.float32]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean share of each class over the trees, float32 (n, k), for feature vectors (n, D)."""
        out = np.zeros((len(vectors), self.shares.shape[1]), np.float32)
        _predict(vectors, self.roots, self.features, self.thresholds, self.lefts, self.shares, out)
        return out


def grow_trees(vectors: NDArray[np.float32], targets: NDArray[np.float32], n_trees: int, seed: int) -> Trees:
    """Grow trees on all examples.

    Parameters
    ----------
    vectors : float32 array, shape (m, D)
        Feature vectors of the examples; their scale does not matter.
    targets : float32 array, shape (m, k)
        How much each example counts for each class, 0 or more, with a positive sum in each row.
    n_trees : int
        Number of trees.
    seed : int
        Of the random features and thresholds; the same seed gives the same trees on every machine.

    Returns
    -------
    Trees

    Notes
    -----
    Geurts et al. (2006), doi:10.1007/s10994-006-6226-1: at each node, about a sixth of the features get one random threshold
    each, and the split that lowers the Gini impurity most is kept, until a node holds one class or equal vectors.
    """
    tried = max(1, round(_SHARE_OF_FEATURES * vectors.shape[1]))
    counts, features, thresholds, lefts, shares = _grow(
        np.ascontiguousarray(vectors), np.ascontiguousarray(targets), n_trees, tried, np.uint64(seed + 1)
    )
    roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return Trees(roots, features, thresholds, lefts, shares)


@numba.njit(cache=True, nogil=True)
def _random(state):  # type: ignore[no-untyped-def]
    """The next of SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195), as 0 <= x < 1."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) / 9007199254740992.0


@numba.njit(cache=True, nogil=True)
def _grow(vectors, targets, n_trees, tried, seed):  # type: ignore[no-untyped-def]
    m, n_features = vectors.shape
    k = targets.shape[1]
    most = n_trees * (2 * m - 1)
    counts = np.zeros(n_trees, np.int32)
    features = np.full(most, -1, np.int32)
    thresholds = np.zeros(most, np.float32)
    lefts = np.full(most, -1, np.int32)
    shares = np.zeros((most, k), np.float32)
    members = np.arange(m)
    order = np.arange(n_features)
    stack = np.zeros((2 * m + 1, 3), np.int64)  # node, and the range of its members
    low_sums, all_sums = np.zeros(k), np.zeros(k)
    state = np.zeros(1, np.uint64)
    state[0] = seed * np.uint64(0x9E3779B97F4A7C15)
    used = 0
    for tree in range(n_trees):
        first = used
        used += 1
        stack[0, 0], stack[0, 1], stack[0, 2] = first, 0, m
        waiting = 1
        while waiting:
            waiting -= 1
            node, begin, end = stack[waiting]
            all_sums[:] = 0
            for i in range(begin, end):
                for c in range(k):
                    all_sums[c] += targets[members[i], c]
            total = all_sums.sum()
            for c in range(k):
                shares[node, c] = all_sums[c] / total
            if end - begin < 2 or all_sums.max() >= total * 0.999999:
                continue
            best, best_feature, best_threshold = -1.0, -1, np.float32(0)
            looked = 0
            for position in range(n_features):
                if looked == tried:
                    break
                # The next of a random order of the features; constant ones are passed over and do not count.
                other = position + int(_random(state) * (n_features - position))
                order[position], order[other] = order[other], order[position]
                feature = order[position]
                low = high = vectors[members[begin], feature]
                for i in range(begin + 1, end):
                    value = vectors[members[i], feature]
                    low, high = min(low, value), max(high, value)
                if not high - low > 1e-6:
                    continue
                looked += 1
                threshold = np.float32(low + _random(state) * (high - low))
                if threshold >= high:
                    threshold = low
                low_sums[:] = 0
                for i in range(begin, end):
                    if vectors[members[i], feature] <= threshold:
                        for c in range(k):
                            low_sums[c] += targets[members[i], c]
                low_total = low_sums.sum()
                high_total = total - low_total
                # Gini impurity falls as the sum of squared shares, weighted by size, grows.
                score = 0.0
                for c in range(k):
                    score += low_sums[c] ** 2 / max(low_total, 1e-30)
                    score += (all_sums[c] - low_sums[c]) ** 2 / max(high_total, 1e-30)
                if score > best:
                    best, best_feature, best_threshold = score, feature, threshold
            if best_feature < 0:
                continue
            middle = begin
            for i in range(begin, end):
                if vectors[members[i], best_feature] <= best_threshold:
                    members[i], members[middle] = members[middle], members[i]
                    middle += 1
            features[node], thresholds[node], lefts[node] = best_feature, best_threshold, used
            stack[waiting, 0], stack[waiting, 1], stack[waiting, 2] = used, begin, middle
            stack[waiting + 1, 0], stack[waiting + 1, 1], stack[waiting + 1, 2] = used + 1, middle, end
            waiting += 2
            used += 2
        counts[tree] = used - first
    return counts, features[:used], thresholds[:used], lefts[:used], shares[:used]


@numba.njit(cache=True, nogil=True)
def _predict(vectors, roots, features, thresholds, lefts, shares, out):  # type: ignore[no-untyped-def]
    n, k = out.shape
    share = np.float32(1.0 / len(roots))
    for begin in range(0, n, _ROWS):
        end = min(begin + _ROWS, n)
        for root in roots:
            for i in range(begin, end):
                node = root
                feature = features[node]
                while feature >= 0:
                    node = lefts[node] + (vectors[i, feature] > thresholds[node])
                    feature = features[node]
                for c in range(k):
                    out[i, c] += shares[node, c]
        for i in range(begin, end):
            for c in range(k):
                out[i, c] *= share
