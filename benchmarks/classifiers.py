"""The methods that `clicks_to_accuracy.py` compares: ours, and what a user would pick instead.

Each builder prepares one image once and returns a `Prepared` with one or more ways to turn clicks into a map. The peers
use scikit-learn's and scikit-image's own code with the settings of the tools that they stand for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from clicking import Place, Task
from numpy.typing import NDArray

DEFAULT_CUT = 40  # clusters, as in static/js/state.js; a test holds the two equal
N_CLUSTERS = 100  # of K-means, as in ClusterNet (2019)
N_TREES = 100
_BANK_BANDS = 8  # scenes with more are reduced to principal components before filtering
_SAMPLE = 100_000  # pixels that K-means sees

Map = NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """Ways to turn clicks into a class map (H, W), -1 = no class, by name, and what preparing them took.

    ``first_s`` seconds until the first overlay could be shown (None: there is none before the first click);
    ``learning_s`` the seconds of ``prepare_s`` that went into training a network.
    """

    predictors: dict[str, Callable[[list[Place], int], Map]]
    prepare_s: float
    first_s: float | None = None
    learning_s: float = 0.0
    device: str = "cpu"


def ours(task: Task, folder: Path, mode: str) -> Prepared:
    """`segment` once, then `classify`; and the map as the app shows it."""
    from segmentation import Click, open_segmentation, segment

    begin = time.perf_counter()
    first: list[float] = []
    spent: dict[str, float] = {}
    last = begin

    def watch(progress: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        spent[progress.stage] = spent.get(progress.stage, 0.0) + now - last
        last = now
        if progress.block is not None and not first:
            first.append(now - begin)

    segment(task.path, folder / "store", seed=0, mode=mode, progress=watch)
    prepare_s = time.perf_counter() - begin
    segmentation = open_segmentation(folder / "store")
    leaves = np.minimum(np.asarray(segmentation.leaves[:]).astype(np.int64), segmentation.n_leaves)
    tree = segmentation.tree
    clusters = tree.clusters_at(min(DEFAULT_CUT, segmentation.n_leaves))

    def decoded(clicks: list[Place], seed: int) -> NDArray[np.int64]:
        return segmentation.classify([Click(row, col, class_id) for row, col, class_id in clicks]).classes

    def whole_map(clicks: list[Place], seed: int) -> Map:
        return np.append(decoded(clicks, seed), -1)[leaves]

    def as_in_the_app(clicks: list[Place], seed: int) -> Map:
        named = [(int(leaves[row, col]), class_id) for row, col, class_id in clicks]
        assigned = assign_clusters(tree, clusters, [one for one in named if one[0] < segmentation.n_leaves])
        return np.append(np.where(assigned >= 0, assigned, decoded(clicks, seed)), -1)[leaves]

    learning_s = sum(seconds for stage, seconds in spent.items() if stage in ("learning", "training"))
    maps = {"ours": whole_map, "ours, as in the app": as_in_the_app}
    if mode == "fast":
        maps = {"ours, without learning": whole_map}
    return Prepared(
        maps,
        prepare_s,
        first[0] if first else prepare_s,
        learning_s,
        segmentation.device,
    )


def ours_without_learning(task: Task, folder: Path) -> Prepared:
    """What the app shows within seconds, while it learns: the filter bank alone."""
    return ours(task, folder, "fast")


def assign_clusters(
    tree: Any, clusters: NDArray[np.uint32], clicks: list[tuple[int, int]]
) -> NDArray[np.int64]:
    """Class of each leaf after clicks on clusters, given as (leaf, class); -1 = none.

    As in static/js/model/splits.js: a click takes its whole cluster, yet where clicks of other classes in the same
    cluster still stand, only the largest part of the merge tree that holds none of them.
    """
    table = np.full(tree.n_leaves, -1, np.int64)
    for number, (leaf, class_id) in enumerate(clicks):
        rivals = {
            other
            for other, other_class in clicks[:number]
            if other_class != class_id and clusters[other] == clusters[leaf] and table[other] == other_class
        }
        taken = {node for other in rivals - {leaf} for node in path(tree, other, clusters[leaf])}
        free = [node for node in path(tree, leaf, clusters[leaf]) if node not in taken]
        table[tree.low[free[-1]] : tree.high[free[-1]]] = class_id
    return table


def path(tree: Any, leaf: int, top: int) -> list[int]:
    """The nodes from a leaf up to one above it."""
    nodes = [leaf]
    while nodes[-1] != top:
        nodes.append(int(tree.parent[nodes[-1]]))
    return nodes


def bands_kmeans(task: Task, folder: Path) -> Prepared:
    """K-means on bands; every pixel takes the class of the nearest cluster that was clicked."""
    begin = time.perf_counter()
    bands = standardized(task.bands)
    nearest = nearest_cluster(bands, *kmeans(bands))
    seconds = time.perf_counter() - begin
    return Prepared({"K-means on bands": nearest}, seconds, seconds)


def bands_forest(task: Task, folder: Path) -> Prepared:
    """Random forest on band values, as in QGIS plugins and most web tools."""
    begin = time.perf_counter()
    bands = standardized(task.bands)
    return Prepared({"forest on bands": forest(bands)}, time.perf_counter() - begin)


def bank_forest(task: Task, folder: Path) -> Prepared:
    """Random forest on a multi-scale filter bank, as in ilastik."""
    from skimage.feature import multiscale_basic_features

    begin = time.perf_counter()
    channels = np.moveaxis(few_bands(standardized(task.bands)), 0, -1)
    bank = multiscale_basic_features(channels.astype(np.float32), channel_axis=-1, sigma_min=1, sigma_max=8)
    features = np.ascontiguousarray(np.moveaxis(bank, -1, 0))
    return Prepared({"forest on filter bank": forest(features)}, time.perf_counter() - begin)


def clusternet(task: Task, folder: Path) -> Prepared:
    """The training loop of 2019, at reduced size (see `clusternet2019`)."""
    from clusternet2019 import embed, train

    begin = time.perf_counter()
    bands = few_bands(standardized(task.bands), 3)
    network = train(bands, seed=0)
    learning_s = time.perf_counter() - begin
    features = embed(network, bands)
    clusters, centers = kmeans(features)
    prepare_s = time.perf_counter() - begin

    def clicked_only(clicks: list[Place], seed: int) -> Map:
        classes = np.full(len(centers), -1, np.int64)
        for row, col, class_id in clicks:
            classes[clusters[row, col]] = class_id
        return classes[clusters]

    predictors = {
        "ClusterNet 2019": clicked_only,
        "ClusterNet 2019, rest by nearest cluster": nearest_cluster(features, clusters, centers),
    }
    return Prepared(predictors, prepare_s, prepare_s, learning_s)


GROUPS: dict[str, Callable[..., Prepared]] = {
    "ours": ours,
    "ours-fast": ours_without_learning,
    "bands-kmeans": bands_kmeans,
    "bands-forest": bands_forest,
    "bank-forest": bank_forest,
    "clusternet2019": clusternet,
}


def standardized(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring every band (B, H, W) to about 0..1 between its 1st and 99th percentile."""
    low, high = np.percentile(bands.reshape(len(bands), -1)[:, ::97], (1, 99), axis=1)
    scaled = (bands - low[:, None, None]) / np.maximum(high - low, 1e-6)[:, None, None]
    return scaled.astype(np.float32)


def few_bands(bands: NDArray[np.float32], most: int = _BANK_BANDS) -> NDArray[np.float32]:
    """Principal components in place of the bands where there are more than ``most``; the first three bands for three."""
    if len(bands) <= most:
        return bands
    if most == 3 and len(bands) <= _BANK_BANDS:
        return bands[:3]  # red, green, blue: what the network of 2019 took
    from sklearn.decomposition import PCA

    flat = PCA(most, random_state=0).fit_transform(bands.reshape(len(bands), -1).T)
    return flat.T.reshape(most, *bands.shape[1:]).astype(np.float32)


def kmeans(features: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Cluster of every pixel (H, W), and the clusters' centers."""
    from sklearn.cluster import MiniBatchKMeans

    flat = features.reshape(len(features), -1).T
    sample = np.random.default_rng(0).choice(len(flat), min(len(flat), _SAMPLE), replace=False)
    model = MiniBatchKMeans(N_CLUSTERS, random_state=0, n_init=1, batch_size=4096).fit(flat[sample])
    clusters = model.predict(flat).astype(np.int64).reshape(features.shape[1:])
    return clusters, model.cluster_centers_


def nearest_cluster(
    features: NDArray[np.float32], clusters: NDArray[np.int64], centers: NDArray[np.float32]
) -> Callable[[list[Place], int], Map]:
    """Every cluster takes the class of the nearest one that was clicked."""

    def predict(clicks: list[Place], seed: int) -> Map:
        named = {int(clusters[row, col]): class_id for row, col, class_id in clicks}
        keys = np.array(list(named))
        nearest = np.square(centers[:, None] - centers[keys]).sum(axis=-1).argmin(axis=1)
        return np.array([named[key] for key in keys])[nearest][clusters]

    return predict


def forest(features: NDArray[np.float32]) -> Callable[[list[Place], int], Map]:
    """Random forest on the features (D, H, W) of the 3 x 3 pixels around each click."""
    from sklearn.ensemble import RandomForestClassifier

    n_features, height, width = features.shape
    # Pixels that are alike get the same class: an 8-bit image has far fewer different ones than pixels.
    flat, kind = np.unique(features.reshape(n_features, -1).T, axis=0, return_inverse=True)

    def predict(clicks: list[Place], seed: int) -> Map:
        rows, cols, classes = examples(clicks, height, width)
        model = RandomForestClassifier(N_TREES, n_jobs=-1, random_state=seed)
        model.fit(features[:, rows, cols].T, classes)
        return model.predict(flat)[kind.ravel()].reshape(height, width)

    return predict


def examples(
    clicks: list[Place], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, columns and classes of the 3 x 3 pixels around each click, as our decoder gets them."""
    steps = np.array([(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)])
    centers = np.array([click[:2] for click in clicks])
    rows, cols = (centers[:, None] + steps[None]).reshape(-1, 2).T
    classes = np.repeat([click[2] for click in clicks], len(steps))
    return rows.clip(0, height - 1), cols.clip(0, width - 1), classes
