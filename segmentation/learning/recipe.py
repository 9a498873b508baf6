"""How a network is trained: every number that was chosen, in one place (docs/decisions/0007)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Numbers of a training.

    ``clusters``: numbers of pseudo-classes, all at once; ``rounds``: how often pseudo-labels are found, first from the
    filter bank, then from the embedding; ``crop_px``: side of a crop; ``crops``: of a step, each seen twice;
    ``learning_rate``: its peak in each round; ``temperature``: of the cosine heads; ``gain``, ``offset``, ``contrast``: standard
    deviations of the photometric jitter, of scaled bands; ``agreement``: weight of the two views' likeness in the loss;
    ``smoothness``: weight of the likeness of neighbors.
    """

    clusters: tuple[int, ...] = (32, 128, 512)
    rounds: int = 3
    crop_px: int = 128
    crops: int = 8
    learning_rate: float = 3e-3
    temperature: float = 0.1
    gain: float = 0.1
    offset: float = 0.1
    contrast: float = 0.15
    agreement: float = 0.5
    widths: tuple[int, int, int] = (16, 32, 64)
    n_features: int = 32
