"""The merge tree over the leaves: nested clusters at every granularity.

A plain tree over 65,535 leaves would need 17 GB of distances. The codebook has two levels, so the tree is built
inside each coarse cell (at most a few hundred leaves) and then over the cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError

__all__ = ["MergeTree", "build_merge_tree", "weighted_ward"]


@dataclass(frozen=True)
class MergeTree:
    """Nested clusters over n leaves; nodes 0..n-1 are the leaves, node n + i the i-th merge.

    Leaves are numbered depth first, so the leaves below a node are the range ``[low, high)``.
    """

    parent: NDArray[np.uint32]  # (2n - 1,); the root's is itself
    low: NDArray[np.uint32]  # (2n - 1,)
    high: NDArray[np.uint32]  # (2n - 1,)
    height: NDArray[np.float32]  # (2n - 1,) Ward distance at which the node's children merged; 0 for leaves
    rgb: NDArray[np.uint8]  # (2n - 1, 3) color of each node as a cluster

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return (len(self.parent) + 1) // 2

    def clusters_at(self, n_clusters: int) -> NDArray[np.uint32]:
        """Cut the tree into a number of clusters.

        Parameters
        ----------
        n_clusters : int
            From 1 to the number of leaves. A number, not a height: there are no ties.

        Returns
        -------
        uint32 array, shape (n_leaves,)
            Node that is each leaf's cluster.
        """
        n = self.n_leaves
        if not 1 <= n_clusters <= n:
            raise InvalidArgumentError(f"{n_clusters} clusters were asked for; the tree gives 1 to {n}.")
        limit = 2 * n - n_clusters  # nodes from here on are not merged yet
        clusters = np.arange(limit)
        roots = np.flatnonzero((self.parent[:limit] >= limit) | (self.parent[:limit] == clusters))
        out = np.empty(n, np.uint32)
        for node in roots:
            out[self.low[node] : self.high[node]] = node
        return out


def build_merge_tree(
    means: NDArray[np.float32], weights: NDArray[np.float64], cells: NDArray[np.int32]
) -> tuple[
    NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]
]:
    """Build the tree inside each coarse cell and then over the cells, and number the leaves depth first.

    Parameters
    ----------
    means : float32 array, shape (n, D)
        Mean feature vector of each leaf, standardized (no unit).
    weights : float64 array, shape (n,)
        Size of each leaf, above 0.
    cells : int32 array, shape (n,)
        Coarse cell of each leaf.

    Returns
    -------
    order : int64 array, shape (n,)
        ``order[new] = old``: the leaves in depth-first order.
    parent : uint32 array, shape (2n - 1,)
    height : float32 array, shape (2n - 1,)
        Never decreasing from node n on.
    low, high : uint32 arrays, shape (2n - 1,)
        Leaf range of each node, in the new numbers.

    Notes
    -----
    Ward's criterion for weighted points by the Lance-Williams update (Lance & Williams 1967,
    doi:10.1093/comjnl/9.4.373). Merges of all cells are put in one order by height; a merge never comes before its
    parts, because heights are made monotone from the leaves up.
    """
    n = len(means)
    # children and height of each merge, in the order in which they were found; ids n.. are provisional
    left, right, heights = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1, np.float64)
    node_height = np.zeros(2 * n - 1)
    found = 0
    cell_ids = np.unique(cells)
    tops, top_means, top_weights = [], [], []

    def add(members: NDArray[np.int64], points: NDArray[np.float64], masses: NDArray[np.float64]) -> int:
        nonlocal found
        if len(members) == 1:
            return int(members[0])
        pairs, levels = weighted_ward(points, masses)
        ids = np.concatenate([members, np.zeros(len(pairs), np.int64)])
        for i, (a, b) in enumerate(pairs):
            first, second = ids[a], ids[b]
            height = max(levels[i], node_height[first], node_height[second])
            left[found], right[found], heights[found] = first, second, height
            ids[len(members) + i] = n + found
            node_height[n + found] = height
            found += 1
        return int(ids[-1])

    for cell in cell_ids:
        members = np.flatnonzero(cells == cell)
        masses = weights[members]
        points = means[members].astype(np.float64)
        tops.append(add(members, points, masses))
        top_means.append(np.average(points, axis=0, weights=masses))
        top_weights.append(masses.sum())
    add(np.array(tops, np.int64), np.array(top_means), np.array(top_weights))
    return _numbered(n, left, right, heights, weights)


def _numbered(
    n: int,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    heights: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[
    NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]
]:
    """Sort merges by height, number leaves depth first."""
    # A stable sort keeps parts before wholes where heights are equal, since parts were found first.
    order = np.argsort(heights, kind="stable")
    new_id = np.empty(2 * n - 1, np.int64)
    new_id[:n] = np.arange(n)
    new_id[n + order] = n + np.arange(n - 1)
    children = (
        np.stack([new_id[left[order]], new_id[right[order]]], axis=1) if n > 1 else np.empty((0, 2), np.int64)
    )
    size = np.concatenate([np.ones(n, np.int64), np.zeros(n - 1, np.int64)])
    mass = np.concatenate([weights, np.zeros(n - 1)])
    for i, (a, b) in enumerate(children):
        size[n + i], mass[n + i] = size[a] + size[b], mass[a] + mass[b]
    low = np.zeros(2 * n - 1, np.int64)
    parent = np.arange(2 * n - 1)
    for i in range(n - 2, -1, -1):  # from the root down; the heavier child first
        node, (a, b) = n + i, children[i]
        if mass[b] > mass[a]:
            a, b = b, a
        low[a], low[b] = low[node], low[node] + size[a]
        parent[a] = parent[b] = node
    leaf_order = np.argsort(low[:n], kind="stable")
    # Leaf nodes take the place of their position; the parents of leaves move along.
    position = low[:n].copy()
    parent_of_leaf = np.empty(n, np.int64)
    parent_of_leaf[position] = parent[:n] if n > 1 else 0
    parent[:n] = parent_of_leaf
    low[:n] = np.arange(n)
    height = np.concatenate([np.zeros(n), heights[order]])
    return (
        leaf_order,
        parent.astype(np.uint32),
        height.astype(np.float32),
        low.astype(np.uint32),
        (low + size).astype(np.uint32),
    )


def weighted_ward(
    points: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ward's tree of weighted points.

    Parameters
    ----------
    points : float64 array, shape (m, D)
        Feature vectors.
    weights : float64 array, shape (m,)
        Size of each, above 0. With equal weights of 1 the heights are those of SciPy's ``linkage(method="ward")``.

    Returns
    -------
    pairs : int64 array, shape (m - 1, 2)
        Merged nodes, numbered as in a SciPy linkage (m + i is the i-th merge).
    heights : float64 array, shape (m - 1,)
        sqrt(2 w1 w2 / (w1 + w2)) times the distance of the two means; never decreasing.

    Notes
    -----
    Nearest-neighbor chain (Murtagh 1983, doi:10.1093/comjnl/26.4.354): O(m^2) time, 8 m^2 bytes.
    """
    squared = np.square(points).sum(axis=1)
    distances = np.maximum(squared[:, None] + squared[None] - 2 * points @ points.T, 0)
    distances *= 2 * weights[:, None] * weights[None] / (weights[:, None] + weights[None])
    first, second, levels = _chain(distances, weights.astype(np.float64).copy())
    order = np.argsort(levels, kind="stable")
    return _relabel(first[order], second[order], len(points)), np.sqrt(levels[order])


@numba.njit(nogil=True, cache=True)
def _chain(distances, weights):  # type: ignore[no-untyped-def]
    """Merge along chains of nearest neighbors; slots stand for clusters, the second keeps the union."""
    m = len(weights)
    alive = np.ones(m, np.bool_)
    chain = np.empty(m, np.int64)
    length = 0
    first, second, levels = np.empty(m - 1, np.int64), np.empty(m - 1, np.int64), np.empty(m - 1)
    for step in range(m - 1):
        if length == 0:
            for slot in range(m):
                if alive[slot]:
                    chain[0] = slot
                    length = 1
                    break
        while True:
            tip = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            best = before
            nearest = distances[tip, before] if length > 1 else np.inf
            for slot in range(m):  # on ties the one before wins, else the chain would run in a circle
                if alive[slot] and slot != tip and distances[tip, slot] < nearest:
                    nearest, best = distances[tip, slot], slot
            if length > 1 and best == before:
                break
            chain[length] = best
            length += 1
        a, b = chain[length - 2], chain[length - 1]
        length -= 2
        first[step], second[step], levels[step] = a, b, distances[a, b]
        merged = distances[a, b]
        alive[a] = False
        for slot in range(m):
            if alive[slot] and slot != b:
                total = weights[a] + weights[b] + weights[slot]
                value = (
                    (weights[a] + weights[slot]) * distances[a, slot]
                    + (weights[b] + weights[slot]) * distances[b, slot]
                    - weights[slot] * merged
                ) / total
                distances[b, slot] = distances[slot, b] = max(value, merged)
        weights[b] += weights[a]
    return first, second, levels


@numba.njit(nogil=True, cache=True)
def _relabel(first, second, m):  # type: ignore[no-untyped-def]
    """Turn slots, in merge order, into linkage ids (union-find with path halving)."""
    root = np.arange(2 * m - 1)
    pairs = np.empty((m - 1, 2), np.int64)
    for i in range(m - 1):
        a, b = first[i], second[i]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        pairs[i, 0], pairs[i, 1] = a, b
        root[a] = root[b] = m + i
    return pairs
