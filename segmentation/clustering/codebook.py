"""The codebook of a scene: a two-level quantizer of superpixel features, and what is known of each leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.clustering.kmeans import find_centroids
from segmentation.clustering.merge_tree import build_merge_tree
from segmentation.errors import EmptySceneError

__all__ = ["MAX_LEAVES", "Codebook", "build_codebook", "wanted_leaves"]

MAX_CELLS, MAX_FINE = 256, 240
MAX_LEAVES = MAX_CELLS * MAX_FINE  # 61,440; the ids between serve splits
_SUPERPIXELS_PER_LEAF = 8
_LEAST_LEAVES = 2_048  # in tiny scenes, as far as there are superpixels
_LEAVES_PER_CELL = 96  # aim: cells small enough for speed, large enough for good trees inside
_SAMPLES_PER_LEAF = 12
_FINE_ROUNDS = 6

RunAll = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Leaves in depth-first order of their merge tree.

    ``centroids`` float32 (n, D); ``cells`` int32 (n,) coarse cell of each leaf; ``coarse`` float32 (C, D);
    ``starts`` int64 (C + 1,) and ``members`` int64 (n,): leaves of cell c are ``members[starts[c]:starts[c + 1]]``.
    """

    centroids: NDArray[np.float32]
    cells: NDArray[np.int32]
    coarse: NDArray[np.float32]
    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def from_leaves(
        cls, centroids: NDArray[np.float32], cells: NDArray[np.int32], coarse: NDArray[np.float32]
    ) -> Codebook:
        """Index the leaves by cell."""
        members = np.argsort(cells, kind="stable")
        starts = np.searchsorted(cells[members], np.arange(len(coarse) + 1)).astype(np.int64)
        return cls(centroids, cells, coarse, starts, members)

    def assign(
        self, features: NDArray[np.float32], device: str = "cpu"
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Give each superpixel its leaf.

        Parameters
        ----------
        features : float32 array, shape (N, D)
            Mean feature vector of each superpixel, standardized (no unit).
        device : str
            "cpu" or a torch CUDA device.

        Returns
        -------
        leaves : int32 array, shape (N,)
            Nearest leaf of the nearest coarse cell.
        nearest, second : float32 arrays, shape (N,)
            Distance to that leaf, and to the second nearest of the cell (infinite where it has one leaf).
        """
        if device != "cpu":
            points = torch.from_numpy(np.ascontiguousarray(features))
            return self._assign_torch(points.to(device), torch.from_numpy(self.coarse).to(device))
        n, n_cells = len(features), len(self.coarse)
        one_cell = (
            np.zeros(n, np.int64),
            np.arange(n),
            self._coarse_columns,
            np.array([0, n_cells]),
            np.arange(n_cells),
        )
        cells, _, _ = _nearest_in_cell(features, *one_cell)
        # Cell by cell, so that a cell's centroids stay in the processor's cache.
        order = np.argsort(cells, kind="stable")
        return _nearest_in_cell(features, cells, order, self._columns, self.starts, self.members)

    @cached_property
    def _coarse_columns(self) -> NDArray[np.float32]:
        """Centroids of the cells, feature by feature, shape (D, C)."""
        return np.ascontiguousarray(self.coarse.T)

    @cached_property
    def _columns(self) -> NDArray[np.float32]:
        """Centroids by cell, feature by feature, shape (D, n): the leaves of a cell lie side by side."""
        return np.ascontiguousarray(self.centroids[self.members].T)

    def _assign_torch(
        self, points: torch.Tensor, coarse: torch.Tensor
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        centroids = torch.from_numpy(self.centroids[self.members]).to(points.device)
        members = torch.from_numpy(self.members).to(points.device)
        cells = (coarse.square().sum(1) - 2 * points @ coarse.T).argmin(1)
        leaves = torch.empty(len(points), dtype=torch.int64, device=points.device)
        nearest = torch.empty(len(points), device=points.device)
        second = torch.full_like(nearest, torch.inf)
        for cell in cells.unique().tolist():
            mine = cells == cell
            start, stop = int(self.starts[cell]), int(self.starts[cell + 1])
            distances = torch.cdist(
                points[mine], centroids[start:stop], compute_mode="donot_use_mm_for_euclid_dist"
            )
            best = distances.topk(min(2, stop - start), dim=1, largest=False)
            leaves[mine] = members[start + best.indices[:, 0]]
            nearest[mine] = best.values[:, 0]
            if stop - start > 1:
                second[mine] = best.values[:, 1]
        return leaves.to(torch.int32).cpu().numpy(), nearest.cpu().numpy(), second.cpu().numpy()


@numba.njit(nogil=True, cache=True)
def _nearest_in_cell(features, cells, order, columns, starts, members):  # type: ignore[no-untyped-def]
    n, n_features = features.shape
    leaves = np.empty(n, np.int32)
    nearest = np.empty(n, np.float32)
    second = np.empty(n, np.float32)
    distances = np.empty(columns.shape[1], np.float32)
    for place in range(n):
        i = order[place]
        start, stop = starts[cells[i]], starts[cells[i] + 1]
        distances[: stop - start] = 0
        for d in range(n_features):
            value, column = features[i, d], columns[d, start:stop]
            for k in range(stop - start):  # over leaves, not features: these are many, and lie side by side
                difference = value - column[k]
                distances[k] += difference * difference
        best, next_best, best_leaf = np.float32(np.inf), np.float32(np.inf), 0
        for k in range(stop - start):
            if distances[k] < best:
                best, next_best, best_leaf = distances[k], best, k
            elif distances[k] < next_best:
                next_best = distances[k]
        leaves[i], nearest[i], second[i] = members[start + best_leaf], np.sqrt(best), np.sqrt(next_best)
    return leaves, nearest, second


def wanted_leaves(n_superpixels: int, n_leaves: int | None = None) -> int:
    """Number of leaves for a scene: an eighth of its superpixels, unless asked for.

    Parameters
    ----------
    n_superpixels : int
        Superpixels of the whole scene, or an estimate.
    n_leaves : int or None
        What the user asked for.

    Returns
    -------
    int
        From 1 to 61,440; in tiny scenes at least min(superpixels, 2,048).
    """
    if n_leaves is None:
        n_leaves = max(n_superpixels // _SUPERPIXELS_PER_LEAF, _LEAST_LEAVES)
    return max(1, min(n_leaves, n_superpixels, MAX_LEAVES))


def build_codebook(
    samples: NDArray[np.float32],
    weights: NDArray[np.float32],
    n_leaves: int,
    seed: int,
    device: str = "cpu",
    run_all: RunAll = map,
) -> tuple[Codebook, tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Quantize sampled superpixels into coarse cells and those into leaves, and build the merge tree.

    Parameters
    ----------
    samples : float32 array, shape (N, D)
        Mean feature vectors of sampled superpixels, standardized (no unit).
    weights : float32 array, shape (N,)
        Pixels of each.
    n_leaves : int
        Wanted number of leaves; fewer where there are fewer distinct samples.
    seed : int
        Seed of the centroids.
    device : str
        "cpu" or a torch CUDA device.
    run_all : callable
        ``map``, or an executor's, to run the cells side by side; the result is the same.

    Returns
    -------
    codebook : Codebook
    tree : tuple
        parent, height, low, high as `build_merge_tree` gives them.

    Raises
    ------
    EmptySceneError
        If there is no sample.
    """
    if not len(samples):
        raise EmptySceneError(
            "No pixel of the image holds data; choose another image or another area of interest."
        )
    n_cells = int(np.clip(round(n_leaves / _LEAVES_PER_CELL), 1, MAX_CELLS))
    coarse = find_centroids(samples, weights, n_cells, seed, device=device)
    points = torch.from_numpy(np.ascontiguousarray(samples))
    centers = torch.from_numpy(coarse)
    cell_of = (centers.square().sum(1) - 2 * points @ centers.T).argmin(1).numpy()
    shares = _share_out(np.bincount(cell_of, minlength=len(coarse)), n_leaves)
    # A cell's samples beyond a few for each leaf would cost time and hardly move a centroid.
    order = np.argsort(cell_of, kind="stable")
    bounds = np.searchsorted(cell_of[order], np.arange(len(coarse) + 1))

    def leaves_of(cell: int) -> NDArray[np.float32]:
        mine = order[bounds[cell] : bounds[cell + 1]]
        mine = mine[:: max(1, len(mine) // (_SAMPLES_PER_LEAF * int(shares[cell])))]
        return find_centroids(
            samples[mine],
            weights[mine],
            int(shares[cell]),
            seed + 1 + cell,
            rounds=_FINE_ROUNDS,
            device=device,
        )

    held_cells = np.flatnonzero(shares)  # to the others nothing sampled is nearest
    centroids = list(run_all(leaves_of, held_cells.tolist()))
    cells = [np.full(len(part), cell, np.int32) for cell, part in enumerate(centroids)]
    coarse = coarse[shares > 0]
    codebook = Codebook.from_leaves(np.concatenate(centroids), np.concatenate(cells), coarse)
    parts = np.array_split(samples, max(1, len(samples) // 20_000))
    leaves = np.concatenate([found[0] for found in run_all(codebook.assign, parts)])
    mass = np.bincount(leaves, weights, minlength=len(codebook.centroids)).astype(np.float64)
    held = mass > 0  # a leaf that wins no sample would be an empty cluster
    codebook = Codebook.from_leaves(codebook.centroids[held], codebook.cells[held], coarse)
    order, parent, height, low, high = build_merge_tree(codebook.centroids, mass[held], codebook.cells)
    codebook = Codebook.from_leaves(codebook.centroids[order], codebook.cells[order], coarse)
    return codebook, (parent, height, low, high)


def _share_out(counts: NDArray[np.int64], n_leaves: int) -> NDArray[np.int64]:
    """Leaves of each cell: in proportion to its samples, at least one where it has any, at most MAX_FINE."""
    shares = np.floor(counts * (n_leaves / counts.sum())).astype(np.int64)
    return np.clip(shares, np.minimum(counts, 1), np.minimum(counts, MAX_FINE))
