"""The networks that come with ClusterNet, for scenes whose bands they know (networks/README.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segmentation.learning.network import Network, load_network

__all__ = ["FOLDER", "general_network"]

FOLDER = Path(__file__).with_name("networks")
_KINDS = {"rgb": ("red", "green", "blue"), "rgbn": ("red", "green", "blue", "nir")}


def general_network(roles: Sequence[str]) -> Network | None:
    """Find the network for bands of certain roles, in any order.

    Parameters
    ----------
    roles : sequence of str
        Role of each band, in the scene's order (`segmentation.rasters.bands`).

    Returns
    -------
    Network or None
        With its input in the scene's order; None where no network knows these bands.
    """
    for name, known in _KINDS.items():
        if sorted(roles) == sorted(known):
            network = load_network(FOLDER / f"{name}.safetensors")
            order = [known.index(role) for role in roles]
            return replace(network, encoder=network.encoder.reordered(order))
    return None
