"""Next best clicks: the places whose class would tell most about the rest of the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.decoder import NO_CLASS, Click, Prediction
from segmentation.errors import InvalidArgumentError
from segmentation.places import Places, find_places, pixel_of_texel
from segmentation.pyramid import NODATA_LEAF
from segmentation.store import Segmentation

__all__ = ["MAX_SUGGESTIONS", "Suggestion", "suggest"]

MAX_SUGGESTIONS = 50
_DEEP_PX = 4  # a click so far inside a region is as safe as one further in
_FRAME_PX = (64, 320)  # smallest and largest side of the window that shows a place


@dataclass(frozen=True)
class Suggestion:
    """A place to click next.

    ``row, col`` is a pixel well inside it; ``bounds`` (row0, col0, row1, col1) a window that shows it, ends excluded;
    ``area_px`` its pixels; ``certainty`` the probability, 0 to 1, of ``class_id``, the likely class of the pixel's leaf. Without
    a likely class, as before the first example, that is None and the certainty 0.
    """

    row: int
    col: int
    bounds: tuple[int, int, int, int]
    area_px: int
    certainty: float
    class_id: int | None


def suggest(
    segmentation: Segmentation,
    prediction: Prediction | None,
    examples: Sequence[Click],
    count: int = 6,
    aoi: dict[str, Any] | None = None,
    *,
    decided: NDArray[np.bool_] | None = None,
    places: Places | None = None,
) -> list[Suggestion]:
    """Rank places by uncertainty x area x diversity, the best first.

    Parameters
    ----------
    segmentation : Segmentation
        It may still be computing; then only what is there is suggested.
    prediction : Prediction or None
        What ``segmentation.classify(examples)`` gives. With None, or while there are not two classes to be torn between,
        every leaf counts as equally uncertain: typical places of the large clusters come first.
    examples : sequence of Click
        The examples so far; places that look like them come last.
    count : int
        Suggestions wanted, 1 to 50.
    aoi : dict or None
        Area of interest, a GeoJSON geometry; nothing outside of it is suggested. Not used with ``places``.
    decided : bool array, shape (n,), or None
        Leaves that have a class already, whatever is predicted: nothing is asked about them.
    places : Places or None
        What ``find_places(segmentation, aoi)`` gave before; it takes longer to find than the rest.

    Returns
    -------
    list of Suggestion
        Fewer than ``count`` where nothing uncertain is left, one a cluster at most.

    Raises
    ------
    InvalidArgumentError
        If ``count`` is out of range, or the prediction or ``decided`` belongs to another number of leaves.

    Notes
    -----
    Uncertainty of a leaf is the entropy of its probabilities over the log of the number of classes. A cluster's score is the
    uncertainty summed over its pixels, times the distance of its mean feature vector to the nearest example or cluster chosen
    before (a greedy farthest-first walk, as in k-center: Sener & Savarese 2018, arXiv:1708.00489). In the chosen cluster the
    connected region with most uncertainty is taken, and in it a leaf that is uncertain, well inside.
    """
    n_leaves = segmentation.n_leaves
    if not 1 <= count <= MAX_SUGGESTIONS:
        raise InvalidArgumentError(f"{count} suggestions were asked for; ask for 1 to {MAX_SUGGESTIONS}.")
    if prediction is not None and len(prediction.classes) != n_leaves:
        raise InvalidArgumentError(
            f"The prediction is for {len(prediction.classes)} leaves, the segmentation has {n_leaves}; predict again."
        )
    if decided is not None and len(decided) != n_leaves:
        raise InvalidArgumentError(
            f"It is said of {len(decided)} leaves whether they are decided, the segmentation has {n_leaves}."
        )
    places = places or find_places(segmentation, aoi)
    uncertainty = _uncertainty(prediction, n_leaves)
    if decided is not None:
        uncertainty[decided] = 0
    example_leaves = _leaves_of(segmentation, examples)
    uncertainty[example_leaves] = 0  # the person has answered there
    # A leaf that is nobody's cluster at the cut, and nodata, count nothing.
    texel_uncertainty = np.append(uncertainty, 0).astype(np.float32)[np.minimum(places.leaves, n_leaves)]
    mass = np.asarray(
        np.bincount(places.regions.ravel(), texel_uncertainty.ravel(), len(places.cluster_of_region)),
        np.float64,
    )
    found = []
    for region in _ranked_regions(segmentation, places, uncertainty, mass, example_leaves, count):
        row, col = _pixel_inside(segmentation, places, region, texel_uncertainty)
        found.append(_describe(segmentation, places, prediction, region, row, col))
    return found


def _uncertainty(prediction: Prediction | None, n_leaves: int) -> NDArray[np.float64]:
    """Normalized entropy of every leaf, 0 to 1; all 1 where the probabilities can tell nothing."""
    if prediction is None or prediction.probabilities.shape[1] < 2:
        return np.ones(n_leaves)
    p = prediction.probabilities.astype(np.float64)
    entropy: NDArray[np.float64] = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=1)
    return np.clip(entropy / np.log(p.shape[1]), 0, 1)


def _leaves_of(segmentation: Segmentation, examples: Sequence[Click]) -> NDArray[np.int64]:
    leaves = np.array(segmentation.neighborhoods.at([(one.row, one.col) for one in examples]), np.int64)
    return np.unique(leaves[leaves < segmentation.n_leaves])


def _ranked_regions(
    segmentation: Segmentation,
    places: Places,
    uncertainty: NDArray[np.float64],
    mass: NDArray[np.float64],
    example_leaves: NDArray[np.int64],
    count: int,
) -> list[int]:
    """Regions in the order in which to ask about them, at most one a cluster."""
    n = len(places.cluster_of_leaf)
    weights = places.texels.astype(np.float64)
    score = np.bincount(places.cluster_of_leaf, weights * uncertainty[:n], places.n_clusters)
    means = _cluster_means(segmentation.means[:n], places, weights)
    distance = _distances(means, segmentation.means[example_leaves])
    ranked: list[int] = []
    while len(ranked) < count:
        cluster = int((score * distance).argmax())
        if score[cluster] <= 0:  # an example may be exactly like a cluster's mean, yet others follow
            cluster = int(score.argmax())
        if score[cluster] <= 0:
            break
        ranked.append(int(np.where(places.cluster_of_region == cluster, mass, -1).argmax()))
        score[cluster] = 0
        distance = np.minimum(distance, _distances(means, means[cluster : cluster + 1]))
    return ranked


def _cluster_means(
    means: NDArray[np.float32], places: Places, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean feature vector of each cluster over the texels that are looked at, (clusters, D)."""
    total = np.maximum(np.bincount(places.cluster_of_leaf, weights, places.n_clusters), 1e-9)
    sums = [np.bincount(places.cluster_of_leaf, weights * feature, places.n_clusters) for feature in means.T]
    return np.stack(sums, axis=1) / total[:, None]


def _distances(means: NDArray[np.float64], others: NDArray[Any]) -> NDArray[np.float64]:
    """Root mean square difference of the features to the nearest of ``others``; all 1 without any."""
    if not len(others):
        return np.ones(len(means))
    others = others.astype(np.float64)
    squares = np.square(means).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * means @ others.T
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0) / means.shape[1]))


def _pixel_inside(
    segmentation: Segmentation,
    places: Places,
    region: int,
    texel_uncertainty: NDArray[np.float32],
) -> tuple[int, int]:
    """Pixel of an uncertain leaf of the region, well inside."""
    box = places.boxes[region - 1]
    deep = max(1, _DEEP_PX >> places.level)
    worth = np.minimum(places.depth[box], deep) * texel_uncertainty[box]
    worth = np.where(places.regions[box] == region, worth, -1)
    row, col = np.unravel_index(int(worth.argmax()), worth.shape)
    pixel = pixel_of_texel(int(row) + box[0].start, int(col) + box[1].start, places.level, segmentation.shape)
    return pixel if places.level == 0 else _refined(segmentation, places, pixel)


def _refined(segmentation: Segmentation, places: Places, pixel: tuple[int, int]) -> tuple[int, int]:
    """The pixel around a pixel that lies deepest in its leaf: a texel of an overview shows one pixel of many."""
    from scipy.ndimage import distance_transform_edt, label

    reach = _DEEP_PX + (1 << places.level)
    top, left = max(pixel[0] - reach, 0), max(pixel[1] - reach, 0)
    ids = np.asarray(segmentation.leaves[top : pixel[0] + reach + 1, left : pixel[1] + reach + 1])
    center = pixel[0] - top, pixel[1] - left
    own = ids == ids[center]
    if places.aoi is not None:
        own &= segmentation.georeference.aoi_mask(places.aoi, top, left, *ids.shape)
    pieces, _ = label(own)
    depth = distance_transform_edt(np.pad(pieces == pieces[center], 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row) + top, int(col) + left


def _describe(
    segmentation: Segmentation,
    places: Places,
    prediction: Prediction | None,
    region: int,
    row: int,
    col: int,
) -> Suggestion:
    box = places.boxes[region - 1]
    texels = int((places.regions[box] == region).sum())
    height, width = segmentation.shape
    area_px = min(texels << (2 * places.level), height * width)
    side = int(np.clip(2 * np.sqrt(area_px), *_FRAME_PX))
    row0, row1 = _span(row, side, height)
    col0, col1 = _span(col, side, width)
    class_id, certainty = None, 0.0
    leaf = segmentation.leaf_at(row, col)
    if prediction is not None and leaf != NODATA_LEAF and prediction.classes[leaf] != NO_CLASS:
        class_id, certainty = int(prediction.classes[leaf]), float(prediction.certainty[leaf])
    return Suggestion(row, col, (row0, col0, row1, col1), area_px, certainty, class_id)


def _span(middle: int, side: int, size: int) -> tuple[int, int]:
    """A stretch of ``side`` pixels around ``middle``, moved into 0 to ``size``."""
    start = max(0, min(middle - side // 2, size - side))
    return start, min(start + side, size)
