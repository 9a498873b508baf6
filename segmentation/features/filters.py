"""The multi-scale filter bank: what a pixel looks like, and what lies around it.

For every band the local mean, and on luminance the local deviation and the gradient energy, at scales of 1, 2, 4, 8
and 16 pixels. Each scale is a Gaussian of one *cell* of a copy reduced by 2^k, so that all scales cost the same few
taps. The cells are aligned to the scene's own grid, and pixels without data carry no weight; hence a feature does not
depend on the window in which it was computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segmentation.errors import FeatureMismatchError, InvalidArgumentError
from segmentation.rasters.windows import Window

__all__ = ["ALIGNMENT", "HALO", "N_SCALES", "FilterBank", "outer_window"]

N_SCALES = 5
ALIGNMENT = 2 ** (N_SCALES - 1)  # pixels; the coarsest cell
_RADIUS = 3  # taps on each side of a Gaussian of one cell: 99.7 % of its weight
# The coarsest scale reaches furthest: its kernel, one cell for central differences, one for the interpolation.
HALO = (_RADIUS + 2) * ALIGNMENT
# Coarse scales tell forest from a single tree, yet in full they would draw bands along every coast.
_IMPORTANCE = (1.0, 0.7, 0.5, 0.35, 0.25)
_EPSILON = 1e-6
_FLOOR = 1e-5  # squared; of bands scaled to about one


@dataclass(frozen=True)
class FilterBank:
    """Filters for scenes of a given number of channels.

    Parameters
    ----------
    n_channels : int
        Bands of the scene, or principal components where it has many.
    """

    n_channels: int

    @property
    def n_features(self) -> int:
        """Number of features of each pixel."""
        return N_SCALES * (self.n_channels + 2)

    @property
    def importance(self) -> NDArray[np.float32]:
        """How much each feature says in a distance, shape (D,): the coarser its scale, the less."""
        return np.repeat(np.array(_IMPORTANCE, np.float32), self.n_channels + 2)

    @property
    def names(self) -> list[str]:
        """What each feature is, in order, for people."""
        kinds = [f"mean of channel {c + 1}" for c in range(self.n_channels)] + ["deviation", "gradient"]
        return [f"{kind}, {2**scale} px" for scale in range(N_SCALES) for kind in kinds]

    def __call__(
        self, channels: Tensor, valid: Tensor, top: int, left: int, height: int, width: int
    ) -> Tensor:
        """Compute the feature map of one window from that window with its halo around it.

        Parameters
        ----------
        channels : float32 tensor, shape (C, H, W)
            Scaled bands (no unit) of the outer window; values where ``valid`` is False are ignored.
        valid : bool tensor, shape (H, W)
            True where all bands hold data; False outside the scene.
        top, left, height, width : int
            The inner window, in pixels of the outer one. The outer window starts on a multiple of ``ALIGNMENT`` of
            the scene's grid and reaches ``HALO`` pixels beyond the inner one (see `outer_window`).

        Returns
        -------
        float32 tensor, shape (D, height, width)
            Feature map; undefined but finite where not valid.

        Raises
        ------
        FeatureMismatchError
            If ``channels`` has another number of channels than the bank.
        InvalidArgumentError
            If the outer window is not a multiple of ``ALIGNMENT`` wide and high.

        Notes
        -----
        Peak memory is about 4*(2*D*height*width + 6*C*H*W) bytes. Masked means are normalized convolution
        (Knutsson & Westin 1993, doi:10.1109/CVPR.1993.341081).
        """
        if channels.shape[0] != self.n_channels:
            raise FeatureMismatchError(
                f"The filters take {self.n_channels} channels, the window has {channels.shape[0]}."
            )
        if channels.shape[1] % ALIGNMENT or channels.shape[2] % ALIGNMENT:
            raise InvalidArgumentError(
                f"The outer window is {channels.shape[1]} x {channels.shape[2]} pixels; "
                f"both must be multiples of {ALIGNMENT}."
            )
        weight = None if bool(valid.all()) else valid.to(torch.float32)
        bands = channels if weight is None else torch.where(valid, channels, 0.0)
        # Luminance and its square in double precision: a variance is their difference, and in single precision its
        # rounding error, after the square root, would depend on the window.
        luminance = bands.mean(dim=0, dtype=torch.float64)
        moments = torch.stack([luminance, luminance.square()])
        out = torch.empty((self.n_features, height, width), dtype=torch.float32, device=channels.device)
        per_scale = self.n_channels + 2
        for scale in range(N_SCALES):
            if scale:
                bands, moments = functional.avg_pool2d(bands, 2), functional.avg_pool2d(moments, 2)
                weight = None if weight is None else functional.avg_pool2d(weight[None], 2)[0]
            cell = 2**scale
            # One more cell on each side for the interpolation, the kernel and the differences.
            margin = _RADIUS + 2
            rows = slice(max(top // cell - margin, 0), -(-(top + height) // cell) + margin)
            cols = slice(max(left // cell - margin, 0), -(-(left + width) // cell) + margin)
            features = _one_scale(
                bands[:, rows, cols], moments[:, rows, cols], None if weight is None else weight[rows, cols]
            )
            row, col = top - rows.start * cell, left - cols.start * cell
            target = out[scale * per_scale : (scale + 1) * per_scale]
            if scale == 0:
                target.copy_(features[:, row : row + height, col : col + width])
            else:
                large = functional.interpolate(
                    features[None], scale_factor=float(cell), mode="bilinear", align_corners=False
                )[0]
                target.copy_(large[:, row : row + height, col : col + width])
        return out


def outer_window(inner: Window) -> Window:
    """Grow a window by the halo, out to the aligned grid; it may stick out of the scene."""
    row = (inner.row - HALO) // ALIGNMENT * ALIGNMENT
    col = (inner.col - HALO) // ALIGNMENT * ALIGNMENT
    bottom = -(-(inner.row + inner.height + HALO) // ALIGNMENT) * ALIGNMENT
    right = -(-(inner.col + inner.width + HALO) // ALIGNMENT) * ALIGNMENT
    return Window(row, col, bottom - row, right - col)


def _one_scale(bands: Tensor, moments: Tensor, weight: Tensor | None) -> Tensor:
    """Means, deviation and gradient energy (C + 2, h, w) of the weighted sums of one scale."""
    luminance = moments[0].to(torch.float32)
    if weight is not None:
        luminance = luminance / weight.clamp(min=_EPSILON)
    gradient, sure = _gradient_energy(luminance, weight)
    smooth = _gaussian(torch.cat([bands, gradient[None]]))
    means, energy = smooth[:-1], smooth[-1]
    first, second = _gaussian(moments)
    if weight is not None and sure is not None:
        total, total_sure = _gaussian(torch.stack([weight, sure]))
        means = means / total.clamp(min=_EPSILON)
        energy = energy / total_sure.clamp(min=_EPSILON)
        first, second = first / total.clamp(min=_EPSILON), second / total.clamp(min=_EPSILON)
    variance = (second - first.square()).to(torch.float32)
    # A floor keeps the square roots smooth at zero.
    deviation = (variance.clamp(min=0) + _FLOOR).sqrt()
    return torch.cat([means, deviation[None], (energy.clamp(min=0) + _FLOOR).sqrt()[None]])


def _gaussian(planes: Tensor) -> Tensor:
    """Separable Gaussian of one pixel over the last two axes; zeros beyond the border."""
    taps = torch.exp(-0.5 * torch.arange(_RADIUS + 1, dtype=torch.float64).square())
    taps = taps / (taps[0] + 2 * taps[1:].sum())
    for axis in (-2, -1):
        size = planes.shape[axis]
        out = planes * float(taps[0])
        # Shifted sums: memory-bound, and several times faster on a CPU than a depthwise convolution.
        for shift in range(1, min(_RADIUS, size - 1) + 1):
            low, high = planes.narrow(axis, 0, size - shift), planes.narrow(axis, shift, size - shift)
            out.narrow(axis, shift, size - shift).add_(low, alpha=float(taps[shift]))
            out.narrow(axis, 0, size - shift).add_(high, alpha=float(taps[shift]))
        planes = out
    return planes


def _gradient_energy(luminance: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Squared central differences, and 1 where all four neighbors hold data (None: everywhere)."""
    energy = torch.zeros_like(luminance)
    if min(luminance.shape) < 3:
        return energy, None if weight is None else torch.zeros_like(luminance)
    down = luminance[2:, 1:-1] - luminance[:-2, 1:-1]
    right = luminance[1:-1, 2:] - luminance[1:-1, :-2]
    energy[1:-1, 1:-1] = (down.square() + right.square()) / 4
    if weight is None:
        return energy, None
    held = weight > 0
    sure = torch.zeros_like(luminance)
    sure[1:-1, 1:-1] = (
        held[2:, 1:-1] & held[:-2, 1:-1] & held[1:-1, 2:] & held[1:-1, :-2] & held[1:-1, 1:-1]
    ).float()
    return energy * sure, sure
