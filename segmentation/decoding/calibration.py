"""Certainty that means what it says: of the leaves called 80 % certain, about 80 % should be right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibrate", "expected_calibration_error"]

# Votes that were averaged over trees, kernel and neighbors are less sure of themselves than they may be, the more so the
# more clicks there are: the exponent after 10 clicks, the power of the clicks with which it grows, and its bounds.
_AT_TEN, _GROWTH, _LOWEST, _HIGHEST = 1.2, 0.23, 1.0, 1.75


def calibrate(probabilities: NDArray[np.float32], n_clicks: int) -> NDArray[np.float32]:
    """Sharpen probabilities to what the tuning images showed.

    Parameters
    ----------
    probabilities : float32 array, shape (n, k)
        Rows sum to 1.
    n_clicks : int
        In how many different leaves classes were clicked, at least 1.

    Returns
    -------
    float32 array, shape (n, k)
        Rows sum to 1; their order stays.

    Notes
    -----
    Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks") of probabilities in place of logits:
    p^s, divided by the row's sum. docs/decisions/0009 tells where s comes from.
    """
    exponent = min(max(_AT_TEN * (n_clicks / 10) ** _GROWTH, _LOWEST), _HIGHEST)
    sharp = probabilities ** np.float32(exponent)
    sharp /= sharp.sum(axis=1, keepdims=True)
    return sharp


def expected_calibration_error(
    certainty: NDArray[np.float32],
    share_right: NDArray[np.float64],
    weights: NDArray[np.float64],
    bins: int = 15,
) -> float:
    """How far certainties are from the share that is right, on average.

    Parameters
    ----------
    certainty : float32 array, shape (n,)
        0 to 1.
    share_right : float64 array, shape (n,)
        Share of each leaf's known pixels that have the predicted class.
    weights : float64 array, shape (n,)
        Known pixels of each leaf.
    bins : int
        Into which 0 to 1 is divided.

    Returns
    -------
    float
        Weighted mean over the bins of |mean certainty - share that is right|, 0 to 1.

    Notes
    -----
    Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    held = np.minimum((certainty * bins).astype(np.int64), bins - 1)
    right = np.bincount(held, share_right * weights, minlength=bins)
    claimed = np.bincount(held, certainty * weights, minlength=bins)
    return float(np.abs(right - claimed).sum() / weights.sum())
