"""Scene-wide statistics that bring bands, and then features, to one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MAX_PLAIN_BANDS", "BandScaling", "FeatureScaling"]

MAX_PLAIN_BANDS = 8  # scenes with more bands are filtered on their principal components
_N_COMPONENTS = 8
_CLIP = 2.0  # scaled bands beyond this are outliers: glint, saturated or broken pixels


@dataclass(frozen=True)
class BandScaling:
    """From bands in the scene's unit to channels of about one between dark and bright.

    ``center`` and ``scale`` float32 (B,): x -> (x - center) / scale, clipped to [-2, 2]. ``components`` float32 (C, B)
    or None: principal components of the scaled bands.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    components: NDArray[np.float32] | None

    @classmethod
    def fit(cls, pixels: NDArray[np.float32]) -> BandScaling:
        """Measure a sample of the scene's pixels.

        Parameters
        ----------
        pixels : float32 array, shape (N, B), N >= 1
            Valid pixels from all over the scene, in the scene's unit.

        Returns
        -------
        BandScaling
            Centered between the 2nd and the 98th percentile and divided by their distance (by the standard deviation,
            then by one, where that is zero).
        """
        low, high = np.percentile(pixels, (2, 98), axis=0)
        # A band that is constant but for a few pixels has no spread between percentiles.
        spread = np.where(high > low, high - low, pixels.std(axis=0, dtype=np.float64))
        spread = np.where(spread > 0, spread, 1.0)
        center, scale = ((low + high) / 2).astype(np.float32), spread.astype(np.float32)
        if pixels.shape[1] <= MAX_PLAIN_BANDS:
            return cls(center, scale, None)
        scaled = np.clip((pixels - center) / scale, -_CLIP, _CLIP).astype(np.float64)
        values, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False))
        strongest = np.argsort(values)[::-1][:_N_COMPONENTS]
        components = vectors[:, strongest].T
        # The sign of an eigenvector is arbitrary: make its largest entry positive, so that runs agree.
        components *= np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])[
            :, None
        ]
        # Each component over the strongest one's spread: noise stays small, and values keep to about one.
        spread_of_first = max(float(np.sqrt(max(values[strongest[0]], 0))), 1e-6)
        return cls(center, scale, (components / (4 * spread_of_first)).astype(np.float32))

    @property
    def n_channels(self) -> int:
        """Number of channels that come out."""
        return len(self.center) if self.components is None else len(self.components)

    def __call__(self, bands: Tensor) -> Tensor:
        """Scale bands, shape (B, H, W), to channels, shape (C, H, W), both float32."""
        center = torch.from_numpy(self.center).to(bands.device)[:, None, None]
        scale = torch.from_numpy(self.scale).to(bands.device)[:, None, None]
        scaled = ((bands - center) / scale).clamp(-_CLIP, _CLIP)
        if self.components is None:
            return scaled
        components = torch.from_numpy(self.components).to(bands.device)
        return torch.einsum("cb,bhw->chw", components, scaled)


@dataclass(frozen=True)
class FeatureScaling:
    """Brings features to one scale: x -> (x - ``mean``) / ``deviation``, both float32 (D,)."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def fit(
        cls, samples: NDArray[np.float32], weights: NDArray[np.float32], importance: NDArray[np.float32]
    ) -> FeatureScaling:
        """Measure sampled superpixels.

        Parameters
        ----------
        samples : float32 array, shape (N, D)
            Features of each superpixel.
        weights : float32 array, shape (N,)
            How much each counts (its pixels).
        importance : float32 array, shape (D,)
            Standard deviation that each feature is to have: how much it says in a distance.
        """
        mean = np.average(samples, axis=0, weights=weights)
        deviation = np.sqrt(np.average(np.square(samples - mean), axis=0, weights=weights))
        # A feature that is constant, but for rounding, says nothing.
        return cls(
            mean.astype(np.float32),
            (np.where(deviation > 1e-6, deviation, 1.0) / importance).astype(np.float32),
        )

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardize feature vectors, shape (N, D)."""
        return ((features - self.mean) / self.deviation).astype(np.float32)
