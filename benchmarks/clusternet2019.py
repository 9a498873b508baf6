"""The training loop of ClusterNet (Girard, Zhygallo & Tarabalka 2019), at reduced size, as a peer to compare with.

What is kept: a U-Net without padding predicts 64 features a pixel from three bands; for each batch of patches, K-means
with K = 100 on that batch's own features gives pseudo-labels; a linear head is trained on them together with the
network, and is never reset although the numbers of the clusters are drawn anew for every batch; no normalization of
the features, no augmentation, no balancing; cross-entropy, Adam. The features of the whole image are then clustered
once, K = 100, and people click clusters.

What is scaled down, because the original trained 31 million parameters for hours on a GPU: two levels of pooling with 16
to 64 channels (0.13 million parameters), patches of 140 pixels in place of 512, 60 batches of 4 patches, K-means on a
sample of 20,000 pixels of each batch. This favors it in time and hurts it in capacity.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

N_CLUSTERS = 100
N_FEATURES = 64
BATCHES = 60
PATCHES = 4
PATCH_PX = 140
STEPS = 4  # of gradient descent for each batch and its pseudo-labels
RIM_PX = 20  # lost on each side, for want of padding
_SAMPLE = 20_000
_KMEANS_ROUNDS = 10
_TILE_PX = 500  # of the output, a multiple of 4 as the two poolings ask


class UNet(nn.Module):
    """Two levels, valid convolutions: an input of 4 n + 40 pixels gives an output of 4 n."""

    def __init__(self, n_bands: int) -> None:
        super().__init__()
        self.first = _double(n_bands, 16)
        self.second = _double(16, 32)
        self.bottom = _double(32, 64)
        self.up_second = nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.merge_second = _double(64, 32)
        self.up_first = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.merge_first = _double(32, 16)
        self.features = nn.Conv2d(16, N_FEATURES, 1)
        self.head = nn.Conv2d(N_FEATURES, N_CLUSTERS, 1)  # never reset: the weakness of 2019

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 64, h - 40, w - 40) of images (N, C, h, w)."""
        first = self.first(images)
        second = self.second(functional.max_pool2d(first, 2))
        bottom = self.bottom(functional.max_pool2d(second, 2))
        up = self.merge_second(_join(self.up_second(bottom), second))
        up = self.merge_first(_join(self.up_first(up), first))
        return self.features(up)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.Conv2d(outputs, outputs, 3), nn.ReLU())


def _join(up: Tensor, skipped: Tensor) -> Tensor:
    """Beside the coarse features the fine ones, cut to their size."""
    top, left = (skipped.shape[2] - up.shape[2]) // 2, (skipped.shape[3] - up.shape[3]) // 2
    return torch.cat([up, skipped[:, :, top : top + up.shape[2], left : left + up.shape[3]]], dim=1)


def train(bands: NDArray[np.float32], seed: int, batches: int = BATCHES) -> UNet:
    """Train on random patches of one image, float32 (C, H, W) of about 0..1."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    padded = _padded(bands, 0, max(PATCH_PX - bands.shape[1], 0), max(PATCH_PX - bands.shape[2], 0))
    network = UNet(len(bands))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(batches):
        corners = [
            (rng.integers(padded.shape[1] - PATCH_PX + 1), rng.integers(padded.shape[2] - PATCH_PX + 1))
            for _ in range(PATCHES)
        ]
        batch = torch.stack([padded[:, r : r + PATCH_PX, c : c + PATCH_PX] for r, c in corners])
        with torch.inference_mode():
            found = network(batch)
        labels = _pseudo_labels(found.permute(0, 2, 3, 1).reshape(-1, N_FEATURES), rng)
        labels = labels.clone().reshape(found.shape[0], *found.shape[2:])
        for _ in range(STEPS):
            loss = functional.cross_entropy(network.head(network(batch)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def embed(network: UNet, bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (64, H, W) of a whole image, mirrored at its borders."""
    height, width = bands.shape[1:]
    out = np.empty((N_FEATURES, height, width), np.float32)
    padded = _padded(bands, RIM_PX, RIM_PX + _TILE_PX, RIM_PX + _TILE_PX)
    side = _TILE_PX + 2 * RIM_PX
    with torch.inference_mode():
        for row in range(0, height, _TILE_PX):
            for col in range(0, width, _TILE_PX):
                found = network(padded[None, :, row : row + side, col : col + side])[0].numpy()
                target = out[:, row : row + _TILE_PX, col : col + _TILE_PX]
                target[:] = found[:, : target.shape[1], : target.shape[2]]
    return out


def _padded(bands: NDArray[np.float32], before: int, rows_after: int, cols_after: int) -> Tensor:
    """The image mirrored beyond its borders, as often as small images need."""
    rows, cols = ((before, rows_after), (before, cols_after))
    return torch.from_numpy(np.pad(bands, ((0, 0), rows, cols), mode="symmetric"))


def _pseudo_labels(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Lloyd's K-means on the batch's own features, int64 (N,); the numbers mean nothing beyond the batch."""
    sample = features[torch.from_numpy(rng.choice(len(features), min(len(features), _SAMPLE), replace=False))]
    centers = sample[torch.from_numpy(rng.choice(len(sample), N_CLUSTERS, replace=False))].clone()
    for _ in range(_KMEANS_ROUNDS):
        nearest = torch.cdist(sample, centers).argmin(dim=1)
        counts = torch.bincount(nearest, minlength=N_CLUSTERS)
        sums = torch.zeros_like(centers).index_add_(0, nearest, sample)
        centers = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centers)
    return torch.cdist(features, centers).argmin(dim=1)
