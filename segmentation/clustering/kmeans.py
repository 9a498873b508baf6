"""Centroids from samples: faiss on the CPU, torch on CUDA."""

from __future__ import annotations

import faiss
import numba
import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["find_centroids"]

_SAMPLES_PER_CENTROID = 256  # as faiss has it by default: more hardly move a centroid
_SEEDING_SAMPLES = 10_000  # k-means++ looks at each of them once a centroid


def find_centroids(
    samples: NDArray[np.float32],
    weights: NDArray[np.float32],
    n_centroids: int,
    seed: int,
    *,
    rounds: int = 12,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Run k-means from k-means++ seeds.

    Parameters
    ----------
    samples : float32 array, shape (N, D)
        Feature vectors, each feature standardized (no unit).
    weights : float32 array, shape (N,)
        How much each sample counts, above 0 (pixels of a superpixel).
    n_centroids : int
        Wanted number; fewer come back where there are fewer distinct samples.
    seed : int
        The same samples, seed and device give the same centroids.
    rounds : int
        Lloyd's rounds.
    device : str
        "cpu" or a torch CUDA device.

    Returns
    -------
    float32 array, shape (K, D), K <= n_centroids
        Centroids, each of which wins at least one of the samples or lies where one was.

    Notes
    -----
    Lloyd (1982), doi:10.1109/TIT.1982.1056489; seeds by Arthur & Vassilvitskii (2007), k-means++.
    """
    step = max(1, len(samples) // (_SAMPLES_PER_CENTROID * n_centroids))
    samples = np.ascontiguousarray(samples[::step], dtype=np.float32)
    weights = weights[::step]
    if len(samples) <= n_centroids:
        return np.unique(samples, axis=0)
    if n_centroids == 1:
        return np.average(samples, axis=0, weights=weights).astype(np.float32)[None]
    seeds = _plus_plus(samples, n_centroids, seed)
    seeds = np.unique(seeds, axis=0)  # identical samples may be drawn twice
    if len(seeds) == 1:
        return seeds
    if device != "cpu":
        return _lloyd_torch(samples, weights, seeds, rounds, device)
    kmeans = faiss.Kmeans(
        samples.shape[1],
        len(seeds),
        niter=rounds,
        seed=seed & 0x7FFFFFFF,
        # Else faiss would warn below 39 samples a centroid.
        max_points_per_centroid=len(samples),
        min_points_per_centroid=1,
    )
    kmeans.train(samples, weights=np.ascontiguousarray(weights, dtype=np.float32), init_centroids=seeds)
    return np.asarray(kmeans.centroids, dtype=np.float32).reshape(-1, samples.shape[1])


def _plus_plus(samples: NDArray[np.float32], n_centroids: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    most = max(_SEEDING_SAMPLES, 4 * n_centroids)
    if len(samples) > most:
        samples = samples[np.sort(rng.choice(len(samples), most, replace=False))]
    # One draw a centroid: the greedy variant's several trials cost more than Lloyd's rounds and gain little after them.
    return samples[_draw(samples, int(rng.integers(len(samples))), rng.random(n_centroids))]


@numba.njit(nogil=True, cache=True)
def _draw(samples, first, draws):  # type: ignore[no-untyped-def]
    """Draw samples with a chance that grows with the squared distance from those drawn before."""
    n, n_features = samples.shape
    chosen = np.empty(len(draws), np.int64)
    chosen[0] = first
    gap = np.full(n, np.float32(3.4e38))
    for k in range(1, len(draws)):
        latest = samples[chosen[k - 1]]
        total = 0.0
        for i in range(n):
            distance = np.float32(0)
            for d in range(n_features):
                difference = samples[i, d] - latest[d]
                distance += difference * difference
            gap[i] = min(gap[i], distance)
            total += gap[i]
        if total <= 0:  # every sample equals one drawn before
            return chosen[:k]
        rest = draws[k] * total
        pick = -1
        for i in range(n):
            if gap[i] > 0:
                pick = i
                rest -= gap[i]
                if rest <= 0:
                    break
        chosen[k] = pick
    return chosen


def _lloyd_torch(
    samples: NDArray[np.float32],
    weights: NDArray[np.float32],
    seeds: NDArray[np.float32],
    rounds: int,
    device: str,
) -> NDArray[np.float32]:
    points = torch.from_numpy(samples).to(device)
    mass = torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float32)).to(device)
    centroids = torch.from_numpy(seeds).to(device)
    for _ in range(rounds):
        nearest = (centroids.square().sum(1) - 2 * points @ centroids.T).argmin(1)
        # A product with the one-hot assignment, since atomic adds would sum in another order each time.
        order = torch.argsort(nearest, stable=True)
        sums = _sum_sorted(points[order] * mass[order, None], nearest[order], len(centroids))
        total = _sum_sorted(mass[order, None], nearest[order], len(centroids))
        centroids = torch.where(total > 0, sums / total.clamp(min=1e-12), centroids)
    return centroids.cpu().numpy()


def _sum_sorted(values: torch.Tensor, group: torch.Tensor, n_groups: int) -> torch.Tensor:
    """Sum rows that belong together, the groups being sorted: differences of running sums, in double precision."""
    running = torch.cat(
        [values.new_zeros((1, values.shape[1]), dtype=torch.float64), values.double().cumsum(0)]
    )
    ends = torch.searchsorted(group, torch.arange(n_groups, device=group.device), right=True)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return (running[ends] - running[starts]).to(values.dtype)
