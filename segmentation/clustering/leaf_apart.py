"""A merge tree with one leaf more, which stays apart from all others until the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.clustering.merge_tree import MergeTree

__all__ = ["tree_tables", "with_leaf_apart"]


def with_leaf_apart(tree: MergeTree, rgb: tuple[int, int, int]) -> MergeTree:
    """Add a leaf after the last one, and a root that joins it to the old root.

    Parameters
    ----------
    tree : MergeTree
        Over n leaves.
    rgb : (int, int, int)
        Color of the new leaf, 0 to 255.

    Returns
    -------
    MergeTree
        Over n + 1 leaves. Cut into k + 1 clusters it gives those of ``tree`` cut into k, and the new leaf (k >= 1). The nodes
        of the old merges move up by one.
    """
    n = tree.n_leaves
    nodes = np.arange(2 * n - 1)
    moved = np.where(nodes < n, nodes, nodes + 1)  # the new leaf is number n
    root = 2 * n
    parent = moved[tree.parent]
    parent[tree.parent == nodes] = root

    def with_two(table: NDArray[Any], leaf: Any, top: Any) -> NDArray[Any]:
        return np.concatenate(
            [table[:n], np.array([leaf]), table[n:], np.array([top])], dtype=table.dtype, casting="unsafe"
        )

    return MergeTree(
        with_two(parent.astype(np.uint32), root, root),
        with_two(tree.low, n, 0),
        with_two(tree.high, n + 1, n + 1),
        with_two(tree.height, 0.0, 2 * float(tree.height.max(initial=0.0)) + 1),
        with_two(tree.rgb, rgb, tree.rgb[-1]),
    )


def tree_tables(tree: MergeTree) -> dict[str, NDArray[Any]]:
    """The tables of a tree as a store names them."""
    return {f"tree/{name}": getattr(tree, name) for name in ("parent", "low", "high", "height", "rgb")}
