"""Sums over regions."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["region_sums"]


def region_sums(
    planes: NDArray[np.float32], labels: NDArray[np.int32], n_regions: int
) -> NDArray[np.float64]:
    """Sum the values of each plane over each region.

    Parameters
    ----------
    planes : float32 array, shape (P, H, W)
        Values in any unit, finite where labels are not negative.
    labels : int32 array, shape (H, W)
        Region of each pixel in [0, n_regions); negative pixels are left out.
    n_regions : int
        Number of regions.

    Returns
    -------
    float64 array, shape (n_regions, P)
        Sums.
    """
    return _region_sums(planes.reshape(len(planes), -1), labels.reshape(-1), n_regions).T  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)
def _region_sums(planes, labels, n_regions):  # type: ignore[no-untyped-def]
    sums = np.zeros((planes.shape[0], n_regions))
    for p in range(planes.shape[0]):
        row = sums[p]
        plane = planes[p]
        for i in range(labels.shape[0]):
            if labels[i] >= 0:
                row[labels[i]] += plane[i]
    return sums
