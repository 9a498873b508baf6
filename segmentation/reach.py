"""How far from a leaf a superpixel may lie and still belong to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.clustering.codebook import Codebook

__all__ = ["Reach", "measure_reach"]

_PRIOR = 8.0  # superpixels: how much the leaves' common spread counts in that of a single one


@dataclass(frozen=True)
class Reach:
    """``distance`` float32 (n,): beyond it a superpixel is unlike its nearest leaf; ``factor`` times the leaf's spread."""

    distance: NDArray[np.float32]
    factor: float


def measure_reach(
    codebook: Codebook,
    features: NDArray[np.float32],
    pixels: NDArray[np.float32],
    percentile: float,
    device: str = "cpu",
) -> Reach:
    """Take from a scene's own superpixels how far from their leaves they lie.

    Parameters
    ----------
    codebook : Codebook
        Found from these superpixels.
    features : float32 array, shape (N, D)
        Mean feature vectors of superpixels, standardized (no unit).
    pixels : float32 array, shape (N,)
        Pixels of each.
    percentile : float
        Share of the pixels, 0 to 100, that is to lie within reach.
    device : str
        "cpu" or a torch CUDA device.

    Returns
    -------
    Reach

    Notes
    -----
    A leaf lies in the middle of the superpixels that it was found from, so these are closer to it than equal ones of
    another scene would be. Hence each is measured as if its leaf had been found without it: a mean without a member of
    the share s lies 1 / (1 - s) times as far from it, and a superpixel alone in its leaf would go to the second nearest.
    The spread of a leaf (root of the mean squared distance) is drawn towards that of all leaves, the more the fewer
    superpixels it has.
    """
    leaf_of, nearest, second = codebook.assign(features, device)
    n = len(codebook.centroids)
    mass = np.bincount(leaf_of, pixels, minlength=n)[leaf_of]
    rest = mass - pixels
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.where(rest > 1e-6 * mass, nearest.astype(np.float64) * mass / rest, np.inf)
    distance = np.minimum(without, second)
    held = np.isfinite(distance)  # a lone superpixel in a lone leaf tells nothing
    if not held.any():
        return Reach(np.full(n, np.inf, np.float32), np.inf)
    leaf_of, distance, weight = leaf_of[held], distance[held], pixels[held].astype(np.float64)
    common = float(np.average(distance**2, weights=weight))
    counts = np.bincount(leaf_of, minlength=n)
    squares = np.bincount(leaf_of, distance**2, minlength=n)
    spread = np.sqrt((squares + _PRIOR * common) / (counts + _PRIOR))
    spread = np.maximum(spread, 1e-6)  # where all superpixels of the scene are alike
    ratio = distance / spread[leaf_of]
    order = np.argsort(ratio, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    place = min(int(np.searchsorted(share, percentile / 100)), len(order) - 1)
    # Features agree to about 1e-5 whatever the window, so what lies just at the edge is known.
    factor = float(ratio[order[place]]) * (1 + 1e-4)
    return Reach((factor * spread).astype(np.float32) + np.float32(1e-4), factor)
