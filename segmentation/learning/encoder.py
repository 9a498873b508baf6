"""The encoder: a small convolutional network whose levels are pooled over superpixels and mixed there."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segmentation.errors import FeatureMismatchError
from segmentation.learning.pooling import STRIDE, Pooling, pool_regions

__all__ = ["REACH_PX", "Encoder", "bfloat16_is_fast"]

_DILATIONS = (1, 2, 4)
# How far a feature looks: two convolutions of 1 px, two of 2 px, those of the coarsest level, and the cells themselves.
REACH_PX = 2 * 1 + 2 * 2 + sum(_DILATIONS) * STRIDE + STRIDE


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class Encoder(nn.Module):
    """Embeds regions of an image.

    Parameters
    ----------
    n_channels : int
        Channels of the image (scaled bands, or their principal components); one more tells where there is data.
    widths : three ints
        Planes of the levels at 1, 2 and 4 pixels.
    n_features : int
        Length of an embedding.

    Notes
    -----
    Three levels as in a U-Net (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28), but nothing is brought back to
    full resolution: the mean of each level over a region is all that the region's embedding needs, and mixing the levels
    there costs a twentieth. Batch normalization keeps fixed statistics outside training, so that a feature does not
    depend on the window in which it was computed.
    """

    def __init__(
        self, n_channels: int, widths: tuple[int, int, int] = (16, 32, 64), n_features: int = 32
    ) -> None:
        super().__init__()
        self.n_channels, self.widths, self.n_features = n_channels, tuple(widths), n_features
        fine, middle, coarse = widths
        self.fine = nn.Sequential(_Block(n_channels + 1, fine), _Block(fine, fine))
        self.middle = nn.Sequential(_Block(fine, middle), _Block(middle, middle))
        self.coarse = nn.Sequential(
            _Block(middle, coarse), *(_Block(coarse, coarse, dilation) for dilation in _DILATIONS[1:])
        )
        self.mix = nn.Sequential(
            nn.Linear(sum(widths), 2 * coarse),
            nn.BatchNorm1d(2 * coarse),
            nn.ReLU(),
            nn.Linear(2 * coarse, n_features),
        )

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(parameter.numel() for parameter in self.parameters())

    def reordered(self, order: Sequence[int]) -> Encoder:
        """Copy that takes its channels in another order: its channel i is this one's channel ``order[i]``."""
        twin = copy.deepcopy(self)
        weight = twin.get_parameter("fine.0.conv.weight")
        with torch.no_grad():
            weight.copy_(
                weight[:, [*order, self.n_channels]]
            )  # the last input plane tells where there is data
        return twin

    def levels(self, image: Tensor) -> list[Tensor]:
        """Planes of the three levels.

        Parameters
        ----------
        image : tensor, shape (N, C + 1, H, W)
            Channels, 0 where there is no data, then 1 where there is; H and W multiples of ``STRIDE``.

        Raises
        ------
        FeatureMismatchError
            If the image has another number of channels than the network.
        """
        if image.shape[1] != self.n_channels + 1:
            raise FeatureMismatchError(
                f"The network takes {self.n_channels} channels, the image has {image.shape[1] - 1}."
            )
        fine = self.fine(image)
        middle = self.middle(functional.avg_pool2d(fine, 2))
        return [fine, middle, self.coarse(functional.avg_pool2d(middle, 2))]

    def forward(self, image: Tensor, pooling: Pooling) -> Tensor:
        """Embed the regions of a batch of images: float32 (n_regions, n_features), each of length 1."""
        levels = self.levels(image)
        with torch.autocast(image.device.type, enabled=False):  # sparse products want full precision
            pooled: list[Any] = []
            for planes, means, spreads in zip(levels, pooling.means, pooling.spreads, strict=True):
                rows = planes.permute(0, 2, 3, 1).reshape(-1, planes.shape[1]).float()
                pooled.append(_Mean.apply(rows, means, spreads))  # type: ignore[no-untyped-call]
            return functional.normalize(self.mix(torch.cat(pooled, dim=1)), dim=1)

    def embed(
        self, image: Tensor, labels: NDArray[np.int64], n_regions: int, half: bool
    ) -> NDArray[np.float32]:
        """Embed the regions of one window.

        Parameters
        ----------
        image : float32 tensor, shape (1, C + 1, H, W)
            As for `levels`; it should reach ``REACH_PX`` beyond the regions, for features that do not depend on the window.
        labels : int64 array, shape (H, W)
            Region of each pixel below ``n_regions``, negative where none.
        n_regions : int
        half : bool
            Compute convolutions in bfloat16: three times as fast on CPUs that know it, within one percent.

        Returns
        -------
        float32 array, shape (n_regions, n_features)
            Each of length 1.
        """
        kind = image.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=half):
            planes = image.to(memory_format=torch.channels_last)
            found: Tensor = self(planes, pool_regions([labels], n_regions, str(image.device)))
        return found.float().cpu().numpy()


class _Mean(torch.autograd.Function):
    """A sparse matrix times rows; its transpose comes along, since torch would find it anew in each backward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, means: Tensor, spreads: Tensor) -> Tensor:
        ctx.spreads = spreads
        return means @ rows

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.spreads @ gradient, None, None


def bfloat16_is_fast(device: str) -> bool:
    """Whether bfloat16 is worth it: CPUs and GPUs with instructions for it."""
    if device == "cpu":
        return bool(
            torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        ) and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return bool(torch.cuda.is_bf16_supported())
