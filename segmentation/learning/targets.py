"""Pseudo-labels: one clustering of all superpixels for each number of clusters, anew in each round."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from segmentation.clustering.kmeans import find_centroids

__all__ = ["Targets", "find_targets", "whiten"]

_FLOOR = 1e-3  # of the largest variance: directions below are noise


@dataclass(frozen=True, eq=False)
class Targets:
    """``labels`` int64 (K, n): pseudo-class of each superpixel in each clustering; ``centers``: for each clustering the mean
    embedding of each class, float32 (k, E), of length 1."""

    labels: NDArray[np.int64]
    centers: list[NDArray[np.float32]]

    def balance(self) -> float:
        """Entropy of the classes' shares over that of equal ones, mean of the clusterings: 1 = perfectly balanced."""
        values = []
        for labels, centers in zip(self.labels, self.centers, strict=True):
            share = np.bincount(labels, minlength=len(centers)) / len(labels)
            held = share[share > 0]
            values.append(-float((held * np.log(held)).sum()) / max(float(np.log(len(centers))), 1e-9))
        return float(np.mean(values))


def whiten(embedding: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decorrelate embeddings and bring each to length 1 (DeepCluster, Caron et al. 2018, arXiv:1807.05520).

    Parameters
    ----------
    embedding : float32 array, shape (n, E)
    weights : float32 array, shape (n,)
        Pixels of each superpixel.
    """
    centered = embedding - np.average(embedding, axis=0, weights=weights)
    covariance = (centered * weights[:, None]).T @ centered / weights.sum()
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    turned = centered @ (vectors / np.sqrt(np.maximum(values, 0) + _FLOOR * max(values.max(), 1e-12)))
    length = np.linalg.norm(turned, axis=1, keepdims=True)
    return (turned / np.maximum(length, 1e-6)).astype(np.float32)


def find_targets(
    points: NDArray[np.float32],
    embedding: NDArray[np.float32],
    weights: NDArray[np.float32],
    clusters: tuple[int, ...],
    seed: int,
    device: str = "cpu",
) -> Targets:
    """Cluster superpixels at several numbers of clusters at once.

    Parameters
    ----------
    points : float32 array, shape (n, D)
        What is clustered: filter bank, or whitened embedding.
    embedding : float32 array, shape (n, E)
        Current embedding, of which the centers are made.
    weights : float32 array, shape (n,)
        Pixels of each superpixel.
    clusters : tuple of int
        Wanted numbers; fewer come where there are fewer distinct points. A cluster that k-means leaves empty is seeded again
        at the point that lies worst, so that none is lost.
    seed : int
    device : str
    """
    labels, centers = [], []
    points = np.ascontiguousarray(points, dtype=np.float32)
    for number in clusters:
        centroids = find_centroids(points, weights, number, seed + number, rounds=15, device=device)
        mine = _assign(points, centroids)
        sums = np.zeros((len(centroids), embedding.shape[1]))
        np.add.at(sums, mine, embedding * weights[:, None])
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        labels.append(mine)
        centers.append((sums / np.maximum(length, 1e-12)).astype(np.float32))
    return Targets(np.stack(labels), centers)


def _assign(points: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Nearest centroid of each point; an empty cluster takes the point that is farthest from its own."""
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(centroids)
    distances, nearest = index.search(points, 1)
    mine, gap = nearest[:, 0].astype(np.int64), distances[:, 0].copy()
    counts = np.bincount(mine, minlength=len(centroids))
    for empty in np.flatnonzero(counts == 0):
        worst = int(np.argmax(np.where(counts[mine] > 1, gap, -1)))
        counts[mine[worst]] -= 1
        mine[worst], gap[worst] = empty, 0
        counts[empty] = 1
    return mine
