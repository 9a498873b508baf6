"""What of a leaf lies in each block, divided into regions: the raw material of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segmentation.blockwork import BlockWork, Superpixels
from segmentation.errors import InvalidArgumentError
from segmentation.features.normalize import FeatureScaling
from segmentation.leaf_blocks import LeafBlocks
from segmentation.learning.plan import read_encoder
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.scene import Scene
from segmentation.rasters.windows import BLOCK, Window
from segmentation.running import read_codebook
from segmentation.split_store import SplitSegmentation
from segmentation.store import read_description

__all__ = ["LeafPart", "LeafParts", "Pixel", "Place", "place_of"]

_KEPT_BYTES = 256 * 2**20  # of parts that are kept; what is beyond is computed again

Pixel = tuple[int, int]  # row, col
Place = tuple[int, int]  # row, col of a level-0 block


def place_of(pixel: Pixel) -> Place:
    """Block in which a pixel lies."""
    return pixel[0] // BLOCK, pixel[1] // BLOCK


@dataclass(frozen=True)
class LeafPart:
    """What of the leaf lies in one block.

    ``window`` around it, inside the block; ``mask`` bool over the window; ``regions`` over the window, of the mask's pixels
    alone, with standardized features.
    """

    place: Place
    window: Window
    mask: NDArray[np.bool_]
    regions: Superpixels

    @property
    def n_bytes(self) -> int:
        """Memory that it takes, about."""
        return self.regions.labels.nbytes + self.regions.features.nbytes + self.regions.band_sums.nbytes

    def region_of(self, pixel: Pixel) -> int:
        """Region of one pixel of the leaf."""
        return int(self.regions.labels[pixel[0] - self.window.row, pixel[1] - self.window.col])

    def features_around(self, pixel: Pixel) -> NDArray[np.float32]:
        """Features of the leaf's pixels among the 3 x 3 around one, float32 (m, D)."""
        row, col = pixel[0] - self.window.row, pixel[1] - self.window.col
        labels = self.regions.labels[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
        return self.regions.features[labels[labels >= 0]]


class LeafParts:
    """The parts of one leaf, computed when they are asked for and kept as far as memory goes.

    Parameters
    ----------
    segmentation : SplitSegmentation
        A complete segmentation.
    leaf : int
        Id of a leaf of it.
    scene : Scene
        The image that was segmented.
    pool : ThreadPoolExecutor
        Computes ``ahead`` parts at a time.
    tell : callable
        Called with blocks looked at, of all, while it is found out where leaves are.
    check : callable
        Called before each part; may raise to stop.
    """

    def __init__(
        self,
        segmentation: SplitSegmentation,
        leaf: int,
        scene: Scene,
        pool: ThreadPoolExecutor,
        ahead: int,
        tell: Callable[[int, int], None],
        check: Callable[[], None],
    ) -> None:
        self.segmentation = segmentation
        self.work, self.scaling = _work_of(segmentation, scene)
        self._pool = pool
        self._ahead = ahead
        self._check = check
        # Children whose split was taken back are pixels of the leaf, too.
        self._is_member = segmentation.rows == segmentation.rows[leaf]
        self._kept: dict[Place, LeafPart] = {}
        self._kept_bytes = 0
        self.places = self._find_places(leaf, tell)

    def _find_places(self, leaf: int, tell: Callable[[int, int], None]) -> list[Place]:
        root = leaf
        for split in reversed(self.segmentation.splits):
            if split.first <= root < split.first + split.n:
                root = split.parent
        places = LeafBlocks.of_store(self.segmentation.path, tell).of(root)
        return [place for place in places if root == leaf or self._mask(place).any()]

    def _mask(self, place: Place) -> NDArray[np.bool_]:
        ids = self.segmentation.block_of_ids(0, *place)
        if ids is None:
            raise InvalidArgumentError(f"Block {place[0]}, {place[1]} is missing; segment the scene again.")
        return np.asarray(self._is_member[ids], np.bool_)

    def at(self, places: Sequence[Place], by_pixel: bool) -> Iterator[LeafPart]:
        """Parts in order; their regions are superpixels, or single pixels."""
        for start in range(0, len(places), self._ahead):
            yield from self._pool.map(partial(self._part, by_pixel), places[start : start + self._ahead])

    def keep(self, part: LeafPart) -> None:
        """Remember a part for the next time, if there is room; all of them must be divided alike."""
        if self._kept_bytes + part.n_bytes <= _KEPT_BYTES:
            self._kept[part.place] = part
            self._kept_bytes += part.n_bytes

    def _part(self, by_pixel: bool, place: Place) -> LeafPart:
        if place in self._kept:
            return self._kept[place]
        self._check()
        mask = self._mask(place)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        inner = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        top, left = place[0] * BLOCK + int(rows[0]), place[1] * BLOCK + int(cols[0])
        window = Window(top, left, inner.shape[0], inner.shape[1])
        divided = partial(_single_pixels, inner)
        work = self.work
        found = work.regions(window, divided) if by_pixel else work.superpixels_within(window, inner)
        regions = Superpixels(found.labels, found.pixels, self.scaling(found.features), found.band_sums)
        return LeafPart(place, window, inner, regions)


def _work_of(segmentation: SplitSegmentation, scene: Scene) -> tuple[BlockWork, FeatureScaling]:
    """What computes features exactly as the segmentation did, on the CPU."""
    description = read_description(segmentation.path)
    if description is None or (scene.height, scene.width) != segmentation.shape:
        raise InvalidArgumentError(
            f"The image has {scene.height} x {scene.width} pixels, the segmentation {segmentation.shape[0]} x "
            f"{segmentation.shape[1]}; give the image that was segmented."
        )
    scaling, features, _ = read_codebook(segmentation, description)
    parameters = segmentation.parameters
    reader = BlockReader(scene, parameters["bands"])
    work = BlockWork(
        reader,
        segmentation.georeference,
        scaling,
        parameters["superpixel_px"],
        parameters["aoi"],
        "cpu",
        read_encoder(segmentation.path),
    )
    return work, features


def _single_pixels(
    mask: NDArray[np.bool_], channels: NDArray[np.float32], held: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], int]:
    """Every pixel of the mask as a region of its own."""
    wanted = mask & held
    labels = np.full(mask.shape, -1, np.int32)
    n = int(wanted.sum())
    labels[wanted] = np.arange(n, dtype=np.int32)
    return labels, n
