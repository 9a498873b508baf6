"""Taking a scene in: whatever it was, it becomes a cloud optimized GeoTIFF with one mask, and is described.

Window by window, so that memory does not grow with the scene. GDAL's COG driver lays the file out: rio-cogeo's
``cog_translate`` would read through a warp, write nodata and mask by rules of its own, and could not be cancelled.
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as DatasetWindow

from segmentation.errors import CancelledError, EmptySceneError
from segmentation.rasters.bands import ROLES_TAG
from segmentation.rasters.drivers import check_path, readable
from segmentation.rasters.earth import earth_crs
from segmentation.rasters.gcps import warped_by_gcps
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.limits import Limits
from segmentation.rasters.pixels import Validity, read_raw, to_float32, validity_of
from segmentation.rasters.scene import Scene, open_scene
from segmentation.rasters.statistics import BandStatistics
from segmentation.rasters.storage import writing
from segmentation.rasters.thumbnail import write_thumbnail
from segmentation.rasters.windows import BLOCK, Window, n_levels

__all__ = ["Limits", "SceneInfo", "describe_scene", "ingest"]

_TILE_PX = 256  # of imagery tiles
_MAX_ZOOM = 26
_WORLD_M = 2 * math.pi * 6_378_137.0  # side of the Web Mercator square
_WINDOW_BYTES = 16 * 2**20
_BLOCK_BYTES = 16 * 2**20  # decoded size of a block with all its bands, at most
_COPY_SHARE = 0.6  # of the whole import, as measured; the rest is overviews and layout
_POLL_S = 0.1


@dataclass(frozen=True)
class SceneInfo:
    """What is known of a scene: "Scene description" in docs/protocol.md tells each key."""

    width: int
    height: int
    n_bands: int
    dtype: str
    band_names: list[str]
    band_roles: list[str]
    crs: str | None
    transform: list[float]
    gsd_m: float | None
    bounds: list[float] | None
    outline: list[list[float]]
    percentiles: list[list[float]]
    means: list[float]
    valid_share: float
    min_zoom: int
    max_zoom: int
    n_levels: int
    remarks: list[str]

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def ingest(
    source: str | Path,
    folder: str | Path,
    limits: Limits | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SceneInfo:
    """Make ``folder/scene.tif`` and ``folder/thumbnail.webp`` of an image; both or neither.

    Parameters
    ----------
    source : str or Path
        GeoTIFF, JPEG 2000, PNG or JPEG; it is left as it is.
    folder : str or Path
        Made here. What is written on the way lies in a hidden folder beside it, which is always removed.
    limits : Limits or None
        How large the image may be; None for the defaults.
    progress : callable or None
        Told the share done, 0 to 1.
    cancelled : callable or None
        Asked after each window whether to stop.

    Raises
    ------
    UnreadableSceneError, UnsupportedSceneError, SceneTooLargeError
        As from :func:`segmentation.rasters.scene.open_scene`; the first also where a later read fails.
    EmptySceneError
        If no pixel holds data.
    StorageFullError
        If the disk is full.
    CancelledError
        If the caller asked to stop.
    """
    source, folder = check_path(source), Path(folder)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        with writing(folder):
            draft.mkdir(parents=True)
        run = _Ingest(source, draft, limits or Limits(), progress or _ignore, cancelled or _never)
        info = run.run()
        with writing(folder):
            _publish(draft, folder)
        return info
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Ingest:
    """One import under way."""

    def __init__(
        self,
        source: Path,
        draft: Path,
        limits: Limits,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._source, self._draft, self._limits = source, draft, limits
        self._progress, self._cancelled = progress, cancelled
        self._remarks: list[str] = []

    def run(self) -> SceneInfo:
        work, cog = self._draft / "work.tif", self._draft / "scene.tif"
        with open_scene(self._source, self._limits) as scene, scene.dataset() as dataset:
            self._remarks += scene.remarks
            self._report(0)
            by_points = scene.has_gcps
            view = warped_by_gcps(scene, dataset, self._limits) if by_points else nullcontext((dataset, ""))
            with view as (shown, remark):
                self._remarks += [remark] if remark else []
                statistics = self._copy(scene, shown, work)
        if not statistics.n_valid:
            raise EmptySceneError(
                f'"{self._source.name}" holds no data: every pixel is marked as nodata. Check the export, or its nodata value.'
            )
        self._lay_out(work, cog)
        work.unlink()
        percentiles = statistics.percentiles()
        with open_scene(cog, _NO_LIMITS) as scene:
            with writing(self._draft):
                write_thumbnail(self._draft / "thumbnail.webp", scene, percentiles)
            info = describe_scene(scene, statistics, percentiles, self._remarks)
        self._report(1)
        return info

    def _copy(self, scene: Scene, dataset: DatasetReader, work: Path) -> BandStatistics:
        """Every window into a plain tiled file with a mask; what is not valid becomes 0."""
        bands = scene.dataset_bands()
        rules = scene.rules if dataset.name == str(scene.path) else validity_of(dataset, bands)
        statistics = BandStatistics(len(bands), dataset.height * dataset.width)
        masked = rules.has_rules or np.dtype(scene.dtype).kind == "f"
        windows = _windows(dataset, scene)
        whole_blocks = windows[0].height % _block_side(scene) == 0 or len(windows) == 1
        with writing(work), self._create(work, scene, dataset, whole_blocks) as target:
            for done, window in enumerate(windows, start=1):
                raw, valid = self._read(dataset, bands, rules, window)
                floats, valid = to_float32(raw, valid)
                statistics.add(floats, valid)
                if not valid.all():
                    raw[:, ~valid] = 0
                area = DatasetWindow(window.col, window.row, window.width, window.height)
                target.write(raw.astype(scene.dtype, copy=False), window=area)
                if masked:
                    target.write_mask(valid, window=area)
                self._report(_COPY_SHARE * done / len(windows))
        return statistics

    def _read(self, dataset: DatasetReader, bands: tuple[int, ...], rules: Validity, window: Window) -> Any:
        where = f" near row {window.row}, column {window.col}"
        with readable(self._source, where):
            return read_raw(dataset, bands, bands, rules, window)

    def _create(self, work: Path, scene: Scene, dataset: DatasetReader, whole_blocks: bool) -> DatasetWriter:
        roles = scene.band_roles
        rgb = roles[:3] == ("red", "green", "blue") and scene.n_bands >= 3
        crs, _ = earth_crs(dataset.crs, dataset.transform, dataset.height, dataset.width)
        side = _block_side(scene)
        target = rasterio.open(
            work,
            "w",
            driver="GTiff",
            height=dataset.height,
            width=dataset.width,
            count=scene.n_bands,
            dtype=scene.dtype,
            crs=crs,
            transform=dataset.transform if crs else None,
            tiled=True,
            blockxsize=side,
            blockysize=side,
            interleave="pixel",
            photometric="RGB" if rgb else "MINISBLACK",
            alpha="NO",  # else the fourth of four 8-bit bands is marked as alpha
            bigtiff="IF_SAFER",
            # Blocks that are written in parts would leave each compressed version behind in the file.
            **({"compress": "DEFLATE", "zlevel": "1", "predictor": "2"} if whole_blocks else {}),
        )
        if not rgb:
            target.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (scene.n_bands - 1)
        target.descriptions = scene.band_names
        target.update_tags(**{ROLES_TAG: ",".join(roles)})
        return target

    def _lay_out(self, work: Path, cog: Path) -> None:
        """Overviews and the order of a COG, by GDAL in a thread of its own, which leaves this one free to be asked."""
        with rasterio.open(work, driver="GTiff") as dataset:
            side = dataset.block_shapes[0][0]
        options = {
            "blocksize": str(side),
            "compress": "DEFLATE",
            "level": "1",  # a tenth larger than level 6, four times as fast
            "predictor": "YES",
            "overview_resampling": "AVERAGE",
            "bigtiff": "IF_SAFER",
            "num_threads": str(min(4, os.cpu_count() or 1)),
        }
        expected = max(work.stat().st_size, 1) * 4 / 3
        with writing(cog), ThreadPoolExecutor(1, thread_name_prefix="cog") as pool:
            job = pool.submit(copy_raster, str(work), str(cog), driver="COG", **options)
            try:
                while True:
                    try:
                        job.result(timeout=_POLL_S)
                        return
                    except NotDoneError:
                        written = sum(_size(file) for file in self._draft.glob("scene.tif*"))
                        self._report(_COPY_SHARE + (0.98 - _COPY_SHARE) * min(1.0, written / expected))
            except BaseException:
                # GDAL cannot be told to stop, but it does when its source ends.
                os.truncate(work, 0)
                raise

    def _report(self, share: float) -> None:
        if self._cancelled():
            raise CancelledError(f'The import of "{self._source.name}" was cancelled.')
        os.utime(self._draft)  # a sign of life for whoever sweeps up what crashes left behind
        self._progress(share)


# Our own file: its source has passed the limits, and an empty area packs to next to nothing.
_NO_LIMITS = Limits(max_file_bytes=2**62, max_pixels=2**62, max_expansion=2**62)


def describe_scene(
    scene: Scene, statistics: BandStatistics, percentiles: list[list[float]], remarks: list[str]
) -> SceneInfo:
    """All that is known of a scene, from its header and statistics of its pixels."""
    place = Georeference(scene.transform, scene.crs, scene.height, scene.width)
    max_zoom = _max_zoom(scene, place)
    return SceneInfo(
        width=scene.width,
        height=scene.height,
        n_bands=scene.n_bands,
        dtype=scene.dtype,
        band_names=list(scene.band_names),
        band_roles=list(scene.band_roles),
        crs=scene.crs.to_string() if scene.crs else None,
        transform=[float(number) for number in scene.transform[:6]],
        gsd_m=scene.gsd_m,
        bounds=list(place.bounds) if place.bounds else None,
        outline=place.outline,
        percentiles=percentiles,
        means=statistics.means(),
        valid_share=statistics.valid_share,
        min_zoom=max(0, max_zoom - _steps(scene)) if scene.crs else 0,
        max_zoom=max_zoom,
        n_levels=n_levels(scene.height, scene.width),
        remarks=list(remarks),
    )


def _steps(scene: Scene) -> int:
    """How many times the scene is halved until it fits one tile."""
    return max(0, math.ceil(math.log2(max(scene.height, scene.width) / _TILE_PX)))


def _max_zoom(scene: Scene, place: Georeference) -> int:
    """The zoom at which a tile's pixels are no larger than the scene's; without CRS, of the same size."""
    if scene.gsd_m is None:
        return _steps(scene)
    _, lat = place.to_lonlat(scene.width / 2, scene.height / 2)
    pixel_m = scene.gsd_m / max(
        math.cos(math.radians(float(lat))), 0.05
    )  # in Web Mercator, which ends near 85 degrees
    # Half a percent of grace, or a scene on the tile grid itself would get a zoom too many.
    return min(_MAX_ZOOM, max(0, math.ceil(math.log2(_WORLD_M / _TILE_PX / pixel_m * 0.995))))


def _block_side(scene: Scene) -> int:
    """512, or less where many bands would make a block too large to decode at a time."""
    side = BLOCK
    while side > 64 and side * side * scene.n_bands * np.dtype(scene.dtype).itemsize > _BLOCK_BYTES:
        side //= 2
    return side


def _windows(dataset: DatasetReader, scene: Scene) -> list[Window]:
    """Windows that cover a dataset: whole blocks of the source and of the copy where memory allows.

    Strips are read over their whole width, and a PNG or JPEG, which only reads forwards, never twice.
    """
    pixel_bytes = scene.n_bands * np.dtype(scene.dtype).itemsize
    block_height, block_width = scene.block_shape
    tall = BLOCK * -(-block_height // BLOCK)
    wide = BLOCK * -(-block_width // BLOCK)
    while tall > BLOCK and tall * wide * pixel_bytes > _WINDOW_BYTES:
        tall -= BLOCK
    while tall > 16 and tall * wide * pixel_bytes > _WINDOW_BYTES:
        tall //= 2
    while wide < dataset.width and tall * (wide + BLOCK) * pixel_bytes <= _WINDOW_BYTES:
        wide += BLOCK
    return [
        Window(row, col, min(tall, dataset.height - row), min(wide, dataset.width - col))
        for row in range(0, dataset.height, tall)
        for col in range(0, dataset.width, wide)
    ]


def _publish(draft: Path, folder: Path) -> None:
    """Give the finished files their place; in an existing folder they replace those of an earlier attempt."""
    if not folder.exists() or not any(folder.iterdir()):
        draft.replace(folder)
        return
    for file in draft.iterdir():
        file.replace(folder / file.name)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # GDAL is done with it, an overview's draft for one
        return 0


def _ignore(share: float) -> None:
    return None


def _never() -> bool:
    return False
