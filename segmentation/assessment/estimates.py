"""Accuracy and areas from a stratified sample, with standard errors.

The estimators are those of Stehman (2014, Int. J. Remote Sens. 35, 4923-4939), for strata that may or may not be the classes of the
assessed map. Where they are, the estimates are those of Olofsson et al. (2014, Remote Sens. Environ. 148, 42-57).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentation.errors import InvalidArgumentError

__all__ = ["Assessment", "ClassAssessment", "Estimate", "assess"]

_LEAST = 2  # points of a stratum, below which nothing can be said of their spread

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """``value`` and its ``standard_error``; NaN where there is nothing to estimate it from."""

    value: float
    standard_error: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Bounds of the symmetric normal interval; not cut to 0 or 1, so that its half width can be read off."""
        half = self.half_width(confidence)
        return self.value - half, self.value + half

    def half_width(self, confidence: float = 0.95) -> float:
        """Half of the interval's width, as papers write it behind a plus-minus sign."""
        return NormalDist().inv_cdf(0.5 + confidence / 2) * self.standard_error


@dataclass(frozen=True)
class ClassAssessment:
    """One class: ``users`` and ``producers`` accuracy, ``f1``, ``iou``, its ``share`` of the area by reference and ``mapped_share``."""

    number: int
    users: Estimate
    producers: Estimate
    f1: float
    iou: float
    share: Estimate
    mapped_share: float
    n_mapped: int
    n_reference: int


@dataclass(frozen=True)
class Assessment:
    """What a sample says of a map.

    ``numbers`` int64 (k,), the classes that map or reference have at the points, sorted. ``counts`` int64 (k, k) and
    ``proportions`` float64 (k, k): points, and estimated shares of the area, by mapped class (rows) and reference class
    (columns). ``kappa`` is of the proportions.
    """

    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]
    proportions: Floats
    overall: Estimate
    kappa: float
    classes: list[ClassAssessment]

    def of(self, number: int) -> ClassAssessment:
        """What is said of one class."""
        return next(one for one in self.classes if one.number == number)


def assess(
    strata: ArrayLike,
    mapped: ArrayLike,
    reference: ArrayLike,
    sizes: Mapping[int, int],
    names: Mapping[int, str] | None = None,
) -> Assessment:
    """Estimate accuracy and areas.

    Parameters
    ----------
    strata, mapped, reference : array_like of int, shape (n,)
        Of each point: the stratum that it was drawn from, the class that the map gives it (0: none), and the class that it has.
    sizes : mapping of int to int
        Pixels of each stratum. All of them count, those without points too.
    names : mapping of int to str, optional
        Of strata, for sentences.

    Returns
    -------
    Assessment

    Raises
    ------
    InvalidArgumentError
        If there are no points, a point has no reference class or lies in a stratum without a size, or a stratum that has pixels has
        fewer than two points.

    Notes
    -----
    Every estimate is a total, or a ratio R of two totals, of indicators y and x over the strata h, with N_h pixels and n_h points:
    the variance of R is the sum over h of N_h^2 (1 - n_h / N_h) (s_y^2 + R^2 s_x^2 - 2 R s_xy) / n_h, divided by the square of the
    total of x (Stehman 2014). Points are taken for a simple random sample within their stratum, pixels for units of one area.
    """
    points = [np.asarray(values, np.int64).ravel() for values in (strata, mapped, reference)]
    stratum, on_map, true = points
    if not len(stratum) or len({len(values) for values in points}) > 1:
        raise InvalidArgumentError(
            "An assessment needs points, each with a stratum, a mapped and a reference class."
        )
    if (true < 1).any():
        raise InvalidArgumentError(
            "A point has no reference class; label all points that are to count, or leave them out."
        )
    design = _Design(stratum, sizes, names or {})
    numbers = np.unique(np.concatenate([on_map, true]))
    hits = on_map == true
    counts = np.array([[(on_map[true == r] == m).sum() for r in numbers] for m in numbers], np.int64)
    proportions = np.array(
        [[design.mean((on_map == m) & (true == r)).value for r in numbers] for m in numbers], np.float64
    ).reshape(len(numbers), len(numbers))
    rows, columns = proportions.sum(axis=1), proportions.sum(axis=0)
    classes = []
    for place, number in enumerate(numbers):
        if number < 1:  # not a class: what the map leaves open
            continue
        both = proportions[place, place]
        classes.append(
            ClassAssessment(
                number=int(number),
                users=design.ratio(hits & (on_map == number), on_map == number),
                producers=design.ratio(hits & (true == number), true == number),
                f1=_share(2 * both, rows[place] + columns[place]),
                iou=_share(both, rows[place] + columns[place] - both),
                share=design.mean(true == number),
                mapped_share=float(rows[place]),
                n_mapped=int(counts[place].sum()),
                n_reference=int(counts[:, place].sum()),
            )
        )
    chance = float(rows @ columns)
    overall = design.mean(hits)
    kappa = _share(overall.value - chance, 1 - chance)
    return Assessment(numbers, counts, proportions, overall, kappa, classes)


class _Design:
    """The sample: which points are of which stratum, and how large each is."""

    def __init__(
        self, stratum: NDArray[np.int64], sizes: Mapping[int, int], names: Mapping[int, str]
    ) -> None:
        strange = sorted(set(stratum.tolist()) - {number for number, size in sizes.items() if size > 0})
        if 0 in strange:
            raise InvalidArgumentError(
                "A point lies where the map that the points were drawn from has no class; name the right map, or leave such points out."
            )
        if strange:
            raise InvalidArgumentError(
                f"A point lies in the stratum {names.get(strange[0], strange[0])}, which has no pixels; the map that the points were drawn "
                "from must be the one that gives the strata."
            )
        self._total = float(sum(sizes.values()))
        self._strata: list[tuple[Sequence[int] | NDArray[np.int64], float]] = []
        for number, size in sizes.items():
            inside = np.flatnonzero(stratum == number)
            if size <= 0:
                continue
            if len(inside) < _LEAST:
                told = "1 labeled point" if len(inside) else "no labeled point"
                raise InvalidArgumentError(
                    f"The stratum {names.get(number, number)} has {told}; label {_LEAST} or more in each, so that its spread can be told."
                )
            self._strata.append((inside, float(size)))

    def mean(self, indicator: NDArray[np.bool_]) -> Estimate:
        """The share of the area where ``indicator`` holds."""
        return self.ratio(indicator, np.ones(len(indicator), np.bool_))

    def ratio(self, indicator: NDArray[np.bool_], within: NDArray[np.bool_]) -> Estimate:
        """The share of the area of ``within`` where ``indicator`` holds, which implies ``within``."""
        y, x = indicator.astype(np.float64), within.astype(np.float64)
        total_y = sum(size * y[inside].mean() for inside, size in self._strata)
        total_x = sum(size * x[inside].mean() for inside, size in self._strata)
        if not total_x:
            return Estimate(float("nan"), float("nan"))
        share = total_y / total_x
        rest = y - share * x
        variance = sum(
            size * max(0.0, size - len(inside)) * rest[inside].var(ddof=1) / len(inside)
            for inside, size in self._strata
        )
        return Estimate(float(share), float(np.sqrt(variance)) / float(total_x))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
