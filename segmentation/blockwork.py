"""What is computed from one window: superpixels, their features, and the sizes and spectra of leaves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.clustering.codebook import Codebook
from segmentation.clustering.pooling import region_sums
from segmentation.clustering.superpixels import find_superpixels
from segmentation.errors import FeatureMismatchError
from segmentation.features.filters import FilterBank, outer_window
from segmentation.features.normalize import BandScaling, FeatureScaling
from segmentation.learning.encoder import REACH_PX, Encoder, bfloat16_is_fast
from segmentation.learning.pooling import STRIDE
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.windows import Window

__all__ = ["BlockWork", "Superpixels", "leaf_sums", "valid_inside"]

_SLIC_CHANNELS = 4  # more would cost time and hardly move a border


@dataclass(frozen=True)
class Superpixels:
    """Superpixels of one window.

    ``labels`` int32 (H, W), -1 where not valid; ``pixels`` float32 (n,); ``features`` float32 (n, D), means of the filter bank,
    then the embedding where there is a network, not standardized yet; ``band_sums`` float64 (n, B), in the scene's unit.
    """

    labels: NDArray[np.int32]
    pixels: NDArray[np.float32]
    features: NDArray[np.float32]
    band_sums: NDArray[np.float64]


@dataclass
class BlockWork:
    """Everything that is fixed before the first window is computed; used by several threads at once."""

    reader: BlockReader
    georeference: Georeference
    scaling: BandScaling
    superpixel_px: int
    aoi: dict[str, Any] | None
    device: str
    encoder: Encoder | None = None

    @property
    def n_features(self) -> int:
        """Features of a superpixel: the filter bank's, then the embedding's."""
        learned = 0 if self.encoder is None else self.encoder.n_features
        return FilterBank(self.scaling.n_channels).n_features + learned

    def superpixels(self, window: Window) -> Superpixels:
        """Divide a window into superpixels and pool its feature map over them."""
        return self.regions(
            window,
            lambda channels, held: find_superpixels(channels[:_SLIC_CHANNELS], held, self.superpixel_px),
        )

    def superpixels_within(self, window: Window, mask: NDArray[np.bool_]) -> Superpixels:
        """Divide a part of a window, bool (H, W), into superpixels that keep inside it."""
        return self.regions(
            window,
            lambda channels, held: find_superpixels(
                channels[:_SLIC_CHANNELS], held & mask, self.superpixel_px
            ),
        )

    def regions(
        self,
        window: Window,
        divide: Callable[[NDArray[np.float32], NDArray[np.bool_]], tuple[NDArray[np.int32], int]],
    ) -> Superpixels:
        """Divide a window into regions and pool its feature map over them.

        ``divide`` is given the channels, float32 (C, H, W), and where there is data, bool (H, W); it gives the region of
        each pixel, int32 (H, W), -1 for none, and the number of regions.
        """
        outer = outer_window(window)
        bands, valid = self.reader.read(outer)
        top, left = window.row - outer.row, window.col - outer.col
        inner = (slice(top, top + window.height), slice(left, left + window.width))
        held = valid_inside(self.georeference, self.aoi, window, valid[inner])
        if not held.any():
            none = np.zeros(0, np.float32)
            labels = np.full(held.shape, -1, np.int32)
            return Superpixels(
                labels, none, np.zeros((0, self.n_features), np.float32), np.zeros((0, self.reader.n_bands))
            )
        channels, features = self._feature_map(bands, valid, top, left, window)
        labels, n = divide(channels, held)
        pixels = np.bincount(labels[labels >= 0], minlength=n).astype(np.float32)
        means = (region_sums(features, labels, n) / pixels[:, None]).astype(np.float32)
        if self.encoder is not None:
            learned = (
                self._embedding(bands, valid, top, left, labels, n)
                if n
                else np.zeros((0, self.encoder.n_features))
            )
            means = np.column_stack([means, learned]).astype(np.float32)
        sums = region_sums(np.ascontiguousarray(bands[:, *inner]), labels, n)
        return Superpixels(labels, pixels, means, sums)

    def with_embedding(self, window: Window, found: Superpixels) -> Superpixels:
        """Add the embedding to superpixels that were found before there was a network."""
        if not len(found.pixels):
            return replace(found, features=np.zeros((0, self.n_features), np.float32))
        outer = outer_window(window)
        bands, valid = self.reader.read(outer)
        top, left = window.row - outer.row, window.col - outer.col
        learned = self._embedding(bands, valid, top, left, found.labels, len(found.pixels))
        return replace(found, features=np.column_stack([found.features, learned]))

    def image(self, window: Window) -> NDArray[np.float32]:
        """Channels of a window, 0 where there is no data, then 1 where there is: float32 (C + 1, H, W)."""
        bands, valid = self.reader.read(window)
        with torch.inference_mode():
            channels = self.scaling(torch.from_numpy(bands)).numpy()
        return np.concatenate([channels * valid, valid[None].astype(np.float32)])

    def _embedding(
        self,
        bands: NDArray[np.float32],
        valid: NDArray[np.bool_],
        top: int,
        left: int,
        labels: NDArray[np.int32],
        n: int,
    ) -> NDArray[np.float32]:
        try:
            return self._embedding_on(self.device, bands, valid, top, left, labels, n)
        except torch.cuda.OutOfMemoryError:
            warnings.warn(
                "The GPU has too little memory to embed a block; this one is computed on the CPU.",
                stacklevel=2,
            )
            return self._embedding_on("cpu", bands, valid, top, left, labels, n)

    def _embedding_on(
        self,
        device: str,
        bands: NDArray[np.float32],
        valid: NDArray[np.bool_],
        top: int,
        left: int,
        labels: NDArray[np.int32],
        n: int,
    ) -> NDArray[np.float32]:
        """Embed superpixels in as much of the outer window as the encoder looks at, from a corner on its grid."""
        encoder = self._encoder_on(device)
        first_row, first_col = (max((x - REACH_PX) // STRIDE * STRIDE, 0) for x in (top, left))
        height, width = labels.shape
        last_row, last_col = (
            -(-(x + size + REACH_PX) // STRIDE) * STRIDE for x, size in ((top, height), (left, width))
        )
        part = (slice(first_row, last_row), slice(first_col, last_col))
        held = torch.from_numpy(np.ascontiguousarray(valid[part])).to(device)
        with torch.inference_mode():
            channels = self.scaling(torch.from_numpy(np.ascontiguousarray(bands[:, *part])).to(device))
            image = torch.cat([torch.where(held, channels, 0.0), held[None].to(torch.float32)])[None]
        regions = np.full(held.shape, -1, np.int64)
        row, col = top - first_row, left - first_col
        regions[row : row + height, col : col + width] = labels
        return encoder.embed(image, regions, n, bfloat16_is_fast(device))

    def _encoder_on(self, device: str) -> Encoder:
        if self.encoder is None:
            raise FeatureMismatchError("There is no network to embed with; give one.")
        if next(self.encoder.parameters()).device.type == torch.device(device).type:
            return self.encoder
        return copy.deepcopy(self.encoder).to(device)

    def _feature_map(
        self, bands: NDArray[np.float32], valid: NDArray[np.bool_], top: int, left: int, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        try:
            return self._feature_map_on(self.device, bands, valid, top, left, window)
        except torch.cuda.OutOfMemoryError:
            warnings.warn(
                "The GPU has too little memory for a block; this one is computed on the CPU.", stacklevel=2
            )
            return self._feature_map_on("cpu", bands, valid, top, left, window)

    def _feature_map_on(
        self,
        device: str,
        bands: NDArray[np.float32],
        valid: NDArray[np.bool_],
        top: int,
        left: int,
        window: Window,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            channels = self.scaling(torch.from_numpy(bands).to(device))
            bank = FilterBank(self.scaling.n_channels)
            features = bank(
                channels, torch.from_numpy(valid).to(device), top, left, window.height, window.width
            )
            inner = channels[:, top : top + window.height, left : left + window.width]
            return inner.cpu().numpy(), features.cpu().numpy()

    def leaf_block(
        self, codebook: Codebook, scaling: FeatureScaling, superpixels: Superpixels
    ) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
        """Leaf of every pixel of a window, uint16 (H, W), and of every superpixel, int32 (n,)."""
        leaf_of, _, _ = codebook.assign(scaling(superpixels.features), self.device)
        table = np.append(leaf_of, NODATA_LEAF).astype(np.uint16)  # label -1 takes the last entry
        return table[superpixels.labels], leaf_of


def valid_inside(
    georeference: Georeference, aoi: dict[str, Any] | None, window: Window, valid: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Pixels of a window, shape (H, W), that hold data and lie inside the area of interest, if there is one."""
    if aoi is None:
        return valid
    return valid & georeference.aoi_mask(aoi, window.row, window.col, window.height, window.width)


def leaf_sums(
    leaf_of: NDArray[np.int32],
    superpixels: Superpixels,
    areas_m2: NDArray[np.float64] | None,
    band_scale: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels, area and band sums of the leaves of one block.

    Parameters
    ----------
    leaf_of : int32 array, shape (n,)
        Leaf of each superpixel.
    superpixels : Superpixels
        Of the block.
    areas_m2 : float64 array, shape (H, W), or None
        Area of each pixel; None without CRS.
    band_scale : float32 array, shape (B,)
        Spread of each band.

    Returns
    -------
    leaves : int64 array, shape (m,)
        Distinct leaves.
    sums : float64 array, shape (m, 2 + B)
        Rounded to multiples of a power of two far below a pixel's share, so that adding up the blocks of a scene gives
        the same bits in whatever order they finish.
    """
    n = len(leaf_of)
    if areas_m2 is None:
        area, area_quantum = np.full(n, np.nan), 1.0
    else:
        area = region_sums(areas_m2[None].astype(np.float32), superpixels.labels, n)[:, 0]
        area_quantum = _quantum(areas_m2.max())
    quanta = np.array([1.0, area_quantum, *(_quantum(scale) for scale in band_scale)])
    sums = np.column_stack([superpixels.pixels, area, superpixels.band_sums])
    leaves, place = np.unique(leaf_of, return_inverse=True)
    total = np.zeros((len(leaves), sums.shape[1]))
    np.add.at(total, place, sums)
    return leaves.astype(np.int64), np.rint(total / quanta) * quanta


def _quantum(scale: float) -> float:
    """A power of two, 2^-14 to 2^-15 of a value: 2^38 such values add up exactly in double precision."""
    return float(2.0 ** (np.floor(np.log2(max(float(scale), 1e-30))) - 14))
