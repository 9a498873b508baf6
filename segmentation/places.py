"""Places of a scene: the connected pieces of its clusters, seen at a size that any scene fits into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.pyramid import NODATA_LEAF, level_shape
from segmentation.rasters.windows import BLOCK
from segmentation.store import Segmentation

__all__ = ["MAX_TEXELS", "N_CLUSTERS", "Places", "find_places", "pixel_of_texel"]

MAX_TEXELS = 1_500_000  # of the pyramid level that is looked at
N_CLUSTERS = 150  # of the cut; measured in docs/decisions/0013-suggestions.md


@dataclass(frozen=True)
class Places:
    """Connected pieces of the clusters at one cut, on one pyramid level; they do not depend on any click.

    ``leaves`` uint16 (h, w), 65,535 = nothing there; ``regions`` int32 (h, w), 0 = nothing there, then 1 to the number of
    regions; ``depth`` uint16 (h, w), texels to the border of the region, at the border 1; ``cluster_of_leaf`` int64 (n,),
    clusters are numbered from 0; ``cluster_of_region`` int64 (regions + 1,); ``texels`` int64 (n,), of each leaf.
    """

    level: int
    leaves: NDArray[np.uint16]
    regions: NDArray[np.int32]
    depth: NDArray[np.uint16]
    cluster_of_leaf: NDArray[np.int64]
    cluster_of_region: NDArray[np.int64]
    texels: NDArray[np.int64]
    boxes: list[tuple[slice, slice]]  # of the regions; that of region i is at i - 1
    aoi: dict[str, Any] | None  # that they lie in

    @property
    def n_clusters(self) -> int:
        """Clusters at the cut, those outside of the area of interest included."""
        return int(self.cluster_of_leaf.max()) + 1


def find_places(
    segmentation: Segmentation,
    aoi: dict[str, Any] | None = None,
    *,
    n_clusters: int = N_CLUSTERS,
    max_texels: int = MAX_TEXELS,
) -> Places:
    """Cut the tree and take the connected pieces of its clusters.

    Parameters
    ----------
    segmentation : Segmentation
        It may still be computing: what is not there yet is left out.
    aoi : dict or None
        GeoJSON geometry; only what lies in it counts.
    n_clusters : int
        Clusters at the cut, at most as many as there are leaves.
    max_texels : int
        The finest level with at most so many texels is looked at (the coarsest, where none has).

    Returns
    -------
    Places
    """
    # Imported here: it takes a while, and most who open a segmentation only look.
    from scipy.ndimage import find_objects
    from skimage.measure import label

    level = _level(segmentation, max_texels)
    leaves = _mosaic(segmentation, level)
    if aoi is not None:
        leaves = np.where(_inside(segmentation, aoi, level), leaves, np.uint16(NODATA_LEAF))
    tree = segmentation.tree
    nodes = tree.clusters_at(min(n_clusters, tree.n_leaves))
    cluster_of_leaf = np.unique(nodes, return_inverse=True)[1].astype(np.int64)
    n = len(cluster_of_leaf)
    held = leaves < n
    clusters = np.where(held, np.append(cluster_of_leaf + 1, 0)[np.minimum(leaves, n)], 0).astype(np.int32)
    regions = np.asarray(label(clusters, background=0, connectivity=1), np.int32)
    cluster_of_region = np.full(int(regions.max(initial=0)) + 1, -1, np.int64)
    cluster_of_region[regions.ravel()] = clusters.ravel() - 1
    return Places(
        level=level,
        leaves=leaves,
        regions=regions,
        depth=_depth(regions),
        cluster_of_leaf=cluster_of_leaf,
        cluster_of_region=cluster_of_region,
        texels=np.bincount(leaves[held], minlength=n),
        boxes=find_objects(regions),
        aoi=aoi,
    )


def pixel_of_texel(row: int, col: int, level: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Find the level-0 pixel whose leaf a texel of an overview holds (see `segmentation.pyramid`).

    Parameters
    ----------
    row, col : int
        The texel.
    level : int
        Its level.
    shape : (int, int)
        Height and width of the scene, pixels.

    Returns
    -------
    (row, col)
    """
    for below in reversed(range(level)):
        height, width = level_shape(*shape, below)
        row, col = min(2 * row + below % 2, height - 1), min(2 * col + below % 2, width - 1)
    return row, col


def _level(segmentation: Segmentation, max_texels: int) -> int:
    for level in range(segmentation.n_levels):
        height, width = level_shape(*segmentation.shape, level)
        if height * width <= max_texels:
            return level
    return segmentation.n_levels - 1


def _mosaic(segmentation: Segmentation, level: int) -> NDArray[np.uint16]:
    """All leaves of a level; of overview blocks that are not complete yet, what is known of them."""
    height, width = level_shape(*segmentation.shape, level)
    out = np.full((height, width), NODATA_LEAF, np.uint16)
    n_rows, n_cols = -(-segmentation.shape[0] // BLOCK), -(-segmentation.shape[1] // BLOCK)
    for row in range(-(-height // BLOCK)):
        for col in range(-(-width // BLOCK)):
            ids = segmentation.block_ids(level, row, col)
            if ids is not None:
                _paste(out, ids, row * BLOCK, col * BLOCK)
                continue
            for below_row in range(row << level, min((row + 1) << level, n_rows)):
                for below_col in range(col << level, min((col + 1) << level, n_cols)):
                    patch = segmentation.patch(below_row, below_col, level)
                    if patch is not None:
                        _paste(out, patch[4], row * BLOCK + patch[2], col * BLOCK + patch[3])
    return out


def _paste(out: NDArray[np.uint16], ids: NDArray[np.uint16], top: int, left: int) -> None:
    out[top : top + ids.shape[0], left : left + ids.shape[1]] = ids


def _inside(segmentation: Segmentation, aoi: dict[str, Any], level: int) -> NDArray[np.bool_]:
    """Texels whose level-0 pixel lies in an area of interest."""
    height, width = level_shape(*segmentation.shape, level)
    out = np.zeros((height, width), bool)
    rows = np.array([pixel_of_texel(row, 0, level, segmentation.shape)[0] for row in range(height)])
    cols = np.array([pixel_of_texel(0, col, level, segmentation.shape)[1] for col in range(width)])
    for top in range(0, segmentation.shape[0], BLOCK):
        for left in range(0, segmentation.shape[1], BLOCK):
            block_height, block_width = segmentation.used_size(0, top // BLOCK, left // BLOCK)
            mask = segmentation.georeference.aoi_mask(aoi, top, left, block_height, block_width)
            if not mask.any():
                continue
            row_range = slice(*np.searchsorted(rows, (top, top + block_height)))
            col_range = slice(*np.searchsorted(cols, (left, left + block_width)))
            out[row_range, col_range] = mask[np.ix_(rows[row_range] - top, cols[col_range] - left)]
    return out


def _depth(regions: NDArray[np.int32]) -> NDArray[np.uint16]:
    """Texels to the border of the own region, counted as a king walks; the scene's border is one, too."""
    from scipy.ndimage import distance_transform_cdt

    border = np.ones(regions.shape, bool)
    inner = border[1:-1, 1:-1]
    inner[:] = False
    middle = regions[1:-1, 1:-1]
    for other in (regions[:-2, 1:-1], regions[2:, 1:-1], regions[1:-1, :-2], regions[1:-1, 2:]):
        inner |= other != middle
    return np.asarray(distance_transform_cdt(~border, "chessboard") + 1, np.uint16)
