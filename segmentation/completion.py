"""The completed map: what people assigned, and where they did not, what the decoder is certain enough of.

Class and certainty of a leaf travel and are compared as a byte each, so that the page (static/js/model/completion.js)
and the export draw the same line. A certainty is rounded down: 255 is certain, and nothing is shown above what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentation.decoder import NO_CLASS, Click, Prediction, classify_leaves
from segmentation.decoding.graph import build_graph, count_contacts
from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF

if TYPE_CHECKING:
    from segmentation.store import Segmentation

__all__ = [
    "completed_table",
    "lowest_certainty",
    "mean_probabilities",
    "prediction_bytes",
    "readable_clicks",
    "warm_up",
]

CERTAIN = 255


def warm_up() -> None:
    """Load what the decoder needs, which takes a second or more, by decoding a few leaves that are made up."""
    means = np.linspace(-1, 1, 32, dtype=np.float32).reshape(16, 2)
    clicks = [Click(0, 0, 1), Click(0, 1, 2)]
    graph = build_graph(*count_contacts(np.arange(16, dtype=np.uint16).reshape(4, 4)), means)
    classify_leaves(means, clicks, [np.zeros(9, np.uint16), np.full(9, 15, np.uint16)], graph=graph)


def readable_clicks(segmentation: Segmentation, clicks: Sequence[Click]) -> list[Click]:
    """Those clicks around which the segmentation has leaves (so far); the others teach the decoder nothing.

    Parameters
    ----------
    segmentation : Segmentation
        An open store; it may still be computing.
    clicks : sequence of Click
        Inside the scene.

    Returns
    -------
    list of Click
        In the same order; empty where none of them names a class, since nothing can be predicted from what is not.

    Raises
    ------
    InvalidArgumentError
        If a click lies outside the scene.
    """
    around = segmentation.neighborhoods.around([(click.row, click.col) for click in clicks])
    readable = [click for click, leaves in zip(clicks, around, strict=True) if (leaves != NODATA_LEAF).any()]
    return readable if any(not click.against for click in readable) else []


def prediction_bytes(
    prediction: Prediction | None, n_leaves: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class and certainty of each leaf in a byte each.

    Parameters
    ----------
    prediction : Prediction or None
        Of classes 1 to 255; None predicts nothing.
    n_leaves : int
        How many leaves there are.

    Returns
    -------
    classes, certainty : uint8 arrays, shape (n_leaves,)
        Class number, 0 = none, and certainty from 0 to 255 for 0 to 1, rounded down; without class it is 0.

    Raises
    ------
    InvalidArgumentError
        If a class does not fit a byte, or the prediction has another number of leaves.
    """
    if prediction is None:
        return np.zeros(n_leaves, np.uint8), np.zeros(n_leaves, np.uint8)
    if len(prediction.classes) != n_leaves:
        raise InvalidArgumentError(
            f"The prediction is of {len(prediction.classes)} leaves, the segmentation has {n_leaves}."
        )
    wrong = [
        number for number in prediction.class_ids.tolist() if number != NO_CLASS and not 1 <= number <= 255
    ]
    if wrong:
        raise InvalidArgumentError(f"Class {wrong[0]} does not fit a byte; number the classes from 1 to 255.")
    has_class = prediction.classes != NO_CLASS
    classes = np.where(has_class, prediction.classes, 0).astype(np.uint8)
    share = np.clip(prediction.certainty.astype(np.float64), 0, 1)
    certainty = np.where(has_class, np.floor(share * CERTAIN), 0).astype(np.uint8)
    return classes, certainty


def lowest_certainty(threshold: float) -> int:
    """The lowest certainty, as a byte, that reaches a threshold of 0 to 1.

    Raises
    ------
    InvalidArgumentError
        If the threshold is outside 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise InvalidArgumentError(f"The certainty cannot be {threshold}; choose 0 to 1.")
    # The division is the same IEEE operation in the browser, so that both end on the same side of the line.
    return next(byte for byte in range(CERTAIN + 1) if byte / CERTAIN >= threshold)


def completed_table(
    assigned: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    certainty: NDArray[np.uint8],
    threshold: float,
) -> NDArray[np.uint8]:
    """Class that each leaf shows where the map is completed.

    Parameters
    ----------
    assigned : uint8 array, shape (n,)
        Class that somebody gave each leaf, 0 = none.
    classes, certainty : uint8 arrays, shape (n,)
        As from `prediction_bytes`.
    threshold : float
        From which certainty on the prediction counts, 0 to 1.

    Returns
    -------
    uint8 array, shape (n,)
        0 = unclassified.

    Raises
    ------
    InvalidArgumentError
        If the arrays differ in length, or the threshold is outside 0 to 1.
    """
    if not assigned.shape == classes.shape == certainty.shape:
        raise InvalidArgumentError(
            f"The tables have {len(assigned)}, {len(classes)} and {len(certainty)} leaves; they must be of one "
            "segmentation."
        )
    predicted = np.where(certainty >= lowest_certainty(threshold), classes, 0)
    return np.where(assigned != 0, assigned, predicted).astype(np.uint8)


def mean_probabilities(
    prediction: Prediction, pixels: NDArray[np.float64], low: int, high: int
) -> list[tuple[int, float]]:
    """Mean probability of each class over a range of leaves, the likeliest first.

    Parameters
    ----------
    prediction : Prediction
        With the probabilities of n leaves.
    pixels : float64 array, shape (n,)
        Pixels of each leaf, as weights; where the range has none (yet), its leaves count alike.
    low, high : int
        Leaves ``low`` to ``high - 1``.

    Returns
    -------
    list of (class, probability)
        Probability 0 to 1. Without `NO_CLASS`, so that they may add up to less than 1; on a tie the smaller class comes
        first.

    Raises
    ------
    InvalidArgumentError
        If this is no range of the leaves.
    """
    n_leaves = len(prediction.probabilities)
    if not 0 <= low < high <= n_leaves:
        raise InvalidArgumentError(
            f"The leaves {low} to {high} are not a range within the segmentation's {n_leaves} leaves."
        )
    weights = pixels[low:high]
    if not weights.sum() > 0:
        weights = np.ones(high - low)
    means = weights @ prediction.probabilities[low:high].astype(np.float64) / weights.sum()
    pairs = zip(prediction.class_ids.tolist(), means.tolist(), strict=True)
    return sorted(
        ((number, mean) for number, mean in pairs if number != NO_CLASS), key=lambda pair: (-pair[1], pair[0])
    )
