"""From clicks to the whole map: examples predict class and certainty of every leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF

__all__ = ["Click", "Prediction", "classify_leaves"]

_N_TREES = 100


@dataclass(frozen=True)
class Click:
    """A clicked pixel and the class that it was given; any integer from 0 names a class."""

    row: int
    col: int
    class_id: int


@dataclass(frozen=True)
class Prediction:
    """``classes`` int64 (n,) and ``certainty`` float32 (n,), the share of the trees' votes, of every leaf."""

    classes: NDArray[np.int64]
    certainty: NDArray[np.float32]


def classify_leaves(
    means: NDArray[np.float32],
    clicks: Sequence[Click],
    neighborhoods: Sequence[NDArray[np.uint16]],
    *,
    seed: int = 0,
) -> Prediction:
    """Predict the class of every leaf from clicked pixels.

    Parameters
    ----------
    means : float32 array, shape (n, D)
        Mean feature vector of each leaf, standardized (no unit).
    clicks : sequence of Click
        At least one.
    neighborhoods : sequence of uint16 arrays
        Leaves of the up to 3 x 3 pixels around each click; nodata is passed over.
    seed : int
        Seed of the trees.

    Returns
    -------
    Prediction
        A leaf in which clicks lie has the class of most of them, the latest on a tie, with certainty 1.

    Raises
    ------
    InvalidArgumentError
        If there is no click, or none on a pixel with data.

    Notes
    -----
    Extremely randomized trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1), classes weighted to balance.
    """
    if not clicks:
        raise InvalidArgumentError("There is no click; give at least one example of a class.")
    rows, labels = [], []
    for click, leaves in zip(clicks, neighborhoods, strict=True):
        held = leaves[leaves != NODATA_LEAF]
        rows.append(held)
        labels.append(np.full(len(held), click.class_id, np.int64))
    leaves_of, classes_of = np.concatenate(rows), np.concatenate(labels)
    if not len(leaves_of):
        raise InvalidArgumentError("All clicks lie where the image has no data; click inside the image.")
    names = np.unique(classes_of)
    if len(names) == 1:
        classes = np.full(len(means), names[0], np.int64)
        return Prediction(classes, np.ones(len(means), np.float32))
    # Imported here: it takes a second, and most who open a segmentation only look.
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(_N_TREES, class_weight="balanced", random_state=seed, n_jobs=1)
    trees.fit(means[leaves_of], classes_of)
    votes = trees.predict_proba(means)
    winner = votes.argmax(axis=1)
    classes = trees.classes_[winner].astype(np.int64)
    certainty = votes[np.arange(len(votes)), winner].astype(np.float32)
    for leaf, class_id in _clicked(clicks, neighborhoods).items():
        classes[leaf], certainty[leaf] = class_id, 1
    return Prediction(classes, certainty)


def _clicked(clicks: Sequence[Click], neighborhoods: Sequence[NDArray[np.uint16]]) -> dict[int, int]:
    """Class of each leaf that holds most pixels of a click's neighborhood, by majority of its clicks."""
    votes: dict[int, list[int]] = {}
    for click, leaves in zip(clicks, neighborhoods, strict=True):
        held = leaves[leaves != NODATA_LEAF]
        if len(held):
            values, counts = np.unique(held, return_counts=True)
            votes.setdefault(int(values[counts.argmax()]), []).append(click.class_id)
    return {leaf: max(reversed(given), key=given.count) for leaf, given in votes.items()}
