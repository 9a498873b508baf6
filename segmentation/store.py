"""The Zarr group of one segmentation, as its readers see it. `segmentation.store_writer` writes it."""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from segmentation.clustering.merge_tree import MergeTree
from segmentation.decoder import Click, Prediction, classify_leaves
from segmentation.decoding.graph import LeafGraph, leaf_graph
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.neighborhoods import Neighborhoods
from segmentation.objects import ObjectPath, StorePath, open_zarr, storage_errors, store_path
from segmentation.pyramid import NODATA_LEAF, level_shape, reduce_once
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.windows import BLOCK

__all__ = ["FORMAT", "KeptBlocks", "Segmentation", "Statistics", "open_segmentation", "transfer_classes"]

FORMAT = 1
DESCRIPTION = "segmentation.json"  # beside zarr.json: replaced as a whole, so it is never half-written


@dataclass(frozen=True)
class Statistics:
    """Size of each leaf: ``pixels`` and ``area_m2``, float64 (n,); areas are NaN without CRS."""

    pixels: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    complete: bool


class ValidMask:
    """Where leaves hold data, read as it is asked for."""

    def __init__(self, leaves: Any) -> None:
        self._leaves = leaves
        self.shape = leaves.shape

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        return np.asarray(self._leaves[key]) != NODATA_LEAF

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


class KeptBlocks:
    """The blocks read last, as they are stored: what lies far away is not fetched twice while it is in use."""

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._members: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._members:
                self._members.move_to_end(key)
            return self._members.get(key)

    def put(self, key: str, member: bytes) -> None:
        with self._lock:
            self._bytes += len(member) - len(self._members.pop(key, b""))
            self._members[key] = member
            while self._bytes > self._max_bytes and len(self._members) > 1:
                self._bytes -= len(self._members.popitem(last=False)[1])


class Segmentation:
    """A segmentation store, open for reading; it may still be computing."""

    def __init__(self, path: str | Path | ObjectPath) -> None:
        self.path: Any = store_path(path)
        self._kept = KeptBlocks() if isinstance(self.path, ObjectPath) else None
        description = read_description(self.path)
        if description is None:
            raise StoreError(f"There is no segmentation at {self.path}, or it has no codebook yet.")
        if description.get("format") != FORMAT:
            raise StoreError(
                f"The segmentation at {self.path} has format {description.get('format')}; "
                f"this version reads format {FORMAT}. Segment the scene again."
            )
        self._description = description
        self._group = open_zarr(self.path, "r")
        self.shape: tuple[int, int] = (description["height"], description["width"])
        self.n_levels: int = description["n_levels"]
        self.n_leaves: int = description["n_leaves"]
        self.device: str = description["device"]
        self.version = 0
        self.image: str = description["image"]
        self.parameters: dict[str, Any] = description["parameters"]
        # How features were learned (steps, seed, network, ...); None where the filter bank stands alone.
        self.learned: dict[str, Any] | None = description.get("learned")
        # Columns of the means that are learned, the last ones; 0 also where an earlier version did not write it down.
        self.n_learned: int = description.get("n_learned", 0)
        crs = description["crs"]
        self.georeference = Georeference(
            Affine(*description["transform"]), CRS.from_wkt(crs) if crs else None, *self.shape
        )

    @property
    def complete(self) -> bool:
        """Whether every block and overview is there; read afresh while it is not."""
        if not self._description["complete"]:
            self._description = read_description(self.path) or self._description
        return bool(self._description["complete"])

    @cached_property
    def leaves(self) -> Any:
        """Leaf of every pixel: uint16 array-like, shape (H, W), 65,535 = nodata or not computed yet."""
        return self._group["leaves/0"]

    @property
    def valid(self) -> ValidMask:
        """True where there is data: bool array-like, shape (H, W)."""
        return ValidMask(self.leaves)

    @cached_property
    def tree(self) -> MergeTree:
        """The merge tree."""
        return MergeTree(*(self.table(f"tree/{name}") for name in ("parent", "low", "high", "height", "rgb")))

    @cached_property
    def means(self) -> NDArray[np.float32]:
        """Mean feature vector of each leaf, standardized: float32 (n, D)."""
        return self.table("codebook/means")

    @cached_property
    def neighborhoods(self) -> Neighborhoods:
        """Leaves around pixels."""
        return Neighborhoods(self)

    @cached_property
    def graph(self) -> LeafGraph:
        """Which leaves lie side by side; found on first use, in a second at most, of a complete segmentation."""
        return leaf_graph(self)

    @cached_property
    def certainty(self) -> NDArray[np.float32]:
        """How clearly the sampled superpixels of each leaf belong to it: float32 (n,), 0 to 1."""
        return self.table("codebook/certainty")

    def used_size(self, level: int, row: int, col: int) -> tuple[int, int]:
        """Height and width of the part of a block that lies inside the scene, in texels."""
        height, width = level_shape(*self.shape, level)
        return min(BLOCK, height - row * BLOCK), min(BLOCK, width - col * BLOCK)

    def block(self, level: int, row: int, col: int) -> bytes | None:
        """One block as it is stored: a gzip member of 512 x 512 little-endian uint16; None while not computed."""
        if not 0 <= level < self.n_levels or row < 0 or col < 0 or min(self.used_size(level, row, col)) < 1:
            raise InvalidArgumentError(
                f"There is no block {row}, {col} at level {level} of this segmentation."
            )
        key = f"leaves/{level}/c/{row}/{col}"
        if self._kept is not None and (kept := self._kept.get(key)) is not None:
            return kept
        try:
            member: bytes = (self.path / key).read_bytes()
        except FileNotFoundError:
            return None
        if self._kept is not None:
            self._kept.put(key, member)  # a block that is written never changes
        return member

    def block_ids(self, level: int, row: int, col: int) -> NDArray[np.uint16] | None:
        """The used part of a block, uint16; None while not computed."""
        member = self.block(level, row, col)
        if member is None:
            return None
        height, width = self.used_size(level, row, col)
        return np.frombuffer(gzip.decompress(member), "<u2").reshape(BLOCK, BLOCK)[:height, :width]

    def patch(self, row: int, col: int, level: int) -> tuple[int, int, int, int, NDArray[np.uint16]] | None:
        """A finished level-0 block reduced to a level, for overview blocks that are not complete yet.

        Returns
        -------
        (block row, block column, row offset, column offset, ids) or None
            Where the ids belong at ``level``; None while the block is not computed, or where it is less than a texel.
        """
        size = BLOCK >> level
        ids = self.block_ids(0, row, col)
        if ids is None or size < 1:
            return None
        for step in range(level):
            ids = reduce_once(ids, step)
        top, left = row * size, col * size
        return top // BLOCK, left // BLOCK, top % BLOCK, left % BLOCK, ids

    def leaf_at(self, row: int, col: int) -> int:
        """Leaf of one pixel, 65,535 where there is none."""
        if not (0 <= row < self.shape[0] and 0 <= col < self.shape[1]):
            raise InvalidArgumentError(
                f"Pixel {row}, {col} is outside the scene of {self.shape[0]} rows and {self.shape[1]} columns."
            )
        return int(self.leaves[row, col])

    def statistics(self, aoi: dict[str, Any] | None = None) -> Statistics:
        """Pixels and area of each leaf, so far; inside an area of interest if one is given (GeoJSON geometry)."""
        complete = self.complete
        if aoi is None:
            sums = self.table("statistics/sums")
            return Statistics(sums[:, 0], sums[:, 1], complete)
        pixels, area = np.zeros(self.n_leaves), np.zeros(self.n_leaves)
        for row in range(-(-self.shape[0] // BLOCK)):
            for col in range(-(-self.shape[1] // BLOCK)):
                height, width = self.used_size(0, row, col)
                inside = self.georeference.aoi_mask(aoi, row * BLOCK, col * BLOCK, height, width)
                if not inside.any():
                    continue
                ids = self.block_ids(0, row, col)
                if ids is None:
                    continue
                inside &= ids != NODATA_LEAF
                chosen = ids[inside]
                pixels += np.bincount(chosen, minlength=self.n_leaves)
                areas = self.georeference.pixel_areas_m2(row * BLOCK, col * BLOCK, height, width)
                area += (
                    np.nan if areas is None else np.bincount(chosen, areas[inside], minlength=self.n_leaves)
                )
        return Statistics(pixels, area, complete)

    def spectrum(self, low: int, high: int) -> tuple[NDArray[np.float64], float]:
        """Mean of each band over leaves ``low`` to ``high - 1`` in the scene's unit, and their pixels, so far."""
        if not 0 <= low < high <= self.n_leaves:
            raise InvalidArgumentError(f"Leaves {low} to {high} are not a range within 0 to {self.n_leaves}.")
        sums = self.table("statistics/sums")[low:high].sum(axis=0)
        pixels = float(sums[0])
        return sums[2:] / max(pixels, 1.0), pixels

    def classify(self, clicks: Sequence[Click], *, seed: int = 0) -> Prediction:
        """Predict class and certainty of every leaf from clicked pixels (see `segmentation.decoder`).

        Which leaves lie side by side counts only once all blocks are there: so that the answer depends on the segmentation
        and the clicks, not on the moment.
        """
        neighborhoods = self.neighborhoods.around([(click.row, click.col) for click in clicks])
        graph = self.graph if self.complete else None
        return classify_leaves(
            self.means, clicks, neighborhoods, graph=graph, seed=seed, n_learned=self.n_learned
        )

    def table(self, name: str) -> NDArray[Any]:
        """One of the store's tables, read afresh."""
        with storage_errors(self.path):
            return np.asarray(self._group[name][:])  # type: ignore[index]


def open_segmentation(path: str | Path | ObjectPath) -> Segmentation:
    """Open a segmentation store (a folder, or a URL such as s3://bucket/prefix), also while it is computing.

    It can be opened once its codebook is fixed.

    Raises
    ------
    StoreError
        If there is none, or it has another format.
    """
    return Segmentation(path)


def read_description(path: StorePath) -> dict[str, Any] | None:
    """What the store says of itself; None where it has no codebook yet."""
    try:
        description: dict[str, Any] = json.loads((path / DESCRIPTION).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The segmentation at {path} cannot be read: {error}. Segment the scene again."
        ) from error
    return description


def transfer_classes(old: Segmentation, table: NDArray[np.uint8], new: Segmentation) -> NDArray[np.uint8]:
    """Carry classes to another segmentation of the same scene: each new leaf takes the class that most of it has.

    Parameters
    ----------
    old, new : Segmentation
        Complete segmentations with the same pixel grid.
    table : uint8 array, shape (old.n_leaves,)
        Class of each old leaf, 0 = none.

    Returns
    -------
    uint8 array, shape (new.n_leaves,)
        Class of each new leaf; 0 where most of it has none. On a tie the smaller class number wins.

    Raises
    ------
    InvalidArgumentError
        If the grids or the table do not fit.
    """
    if old.shape != new.shape:
        raise InvalidArgumentError(
            f"The segmentations have {old.shape} and {new.shape} pixels; they are not of one scene."
        )
    if len(table) != old.n_leaves:
        raise InvalidArgumentError(f"The table has {len(table)} leaves, the segmentation {old.n_leaves}.")
    used, codes = np.unique(np.concatenate([[0], table]), return_inverse=True)
    code_of = np.append(codes[1:], 0)  # the last entry is for nodata
    votes = np.zeros((new.n_leaves, len(used)), np.int64)
    for row in range(-(-old.shape[0] // BLOCK)):
        for col in range(-(-old.shape[1] // BLOCK)):
            before, after = old.block_ids(0, row, col), new.block_ids(0, row, col)
            if before is None or after is None:
                continue
            valid = after != NODATA_LEAF
            code = code_of[np.minimum(before[valid], old.n_leaves)]
            votes += np.bincount(
                after[valid].astype(np.int64) * len(used) + code, minlength=votes.size
            ).reshape(votes.shape)
    return used[votes.argmax(axis=1)].astype(np.uint8)
