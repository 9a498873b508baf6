"""How well a class map agrees with the truth: a confusion matrix, counted window by window, and the scores it gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend
from segmentation.rasters.class_map import MAX_READ_CLASS, ClassMap, check_same_grid, map_windows

__all__ = ["ClassScore", "Confusion", "Scores", "compare", "score"]

_N = MAX_READ_CLASS + 1


class _Readable(Protocol):
    def read(self, row: int, col: int, height: int, width: int) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Confusion:
    """Pixels by true class (rows) and mapped class (columns).

    ``numbers`` int64 (k,): the classes that occur, sorted; ``counts`` int64 (k, k); ``unclassified`` int64 (k,): pixels of each
    true class that the map leaves without a class.
    """

    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]
    unclassified: NDArray[np.int64]

    @classmethod
    def of_pairs(cls, pairs: NDArray[np.int64]) -> Confusion:
        """From counts of (true, mapped) numbers, shape (n, n) with 0 = no class; the row of 0 is ignored.

        Raises
        ------
        InvalidArgumentError
            If truth has no class anywhere.
        """
        pairs = pairs.copy()
        pairs[0] = 0
        numbers = np.flatnonzero(pairs.any(axis=0) | pairs.any(axis=1))
        numbers = numbers[numbers > 0]
        if not pairs.any():
            raise InvalidArgumentError(
                "The truth has no class on any pixel; 0 and nodata do not count as classes."
            )
        return cls(numbers, pairs[np.ix_(numbers, numbers)], pairs[numbers, 0])


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class, each 0 to 1; NaN where there is nothing to divide by."""

    number: int
    name: str
    truth_pixels: int
    map_pixels: int
    iou: float
    dice: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Scores:
    """Scores of a map.

    ``accuracy`` and ``kappa`` over the scored pixels; ``mean_iou`` and ``mean_dice`` over the classes that the truth has;
    ``coverage`` is the share of the true pixels that the map gives a class, ``accuracy_of_all`` the share of them that it
    gives the right one.
    """

    pixels: int
    coverage: float
    accuracy: float
    accuracy_of_all: float
    kappa: float
    mean_iou: float
    mean_dice: float
    classes: list[ClassScore]
    confusion: Confusion

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: NaN becomes null."""
        overall = ("pixels", "coverage", "accuracy", "accuracy_of_all", "kappa", "mean_iou", "mean_dice")
        columns = ("truth_pixels", "map_pixels", "iou", "dice", "precision", "recall")
        return {
            **{name: _or_none(getattr(self, name)) for name in overall},
            "classes": [
                {
                    "class": one.number,
                    "name": one.name,
                    **{column: _or_none(getattr(one, column)) for column in columns},
                }
                for one in self.classes
            ],
            "confusion": {
                "classes": self.confusion.numbers.tolist(),
                "counts": self.confusion.counts.tolist(),
                "unclassified": self.confusion.unclassified.tolist(),
            },
        }

    def as_text(self) -> str:
        """Tables for people."""
        return "\n".join([*self._overall_lines(), "", *self._class_lines(), "", *self._confusion_lines()])

    def _overall_lines(self) -> list[str]:
        return [
            f"{self.pixels:,} pixels scored, {self.coverage:.1%} of those with a true class.",
            "   ".join(
                f"{name} {_digits(value)}"
                for name, value in (
                    ("accuracy", self.accuracy),
                    ("kappa", self.kappa),
                    ("mean IoU", self.mean_iou),
                    ("mean Dice", self.mean_dice),
                )
            ),
        ]

    def _class_lines(self) -> list[str]:
        wide = max([5, *(len(one.name) for one in self.classes)])
        lines = [f"{'class':<{wide}}     IoU    Dice    prec.  recall    true pixels  mapped pixels"]
        for one in self.classes:
            shares = "  ".join(
                f"{_digits(value):>6}" for value in (one.iou, one.dice, one.precision, one.recall)
            )
            lines.append(f"{one.name:<{wide}}  {shares}  {one.truth_pixels:>13,}  {one.map_pixels:>13,}")
        return lines

    def _confusion_lines(self) -> list[str]:
        columns = np.column_stack([self.confusion.counts, self.confusion.unclassified])
        names = [*(one.name[:12] for one in self.classes), "no class"]
        wide = max(12, *(len(f"{value:,}") for value in columns.ravel()))
        corner = "true, mapped"
        first = max(len(corner), *(len(one.name) for one in self.classes))
        lines = [f"{corner:<{first}}  " + "  ".join(f"{name:>{wide}}" for name in names)]
        for one, row in zip(self.classes, columns, strict=True):
            lines.append(f"{one.name:<{first}}  " + "  ".join(f"{value:>{wide},}" for value in row))
        return lines


def compare(
    mapped: ClassMap,
    truth: ClassMap,
    *,
    ignored: Collection[int] = (),
    progress: Callable[[float], None] | None = None,
) -> Confusion:
    """Count what a map says against what is true, window by window.

    Parameters
    ----------
    mapped, truth : ClassMap
        On the same grid; pixels that are 0 or nodata in ``truth`` are ignored.
    ignored : collection of int
        More class numbers to ignore, in either of them.
    progress : callable or None
        Told the share done, 0 to 1.

    Returns
    -------
    Confusion

    Raises
    ------
    InvalidArgumentError
        If the grids differ, the two number the same names differently, or truth is empty.
    """
    check_same_grid(mapped.georeference, truth.georeference, mapped.path.name, truth.path.name)
    _check_names(mapped, truth)
    height, width = truth.shape
    pairs = np.zeros((_N, _N), np.int64)
    skipped = list(ignored)
    for window in map_windows(height, width):
        area = (window.row, window.col, window.height, window.width)
        pairs += count_pairs(truth.read(*area), mapped.read(*area))
        if progress is not None:
            progress((window.row + window.height) / height)
    pairs[skipped] = 0
    pairs[:, skipped] = 0
    return Confusion.of_pairs(pairs)


def count_pairs(truth: NDArray[np.int64], mapped: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each pair of numbers occurs, int64 (1024, 1024), true numbers in rows."""
    return np.bincount((truth * _N + mapped).ravel(), minlength=_N * _N).reshape(_N, _N)


def score(confusion: Confusion, legend: Legend | None = None, *, count_unclassified: bool = False) -> Scores:
    """Scores of a confusion matrix.

    Parameters
    ----------
    confusion : Confusion
        Counted by `compare`.
    legend : Legend or None
        Names of the classes.
    count_unclassified : bool
        True: pixels that the map leaves without a class are wrong. False: they are not scored.

    Returns
    -------
    Scores

    Raises
    ------
    InvalidArgumentError
        If the map has no class on any pixel that truth has one on, and those are not to be counted.

    Notes
    -----
    scikit-learn's scores of the cells of the matrix, weighted by their pixels: the same numbers as from the pixels
    themselves. Kappa is Cohen's (1960), doi:10.1177/001316446002000104.
    """
    # Imported here: it takes a second.
    from sklearn import metrics

    numbers, k = confusion.numbers, len(confusion.numbers)
    counts, mapped_as = confusion.counts, numbers
    if count_unclassified:
        counts = np.column_stack([counts, confusion.unclassified])
        mapped_as = np.append(numbers, 0)
    true, mapped = np.repeat(numbers, len(mapped_as)), np.tile(mapped_as, k)
    weights = counts.ravel().astype(np.float64)
    true, mapped, weights = true[weights > 0], mapped[weights > 0], weights[weights > 0]
    if not len(weights):
        raise InvalidArgumentError(
            "The map has no class on any pixel with a true class, so there is nothing to score."
        )
    options: dict[str, Any] = {"labels": numbers, "average": None, "sample_weight": weights}
    iou = metrics.jaccard_score(true, mapped, zero_division=0.0, **options)
    dice = metrics.f1_score(true, mapped, zero_division=np.nan, **options)
    precision = metrics.precision_score(true, mapped, zero_division=np.nan, **options)
    recall = metrics.recall_score(true, mapped, zero_division=np.nan, **options)
    in_truth = counts.sum(axis=1) > 0
    in_map = counts[:, :k].sum(axis=0) > 0
    iou = np.where(in_truth | in_map, iou, np.nan)
    legend = legend or Legend()
    total, held = int(confusion.counts.sum()), int(confusion.unclassified.sum())
    right = int(np.trace(confusion.counts))
    return Scores(
        pixels=int(weights.sum()),
        coverage=total / (total + held),
        accuracy=float(metrics.accuracy_score(true, mapped, sample_weight=weights)),
        accuracy_of_all=right / (total + held),
        kappa=_kappa(true, mapped, weights),
        mean_iou=float(np.mean(iou[in_truth])),
        mean_dice=float(np.mean(dice[in_truth])),
        classes=[
            ClassScore(
                int(number),
                legend.name(int(number)),
                int(counts[i].sum()),
                int(counts[:, i].sum()),
                float(iou[i]),
                float(dice[i]),
                float(precision[i]),
                float(recall[i]),
            )
            for i, number in enumerate(numbers)
        ],
        confusion=confusion,
    )


def _kappa(true: NDArray[np.int64], mapped: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    from sklearn.metrics import cohen_kappa_score

    if len(np.union1d(true, mapped)) < 2:
        return math.nan  # one class everywhere: nothing that chance could get wrong
    return float(cohen_kappa_score(true, mapped, sample_weight=weights))


def _check_names(mapped: ClassMap, truth: ClassMap) -> None:
    """Names are compared only where both have the same one: people call the same class differently."""
    number_of = {name: number for number, name in truth.legend.names.items()}
    for number, name in mapped.legend.names.items():
        if number_of.get(name, number) != number:
            raise InvalidArgumentError(
                f'"{name}" is class {number} in {mapped.path.name} and class {number_of[name]} in {truth.path.name}; make the '
                "map anew with --legend, so that both number their classes alike."
            )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
