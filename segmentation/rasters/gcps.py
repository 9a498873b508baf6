"""Images that are positioned by ground control points: warped once, when they are taken in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rasterio._err import CPLE_BaseError  # what rasterio's warping raises; it has no public name
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import from_gcps
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

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
    kept, reason = (
        earth_crs(crs, from_gcps(points), scene.height, scene.width) if len(points) >= 3 else (None, "")
    )
    if kept is None:
        told = (
            reason
            or "They have no coordinate system, or are fewer than three; the image is shown in pixel coordinates."
        )
        yield dataset, told
        return
    try:
        transform, width, height = calculate_default_transform(
            kept, kept, scene.width, scene.height, gcps=points
        )
        limits.check_raster(scene.path, width, height, scene.n_bands, 1)
        view = WarpedVRT(
            dataset,
            src_crs=kept,
            crs=kept,
            transform=transform,
            width=width,
            height=height,
            resampling=Resampling.bilinear,
            add_alpha=dataset.nodata is None and scene.rules.alpha is None,
        )
    except (RasterioError, CPLE_BaseError) as error:
        raise UnsupportedSceneError(
            f'The {len(points)} ground control points of "{scene.path.name}" contradict each other or lie on a line; '
            "warp the image first, for example with gdalwarp, or remove the points."
        ) from error
    with view:
        yield view, f"The image was warped once, by its {len(points)} ground control points."
