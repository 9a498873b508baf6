"""From clicks to the whole map: examples predict class and certainty of every leaf.

Trees and a kernel regression vote on each leaf from its features, leaves that touch and look alike agree with each other,
and the certainty is adjusted to how often such predictions are right. docs/decisions/0009 tells what was measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.decoding.calibration import calibrate
from segmentation.decoding.graph import LeafGraph
from segmentation.decoding.kernel import feature_scale, fit_kernel, spread_centers
from segmentation.decoding.trees import grow_trees
from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF

__all__ = ["NO_CLASS", "Click", "Prediction", "classify_leaves"]

NO_CLASS = -1

_N_TREES = 32
_TREE_SHARE = np.float32(0.5)  # of the vote; the kernel has the rest
_BALANCE = 0.5  # power: a class with 100 times the examples of another counts 10 times as much
_NEIGHBORHOOD = 9  # pixels; an example's weight is 1 in all
_CHUNK = 8192  # leaves predicted at once by one thread

Held = NDArray[np.int64]  # leaves of the pixels around one click that hold data
Floats = NDArray[np.float32]


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
    certainty: Floats
    class_ids: NDArray[np.int64]
    probabilities: Floats


def classify_leaves(
    means: Floats,
    clicks: Sequence[Click],
    neighborhoods: Sequence[NDArray[np.uint16]],
    *,
    graph: LeafGraph | None = None,
    seed: int = 0,
    n_learned: int = 0,
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
    graph : LeafGraph, optional
        Which leaves lie side by side; without it each leaf is judged by its features alone.
    seed : int
        Seed of the trees. The same inputs give the same outputs, whatever the number of processors.
    n_learned : int
        The last so many columns of ``means`` are learned: half of the trees see them alone, the other half the rest.

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
    Mean of extremely randomized trees and Laplace kernel regression on all features; see `segmentation.decoding`. With m distinct leaves
    around clicks, the time grows as n (m D + trees log m).
    """
    if not clicks:
        raise InvalidArgumentError("There is no click; give at least one example of a class.")
    if all(click.against for click in clicks):
        raise InvalidArgumentError("All clicks are against a class; give at least one example of a class.")
    held = [leaves[leaves != NODATA_LEAF].astype(np.int64) for leaves in neighborhoods]
    pairs = [(click, leaves) for click, leaves in zip(clicks, held, strict=True) if len(leaves)]
    given = [(click, leaves) for click, leaves in pairs if not click.against]
    if not given:
        raise InvalidArgumentError("All clicks lie where the image has no data; click inside the image.")
    class_ids = np.unique([click.class_id for click, _ in given])
    named = {_main_leaf(leaves) for _, leaves in given}
    ruled_out = {
        leaf: allowed
        for leaf, allowed in _ruled_out([pair for pair in pairs if pair[0].against], class_ids).items()
        if leaf not in named
    }
    outside = [leaf for leaf, allowed in ruled_out.items() if not allowed.any()]
    if outside:
        class_ids = np.concatenate([[NO_CLASS], class_ids])
        ruled_out = {leaf: np.append(True, allowed) for leaf, allowed in ruled_out.items()}
        given += [(Click(0, 0, NO_CLASS), np.full(_NEIGHBORHOOD, leaf)) for leaf in outside]
    fixed = _clicked(given, class_ids)
    if len(class_ids) == 1:
        probabilities = np.ones((len(means), 1), np.float32)
    else:
        examples = _Examples.gather(given, class_ids)
        predict = _fit(means, examples, seed, n_learned)
        open_leaves = [leaf for leaf in ruled_out if leaf not in fixed]
        if open_leaves:
            # What a leaf is, of the classes that it may be, is what the other examples say of it.
            shares = predict(means[open_leaves]) * np.array([ruled_out[leaf] for leaf in open_leaves])
            examples = examples.with_shares(np.array(open_leaves), shares)
            predict = _fit(means, examples, seed, n_learned)
        probabilities = _in_chunks(predict, means)
        if graph is not None:
            _hold(probabilities, fixed, ruled_out)
            probabilities = graph.smooth(probabilities)
        probabilities = calibrate(probabilities, len(fixed))
    _hold(probabilities, fixed, ruled_out)
    winner = probabilities.argmax(axis=1)
    certainty = probabilities[np.arange(len(winner)), winner]
    return Prediction(class_ids[winner], certainty, class_ids, probabilities)


@dataclass(frozen=True)
class _Examples:
    """``leaves`` int64 (m,), distinct; ``targets`` float32 (m, k), how much each says for each class, in clicks."""

    leaves: NDArray[np.int64]
    targets: Floats

    @classmethod
    def gather(cls, given: Sequence[tuple[Click, Held]], class_ids: NDArray[np.int64]) -> _Examples:
        leaf_of = np.concatenate([leaves for _, leaves in given])
        sizes = [len(leaves) for _, leaves in given]
        columns = np.repeat(np.searchsorted(class_ids, [click.class_id for click, _ in given]), sizes)
        leaves, places = np.unique(leaf_of, return_inverse=True)
        targets = np.zeros((len(leaves), len(class_ids)))
        np.add.at(targets, (places, columns), 1 / _NEIGHBORHOOD)
        return cls(leaves, targets.astype(np.float32))

    def with_shares(self, leaves: NDArray[np.int64], shares: Floats) -> _Examples:
        """Together with leaves that count 1 each, divided among the classes as ``shares`` (rows not all 0) are."""
        merged, places = np.unique(np.concatenate([self.leaves, leaves]), return_inverse=True)
        targets = np.zeros((len(merged), self.targets.shape[1]), np.float32)
        np.add.at(targets, places, np.concatenate([self.targets, shares / shares.sum(axis=1, keepdims=True)]))
        return _Examples(merged, targets)


def _fit(means: Floats, examples: _Examples, seed: int, n_learned: int) -> Callable[[Floats], Floats]:
    """Trees and kernel, which vote together."""
    vectors = means[examples.leaves]
    totals = examples.targets.sum(axis=0)
    targets = examples.targets * (totals.mean() / totals) ** np.float32(_BALANCE)
    trees = _grow(vectors, targets, seed, n_learned)
    centers = spread_centers(targets)
    kernel = fit_kernel(vectors[centers], targets[centers], feature_scale(means))

    def predict(points: Floats) -> Floats:
        votes = trees(points)
        votes *= _TREE_SHARE
        votes += (1 - _TREE_SHARE) * kernel(points)
        return votes

    return predict


def _grow(vectors: Floats, targets: Floats, seed: int, n_learned: int) -> Callable[[Floats], Floats]:
    """Trees; where features are learned, half of them on those alone, so that two kinds of evidence vote."""
    n_given = vectors.shape[1] - n_learned
    if not n_learned or not n_given:
        return grow_trees(vectors, targets, _N_TREES, seed)
    given = grow_trees(vectors[:, :n_given], targets, _N_TREES // 2, 2 * seed)
    learned = grow_trees(vectors[:, n_given:], targets, _N_TREES // 2, 2 * seed + 1)

    def predict(points: Floats) -> Floats:
        votes = given(np.ascontiguousarray(points[:, :n_given]))
        votes += learned(np.ascontiguousarray(points[:, n_given:]))
        votes /= 2
        return votes

    return predict


def _in_chunks(predict: Callable[[Floats], Floats], means: Floats) -> Floats:
    """``predict`` on all leaves, on all processors; chunks are always the same, and so are the results."""
    chunks = [means[begin : begin + _CHUNK] for begin in range(0, len(means), _CHUNK)]
    with ThreadPoolExecutor(min(len(chunks), os.cpu_count() or 1)) as pool:
        return np.concatenate(list(pool.map(predict, chunks)))


def _hold(probabilities: Floats, fixed: dict[int, int], ruled_out: dict[int, NDArray[np.bool_]]) -> None:
    """Write what is known of leaves, for and against classes, into their rows."""
    for leaf, allowed in ruled_out.items():
        row = np.where(allowed, probabilities[leaf], 0)
        # Where nothing speaks for what is left, what is left shares alike.
        row = row if row.sum() > 0 else allowed.astype(np.float32)
        probabilities[leaf] = row / row.sum()
    for leaf, column in fixed.items():
        probabilities[leaf] = 0
        probabilities[leaf, column] = 1


def _ruled_out(
    pairs: Sequence[tuple[Click, Held]], class_ids: NDArray[np.int64]
) -> dict[int, NDArray[np.bool_]]:
    """Which classes leaves may still be of, by the clicks against them."""
    found: dict[int, NDArray[np.bool_]] = {}
    for click, held in pairs:
        allowed = found.setdefault(_main_leaf(held), np.ones(len(class_ids), np.bool_))
        allowed &= class_ids != click.class_id
    return found


def _clicked(given: Sequence[tuple[Click, Held]], class_ids: NDArray[np.int64]) -> dict[int, int]:
    """Column of the class of each leaf that holds most pixels of a click's neighborhood, by majority of its clicks."""
    votes: dict[int, list[int]] = {}
    for click, held in given:
        votes.setdefault(_main_leaf(held), []).append(int(np.searchsorted(class_ids, click.class_id)))
    return {leaf: max(reversed(columns), key=columns.count) for leaf, columns in votes.items()}


def _main_leaf(held: Held) -> int:
    """The leaf that holds most pixels of a neighborhood."""
    values, counts = np.unique(held, return_counts=True)
    return int(values[counts.argmax()])
