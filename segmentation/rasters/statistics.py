"""Means and percentiles of the bands of a scene, gathered window by window in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BandStatistics"]

_SAMPLE_VALUES = 6_000_000  # over all bands: 24 MB
_MIN_PIXELS = 20_000  # with many bands


class BandStatistics:
    """Sums over all valid pixels, and a sample of them that is spread evenly over the scene.

    Parameters
    ----------
    n_bands : int
        Bands of the scene.
    n_pixels : int
        Pixels of the scene; where they fit, the sample holds all.
    """

    def __init__(self, n_bands: int, n_pixels: int) -> None:
        wanted = max(_MIN_PIXELS, _SAMPLE_VALUES // n_bands)
        self._every = max(1, -(-n_pixels // wanted))
        self._sums = np.zeros(n_bands)
        self._n_pixels = n_pixels
        self._samples: list[NDArray[np.float32]] = []
        self._random = np.random.default_rng(0)
        self.n_valid = 0

    def add(self, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take in a window.

        Parameters
        ----------
        pixels : float32 array, shape (B, H, W)
        valid : bool array, shape (H, W)
        """
        flat = pixels.reshape(len(pixels), -1)
        places = np.flatnonzero(valid)
        if not len(places):
            return
        if len(places) < flat.shape[1]:
            self._sums += flat.sum(axis=1, dtype=np.float64, where=valid.ravel())
        else:
            self._sums += flat.sum(axis=1, dtype=np.float64)
        self.n_valid += len(places)
        # One pixel of every run of ``every``, at a random place in it: a fixed step would beat with rows of fields.
        starts = np.arange(0, len(places), self._every)
        chosen = np.minimum(starts + self._random.integers(0, self._every, len(starts)), len(places) - 1)
        self._samples.append(flat[:, places[chosen]])

    @property
    def valid_share(self) -> float:
        """Share of the scene's pixels that hold data."""
        return self.n_valid / self._n_pixels

    def means(self) -> list[float]:
        """Mean of each band over all valid pixels, in the scene's unit."""
        return [float(mean) for mean in self._sums / max(self.n_valid, 1)]

    def percentiles(self, low: float = 2, high: float = 98) -> list[list[float]]:
        """Two percentiles a band over the sample, in the scene's unit; the second is always above the first.

        Of a constant band the range is one unit wide from its value, so that stretching by it is defined.
        """
        if not self._samples:
            return [[0.0, 1.0] for _ in self._sums]
        pairs = np.percentile(np.concatenate(self._samples, axis=1), (low, high), axis=1).T
        return [
            [float(first), float(last) if last > first else float(first) + max(1.0, abs(float(first)) * 1e-6)]
            for first, last in pairs.astype(np.float64)
        ]
