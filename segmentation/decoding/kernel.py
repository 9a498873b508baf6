"""Kernel regression: what trees cut into boxes, distances to the examples tell smoothly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CENTERS", "feature_scale", "fit_kernel", "spread_centers"]

MAX_CENTERS = 384  # examples that distances are measured to; the time grows with them
_REACH = 1.0  # squared, of the leaves' total variance, at which an example says 1/e
_NOISE = 0.2  # how far an example that counts 1 may be wrong, as a variance
_FLOOR = 0.01  # regression may leave 0..1

Vectors = NDArray[np.float32]


def feature_scale(means: Vectors) -> float:
    """Total variance of leaves' feature vectors (n, D): the unit for squared distances between them."""
    return max(float(means.var(axis=0, dtype=np.float64).sum()), 1e-12)


def fit_kernel(vectors: Vectors, targets: Vectors, scale: float) -> Callable[[Vectors], Vectors]:
    """Fit a ridge regression with the Laplace kernel on all examples.

    Parameters
    ----------
    vectors : float32 array, shape (m, D)
        Feature vectors of the examples, at most `MAX_CENTERS`.
    targets : float32 array, shape (m, k)
        How much each example counts for each class, with a positive sum in each row.
    scale : float
        Unit of squared distances, see `feature_scale`.

    Returns
    -------
    callable
        From feature vectors, float32 (n, D), to probabilities, float32 (n, k), whose rows sum to 1.

    Notes
    -----
    The kernel exp(-d / l) falls off slower than a Gaussian, which matters where examples are few and far apart. It is the
    posterior mean of a Gaussian process with one output a class (Rasmussen & Williams 2006, chapter 2); far from all
    examples it returns to equal probabilities.
    """
    weights = targets.sum(axis=1, dtype=np.float64)
    n_classes = targets.shape[1]
    centers = np.ascontiguousarray(vectors, np.float32)
    squares = np.einsum("md,md->m", centers, centers)
    inverse = np.float32(1 / (_REACH * scale))

    def kernel(points: Vectors) -> Vectors:
        distances = points @ centers.T
        distances *= -2
        distances += squares
        distances += np.einsum("nd,nd->n", points, points)[:, None]
        np.maximum(distances, 0, out=distances)
        distances *= inverse
        np.sqrt(distances, out=distances)
        np.negative(distances, out=distances)
        return np.exp(distances, out=distances)

    system = kernel(centers).astype(np.float64) + np.diag(_NOISE / weights)
    wanted = targets / weights[:, None] - 1 / n_classes
    factors = np.linalg.solve(system, wanted).astype(np.float32)

    def predict(points: Vectors) -> Vectors:
        found = kernel(points) @ factors
        found += np.float32(1 / n_classes)
        np.maximum(found, _FLOOR, out=found)
        found /= found.sum(axis=1, keepdims=True)
        return found

    return predict


def spread_centers(targets: Vectors) -> NDArray[np.int64]:
    """Choose examples to measure distances to, where there are many (long strokes, imported polygons).

    Parameters
    ----------
    targets : float32 array, shape (m, k)
        How much each example counts for each class. Examples in the order of their leaves: numbered depth first, so that
        an even choice of numbers is spread over what they look like.

    Returns
    -------
    int64 array, shape (at most `MAX_CENTERS`,)
        Rows, ascending; of each class as many as of every other, where there are as many.
    """
    m, k = targets.shape
    if m <= MAX_CENTERS:
        return np.arange(m)
    main = targets.argmax(axis=1)
    chosen = []
    for column in range(k):
        rows = np.flatnonzero(main == column)
        wanted = min(len(rows), max(MAX_CENTERS // k, 1))
        chosen.append(rows[np.linspace(0, len(rows) - 1, wanted).round().astype(np.int64)])
    return np.sort(np.concatenate(chosen))
