"""What a step of training looks at: crops around chosen superpixels, each in two views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmentation.learning.encoder import Encoder
from segmentation.learning.pooling import STRIDE, Pooling, pool_regions
from segmentation.learning.recipe import Recipe

__all__ = ["Batch", "CropSource", "TrainingWindow"]


@dataclass(frozen=True, eq=False)
class TrainingWindow:
    """A window of a scene.

    ``image`` float32 (C + 1, H, W): channels, 0 without data, then 1 where there is data; ``labels`` int32 (H, W):
    superpixel of each pixel, -1 without data; ``features`` float32 (n, D) of the superpixels, standardized filter bank;
    ``pixels`` float32 (n,).
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    features: NDArray[np.float32]
    pixels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Batch:
    """``image`` (2 N, C + 1, H, W): the first views, then the second; ``pooling`` gives two rows for each superpixel: that of the
    first view, then, ``len(superpixels)`` further, that of the second. ``superpixels`` int64 (n,), numbered over all
    windows; ``whole`` bool (n,): enough of it lies in the crop to be judged."""

    image: Tensor
    pooling: Pooling
    superpixels: NDArray[np.int64]
    whole: NDArray[np.bool_]


class CropSource:
    """Cuts crops out of windows."""

    def __init__(self, windows: Sequence[TrainingWindow], recipe: Recipe) -> None:
        self.recipe = recipe
        longest = max(max(window.labels.shape) for window in windows)
        self.side = min(recipe.crop_px, -(-longest // STRIDE) * STRIDE)
        self._windows = [_padded(window, self.side) for window in windows]
        counts = [len(window.pixels) for window in windows]
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self.pixels = np.concatenate([window.pixels for window in windows])
        self._window_of = np.repeat(np.arange(len(windows)), counts)
        self._centers = np.concatenate([_centers(window) for window in self._windows])

    def batch(
        self, chance: NDArray[np.float64], rng: np.random.Generator, device: str, n_crops: int | None = None
    ) -> Batch:
        """Draw superpixels with the given chances, and cut a crop that holds each.

        Parameters
        ----------
        chance : float64 array, shape (n_superpixels,)
            Running sum of the chances, the last one 1.
        rng : Generator
            Where chance comes from.
        device : str
            Where the images are to lie.
        n_crops : int, optional
            The recipe's by default.
        """
        chosen = np.searchsorted(chance, rng.random(n_crops or self.recipe.crops), side="right")
        first, second, labels, turned = [], [], [], []
        for superpixel in np.minimum(chosen, len(chance) - 1):
            place = int(self._window_of[superpixel])
            window = self._windows[place]
            rows, cols = self._around(superpixel, window.labels.shape, rng)
            image, mine = window.image[:, rows, cols], window.labels[rows, cols].astype(np.int64)
            mine = np.where(mine >= 0, mine + self._first[place], np.int64(-1))
            quarter, mirrored = int(rng.integers(4)), bool(rng.integers(2))
            first.append(self._jitter(image, rng))
            second.append(_turn(self._jitter(image, rng), quarter, mirrored))
            labels.append(mine)
            turned.append(_turn(mine, quarter, mirrored))
        superpixels, both, in_crop = _renumber(labels, turned)
        views = torch.from_numpy(np.stack([*first, *second]))
        views = views.to(device, memory_format=torch.channels_last)
        whole = in_crop >= 0.5 * self.pixels[superpixels]
        return Batch(views, pool_regions(both, 2 * len(superpixels), device), superpixels, whole)

    def embed(self, encoder: Encoder, device: str, half: bool) -> NDArray[np.float32]:
        """Embeddings of all superpixels, float32 (n, E), of the images as they are."""
        parts = []
        encoder.eval()
        for window in self._windows:
            image = torch.from_numpy(window.image)[None].to(device)
            parts.append(encoder.embed(image, window.labels.astype(np.int64), len(window.pixels), half))
        return np.concatenate(parts)

    def _around(
        self, superpixel: int, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[slice, slice]:
        offsets = rng.integers(self.side // 4, self.side - self.side // 4, 2)
        start = np.clip(self._centers[superpixel].astype(np.int64) - offsets, 0, np.array(shape) - self.side)
        return slice(start[0], start[0] + self.side), slice(start[1], start[1] + self.side)

    def _jitter(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Another light: gain and offset of each band and of all together."""
        recipe, n = self.recipe, len(image) - 1
        gain = np.exp(rng.normal(0, recipe.gain, n) + rng.normal(0, recipe.contrast))
        offset = rng.normal(0, recipe.offset / 2, n) + rng.normal(0, recipe.offset)
        out = np.empty_like(image)
        out[n] = image[n]
        changed = image[:n] * gain[:, None, None].astype(np.float32)
        out[:n] = (changed + offset[:, None, None].astype(np.float32)) * image[n]
        return out


def _padded(window: TrainingWindow, side: int) -> TrainingWindow:
    """Fill a window up with nodata to a multiple of the stride, and to the side of a crop."""
    height, width = (max(side, -(-n // STRIDE) * STRIDE) for n in window.labels.shape)
    down, right = height - window.labels.shape[0], width - window.labels.shape[1]
    if not down and not right:
        return window
    image = np.pad(window.image, ((0, 0), (0, down), (0, right)))
    labels = np.pad(window.labels, ((0, down), (0, right)), constant_values=-1)
    return TrainingWindow(image, labels, window.features, window.pixels)


def _centers(window: TrainingWindow) -> NDArray[np.float32]:
    held = window.labels >= 0
    rows, cols = np.nonzero(held)
    mine, n = window.labels[held], len(window.pixels)
    total = np.maximum(np.bincount(mine, minlength=n), 1)
    return np.stack(
        [np.bincount(mine, rows, minlength=n) / total, np.bincount(mine, cols, minlength=n) / total], axis=1
    ).astype(np.float32)


def _turn(planes: NDArray[Any], quarter: int, mirrored: bool) -> NDArray[Any]:
    turned = np.rot90(planes, quarter, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def _renumber(
    labels: list[NDArray[np.int64]], turned: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]], NDArray[np.int64]]:
    """Superpixels of a batch, crop by crop (one in two crops counts twice), labels of both views, pixels in the crop."""
    superpixels, in_crop = [], []
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    total = 0
    for before, after in zip(labels, turned, strict=True):
        held, counts = np.unique(before[before >= 0], return_counts=True)
        for target, image in ((first, before), (second, after)):
            place = np.searchsorted(held, image) + total
            target.append(np.where(image >= 0, place, -1))
        superpixels.append(held)
        in_crop.append(counts)
        total += len(held)
    second = [np.where(image >= 0, image + total, -1) for image in second]
    return np.concatenate(superpixels), [*first, *second], np.concatenate(in_crop)
