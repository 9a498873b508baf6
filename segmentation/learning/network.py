"""A trained encoder with what one must know to apply it, as one file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from segmentation.errors import FeatureMismatchError, NetworkError, StorageFullError
from segmentation.features.normalize import BandScaling
from segmentation.learning.encoder import Encoder
from segmentation.objects import StorePath, local_copy, store_path, write_whole

__all__ = ["Network", "load_network", "read_tensors", "write_tensors"]

_FORMAT = "1"
_MAX_BYTES = 64 * 1024 * 1024  # ours are below one; a larger file is none of ours
_MAX_CHANNELS = 64  # ours have eight at most
_ENTRY = "clusternet"


@dataclass(frozen=True, eq=False)
class Network:
    """``encoder``; ``n_bands`` that a scene must have; ``scaling``: None where each scene's own percentiles are used, else the
    bands' fixed scaling and principal components; ``training``: how it came about, for people."""

    encoder: Encoder
    n_bands: int
    scaling: BandScaling | None
    training: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Short hash of the weights: the same weights, the same fingerprint."""
        digest = hashlib.sha256()
        for name, value in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def check_bands(self, n_bands: int) -> None:
        """Raise FeatureMismatchError where a scene's bands do not fit."""
        if n_bands != self.n_bands:
            raise FeatureMismatchError(
                f"The network was trained on {self.n_bands} bands, and the image (or the chosen part of it) has {n_bands}; "
                "choose as many bands, in the same order, or another network."
            )

    def save(self, path: str | StorePath) -> None:
        """Write weights (safetensors) with the description (JSON) in the same file's header; all or nothing."""
        description = {
            "format": _FORMAT,
            "n_bands": self.n_bands,
            "normalization": None if self.scaling is None else _as_lists(self.scaling),
            "architecture": {
                "n_channels": self.encoder.n_channels,
                "widths": list(self.encoder.widths),
                "n_features": self.encoder.n_features,
                "n_parameters": self.encoder.n_parameters,
            },
            "training": self.training,
        }
        tensors = {name: value.cpu().contiguous() for name, value in self.encoder.state_dict().items()}
        write_tensors(store_path(path), tensors, description)


def load_network(path: str | StorePath) -> Network:
    """Read a network's file.

    Raises
    ------
    NetworkError
        If it is missing, damaged or no network of ours.
    """
    tensors, description = read_tensors(store_path(path))
    try:
        if description["format"] != _FORMAT:
            raise NetworkError(
                f"The network {path} has format {description['format']}, and format {_FORMAT} is read here; train it again."
            )
        shape = description["architecture"]
        widths = tuple(shape["widths"])
        if len(widths) != 3 or not all(0 < width <= 512 for width in (*widths, shape["n_features"])):
            raise ValueError(f"widths {widths}")
        n_bands, lists = int(description["n_bands"]), description["normalization"]
        scaling = None if lists is None else _from_lists(lists)
        n_channels = n_bands if scaling is None else scaling.n_channels
        # Checked before anything is made of that size.
        if not 0 < n_channels <= min(n_bands, _MAX_CHANNELS) or int(shape["n_channels"]) != n_channels:
            raise ValueError(f"{shape['n_channels']} channels of {n_bands} bands")
        if scaling is not None:
            _check_scaling(scaling, n_bands)
        encoder = Encoder(n_channels, widths, int(shape["n_features"]))
        encoder.load_state_dict(tensors)
        if not all(torch.isfinite(value).all() for value in encoder.state_dict().values()):
            raise ValueError("weights that are no numbers")
        return Network(encoder.eval(), n_bands, scaling, description["training"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(
            f"The network {path} is damaged or of another program ({str(error)[:200]}); train it again."
        ) from error


def write_tensors(path: StorePath, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write tensors with a JSON description into one file; a reader never sees half of it."""
    content = save(tensors, {_ENTRY: json.dumps(description)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, lasting=True)
    except OSError as error:
        raise StorageFullError(
            f"The network cannot be written to {path}: {error.strerror or error}. Free some space or choose another place."
        ) from error


def read_tensors(path: StorePath) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` has written; NetworkError where that is not what the file holds."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise NetworkError(f"The file {path} is too large for a network ({path.stat().st_size} bytes).")
        with local_copy(path) as copy, safe_open(copy, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            description = json.loads((file.metadata() or {})[_ENTRY])
        if not isinstance(description, dict):
            raise TypeError("the description is no object")
        return tensors, description
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise NetworkError(
            f"The network {path} cannot be read ({str(error)[:200]}); choose a file that ClusterNet has trained."
        ) from error


def _as_lists(scaling: BandScaling) -> dict[str, Any]:
    return {
        "center": scaling.center.tolist(),
        "scale": scaling.scale.tolist(),
        "components": None if scaling.components is None else scaling.components.tolist(),
    }


def _check_scaling(scaling: BandScaling, n_bands: int) -> None:
    """Raise ValueError where it is not one of ``n_bands`` bands."""
    shapes = [scaling.center.shape, scaling.scale.shape]
    if shapes != [(n_bands,)] * 2:
        raise ValueError(f"scaling of shapes {shapes} for {n_bands} bands")
    parts = [scaling.center, scaling.scale]
    if scaling.components is not None:
        if scaling.components.ndim != 2 or scaling.components.shape[1] != n_bands:
            raise ValueError(f"components of shape {scaling.components.shape} for {n_bands} bands")
        parts.append(scaling.components)
    if not all(np.isfinite(part).all() for part in parts) or not (scaling.scale > 0).all():
        raise ValueError("a scaling that is not finite, or not positive")


def _from_lists(lists: dict[str, Any]) -> BandScaling:
    def floats(name: str) -> NDArray[np.float32]:
        return np.array(lists[name], np.float32)

    return BandScaling(
        floats("center"), floats("scale"), None if lists["components"] is None else floats("components")
    )
