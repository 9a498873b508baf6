"""Images that are positioned by ground control points: warped once, when they are taken in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rasterio._err import CPLE_BaseError  # what rasterio's warping raises; it has no public name
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import from_gcps
from rasterio.vrt import WarpedVRT

from segmentation.errors import UnsupportedSceneError
from segmentation.rasters.earth import earth_crs
from segmentation.rasters.limits import Limits
from segmentation.rasters.scene import Scene

__all__ = ["warped_by_gcps"]


@contextmanager
def warped_by_gcps(
    scene: Scene, dataset: DatasetReader, limits: Limits
) -> Iterator[tuple[DatasetReader, str]]:
    """A view of ``dataset`` on a north-up grid in the CRS of its control points, and a remark on it.

    Where the points have no CRS with longitude and latitude on Earth, it is the dataset itself.
    """
    points, crs = dataset.gcps
    if not crs or len(points) < 3:
        lack = "no coordinate system" if not crs else "only two points or less"
        yield dataset, f"The ground control points have {lack}, so the image is shown in pixel coordinates."
        return
    pixels, places = [(point.col, point.row) for point in points], [(point.x, point.y) for point in points]
    if _on_a_line(pixels) or _on_a_line(places):
        raise UnsupportedSceneError(_useless(scene, len(points)))
    kept, reason = earth_crs(crs, from_gcps(points), scene.height, scene.width)
    if kept is None:
        yield dataset, reason
        return
    try:
        # Without a grid of ours: given one, rasterio forgets the points and takes the image for unplaced.
        view = WarpedVRT(
            dataset,
            resampling=Resampling.bilinear,
            add_alpha=dataset.nodata is None and scene.rules.alpha is None,
        )
    except (RasterioError, CPLE_BaseError) as error:
        raise UnsupportedSceneError(_useless(scene, len(points))) from error
    with view:
        limits.check_raster(scene.path, view.width, view.height, scene.n_bands, 1)
        yield view, f"The image was warped once, by its {len(points)} ground control points."


def _on_a_line(places: Sequence[tuple[float, float]]) -> bool:
    """Whether points span no area, so that they fix no transform."""
    spread = np.array(places) - np.mean(places, axis=0)
    values = np.linalg.svd(spread, compute_uv=False)
    return bool(values[1] <= 1e-6 * values[0])


def _useless(scene: Scene, count: int) -> str:
    return (
        f'The {count} ground control points of "{scene.path.name}" lie on a line or contradict each other; '
        "warp the image first, for example with gdalwarp, or remove the points."
    )
