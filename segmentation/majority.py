"""Clusters into classes by majority: fitted on one part of the truth, scored on another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentation.class_maps import require_complete
from segmentation.errors import InvalidArgumentError
from segmentation.evaluation import Confusion, Scores, score
from segmentation.features.sampling import seeded_hash
from segmentation.legend import MAX_CLASS, ClassTable
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.class_map import MAX_READ_CLASS, ClassMap, check_same_grid, map_windows
from segmentation.rasters.windows import Window

if TYPE_CHECKING:
    from segmentation.store import Segmentation

__all__ = ["Majority", "fit_majority"]


@dataclass(frozen=True)
class Majority:
    """Clusters and their classes.

    ``table`` and ``kept_table``: class of each leaf by all clusters, and by the purest alone. ``scores`` and ``kept_scores`` are of the
    part that was not fitted on. ``kept_share`` is how much of the fitted truth lies in the kept clusters, ``kept_purity`` the
    purity of the last of them.
    """

    n_clusters: int
    table: ClassTable
    kept_table: ClassTable
    scores: Scores
    kept_scores: Scores
    n_kept: int
    kept_share: float
    kept_purity: float
    fitted_pixels: int
    scored_pixels: int


def fit_majority(
    segmentation: Segmentation,
    truth: ClassMap,
    *,
    n_clusters: int = 100,
    fraction: float = 0.6,
    keep: float = 0.4,
    tile_px: int = 64,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Majority:
    """Give each cluster the class that most of its true pixels have, and score that elsewhere.

    Parameters
    ----------
    segmentation : Segmentation
        Complete.
    truth : ClassMap
        On the same grid, classes 1 to 255; 0 and nodata are ignored.
    n_clusters : int
        Granularity of the cut; at most the number of leaves.
    fraction : float
        Share of the square tiles with truth that are fitted on, between 0 and 1; the others are scored on.
    keep : float
        Clusters are kept from the purest (largest share of one class in the fitted pixels; the larger on a tie) until they
        hold this share of the fitted pixels, above 0 to 1.
    tile_px : int
        Side of a tile. Whole tiles are drawn, by a hash of the seed: neighboring pixels look alike, and must not lie on
        both sides.
    seed : int
        Seed of the draw.
    progress : callable or None
        Told the share done, 0 to 1.

    Returns
    -------
    Majority

    Raises
    ------
    InvalidArgumentError
        If an argument is outside its range, the grids differ, or there is too little truth to divide.
    StoreError
        If the segmentation is not complete.
    """
    _check(fraction, keep, tile_px)
    require_complete(segmentation)
    check_same_grid(segmentation.georeference, truth.georeference, "the segmentation", truth.path.name)
    n_clusters = min(n_clusters, segmentation.n_leaves)
    nodes = segmentation.tree.clusters_at(n_clusters)
    cluster_of = np.full(NODATA_LEAF + 1, n_clusters, np.int64)  # the last row: no data
    cluster_of[: len(nodes)] = np.unique(nodes, return_inverse=True)[1]
    tell = progress or (lambda share: None)

    tiles, numbers = _survey(segmentation, truth, tile_px, lambda share: tell(0.5 * share))
    fitted_tile = _draw(tiles, fraction, seed, tile_px)
    fitted, scored = _count(
        segmentation, truth, tile_px, fitted_tile, numbers, cluster_of, lambda s: tell(0.5 + 0.5 * s)
    )

    class_of, purity = _majority(fitted, numbers)
    kept = _keep(fitted, purity, keep)
    kept_class_of = np.where(kept, class_of, 0).astype(np.uint8)
    on_fitted = fitted.sum(axis=1)
    return Majority(
        n_clusters=n_clusters,
        table=_table(class_of, cluster_of, len(nodes), truth),
        kept_table=_table(kept_class_of, cluster_of, len(nodes), truth),
        scores=score(_confusion(scored, numbers, class_of), truth.legend),
        kept_scores=score(_confusion(scored, numbers, kept_class_of), truth.legend),
        n_kept=int(kept.sum()),
        kept_share=float(on_fitted[kept].sum() / on_fitted.sum()),
        kept_purity=float(purity[kept].min()),
        fitted_pixels=int(fitted.sum()),
        scored_pixels=int(scored.sum()),
    )


def _check(fraction: float, keep: float, tile_px: int) -> None:
    if not 0 < fraction < 1:
        raise InvalidArgumentError(
            f"The fraction to fit on is {fraction:g}; choose one between 0 and 1, so that something is left to score on."
        )
    if not 0 < keep <= 1:
        raise InvalidArgumentError(f"The share to keep is {keep:g}; choose one above 0, at most 1.")
    if tile_px < 1:
        raise InvalidArgumentError(f"A tile of {tile_px} pixels is not possible; choose 1 or more.")


def _read(
    segmentation: Segmentation, truth: ClassMap, window: Window
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Leaves and true classes of a window; 0 where there is no leaf."""
    leaves = np.asarray(
        segmentation.leaves[window.row : window.row + window.height, window.col : window.col + window.width]
    )
    classes = truth.read(window.row, window.col, window.height, window.width)
    return leaves, np.where(leaves == NODATA_LEAF, 0, classes)


def _survey(
    segmentation: Segmentation, truth: ClassMap, tile_px: int, tell: Callable[[float], None]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which tiles hold truth, bool (rows, cols), and which classes there are."""
    height, width = segmentation.shape
    tiles = np.zeros((-(-height // tile_px), -(-width // tile_px)), bool)
    found = np.zeros(MAX_READ_CLASS + 1, np.int64)
    for window in map_windows(*segmentation.shape):
        _, classes = _read(segmentation, truth, window)
        found += np.bincount(classes.ravel(), minlength=len(found))
        rows, cols = np.nonzero(classes)
        tiles[(rows + window.row) // tile_px, (cols + window.col) // tile_px] = True
        tell((window.row + window.height) / height)
    numbers = np.flatnonzero(found)
    numbers = numbers[numbers > 0]
    if len(numbers) and numbers[-1] > MAX_CLASS:
        raise InvalidArgumentError(
            f"{truth.path.name} has the class {numbers[-1]}; the classes of a map that is written here run from 1 to {MAX_CLASS}."
        )
    return tiles, numbers


def _draw(tiles: NDArray[np.bool_], fraction: float, seed: int, tile_px: int) -> NDArray[np.bool_]:
    """The tiles to fit on: exactly their share of those with truth, at least one, and one left over."""
    rows, cols = np.nonzero(tiles)
    if len(rows) < 2:
        raise InvalidArgumentError(
            f"Truth lies in {len(rows)} tiles of {tile_px} x {tile_px} pixels, too few to fit on some and score on others; choose "
            "smaller tiles with --tile-px."
        )
    order = np.argsort(
        [seeded_hash(seed, int(row), int(col)) for row, col in zip(rows, cols, strict=True)], kind="stable"
    )
    chosen = order[: int(np.clip(round(fraction * len(rows)), 1, len(rows) - 1))]
    fitted = np.zeros_like(tiles)
    fitted[rows[chosen], cols[chosen]] = True
    return fitted


def _count(
    segmentation: Segmentation,
    truth: ClassMap,
    tile_px: int,
    fitted_tile: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    cluster_of: NDArray[np.int64],
    tell: Callable[[float], None],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each cluster and class, int64 (n_clusters, k), in the fitted tiles and in the others."""
    n_clusters, k = int(cluster_of.max()), len(numbers)
    place_of = np.zeros(MAX_READ_CLASS + 1, np.int64)
    place_of[numbers] = np.arange(k)
    counts = np.zeros((2, n_clusters * k), np.int64)
    for window in map_windows(*segmentation.shape):
        leaves, classes = _read(segmentation, truth, window)
        rows, cols = np.nonzero(classes)
        pairs = cluster_of[leaves[rows, cols]] * k + place_of[classes[rows, cols]]
        is_fitted = fitted_tile[(rows + window.row) // tile_px, (cols + window.col) // tile_px]
        for part, chosen in enumerate((pairs[is_fitted], pairs[~is_fitted])):
            counts[part] += np.bincount(chosen, minlength=n_clusters * k)
        tell((window.row + window.height) / segmentation.shape[0])
    fitted, scored = counts.reshape(2, n_clusters, k)
    return fitted, scored


def _majority(
    fitted: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Class of each cluster, 0 where no truth was seen in it (the smaller number on a tie), and its purity."""
    total = fitted.sum(axis=1)
    class_of = np.where(total > 0, numbers[fitted.argmax(axis=1)], 0).astype(np.uint8)
    return class_of, fitted.max(axis=1) / np.maximum(total, 1)


def _keep(fitted: NDArray[np.int64], purity: NDArray[np.float64], keep: float) -> NDArray[np.bool_]:
    total = fitted.sum(axis=1)
    order = np.lexsort((np.arange(len(total)), -total, -purity))
    order = order[total[order] > 0]
    before = np.cumsum(total[order]) - total[order]  # what the purer ones hold
    kept = np.zeros(len(total), bool)
    kept[order[before < keep * total.sum()]] = True
    return kept


def _confusion(
    scored: NDArray[np.int64], numbers: NDArray[np.int64], class_of: NDArray[np.uint8]
) -> Confusion:
    pairs = np.zeros((MAX_CLASS + 1, MAX_CLASS + 1), np.int64)
    for place, number in enumerate(numbers):
        np.add.at(pairs[number], class_of.astype(np.int64), scored[:, place])
    return Confusion.of_pairs(pairs)


def _table(
    class_of: NDArray[np.uint8], cluster_of: NDArray[np.int64], n_leaves: int, truth: ClassMap
) -> ClassTable:
    return ClassTable(class_of[cluster_of[:n_leaves]], truth.legend)
