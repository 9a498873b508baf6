"""A scene's leaves carried to another scene, with one leaf more for what is like none of them: "unknown"."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.blockwork import BlockWork, Superpixels, leaf_sums
from segmentation.class_maps import require_complete
from segmentation.clustering.codebook import Codebook
from segmentation.clustering.leaf_apart import tree_tables, with_leaf_apart
from segmentation.errors import CancelledError, InvalidArgumentError, SegmentationError, UnreadableSceneError
from segmentation.features.normalize import BandScaling, FeatureScaling
from segmentation.learning.plan import LearningPlan, read_encoder
from segmentation.legend import UNKNOWN, ClassTable
from segmentation.objects import StorePath, store_path
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.scene import Scene, open_scene
from segmentation.rasters.windows import BLOCK, Window, n_levels
from segmentation.reach import Reach, measure_reach
from segmentation.running import choose_device, one_thread_each, read_codebook
from segmentation.schedule import Schedule
from segmentation.store import Segmentation, open_segmentation, read_description
from segmentation.store_writer import StoreWriter
from segmentation.survey import survey_scene

__all__ = ["Carried", "carry_to", "table_with_unknown"]

_UNKNOWN_RGB = (128, 128, 128)
_SAME_GSD = 1.5  # filters see pixels, not meters: beyond this ratio the same ground looks different


@dataclass(frozen=True)
class Carried:
    """What came out: pixels like none of the source's leaves, of those with data; the factor on the leaves' spread; sentences."""

    unknown_pixels: int
    pixels: int
    factor: float
    remarks: list[str]


def carry_to(
    source: Segmentation,
    image: str | Path,
    store: str | Path,
    *,
    source_image: str | Path | None = None,
    percentile: float = 99.5,
    rescale: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Carried:
    """Segment another scene with the leaves of one that is segmented already.

    Superpixels of the other scene, described by the source's filters and network, take the nearest leaf of the source,
    with the same ids, means and merge tree, so that what was said of a leaf there holds here. A superpixel that is farther
    from its nearest leaf than superpixels of the source usually are (see `segmentation.reach`) is unknown: it goes to a leaf
    of its own, the last, which the merge tree joins last.

    Parameters
    ----------
    source : Segmentation
        Complete.
    image : str or Path
        The other scene, with the same bands.
    store : str or Path
        Folder to write; give a draft (`segmentation.drafts`).
    source_image : str or Path or None
        The source's image, where it was moved since.
    percentile : float
        How much of the source would count as known if it were a new scene, 50 to 100.
    rescale : bool
        True: bands are scaled by the other scene's own percentiles, which evens out light, season and sensor, but takes the
        scenes' contents for alike. False: by the source's, so that equal numbers mean the same.
    device : str
        "auto", "cpu" or "cuda".
    threads : int or None
        Blocks computed at once; None: as many as there are cores.
    progress : callable or None
        Told the share done, 0 to 1.
    cancelled : callable or None
        Asked before each block whether to stop.

    Returns
    -------
    Carried

    Raises
    ------
    InvalidArgumentError
        If an argument is outside its range, or the scenes' bands differ.
    SegmentationError
        If an image cannot be read, holds no data, or the store cannot be written.
    CancelledError
        If the caller asked to stop.
    """
    if not 50 <= percentile <= 100:
        raise InvalidArgumentError(f"The percentile of what is known is {percentile:g}; choose 50 to 100.")
    if threads is not None and threads < 1:
        raise InvalidArgumentError(f"{threads} threads were asked for; choose 1 or more.")
    require_complete(source)
    description = read_description(source.path) or {}
    if description.get("unknown_leaf") is not None:
        raise InvalidArgumentError(
            f"{source.path} was itself carried over from another scene; apply that one, {description['applied_from']}."
        )
    with _open_source(source, source_image) as first, open_scene(image) as second:
        remarks = _compare(first, second, rescale)
        run = _Transfer(source, description, second, store_path(store), choose_device(device))
        run.tell, run.cancelled = progress or (lambda share: None), cancelled or (lambda: False)
        n_threads = threads or os.cpu_count() or 1
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(n_threads, initializer=one_thread_each) as pool:
                reach = run.measure(pool, first, percentile)
                if rescale:
                    run.rescale()
                unknown = run.write(pool, reach)
        finally:
            torch.set_num_threads(before)
    pixels = int(open_segmentation(store).statistics().pixels.sum())
    return Carried(unknown, pixels, reach.factor, remarks)


def table_with_unknown(table: ClassTable) -> ClassTable:
    """The class of every leaf of a store that `carry_to` wrote: the source's, and "unknown" (255) for its last leaf.

    Raises
    ------
    InvalidArgumentError
        If 255 is a class of the source.
    """
    legend = table.legend.with_unknown()
    if (table.classes == UNKNOWN).any():
        raise InvalidArgumentError(
            f'Class {UNKNOWN} is in use, but that number means "unknown" here; give the class another number.'
        )
    return ClassTable(np.append(table.classes, np.uint8(UNKNOWN)), legend)


def _open_source(source: Segmentation, image: str | Path | None) -> Scene:
    path = source.image if image is None else image
    try:
        scene = open_scene(path)
    except UnreadableSceneError as error:
        raise SegmentationError(
            f"The image that {source.path} was made from, {path}, cannot be read; it tells what counts as known. Give its place "
            "with --source-image."
        ) from error
    if (scene.height, scene.width) != source.shape:
        scene.close()
        raise InvalidArgumentError(
            f"{path} has {scene.width} x {scene.height} pixels, the segmentation {source.shape[1]} x {source.shape[0]}; "
            "give the image that it was made from."
        )
    return scene


def _compare(first: Scene, second: Scene, rescale: bool) -> list[str]:
    """Refuse scenes whose bands differ; sentences on what still works, but worse."""
    if first.n_bands != second.n_bands:
        raise InvalidArgumentError(
            f"{second.path.name} has {second.n_bands} bands, {first.path.name} {first.n_bands}; they must have the same bands."
        )
    if first.dtype != second.dtype and not rescale:
        raise InvalidArgumentError(
            f"{first.path.name} holds {first.dtype}, {second.path.name} {second.dtype}, so equal numbers do not mean the same; "
            "give --rescale."
        )
    # Roles of bands without names are guesses, which must not keep anyone from working.
    named = zip(first.band_names, second.band_names, first.band_roles, second.band_roles, strict=True)
    for band, (one_name, other_name, one, other) in enumerate(named, start=1):
        if one_name and other_name and one and other and one != other:
            raise InvalidArgumentError(
                f"Band {band} is {one} in {first.path.name} and {other} in {second.path.name}; bring the bands into the same order."
            )
    if first.gsd_m and second.gsd_m and not 1 / _SAME_GSD < first.gsd_m / second.gsd_m < _SAME_GSD:
        sizes = f"{first.gsd_m:.3g} m wide, one of {second.path.name} {second.gsd_m:.3g} m"
        same = "the same ground looks different then. Resample one to the other for a better map."
        return [f"A pixel of {first.path.name} is {sizes}; {same}"]
    return []


class _Transfer:
    """One call of `carry_to`."""

    tell: Callable[[float], None]
    cancelled: Callable[[], bool]

    def __init__(
        self, source: Segmentation, description: dict[str, Any], scene: Scene, store: StorePath, device: str
    ) -> None:
        self.source, self.description, self.device = source, description, device
        self.scaling: BandScaling
        self.features: FeatureScaling
        self.codebook: Codebook
        self.scaling, self.features, self.codebook = read_codebook(source, description)
        encoder = read_encoder(source.path)
        self.encoder = None if encoder is None else encoder.to(device)
        self.bands = source.parameters["bands"]
        self.superpixel_px = int(source.parameters["superpixel_px"])
        self.scene = scene
        self.georeference = Georeference(scene.transform, scene.crs, scene.height, scene.width)
        self.work = self._work(scene, self.georeference, None)
        self.writer = StoreWriter(
            store, scene.height, scene.width, self.work.reader.n_bands, n_levels(scene.height, scene.width)
        )

    def _work(self, scene: Scene, georeference: Georeference, aoi: dict[str, Any] | None) -> BlockWork:
        reader = BlockReader(scene, self.bands)
        return BlockWork(
            reader, georeference, self.scaling, self.superpixel_px, aoi, self.device, self.encoder
        )

    def measure(self, pool: ThreadPoolExecutor, scene: Scene, percentile: float) -> Reach:
        """How far the source's own superpixels lie from their leaves, in the windows its leaves were found from."""
        work = self._work(scene, self.source.georeference, self.source.parameters["aoi"])
        survey = survey_scene(
            work.reader, work.georeference, work.aoi, int(self.source.parameters["seed"]), self._check
        )
        pixels, features = [], []
        for found in pool.map(lambda window: self._superpixels(work, window), survey.windows):
            pixels.append(found.pixels)
            features.append(self.features(found.features))
            self.tell(0.4 * len(pixels) / len(survey.windows))
        return measure_reach(
            self.codebook, np.concatenate(features), np.concatenate(pixels), percentile, self.device
        )

    def rescale(self) -> None:
        """Take center and scale of the bands from the other scene; components stay, they are the source's."""
        seed = int(self.source.parameters["seed"])
        own = survey_scene(self.work.reader, self.georeference, None, seed, self._check).scaling
        self.scaling = replace(own, components=self.scaling.components)
        self.work = replace(self.work, scaling=self.scaling)

    def write(self, pool: ThreadPoolExecutor, reach: Reach) -> int:
        """The other scene's store; returns how many pixels are unknown."""
        self._create(reach)
        schedule = Schedule(self.scene.height, self.scene.width, self.writer.n_levels)
        unknown = _Sums(self.source.means.shape[1])
        places = list(schedule.all_blocks())
        blocks = pool.map(lambda place: self._block(reach, place), places)
        for place, (pixels, features) in zip(places, blocks, strict=True):
            unknown.add(pixels, features)
            complete = schedule.done(*place)
            while complete is not None:
                self.writer.write_overview(*complete)
                complete = schedule.overview_done(*complete)
            self.tell(0.4 + 0.6 * schedule.n_done / schedule.n_blocks)
        if not self.writer.sums[:, 0].any():
            raise SegmentationError(f"No pixel of {self.scene.path.name} holds data; choose another image.")
        self._describe_unknown(unknown)
        self.writer.finish()
        return int(unknown.pixels)

    def _block(self, reach: Reach, place: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Write one block; pixels and features of its unknown superpixels."""
        row, col = place
        top, left = row * BLOCK, col * BLOCK
        window = Window(top, left, min(BLOCK, self.scene.height - top), min(BLOCK, self.scene.width - left))
        found = self._superpixels(self.work, window)
        standard = self.features(found.features)
        leaf_of, nearest, _ = self.codebook.assign(standard, self.device)
        is_unknown = nearest > reach.distance[leaf_of]
        leaf_of = np.where(is_unknown, self.source.n_leaves, leaf_of).astype(np.int32)
        table = np.append(leaf_of, NODATA_LEAF).astype(np.uint16)  # label -1 takes the last entry
        self.writer.write(0, row, col, table[found.labels])
        if len(leaf_of):
            areas = self.georeference.pixel_areas_m2(top, left, window.height, window.width)
            self.writer.add_sums(*leaf_sums(leaf_of, found, areas, self.scaling.scale))
        return found.pixels[is_unknown], standard[is_unknown]

    def _create(self, reach: Reach) -> None:
        old, n = self.source, self.source.n_leaves
        crs = self.georeference.crs
        means = np.vstack([old.means, old.means.mean(axis=0)]).astype(np.float32)
        coarse = old.table("codebook/coarse")
        self.writer.create(
            {
                **{
                    key: value
                    for key, value in self.description.items()
                    if key not in ("complete", "version")
                },
                "height": self.scene.height,
                "width": self.scene.width,
                "n_levels": self.writer.n_levels,
                "n_leaves": n + 1,
                "device": self.device,
                "image": str(self.scene.path),
                # Another run of segment here must not take this store for its own.
                "parameters": {**old.parameters, "aoi": None, "applied_from": str(old.path.resolve())},
                "transform": list(self.georeference.transform)[:6],
                "crs": None if crs is None else crs.to_wkt(),
                "band_center": self.scaling.center.tolist(),
                "band_scale": self.scaling.scale.tolist(),
                "unknown_leaf": n,
                "unknown_factor": reach.factor,
                "applied_from": str(old.path.resolve()),
            },
            {
                "codebook/means": means,
                "codebook/cells": np.append(old.table("codebook/cells"), len(coarse)).astype(np.int32),
                "codebook/coarse": np.vstack([coarse, means[-1:]]).astype(np.float32),
                "codebook/certainty": np.append(old.certainty, 0).astype(np.float32),
                "codebook/spread": np.append(old.table("codebook/spread"), 0).astype(np.float32),
                **tree_tables(with_leaf_apart(old.tree, _UNKNOWN_RGB)),
            },
            lambda folder: LearningPlan(learned=old.learned).keep_encoder(self.work, folder),
        )

    def _describe_unknown(self, unknown: _Sums) -> None:
        """Mean and spread of what is unknown, known only now."""
        if not unknown.pixels:
            return
        mean = unknown.total / unknown.pixels
        spread = np.sqrt(max(unknown.squares / unknown.pixels - float(mean @ mean), 0.0))
        self.writer.set_last_leaf(mean.astype(np.float32), float(spread))

    def _superpixels(self, work: BlockWork, window: Window) -> Superpixels:
        self._check()
        return work.superpixels(window)

    def _check(self) -> None:
        if self.cancelled():
            raise CancelledError("Carrying the segmentation over was cancelled.")


class _Sums:
    """Weighted sums of feature vectors."""

    def __init__(self, n_features: int) -> None:
        self.pixels, self.squares = 0.0, 0.0
        self.total = np.zeros(n_features)

    def add(self, pixels: NDArray[np.float32], features: NDArray[np.float32]) -> None:
        weights = pixels.astype(np.float64)
        self.pixels += float(weights.sum())
        self.total += weights @ features
        self.squares += float(weights @ np.square(features, dtype=np.float64).sum(axis=1))
