"""Which leaves lie side by side in the image: neighbors that look alike are mostly of one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray

from segmentation.decoding.kernel import feature_scale
from segmentation.pyramid import NODATA_LEAF, level_shape
from segmentation.rasters.windows import BLOCK

if TYPE_CHECKING:
    from segmentation.store import Segmentation

__all__ = ["LeafGraph", "build_graph", "count_contacts", "leaf_graph"]

MAX_TEXELS = 4_000_000  # in which contacts are counted: the finest level that has no more
_NEIGHBORS = 12  # kept for each leaf; the rest add little and cost time at every click
_ALIKE = 0.3  # squared distance, of the leaves' total variance, at which a contact counts 1/e
_STRENGTH = 6.0  # of all neighbors together, if they look the same, beside the leaf's own features
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class LeafGraph:
    """Neighbors of each leaf: ``starts`` int64 (n + 1,) into ``neighbors`` int32 and ``weights`` float32.

    The weights of a leaf are relative to its own features', which weigh 1.
    """

    starts: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    weights: NDArray[np.float32]

    def smooth(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let every leaf hear its neighbors, and theirs, while it keeps to its own.

        Parameters
        ----------
        probabilities : float32 array, shape (n, k)
            Of each class for each leaf; rows sum to 1.

        Returns
        -------
        float32 array, shape (n, k)
            Rows sum to 1.

        Notes
        -----
        Jacobi steps towards the minimum of the quadratic that ties each leaf to its own probabilities and to its
        neighbors' (Zhou et al. 2004, "Learning with local and global consistency").
        """
        now = probabilities
        for _ in range(_ROUNDS):
            now = _step(self.starts, self.neighbors, self.weights, probabilities, now)
        return now


def leaf_graph(segmentation: Segmentation) -> LeafGraph:
    """Neighbors of the leaves of a complete segmentation."""
    level = 0
    while level + 1 < segmentation.n_levels and np.prod(level_shape(*segmentation.shape, level)) > MAX_TEXELS:
        level += 1
    height, width = level_shape(*segmentation.shape, level)
    ids = np.full((height, width), NODATA_LEAF, np.uint16)
    for row in range(0, height, BLOCK):
        for col in range(0, width, BLOCK):
            block = segmentation.block_ids(level, row // BLOCK, col // BLOCK)
            if block is not None:
                ids[row : row + BLOCK, col : col + BLOCK] = block
    return build_graph(*count_contacts(ids), segmentation.means)


def count_contacts(
    ids: NDArray[np.uint16],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Count how often leaves touch.

    Parameters
    ----------
    ids : uint16 array, shape (H, W)
        Leaf of each pixel, 65,535 = none.

    Returns
    -------
    first, second : int32 arrays, shape (pairs,)
        Leaves that touch, first < second, in order.
    counts : int64 array, shape (pairs,)
        Pixel edges between them.
    """
    keys = []
    for one, other in ((ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])):
        touching = (one != other) & (one != NODATA_LEAF) & (other != NODATA_LEAF)
        a, b = one[touching].astype(np.uint32), other[touching].astype(np.uint32)
        keys.append(np.minimum(a, b) << np.uint32(16) | np.maximum(a, b))
    found = np.concatenate(keys)
    found.sort(kind="stable")  # radix sort, several times faster than counting with np.unique's
    firsts = (
        np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]])) if len(found) else np.zeros(0, int)
    )
    counts = np.diff(np.append(firsts, len(found)))
    pairs = found[firsts]
    return (pairs >> np.uint32(16)).astype(np.int32), (pairs & np.uint32(0xFFFF)).astype(np.int32), counts


def build_graph(
    first: NDArray[np.int32], second: NDArray[np.int32], counts: NDArray[np.int64], means: NDArray[np.float32]
) -> LeafGraph:
    """Weigh contacts by likeness and keep the strongest of each leaf.

    Parameters
    ----------
    first, second, counts
        From `count_contacts`.
    means : float32 array, shape (n, D)
        Mean feature vector of each leaf.
    """
    n = len(means)
    likeness = np.empty(len(first), np.float32)
    _likeness(means, first, second, np.float32(1 / (_ALIKE * feature_scale(means))), likeness)
    leaf = np.concatenate([first, second])
    neighbor = np.concatenate([second, first])
    border = np.bincount(leaf, np.concatenate([counts, counts]), minlength=n)
    weight = np.concatenate([counts * likeness, counts * likeness]) / np.maximum(border[leaf], 1) * _STRENGTH
    order = np.lexsort((-weight, leaf))
    leaf, neighbor, weight = leaf[order], neighbor[order], weight[order]
    starts = np.searchsorted(leaf, np.arange(n + 1))
    kept = np.arange(len(leaf)) - starts[leaf] < _NEIGHBORS
    leaf, neighbor, weight = leaf[kept], neighbor[kept], weight[kept]
    starts = np.searchsorted(leaf, np.arange(n + 1)).astype(np.int64)
    return LeafGraph(starts, neighbor.astype(np.int32), weight.astype(np.float32))


@numba.njit(cache=True, nogil=True)
def _likeness(means, first, second, inverse, out):  # type: ignore[no-untyped-def]
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        distance = np.float32(0)
        for d in range(means.shape[1]):
            step = means[a, d] - means[b, d]
            distance += step * step
        out[pair] = np.exp(-distance * inverse)


@numba.njit(cache=True, nogil=True)
def _step(starts, neighbors, weights, own, now):  # type: ignore[no-untyped-def]
    n, k = own.shape
    out = own.copy()
    for leaf in range(n):
        total = np.float32(1)
        for index in range(starts[leaf], starts[leaf + 1]):
            weight, neighbor = weights[index], neighbors[index]
            total += weight
            for c in range(k):
                out[leaf, c] += weight * now[neighbor, c]
        for c in range(k):
            out[leaf, c] /= total
    return out
