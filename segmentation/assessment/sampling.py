"""How many reference points, how many of each class, and where: a stratified random sample of a class map.

Sizes follow Cochran (1977, eq. 5.25), allocation Olofsson et al. (2014, Remote Sens. Environ. 148, 42-57, section 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.class_map import MAX_READ_CLASS, map_windows
from segmentation.rasters.georeference import Georeference

__all__ = ["DEFAULT_EXPECTED", "allocate", "count_classes", "draw_points", "mapped_area_m2", "sample_size"]

DEFAULT_EXPECTED = 0.8  # user's accuracy, where nobody knows better
_N = MAX_READ_CLASS + 1


class Readable(Protocol):
    """A class map that is read piece by piece: 0 = no class."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[Any]: ...


def sample_size(
    sizes: Mapping[int, int], standard_error: float, expected: Mapping[int, float] | None = None
) -> int:
    """Points that bring the overall accuracy's standard error down to what is wanted, allocated in proportion to area.

    Parameters
    ----------
    sizes : mapping of int to int
        Pixels of each class on the map.
    standard_error : float
        Wanted, as a share: 0.01 gives an interval of plus or minus two percent points at 95 %.
    expected : mapping of int to float, optional
        User's accuracy that each class is thought to have; 0.8 where it says nothing.

    Raises
    ------
    InvalidArgumentError
        If no class has pixels, or a number makes no sense.

    Notes
    -----
    n = (sum of W_i S_i)^2 / (V + sum of W_i S_i^2 / N), with W_i the share of class i, S_i = sqrt(U_i (1 - U_i)), V the wanted variance.
    """
    total = sum(sizes.values())
    if total <= 0:
        raise InvalidArgumentError("The map has no class anywhere; classify some of it first.")
    if not 0.001 <= standard_error <= 0.25:
        raise InvalidArgumentError(
            f"A standard error of {standard_error:g} was asked for; choose 0.001 to 0.25, such as 0.01."
        )
    users = {number: (expected or {}).get(number, DEFAULT_EXPECTED) for number in sizes}
    wrong = [value for value in users.values() if not 0 < value < 1]
    if wrong:
        raise InvalidArgumentError(
            f"An accuracy of {wrong[0]:g} was expected; it lies between 0 and 1, both left out."
        )
    spread = {number: users[number] * (1 - users[number]) for number in sizes}
    mean = sum(size / total * math.sqrt(spread[number]) for number, size in sizes.items())
    finite = sum(size / total * spread[number] for number, size in sizes.items()) / total
    return max(1, math.ceil(mean**2 / (standard_error**2 + finite)))


def allocate(sizes: Mapping[int, int], n_points: int, least: int = 50) -> dict[int, int]:
    """Points of each class: in proportion to its area, and ``least`` of each, so that rare classes can be judged, too.

    No class gets more points than it has pixels. Where ``least`` of each already come to more than ``n_points``, that is the sample.

    Raises
    ------
    InvalidArgumentError
        If ``least`` is under two, or ``n_points`` under one.
    """
    if least < 2 or n_points < 1:
        raise InvalidArgumentError(
            f"{n_points} points with {least} or more of each class were asked for; choose 1 and 2 or more."
        )
    there = {number: size for number, size in sizes.items() if size > 0}
    rare: set[int] = set()
    while True:
        # Those that would get too few by their area get the least, and the others share what is left, which may make more of them rare.
        left = n_points - least * len(rare)
        area = sum(size for number, size in there.items() if number not in rare)
        short = {
            number for number, size in there.items() if number not in rare and left * size < least * area
        }
        if not short:
            break
        rare |= short
    given = {number: least if number in rare else round(left * size / area) for number, size in there.items()}
    return {number: min(there[number], count) for number, count in given.items()}


def count_classes(source: Readable, progress: Callable[[float], None] | None = None) -> dict[int, int]:
    """Pixels of each class of a map, read window by window; those without a class are left out."""
    height, width = source.shape
    counts = np.zeros(_N, np.int64)
    for window in map_windows(height, width):
        found = source.read(window.row, window.col, window.height, window.width)
        counts += np.bincount(found.ravel(), minlength=_N)
        if progress is not None:
            progress((window.row + window.height) / height)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts) if number > 0}


def mapped_area_m2(source: Readable, georeference: Georeference) -> float | None:
    """Geodesic area of all pixels that have a class, square meters; None without a CRS."""
    if georeference.crs is None:
        return None
    height, width = source.shape
    total = 0.0
    for window in map_windows(height, width):
        place = (window.row, window.col, window.height, window.width)
        areas = georeference.pixel_areas_m2(*place)
        total += float(areas[source.read(*place) > 0].sum()) if areas is not None else 0.0
    return total


def draw_points(
    source: Readable,
    sizes: Mapping[int, int],
    wanted: Mapping[int, int],
    *,
    seed: int = 0,
    but: Collection[tuple[int, int]] = (),
    progress: Callable[[float], None] | None = None,
) -> NDArray[np.int64]:
    """Draw pixels of each class at random, without repeats.

    Parameters
    ----------
    source : Readable
        The map, as it was when ``sizes`` was counted.
    sizes : mapping of int to int
        As `count_classes` gives them.
    wanted : mapping of int to int
        Points of each class.
    seed : int
        The same map, numbers and seed give the same points.
    but : collection of (row, col)
        Pixels that are not drawn: those that were clicked to make the map would praise it.
    progress : callable, optional
        Told the share done, 0 to 1.

    Returns
    -------
    int64 array, shape (n, 3)
        Row, column and class of each point, in random order: whoever labels them learns nothing from it.

    Raises
    ------
    InvalidArgumentError
        If a class has fewer pixels left than points are wanted, or the map is another one than ``sizes`` was counted on.
    """
    rng = np.random.default_rng(seed)
    clicked = dict.fromkeys(sizes, 0)
    height, width = source.shape
    left_out = np.array(sorted(set(but)), np.int64).reshape(-1, 2)
    left_out = left_out[(left_out >= 0).all(axis=1) & (left_out[:, 0] < height) & (left_out[:, 1] < width)]
    for row, col in left_out.tolist():
        number = int(source.read(row, col, 1, 1)[0, 0])
        if number in clicked:
            clicked[number] += 1
    ranks = {}
    for number in sorted(wanted):
        free = sizes.get(number, 0) - clicked.get(number, 0)
        if wanted[number] > free:
            raise InvalidArgumentError(
                f"{wanted[number]:,} points of class {number} are wanted, and {free:,} of its pixels can be drawn; ask for fewer."
            )
        # Places among the pixels of the class, in the order in which windows are read.
        ranks[number] = np.sort(rng.choice(free, wanted[number], replace=False))
    passed = dict.fromkeys(ranks, 0)
    found = [np.zeros((0, 3), np.int64)]
    for window in map_windows(height, width):
        classes = source.read(window.row, window.col, window.height, window.width).astype(np.int64)
        inside = left_out - (window.row, window.col)
        inside = inside[(inside >= 0).all(axis=1) & (inside < (window.height, window.width)).all(axis=1)]
        classes[inside[:, 0], inside[:, 1]] = 0
        for number, places in ranks.items():
            flat = np.flatnonzero(classes == number)
            here = places[(places >= passed[number]) & (places < passed[number] + len(flat))] - passed[number]
            passed[number] += len(flat)
            rows, cols = np.divmod(flat[here], window.width)
            found.append(np.stack([rows + window.row, cols + window.col, np.full(len(here), number)], axis=1))
        if progress is not None:
            progress((window.row + window.height) / height)
    points = np.concatenate(found)
    if len(points) != sum(wanted.values()):
        raise InvalidArgumentError(
            "The map has changed since its classes were counted; draw the points again."
        )
    return points[rng.permutation(len(points))]
