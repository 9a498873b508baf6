"""Means of an encoder's levels over regions, as sparse matrices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmentation.errors import InvalidArgumentError

__all__ = ["STRIDE", "Pooling", "pool_regions"]

STRIDE = 4  # pixels; the coarsest cell: windows must start on multiples of it
# What we use of it, products with dense matrices, is held to a dense computation by a test.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")

_CELLS = (1, 2, STRIDE)  # pixels a side at each level


@dataclass(frozen=True, eq=False)
class Pooling:
    """Which cells of each level a region covers, as sparse matrices.

    ``means``: one matrix a level, (n_regions, cells), whose rows sum to 1; ``spreads``: their transposes.
    """

    means: Sequence[Tensor]
    spreads: Sequence[Tensor]


def pool_regions(labels: Sequence[NDArray[np.int64]], n_regions: int, device: str = "cpu") -> Pooling:
    """Find which cells of each level the regions of some images cover.

    Parameters
    ----------
    labels : sequence of int arrays, all of shape (H, W)
        Region of each pixel of each image of a batch, below ``n_regions``; negative pixels belong to none. H and W are
        multiples of ``STRIDE``.
    n_regions : int
        Number of regions.
    device : str
        Where the matrices are to lie.

    Returns
    -------
    Pooling
        With one matrix a level. A region that has no pixel gets a row of zeros.

    Raises
    ------
    InvalidArgumentError
        If the shape is no multiple of ``STRIDE``.
    """
    height, width = labels[0].shape
    if height % STRIDE or width % STRIDE:
        raise InvalidArgumentError(f"The labels are {height} x {width}; both must be multiples of {STRIDE}.")
    region = np.stack(labels).reshape(-1)
    held = np.flatnonzero(region >= 0)
    order = held[np.argsort(region[held], kind="stable")]
    counts = np.bincount(region[held], minlength=n_regions)
    share = (1 / np.maximum(counts, 1)).astype(np.float32)
    of_pixel = np.where(region >= 0, share[region], 0).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    row, col = np.divmod(np.arange(height * width), width)
    means, spreads = [], []
    for cell in _CELLS:
        n_cells = (height // cell) * (width // cell)
        of_image = (row // cell) * (width // cell) + col // cell
        cells = (np.arange(len(labels))[:, None] * n_cells + of_image).reshape(-1)
        shape = (n_regions, len(labels) * n_cells)
        means.append(_csr(starts, cells[order], of_pixel[order], shape, device))
        # Every cell has cell x cell pixels, so its part of the transpose is a plain regrouping of the pixels.
        by_cell = (
            np.arange(len(region))
            .reshape(len(labels), height // cell, cell, width // cell, cell)
            .transpose(0, 1, 3, 2, 4)
            .reshape(-1)
        )
        ends = np.arange(shape[1] + 1) * cell * cell
        spreads.append(
            _csr(ends, np.maximum(region[by_cell], 0), of_pixel[by_cell], (shape[1], n_regions), device)
        )
    return Pooling(means, spreads)


def _csr(
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    shape: tuple[int, int],
    device: str,
) -> Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(np.ascontiguousarray(starts)),
        torch.from_numpy(np.ascontiguousarray(columns)),
        torch.from_numpy(np.ascontiguousarray(values)),
        size=shape,
        device=device,
        check_invariants=False,
    )
