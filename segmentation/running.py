"""What a run shares with those that continue its work: device, threads, and the codebook that it fixed."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.clustering.codebook import Codebook
from segmentation.errors import InvalidArgumentError
from segmentation.features.normalize import BandScaling, FeatureScaling
from segmentation.store import Segmentation

__all__ = ["choose_device", "one_thread_each", "read_codebook"]


def one_thread_each() -> None:
    """Initializer of a pool whose threads compute blocks side by side."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


def choose_device(name: str) -> str:
    """Which torch device a name means; InvalidArgumentError where there is none such."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise InvalidArgumentError(f'The device is "{name}"; choose "auto", "cpu" or "cuda".')
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidArgumentError(
            'This machine has no CUDA device that torch can use; choose "cpu" or "auto".'
        )
    return name


def read_codebook(
    store: Segmentation, description: dict[str, Any]
) -> tuple[BandScaling, FeatureScaling, Codebook]:
    """What pass 1 fixed in an earlier run: how bands and features are scaled, and the leaves."""

    def floats(name: str) -> NDArray[np.float32]:
        return np.array(description[name], np.float32)

    components = None if description["components"] is None else floats("components")
    return (
        BandScaling(floats("band_center"), floats("band_scale"), components),
        FeatureScaling(floats("feature_mean"), floats("feature_deviation")),
        Codebook.from_leaves(store.means, store.table("codebook/cells"), store.table("codebook/coarse")),
    )
