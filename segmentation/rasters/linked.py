"""Taking a scene in by its URL: read where it lies if it is laid out for that, else copied."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from segmentation.errors import CancelledError, EmptySceneError, UnsupportedSceneError
from segmentation.rasters.cog import SceneInfo, describe_scene, ingest
from segmentation.rasters.limits import Limits
from segmentation.rasters.remote import RemoteImage
from segmentation.rasters.scene import Scene, open_scene
from segmentation.rasters.statistics import BandStatistics
from segmentation.rasters.storage import writing
from segmentation.rasters.thumbnail import write_thumbnail
from segmentation.rasters.windows import BLOCK

__all__ = ["take_in", "why_not_in_place"]

_LOOK_PX = 3_000_000  # of the reduced copy that statistics are found from
_WHOLE_PX = 4_000_000  # images up to this size need no reduced copies
_DOWNLOAD_SHARE = 0.5  # of an import with a copy


def take_in(
    image: RemoteImage,
    folder: Path,
    copy: bool | None = None,
    limits: Limits | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[SceneInfo, bool]:
    """Make a scene of an image at a URL: its thumbnail alone where it is read in place, else as `ingest` does.

    Parameters
    ----------
    image : RemoteImage
        What is taken in; every part of it is of the version that it had when it was opened.
    folder : Path
        Made here, with ``thumbnail.webp``, and with ``scene.tif`` for a copy; all or nothing.
    copy : bool or None
        None: only where it cannot be read in place.
    limits, progress, cancelled
        As for `ingest`.

    Returns
    -------
    SceneInfo
        Of an image in place, percentiles, means and share of valid pixels are those of its reduced copy.
    bool
        Whether it is read in place.

    Raises
    ------
    UnsupportedSceneError
        If it is not to be copied, and cannot be read in place.
    SegmentationError
        As from `ingest`, and where the URL cannot be read.
    """
    limits = limits or Limits()
    tell, is_cancelled = progress or (lambda share: None), cancelled or (lambda: False)
    limits.check_file(image)
    reason = ""
    if not copy:
        with open_scene(image, limits) as scene:
            reason = why_not_in_place(scene)
            if not reason:
                return _look(scene, folder), True
        if copy is False:
            raise UnsupportedSceneError(
                f'"{image.name}" cannot be read where it lies: {reason}. Have it copied instead.'
            )
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.download.partial")
    try:
        with writing(folder):
            draft.mkdir(parents=True)

        def check(done: int) -> None:
            if is_cancelled():
                raise CancelledError(f'The import of "{image.name}" was cancelled.')
            tell(_DOWNLOAD_SHARE * done / image.pin.size)

        with writing(draft):
            image.download(draft / image.name, check)
        info = ingest(
            draft / image.name,
            folder,
            limits,
            lambda share: tell(_DOWNLOAD_SHARE + (1 - _DOWNLOAD_SHARE) * share),
            cancelled,
        )
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if reason:
        info = replace(info, remarks=[*info.remarks, f"It was copied, because {reason}."])
    return info, False


def why_not_in_place(scene: Scene) -> str:
    """Why an image must be copied, as the end of a sentence; "" where its parts can be read where they lie."""
    with scene.dataset() as dataset:
        if dataset.driver != "GTiff":
            return "it is no GeoTIFF"
        height, width = dataset.block_shapes[0]
        if max(height, width) > 4 * BLOCK:
            return "it is not stored in tiles"
        if scene.height * scene.width > _WHOLE_PX and not dataset.overviews(1):
            return "it has no reduced copies of itself (overviews)"
        if scene.has_gcps:
            return "it is positioned by ground control points and must be warped"
        if scene.dataset_bands() != tuple(range(1, scene.n_bands + 1)):
            return "its alpha band is not the last"
        if dataset.crs and scene.crs is None:
            return "its coordinates are none on Earth"
    return ""


def _look(scene: Scene, folder: Path) -> SceneInfo:
    """Thumbnail and description from the image's own reduced copy."""
    factor = 1
    while scene.height * scene.width / factor**2 > _LOOK_PX:
        factor *= 2
    pixels, valid = scene.read_reduced(factor)
    statistics = BandStatistics(scene.n_bands, valid.size)
    statistics.add(pixels, valid)
    if not statistics.n_valid:
        raise EmptySceneError(
            f'"{scene.path.name}" holds no data: every pixel is marked as nodata. Check the export, or its nodata value.'
        )
    percentiles = statistics.percentiles()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".thumbnail.{uuid.uuid4().hex[:12]}.webp"
        write_thumbnail(draft, scene, percentiles)
        draft.replace(folder / "thumbnail.webp")
    return describe_scene(scene, statistics, percentiles, list(scene.remarks))
