"""Small windows to learn from: fields that differ in color and texture."""

import numpy as np

from segmentation.clustering.pooling import region_sums
from segmentation.clustering.superpixels import find_superpixels
from segmentation.learning.crops import TrainingWindow


def window_of(height=96, width=128, n_channels=3, seed=0, nodata=None):
    """A training window; ``nodata``: slices without data."""
    rng = np.random.default_rng(seed)
    field = (np.arange(height)[:, None] > height / 2) * 2 + (np.arange(width)[None] > width / 2)
    level = rng.uniform(-0.5, 0.5, (n_channels, 4))
    channels = (
        level[:, field] + rng.normal(0, 1, (n_channels, height, width)) * np.array([0, 0.1, 0.02, 0.2])[field]
    )
    channels = channels.astype(np.float32)
    valid = np.ones((height, width), np.bool_)
    if nodata is not None:
        valid[nodata] = False
    labels, n = find_superpixels(channels, valid, 25)
    pixels = np.bincount(labels[labels >= 0], minlength=n).astype(np.float32)
    features = (region_sums(channels, labels, n) / pixels[:, None]).astype(np.float32)
    image = np.concatenate([channels * valid, valid[None].astype(np.float32)])
    return TrainingWindow(image, labels, features, pixels)
