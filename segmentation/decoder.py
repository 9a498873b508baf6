"""From clicks to the whole map: examples predict class and certainty of every leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF

__all__ = ["NO_CLASS", "Click", "Prediction", "classify_leaves"]

NO_CLASS = -1
_N_TREES = 100


@dataclass(frozen=True)
class Click:
    """A clicked pixel and the class that it was given; any integer from 0 names a class.

    ``against`` turns it round: this pixel is *not* of that class.
    """

    row: int
    col: int
    class_id: int
    against: bool = False


@dataclass(frozen=True)
class Prediction:
    """What the clicks say of every leaf.

    ``classes`` int64 (n,); ``certainty`` float32 (n,), the probability of the named class; ``class_ids`` int64 (k,),
    sorted; ``probabilities`` float32 (n, k), rows sum to 1. `NO_CLASS` (-1) is among the class ids where clicks against
    classes leave no class that was clicked: one class clicked, and other pixels marked as not of it.
    """

    classes: NDArray[np.int64]
    certainty: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]


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
        At least one that is not against its class.
    neighborhoods : sequence of uint16 arrays
        Leaves of the up to 3 x 3 pixels around each click; nodata is passed over.
    seed : int
        Seed of the trees.

    Returns
    -------
    Prediction
        A leaf in which clicks lie has the class of most of them, the latest on a tie, with certainty 1; where all clicks
        in it are against classes, those have probability 0.

    Raises
    ------
    InvalidArgumentError
        If no click names a class (all are against theirs), or none lies on a pixel with data.

    Notes
    -----
    Extremely randomized trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1), classes weighted to balance.
    """
    if not clicks:
        raise InvalidArgumentError("There is no click; give at least one example of a class.")
    if all(click.against for click in clicks):
        raise InvalidArgumentError("All clicks are against a class; give at least one example of a class.")
    held = [leaves[leaves != NODATA_LEAF].astype(np.int64) for leaves in neighborhoods]
    pairs = list(zip(clicks, held, strict=True))
    if not any(len(leaves) for click, leaves in pairs if not click.against):
        raise InvalidArgumentError("All clicks lie where the image has no data; click inside the image.")
    leaf_of = np.concatenate([leaves for click, leaves in pairs if not click.against])
    class_of = np.concatenate(
        [np.full(len(leaves), click.class_id, np.int64) for click, leaves in pairs if not click.against]
    )
    ruled_out = _ruled_out(pairs)
    class_ids = np.unique(class_of)
    excluded = [
        (leaf, not_these) for leaf, not_these in ruled_out.items() if not_these.issuperset(class_ids.tolist())
    ]
    if excluded:
        class_ids = np.concatenate([[NO_CLASS], class_ids])
        leaf_of = np.concatenate([leaf_of, [leaf for leaf, _ in excluded]])
        class_of = np.concatenate([class_of, np.full(len(excluded), NO_CLASS)])
    probabilities = _votes(means, leaf_of, class_of, class_ids, seed)
    for leaf, not_these in ruled_out.items():
        row = np.where(np.isin(class_ids, list(not_these)), 0, probabilities[leaf])
        # Where the trees give all their votes to what is ruled out, the other classes share them.
        row = row if row.sum() > 0 else np.isin(class_ids, list(not_these), invert=True).astype(np.float32)
        probabilities[leaf] = row / row.sum()
    for leaf, class_id in _clicked(pairs).items():
        probabilities[leaf] = class_ids == class_id
    winner = probabilities.argmax(axis=1)
    certainty = probabilities[np.arange(len(winner)), winner]
    return Prediction(class_ids[winner], certainty, class_ids, probabilities)


def _votes(
    means: NDArray[np.float32],
    leaf_of: NDArray[np.int64],
    class_of: NDArray[np.int64],
    class_ids: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float32]:
    """Share of the trees' votes for each class, float32 (n, k)."""
    if len(class_ids) == 1:
        return np.ones((len(means), 1), np.float32)
    # Imported here: it takes a second, and most who open a segmentation only look.
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(_N_TREES, class_weight="balanced", random_state=seed, n_jobs=1)
    trees.fit(means[leaf_of], class_of)
    return np.asarray(trees.predict_proba(means), np.float32)


def _ruled_out(pairs: Sequence[tuple[Click, NDArray[np.int64]]]) -> dict[int, set[int]]:
    """Classes that each leaf is not of, by the clicks against them."""
    found: dict[int, set[int]] = {}
    for click, held in pairs:
        if click.against and len(held):
            found.setdefault(_main_leaf(held), set()).add(click.class_id)
    return found


def _clicked(pairs: Sequence[tuple[Click, NDArray[np.int64]]]) -> dict[int, int]:
    """Class of each leaf that holds most pixels of a click's neighborhood, by majority of its clicks."""
    votes: dict[int, list[int]] = {}
    for click, held in pairs:
        if not click.against and len(held):
            votes.setdefault(_main_leaf(held), []).append(click.class_id)
    return {leaf: max(reversed(given), key=given.count) for leaf, given in votes.items()}


def _main_leaf(held: NDArray[np.int64]) -> int:
    """The leaf that holds most pixels of a neighborhood."""
    values, counts = np.unique(held, return_counts=True)
    return int(values[counts.argmax()])
