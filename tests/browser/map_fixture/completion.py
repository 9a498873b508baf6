"""A made-up decoder for the map page's tests: a leaf is of the class of the example nearest to it by number."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import numpy as np

from tests.browser.map_fixture.world import N_LEAVES

REACH = 64  # leaves from an example at which certainty has fallen to 0


def predict(examples: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Class (0 = none) and certainty 0..255 of every leaf, from ``{leaf: class}``."""
    if not examples:
        return np.zeros(N_LEAVES, "u1"), np.zeros(N_LEAVES, "u1")
    leaves, classes = (np.array(part) for part in zip(*sorted(examples.items()), strict=True))
    away = np.abs(np.arange(N_LEAVES)[:, None] - leaves)
    nearest = away.argmin(1)
    certainty = np.clip(1 - away.min(1) / REACH, 0, 1)
    return classes[nearest].astype("u1"), np.round(certainty * 255).astype("u1")


def frame(segmentation: int, number: int, classes: np.ndarray, certainty: np.ndarray) -> bytes:
    payload = gzip.compress(classes.astype("u1").tobytes() + certainty.astype("u1").tobytes(), 1)
    head = struct.pack("<4sB3xIIIIII", b"CNDT", 1, segmentation, 0, number, len(classes), 17, len(payload))
    return head + payload


def certainty_answer(examples: dict[int, int], number: int, low: int, high: int) -> dict[str, Any]:
    """What GET /api/projects/<id>/certainty says: what is left of certainty goes to the other classes alike."""
    classes, certainty = predict(examples)
    names = sorted(set(examples.values()))
    sums = dict.fromkeys(names, 0.0)
    for leaf in range(low, high):
        own = certainty[leaf] / 255 if len(names) > 1 else 1.0
        for name in names:
            sums[name] += own if name == classes[leaf] else (1 - own) / (len(names) - 1)
    likely = sorted(sums.items(), key=lambda item: -item[1])
    return {
        "number": number,
        "classes": [{"class": name, "certainty": value / (high - low)} for name, value in likely],
    }
