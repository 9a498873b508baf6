"""From a scene to its segmentation, in two passes.

Pass 1 looks at a sample of the scene and fixes scales, codebook and merge tree. Pass 2 gives every superpixel its leaf,
block by block, and writes each block as it is computed: ids and tree never change afterwards.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.blockwork import BlockWork, Superpixels, leaf_sums
from segmentation.clustering.codebook import Codebook, build_codebook, wanted_leaves
from segmentation.clustering.colors import cluster_colors
from segmentation.clustering.pooling import region_sums
from segmentation.clustering.superpixels import default_superpixel_px, find_superpixels
from segmentation.errors import CancelledError, InvalidArgumentError
from segmentation.features.normalize import BandScaling, FeatureScaling
from segmentation.learning.encoder import Encoder
from segmentation.learning.general import general_network
from segmentation.learning.plan import LearningPlan, fit_features, plan_learning, read_encoder
from segmentation.learning.training import TrainingProgress
from segmentation.objects import ObjectPath, StorePath, store_path
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.remote import RemoteImage
from segmentation.rasters.scene import Scene, open_scene
from segmentation.rasters.windows import BLOCK, Window, n_levels
from segmentation.running import choose_device, one_thread_each, read_codebook
from segmentation.schedule import Schedule
from segmentation.store import Segmentation, open_segmentation
from segmentation.store_writer import StoreWriter
from segmentation.survey import Survey, survey_scene

__all__ = ["Progress", "segment"]

_CERTAINTY_SAMPLES = 50_000
_NO_SUMS = np.zeros((0, 0))
_KEPT_PX = 6_000_000  # scenes, or areas of interest, whose first look is kept for the second pass


@dataclass(frozen=True)
class Progress:
    """How far a segmentation is.

    ``stage`` is "reading", "learning", "codebook", "leaves" or "overviews"; ``done`` of ``total`` windows, steps or blocks;
    ``block`` is the (row, col) of the level-0 block that has just been written, else None. The first "leaves" event
    (done = 0, or the blocks already there) means that codebook and tree can be read. ``training`` tells more in the stage
    "learning".
    """

    stage: str
    done: int
    total: int
    block: tuple[int, int] | None = None
    training: TrainingProgress | None = None


def segment(
    image: str | Path | RemoteImage,
    store: str | Path | ObjectPath,
    *,
    seed: int = 0,
    mode: Literal["best", "fast"] = "best",
    bands: Sequence[int] | None = None,
    superpixel_px: int | None = None,
    n_leaves: int | None = None,
    aoi: dict[str, Any] | None = None,
    network: str | Path | None = None,
    train_seconds: float | None = None,
    train_steps: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    wanted: Callable[[], Sequence[tuple[int, int, int]]] | None = None,
) -> Segmentation:
    """Segment a scene into leaves and nested clusters.

    Parameters
    ----------
    image : path or RemoteImage
        GeoTIFF, COG, JPEG 2000, PNG or JPEG.
    store : path or URL
        Folder of the Zarr group to write, or its place in object storage (s3://bucket/prefix). An incomplete one made
        with the same parameters is continued, any other segmentation there is replaced.
    seed : int
        The same image, parameters, seed and device give the same leaves.
    mode : "best" or "fast"
        "best" learns features from the scene itself before it is divided, starting from the network that comes with
        ClusterNet where it knows the bands (red, green, blue, with or without near infrared); "fast" never trains.
    bands : sequence of int, optional
        Band numbers from 1; all by default.
    superpixel_px : int, optional
        Area of a superpixel in pixels, 10 to 40; by default from the pixel size on the ground.
    n_leaves : int, optional
        2 to 61,440; by default an eighth of the superpixels.
    aoi : GeoJSON geometry, optional
        Area of interest in lon/lat (pixel x/y where the scene has no CRS); outside it there is no data.
    network : path, optional
        A trained network (see `segmentation.learning`) whose embedding joins the filter bank, in either mode.
    train_seconds : float, optional
        Budget of the training on this scene, which starts from ``network`` if one is given; by default 60 in mode "best"
        without one, else 0. It becomes a number of steps by timing a few.
    train_steps : int, optional
        That number itself, 0 for none: the same steps give the same result on the same device and number of threads.
    device : str
        "auto" (CUDA if there is any), "cpu" or "cuda".
    threads : int, optional
        Blocks computed at once; by default the number of cores.
    progress : callable, optional
        Called with a `Progress`, from worker threads, one call at a time.
    cancelled : callable, optional
        Asked before each block; when it says True, `CancelledError` is raised and the written blocks stay.
    wanted : callable, optional
        Asked before each block for the blocks that people look at: (level, row, col), nearest first.

    Returns
    -------
    Segmentation
        The complete segmentation, open for reading.

    Raises
    ------
    SegmentationError
        UnreadableSceneError, UnsupportedSceneError, EmptySceneError, InvalidArgumentError, AreaOfInterestError,
        NetworkError, FeatureMismatchError, StorageFullError or CancelledError, with a sentence for the user.

    Notes
    -----
    Threads, not processes: it works from a script without a main guard, from standard input and from a notebook.
    """
    if mode not in ("best", "fast"):
        raise InvalidArgumentError(f'The mode is "{mode}"; choose "best" or "fast".')
    if threads is not None and threads < 1:
        raise InvalidArgumentError(f"{threads} threads were asked for; choose 1 or more.")
    if n_leaves is not None and n_leaves < 2:
        raise InvalidArgumentError(f"{n_leaves} leaves were asked for; choose 2 or more.")
    plan = plan_learning(mode, network, train_seconds, train_steps)
    with open_scene(image) as scene:
        run = _Run(scene, store_path(store), seed, bands, superpixel_px, n_leaves, aoi, choose_device(device))
        run.report, run.cancelled, run.wanted = progress, cancelled, wanted
        run.plan = plan
        if mode == "best" and network is None:
            plan.network = general_network([scene.band_roles[band - 1] for band in run.bands])
        plan.check_bands(run.reader.n_bands)
        run.parameters |= {"mode": mode, **plan.parameters}
        before = torch.get_num_threads()
        try:
            # Blocks are computed side by side; threads inside one operation would only get in each other's way.
            with ThreadPoolExecutor(threads or os.cpu_count() or 1, initializer=one_thread_each) as pool:
                run.compute(pool, threads or os.cpu_count() or 1)
        finally:
            torch.set_num_threads(before)
    return open_segmentation(store)


class _Run:
    """One call of `segment`."""

    report: Callable[[Progress], None] | None = None
    cancelled: Callable[[], bool] | None = None
    wanted: Callable[[], Sequence[tuple[int, int, int]]] | None = None
    plan = LearningPlan()

    def __init__(
        self,
        scene: Scene,
        store: StorePath,
        seed: int,
        bands: Sequence[int] | None,
        superpixel_px: int | None,
        n_leaves: int | None,
        aoi: dict[str, Any] | None,
        device: str,
    ) -> None:
        if bands is not None:
            bad = [band for band in bands if not 1 <= band <= scene.n_bands]
            if bad or not bands or len(set(bands)) != len(bands):
                raise InvalidArgumentError(
                    f"Bands {list(bands)} were asked for; choose different ones from 1 to {scene.n_bands}."
                )
        self.scene = scene
        self.seed = seed
        self.device = device
        self.n_leaves = n_leaves
        self.superpixel_px = default_superpixel_px(scene.gsd_m) if superpixel_px is None else superpixel_px
        find_superpixels(
            np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), np.bool_), self.superpixel_px
        )  # checks the size
        self.aoi = aoi
        self.georeference = Georeference(scene.transform, scene.crs, scene.height, scene.width)
        if aoi is not None:
            self.aoi = self.georeference.validate_aoi(aoi)
        self.bands = list(range(1, scene.n_bands + 1) if bands is None else bands)
        self.reader = BlockReader(scene, bands)
        self.parameters: dict[str, Any] = {
            "bands": None if bands is None else list(bands),
            "superpixel_px": self.superpixel_px,
            "n_leaves": n_leaves,
            "seed": seed,
            "aoi": self.aoi,
        }
        self.levels = n_levels(scene.height, scene.width)
        self.writer = StoreWriter(store, scene.height, scene.width, self.reader.n_bands, self.levels)
        self.kept: dict[
            tuple[int, int], Superpixels
        ] = {}  # of small scenes, computed in pass 1 and used in pass 2
        self._lock = threading.Lock()

    def compute(self, pool: ThreadPoolExecutor, n_threads: int) -> None:
        if self.writer.matches(self.parameters):
            description = self.writer.resume()
            if description["complete"]:
                return
            store = open_segmentation(self.writer.path)
            scaling, features, codebook = read_codebook(store, description)
            work = self._work(scaling, read_encoder(store.path))
        else:
            work, features, codebook = self._fix_codebook(pool)
        self._write_blocks(pool, n_threads, work, features, codebook)
        self.writer.finish()

    # Pass 1

    def _fix_codebook(self, pool: ThreadPoolExecutor) -> tuple[BlockWork, FeatureScaling, Codebook]:
        survey = survey_scene(self.reader, self.georeference, self.aoi, self.seed, self._check)
        windows, work = survey.windows, self._work(survey.scaling)
        self._tell("reading", 0, len(windows))
        looked_at: list[tuple[Window, Superpixels]] = []
        for window, found in zip(
            windows, pool.map(lambda w: self._unless_cancelled(work.superpixels, w), windows), strict=True
        ):
            looked_at.append(
                (window, replace(found, band_sums=_NO_SUMS) if not self._keeps(survey) else found)
            )
            self._tell("reading", len(looked_at), len(windows))
        work, looked_at = self._learn(pool, work, looked_at)
        if self._keeps(survey):
            self.kept = {(window.row // BLOCK, window.col // BLOCK): found for window, found in looked_at}
        pixels = np.concatenate([found.pixels for _, found in looked_at])
        features = np.concatenate([found.features for _, found in looked_at])
        del looked_at  # the copies are enough
        self._tell("codebook", 0, 1)
        share = sum(window.height * window.width for window in windows) / survey.area_px
        feature_scaling = fit_features(features, pixels, work.scaling.n_channels)
        standard = feature_scaling(features)
        del features
        codebook, tree = build_codebook(
            standard,
            pixels,
            wanted_leaves(round(len(pixels) / share), self.n_leaves),
            self.seed,
            self.device,
            pool.map,
        )
        self._create_store(work, feature_scaling, codebook, tree, standard, pixels)
        self._tell("codebook", 1, 1)
        return work, feature_scaling, codebook

    def _keeps(self, survey: Survey) -> bool:
        return survey.is_whole and survey.area_px <= _KEPT_PX

    def _learn(
        self, pool: ThreadPoolExecutor, work: BlockWork, looked_at: list[tuple[Window, Superpixels]]
    ) -> tuple[BlockWork, list[tuple[Window, Superpixels]]]:
        """Train on the windows looked at, or take a network as it is, and embed their superpixels."""
        encoder = self.plan.encoder_for(
            work, looked_at, self.seed, self.writer.path, self.parameters, self._tell_training, self.cancelled
        )
        if encoder is None:
            return work, looked_at
        work = replace(work, encoder=encoder.to(self.device))
        embedded = pool.map(lambda pair: self._unless_cancelled(work.with_embedding, *pair), looked_at)
        return work, [(window, found) for (window, _), found in zip(looked_at, embedded, strict=True)]

    def _tell_training(self, event: TrainingProgress) -> None:
        if self.report is not None:
            with self._lock:
                self.report(Progress("learning", event.step, event.steps, training=event))

    def _work(self, scaling: BandScaling, encoder: Encoder | None = None) -> BlockWork:
        if encoder is None and self.plan.scaling is not None:
            scaling = self.plan.scaling
        return BlockWork(
            self.reader, self.georeference, scaling, self.superpixel_px, self.aoi, self.device, encoder
        )

    def _create_store(
        self,
        work: BlockWork,
        features: FeatureScaling,
        codebook: Codebook,
        tree: tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]],
        samples: NDArray[np.float32],
        pixels: NDArray[np.float32],
    ) -> None:
        parent, height, low, high = tree
        # How clear and how wide leaves are shows on a part of the samples well enough.
        step = max(1, len(samples) // _CERTAINTY_SAMPLES)
        samples, pixels = samples[::step], pixels[::step]
        leaf_of, nearest, second = codebook.assign(samples, self.device)
        n = len(codebook.centroids)
        mass = np.maximum(np.bincount(leaf_of, pixels, minlength=n), 1e-9)
        clear = np.where(np.isfinite(second), 1 - nearest / np.maximum(second, 1e-12), 1)
        crs = self.georeference.crs
        self.writer.create(
            {
                "height": self.scene.height,
                "width": self.scene.width,
                "n_levels": self.levels,
                "n_leaves": n,
                "n_bands": self.reader.n_bands,
                "device": self.device,
                "image": str(self.scene.path),
                "parameters": self.parameters,
                "transform": list(self.scene.transform)[:6],
                "crs": None if crs is None else crs.to_wkt(),
                "band_center": work.scaling.center.tolist(),
                "band_scale": work.scaling.scale.tolist(),
                "components": None if work.scaling.components is None else work.scaling.components.tolist(),
                "feature_mean": features.mean.tolist(),
                "feature_deviation": features.deviation.tolist(),
                "learned": self.plan.learned,
                "n_learned": 0 if work.encoder is None else work.encoder.n_features,
            },
            {
                "codebook/means": codebook.centroids,
                "codebook/cells": codebook.cells,
                "codebook/coarse": codebook.coarse,
                "codebook/certainty": (np.bincount(leaf_of, clear * pixels, minlength=n) / mass).astype(
                    np.float32
                ),
                "codebook/spread": np.sqrt(
                    np.bincount(leaf_of, nearest**2 * pixels, minlength=n) / mass
                ).astype(np.float32),
                "tree/parent": parent,
                "tree/low": low,
                "tree/high": high,
                "tree/height": height,
                "tree/rgb": cluster_colors(parent, low, high, mass),
            },
            lambda folder: self.plan.keep_encoder(work, folder),
        )

    # Pass 2

    def _write_blocks(
        self,
        pool: ThreadPoolExecutor,
        n_threads: int,
        work: BlockWork,
        features: FeatureScaling,
        codebook: Codebook,
    ) -> None:
        schedule = Schedule(self.scene.height, self.scene.width, self.levels)
        for row, col in schedule.all_blocks():
            if self.writer.has(0, row, col):
                self._count_again(work, row, col)
                self._overviews(schedule, row, col)
        self.writer.save_sums()
        total = schedule.n_blocks
        self._tell("leaves", schedule.n_done, total)

        def run_blocks() -> None:
            while (place := schedule.take(self.wanted)) is not None:
                self._unless_cancelled(self._one_block, work, features, codebook, place)
                self._overviews(schedule, *place)
                self._tell("leaves", schedule.n_done, total, place)
                if schedule.is_time_to_save():
                    self.writer.save_sums()

        futures = [pool.submit(run_blocks) for _ in range(n_threads)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            schedule.stop()
            raise
        self._tell("overviews", 1, 1)

    def _one_block(
        self, work: BlockWork, features: FeatureScaling, codebook: Codebook, place: tuple[int, int]
    ) -> None:
        row, col = place
        window = self._window(row, col)
        found = self.kept.pop(place, None) or work.superpixels(window)
        ids, leaf_of = work.leaf_block(codebook, features, found)
        self.writer.write(0, row, col, ids)
        if len(leaf_of):
            areas = self.georeference.pixel_areas_m2(window.row, window.col, window.height, window.width)
            self.writer.add_sums(*leaf_sums(leaf_of, found, areas, work.scaling.scale))

    def _count_again(self, work: BlockWork, row: int, col: int) -> None:
        """Sums of a block that an earlier run has written."""
        ids = self.writer.read(0, row, col)
        leaves, place = np.unique(ids, return_inverse=True)
        labels = np.where(ids == NODATA_LEAF, -1, place.reshape(ids.shape)).astype(np.int32)
        leaves = leaves[leaves != NODATA_LEAF].astype(np.int32)
        if not len(leaves):
            return
        window = self._window(row, col)
        bands, _ = self.reader.read(window)
        pixels = np.bincount(labels[labels >= 0], minlength=len(leaves)).astype(np.float32)
        no_features = np.zeros((len(leaves), 0), np.float32)
        found = Superpixels(labels, pixels, no_features, region_sums(bands, labels, len(leaves)))
        areas = self.georeference.pixel_areas_m2(window.row, window.col, window.height, window.width)
        self.writer.add_sums(*leaf_sums(leaves, found, areas, work.scaling.scale))

    def _overviews(self, schedule: Schedule, row: int, col: int) -> None:
        """Mark a block done, and write each overview block of which it was the last child."""
        complete = schedule.done(row, col)
        while complete is not None:
            if not self.writer.has(*complete):
                self.writer.write_overview(*complete)
            complete = schedule.overview_done(*complete)

    def _window(self, row: int, col: int) -> Window:
        top, left = row * BLOCK, col * BLOCK
        return Window(top, left, min(BLOCK, self.scene.height - top), min(BLOCK, self.scene.width - left))

    def _unless_cancelled(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._check()
        return function(*arguments)

    def _check(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("The segmentation was cancelled.")

    def _tell(self, stage: str, done: int, total: int, block: tuple[int, int] | None = None) -> None:
        if self.report is not None:
            with self._lock:
                self.report(Progress(stage, done, total, block))
