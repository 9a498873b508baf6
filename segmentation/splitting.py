"""Splitting a leaf: its pixels are quantized anew, into child leaves, and only its blocks are written."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.blockwork import leaf_sums
from segmentation.clustering.kmeans import find_centroids
from segmentation.errors import CancelledError, InvalidArgumentError
from segmentation.objects import StorePath, remove_tree, store_path
from segmentation.rasters.remote import RemoteImage
from segmentation.rasters.scene import open_scene
from segmentation.rasters.windows import BLOCK
from segmentation.running import one_thread_each
from segmentation.split_parts import LeafPart, LeafParts, Pixel, Place, place_of
from segmentation.split_store import BLOCKS_FILE, FIRST_CHILD, TABLES_FILE, SplitSegmentation
from segmentation.store_writer import StoreWriter

__all__ = ["MAX_CHILDREN", "SplitResult", "assign_units", "split_leaf"]

MAX_CHILDREN = 8
_LAST_CHILD = 65_534  # 65,535 is nodata
_ROUNDS = 12
_FIT_UNITS = 200_000  # regions from which centroids are found; the others only go to the nearest
_SHARE_FINDING = 0.2  # of the progress, where the blocks of leaves are still to be looked up


@dataclass(frozen=True)
class SplitResult:
    """``pixels`` of each child, in order; ``n_blocks`` written, overviews included; ``by_pixel``: whether superpixels were
    too coarse to part the groups."""

    pixels: tuple[int, ...]
    n_blocks: int
    by_pixel: bool

    @property
    def n(self) -> int:
        """Number of children."""
        return len(self.pixels)


def split_leaf(
    segmentation: SplitSegmentation,
    leaf: int,
    folder: str | StorePath,
    *,
    first: int,
    n: int = 2,
    groups: Sequence[Sequence[Pixel]] | None = None,
    image: str | Path | RemoteImage | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SplitResult:
    """Cut a leaf into children by what its pixels look like.

    The leaf's superpixels are clustered by their features: from the 3 x 3 neighborhoods of clicked pixels, each group of
    which begins one child and stays in it, or freely into ``n`` children. Where one superpixel holds clicks of two groups,
    single pixels are clustered instead. Nothing but ``folder`` is written.

    Parameters
    ----------
    segmentation : SplitSegmentation
        A complete segmentation with the splits so far.
    leaf : int
        Id of the leaf, as in the blocks: an initial leaf or a child.
    folder : path
        Where the new blocks go; it must not exist. Nothing stays there if the split fails.
    first : int
        Id of the first child, 61,440 or more, never given before.
    n : int
        Number of children, 2 to 8; fewer come where fewer kinds of pixels are found. Not used with ``groups``.
    groups : sequence of sequences of (row, col), optional
        Two or more groups of pixels of the leaf; child i has the pixels of group i.
    image : path, optional
        The scene; by default where the segmentation found it.
    seed : int
        The same leaf, groups and seed give the same children.
    threads : int, optional
        Blocks computed at once; by default the number of cores.
    progress : callable, optional
        Called with the share that is done, 0 to 1.
    cancelled : callable, optional
        Asked before each block; when it says True, `CancelledError` is raised.

    Returns
    -------
    SplitResult

    Raises
    ------
    InvalidArgumentError
        If there is no such leaf, the ids are spent, a pixel is not the leaf's, or all its pixels look the same.
    StoreError, StorageFullError, UnreadableSceneError, CancelledError
        With a sentence for the user.

    Notes
    -----
    Lloyd's algorithm (1982, doi:10.1109/TIT.1982.1056489), each region weighted by its pixels. Features are those of the
    segmentation itself, so that children are as comparable with other leaves as their parent.
    """
    _check(segmentation, leaf, first, n, groups)
    target = store_path(folder)
    target.mkdir(parents=True)
    before = torch.get_num_threads()
    n_threads = threads or os.cpu_count() or 1

    def tell(share: float) -> None:
        if progress is not None:
            progress(min(share, 1.0))

    def check() -> None:
        if cancelled is not None and cancelled():
            raise CancelledError("The split was cancelled.")

    def tell_finding(done: int, total: int) -> None:
        check()
        tell(_SHARE_FINDING * done / total)

    try:
        with (
            open_scene(image or segmentation.image) as scene,
            ThreadPoolExecutor(n_threads, initializer=one_thread_each) as pool,
        ):
            parts = LeafParts(segmentation, leaf, scene, pool, 2 * n_threads, tell_finding, check)
            return _Splitting(parts, target, seed, tell).run(first, n, groups)
    except BaseException:
        remove_tree(target)
        raise
    finally:
        torch.set_num_threads(before)


def _check(
    segmentation: SplitSegmentation, leaf: int, first: int, n: int, groups: Sequence[Sequence[Pixel]] | None
) -> None:
    if leaf not in segmentation.leaf_ids:
        raise InvalidArgumentError(f"There is no leaf {leaf} (any more), so that it cannot be split.")
    wanted = n if groups is None else len(groups)
    if not 2 <= wanted <= MAX_CHILDREN:
        raise InvalidArgumentError(f"A leaf cannot be split into {wanted}; choose 2 to {MAX_CHILDREN}.")
    if first < FIRST_CHILD or first + wanted - 1 > _LAST_CHILD:
        raise InvalidArgumentError(
            f"All {_LAST_CHILD + 1 - FIRST_CHILD:,} leaf numbers for splits are spent in this project; undo does not give "
            "them back. Start a new segmentation with more leaves, and adopt it."
        )
    if groups is None:
        return
    for pixel in (pixel for group in groups for pixel in group):
        row = segmentation.leaf_at(*pixel)
        if row >= segmentation.n_leaves or segmentation.leaf_ids[row] != leaf:
            raise InvalidArgumentError(
                f"Pixel {pixel[0]}, {pixel[1]} is not in leaf {leaf}; click inside it."
            )
    if any(not group for group in groups):
        raise InvalidArgumentError("A group without pixels was given; give each at least one.")
    seen = [pixel for group in groups for pixel in set(group)]
    if len(set(seen)) < len(seen):
        raise InvalidArgumentError("One pixel cannot be of two classes; click another pixel.")


class _Splitting:
    """One call of `split_leaf`."""

    def __init__(
        self,
        parts: LeafParts,
        folder: StorePath,
        seed: int,
        tell: Callable[[float], None],
    ) -> None:
        self.parts = parts
        self.segmentation = parts.segmentation
        self.work = parts.work
        self.folder = folder
        self.seed = seed
        self.tell = tell
        self.writer = _SplitWriter(folder, parts.segmentation, parts.work.reader.n_bands)

    def run(self, first: int, n: int, groups: Sequence[Sequence[Pixel]] | None) -> SplitResult:
        by_pixel = groups is not None and self._share_superpixels(groups)
        fitted = self._fit_parts(by_pixel, groups)
        features = np.concatenate([part.regions.features for part in fitted])
        pixels = np.concatenate([part.regions.pixels for part in fitted])
        pins: dict[tuple[Place, int], int] = {}
        if groups is None:
            centers = find_centroids(features, pixels, n, self.seed)
        else:
            centers, pins = self._group_centers(fitted, groups)
        starts = dict(zip([part.place for part in fitted], _starts(fitted), strict=True))
        pinned = {starts[place] + unit: group for (place, unit), group in pins.items()}
        centers, held = assign_units(features, pixels, centers, pinned)
        if groups is None:
            sizes = np.bincount(held, pixels, len(centers))
            centers = centers[np.argsort(-sizes, kind="stable")][: int((sizes > 0).sum())]
            if len(centers) < 2:
                raise InvalidArgumentError(
                    "All pixels of this cluster look the same, so that it cannot be split."
                )
        return self._write(centers, pins, first, by_pixel)

    # ---- centers -------------------------------------------------------------------------------------------------

    def _share_superpixels(self, groups: Sequence[Sequence[Pixel]]) -> bool:
        """Whether a superpixel holds clicks of two groups."""
        places = sorted({place_of(pixel) for group in groups for pixel in group})
        parts = {part.place: part for part in self.parts.at(places, False)}
        owner: dict[tuple[Place, int], int] = {}
        for group, pixels in enumerate(groups):
            for pixel in pixels:
                unit = parts[place_of(pixel)].region_of(pixel)
                if owner.setdefault((place_of(pixel), unit), group) != group:
                    return True
        for part in parts.values():
            self.parts.keep(part)
        return False

    def _fit_parts(self, by_pixel: bool, groups: Sequence[Sequence[Pixel]] | None) -> list[LeafPart]:
        """Parts from which the children are found: those with clicks, then others at random, up to enough."""
        clicked = sorted({place_of(pixel) for group in groups or () for pixel in group})
        others = [place for place in self.parts.places if place not in set(clicked)]
        order = np.random.default_rng(self.seed).permutation(len(others))
        found, n_units = [], 0
        for part in self.parts.at([*clicked, *(others[index] for index in order)], by_pixel):
            found.append(part)
            self.parts.keep(part)
            n_units += len(part.regions.pixels)
            self.tell(_SHARE_FINDING + 0.4 * len(found) / len(self.parts.places))
            if n_units >= _FIT_UNITS and len(found) >= len(clicked):
                break
        return sorted(found, key=lambda part: part.place)

    def _group_centers(
        self, parts: Sequence[LeafPart], groups: Sequence[Sequence[Pixel]]
    ) -> tuple[NDArray[np.float32], dict[tuple[Place, int], int]]:
        """Mean features of the pixels around each group's clicks, and the regions that are clicked themselves."""
        by_place = {part.place: part for part in parts}
        centers, pins = [], {}
        for group, pixels in enumerate(groups):
            near = [by_place[place_of(pixel)].features_around(pixel) for pixel in pixels]
            centers.append(np.concatenate(near).mean(axis=0))
            for pixel in pixels:
                part = by_place[place_of(pixel)]
                pins[part.place, part.region_of(pixel)] = group
        return np.array(centers, np.float32), pins

    # ---- writing -------------------------------------------------------------------------------------------------

    def _write(
        self, centers: NDArray[np.float32], pins: dict[tuple[Place, int], int], first: int, by_pixel: bool
    ) -> SplitResult:
        n = len(centers)
        sums = np.zeros((n, 2 + self.work.reader.n_bands))
        moments, squares = np.zeros(centers.shape), np.zeros(n)
        for done, part in enumerate(self.parts.at(self.parts.places, by_pixel), 1):
            regions = part.regions
            distances = _squared_distances(regions.features, centers)
            child_of = distances.argmin(axis=1).astype(np.int32)
            for (place, unit), group in pins.items():
                if place == part.place:
                    child_of[unit] = group
            self._write_block(part, child_of, first)
            window = part.window
            areas = self.work.georeference.pixel_areas_m2(window.row, window.col, window.height, window.width)
            children, more = leaf_sums(child_of, regions, areas, self.work.scaling.scale)
            sums[children] += more
            weights = regions.pixels.astype(np.float64)
            np.add.at(moments, child_of, regions.features * weights[:, None])
            np.add.at(squares, child_of, weights * distances[np.arange(len(child_of)), child_of])
            self.tell(_SHARE_FINDING + 0.4 + 0.4 * done / len(self.parts.places))
        self._write_overviews()
        mass = np.maximum(sums[:, 0], 1)
        tables: dict[str, NDArray[Any]] = {
            "codebook/means": (moments / mass[:, None]).astype(np.float32),
            "codebook/spread": np.sqrt(squares / mass).astype(np.float32),
            "statistics/sums": sums,
        }
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **tables)
        (self.folder / TABLES_FILE).write_bytes(content.getvalue())
        # Last: whoever finds it finds everything.
        (self.folder / BLOCKS_FILE).write_text(json.dumps(sorted(self.writer.blocks)))
        self.tell(1)
        return SplitResult(tuple(int(pixels) for pixels in sums[:, 0]), len(self.writer.blocks), by_pixel)

    def _write_block(self, part: LeafPart, child_of: NDArray[np.int32], first: int) -> None:
        ids = np.array(self.segmentation.block_of_ids(0, *part.place))
        top, left = part.window.row - part.place[0] * BLOCK, part.window.col - part.place[1] * BLOCK
        inner = ids[top : top + part.window.height, left : left + part.window.width]
        inner[part.mask] = (first + child_of[part.regions.labels[part.mask]]).astype(np.uint16)
        self.writer.write(0, *part.place, ids)

    def _write_overviews(self) -> None:
        changed = {(row, col) for _, row, col in self.writer.blocks}
        for level in range(1, self.segmentation.n_levels):
            for row, col in sorted({(row // 2, col // 2) for row, col in changed}):
                self.writer.write_overview(level, row, col)
            changed = {(row, col) for written, row, col in self.writer.blocks if written == level}


class _SplitWriter(StoreWriter):
    """Writes the blocks that change into a folder of their own, over those that are there."""

    def __init__(self, folder: StorePath, beneath: SplitSegmentation, n_bands: int) -> None:
        super().__init__(folder, *beneath.shape, n_bands, beneath.n_levels)
        self._beneath = beneath
        self.blocks: set[tuple[int, int, int]] = set()

    def read(self, level: int, row: int, col: int) -> NDArray[np.uint16]:
        if (level, row, col) in self.blocks:
            return super().read(level, row, col)
        ids = self._beneath.block_of_ids(level, row, col)
        if ids is None:
            raise InvalidArgumentError(
                f"Block {row}, {col} of level {level} is missing; segment the scene again."
            )
        return ids

    def write(self, level: int, row: int, col: int, ids: NDArray[np.uint16]) -> None:
        # An overview keeps few of the pixels: it may well stay as it is.
        if level and np.array_equal(ids, self.read(level, row, col)):
            return
        super().write(level, row, col, ids)
        self.blocks.add((level, row, col))


def assign_units(
    features: NDArray[np.float32],
    weights: NDArray[np.float32],
    centers: NDArray[np.float32],
    pinned: dict[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Move centers to the middle of what is nearest to them, again and again.

    Parameters
    ----------
    features : float32 array, shape (N, D)
        Feature vectors, standardized (no unit).
    weights : float32 array, shape (N,)
        How much each counts, above 0.
    centers : float32 array, shape (K, D)
        Where to begin.
    pinned : dict of int to int
        Rows that belong to a center wherever it lies.

    Returns
    -------
    centers : float32 array, shape (K, D)
        One that nothing is nearest to stays where it was.
    nearest : int64 array, shape (N,)
        Center of each row.
    """
    rows, owners = np.array(list(pinned), np.int64), np.array(list(pinned.values()), np.int64)
    centers = centers.astype(np.float64)
    nearest = np.full(len(features), -1, np.int64)
    for _ in range(_ROUNDS):
        closest = _squared_distances(features, centers).argmin(axis=1)
        closest[rows] = owners
        if np.array_equal(closest, nearest):
            break
        nearest = closest
        mass = np.bincount(nearest, weights, len(centers))
        moved = np.zeros_like(centers)
        np.add.at(moved, nearest, features * weights[:, None].astype(np.float64))
        centers = np.where(mass[:, None] > 0, moved / np.maximum(mass, 1e-12)[:, None], centers)
    return centers.astype(np.float32), nearest


def _squared_distances(features: NDArray[np.float32], centers: NDArray[np.floating]) -> NDArray[np.float64]:
    points = features.astype(np.float64)
    return np.stack([np.square(points - center).sum(axis=1) for center in centers], axis=1)


def _starts(parts: Sequence[LeafPart]) -> list[int]:
    """Where each part's regions begin, one part after the other."""
    return list(accumulate((len(part.regions.pixels) for part in parts[:-1]), initial=0))
