"""Centroids from samples: faiss on the CPU, torch on CUDA."""

from __future__ import annotations

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

__all__ = ["find_centroids"]

_SEEDING_SAMPLES = 20_000  # k-means++ looks at each of them once a centroid


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
    samples = np.ascontiguousarray(samples, dtype=np.float32)
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
        # faiss would draw 256 samples a centroid and warn below 39.
        max_points_per_centroid=len(samples),
        min_points_per_centroid=1,
    )
    kmeans.train(samples, weights=np.ascontiguousarray(weights, dtype=np.float32), init_centroids=seeds)
    return np.asarray(kmeans.centroids, dtype=np.float32).reshape(-1, samples.shape[1])


def _plus_plus(samples: NDArray[np.float32], n_centroids: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    if len(samples) > _SEEDING_SAMPLES:
        samples = samples[np.sort(rng.choice(len(samples), _SEEDING_SAMPLES, replace=False))]
    # One local trial: the greedy variant's several trials cost more than Lloyd's rounds and gain little after them.
    centers, _ = kmeans_plusplus(
        samples, min(n_centroids, len(samples)), random_state=int(rng.integers(2**31)), n_local_trials=1
    )
    return np.ascontiguousarray(centers, dtype=np.float32)


def _lloyd_torch(
    samples: NDArray[np.float32], weights: NDArray[np.float32], seeds: NDArray[np.float32], rounds: int, device: str
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
    running = torch.cat([values.new_zeros((1, values.shape[1]), dtype=torch.float64), values.double().cumsum(0)])
    ends = torch.searchsorted(group, torch.arange(n_groups, device=group.device), right=True)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return (running[ends] - running[starts]).to(values.dtype)
