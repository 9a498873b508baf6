"""Cutting images, and masks with them, into patches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window as DatasetWindow

from segmentation.errors import InvalidArgumentError, SegmentationError
from segmentation.rasters.drivers import Image, check_path, open_dataset, readable
from segmentation.rasters.limits import Limits
from segmentation.rasters.pixels import read_raw
from segmentation.rasters.scene import Scene, open_scene
from segmentation.rasters.storage import writing
from segmentation.rasters.windows import Window

__all__ = ["MASKS", "Cut", "cut_patches", "find_images", "find_masks", "patch_windows"]

_SUFFIXES = (".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg")
IMAGES, MASKS = "images", "masks"  # folders of the patches
_MAX_SIDE = 16_384
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass
class Cut:
    """What came out: names of the ``patches``; ``skipped`` says how many had too little data; sentences on ``small`` images."""

    patches: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    small: list[str] = field(default_factory=list)


def find_images(folder: Path, without: Path | None = None) -> list[Path]:
    """Images in a folder and one level deeper, sorted; hidden ones, and a folder called "masks", are passed over.

    Parameters
    ----------
    folder : Path
        Where to look.
    without : Path or None
        A folder whose files are passed over, too.

    Raises
    ------
    InvalidArgumentError
        If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InvalidArgumentError(f"There is no folder {folder}; give one with images in it.")
    deeper = [one for one in _entries(folder) if one.is_dir() and one.name.lower() != MASKS]
    images = [
        file
        for place in (folder, *deeper)
        if not (without is not None and without.exists() and place.samefile(without))
        for file in _entries(place)
        if file.suffix.lower() in _SUFFIXES and file.is_file()
    ]
    if not images:
        raise InvalidArgumentError(
            f"There is no image in {folder} or one level deeper; GeoTIFF, JPEG 2000, PNG and JPEG are taken."
        )
    return sorted(images)


def find_masks(images: list[Path], folder: Path, masks: Path) -> list[Path]:
    """The mask of each image: the file with its name, whatever its ending, at its place in ``masks`` or else directly there.

    Raises
    ------
    InvalidArgumentError
        For an image without a mask, or with several.
    """
    if not masks.is_dir():
        raise InvalidArgumentError(f"There is no folder {masks}; give one with masks in it.")
    found = []
    for image in images:
        same: list[Path] = []
        for place in (masks / image.relative_to(folder).parent, masks):
            if not same and place.is_dir():
                same = [
                    file
                    for file in sorted(_entries(place))
                    if file.stem == image.stem and file.suffix.lower() in _SUFFIXES
                ]
        if not same:
            raise InvalidArgumentError(
                f"There is no mask for {image.relative_to(folder)} in {masks}; it has the image's name, with any ending."
            )
        if len(same) > 1:
            raise InvalidArgumentError(
                f"There are {len(same)} masks for {image.relative_to(folder)} in {masks}: {same[0].name}, {same[1].name}; keep one."
            )
        found.append(same[0])
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InvalidArgumentError(f"The folder {folder} cannot be read: {error.strerror}.") from error


def patch_windows(height: int, width: int, shape: tuple[int, int], stride: tuple[int, int]) -> list[Window]:
    """Windows of one size over an image, row by row; the last of a row or column moves inward to end at the image's edge.

    Parameters
    ----------
    height, width : int
        Pixels of the image.
    shape, stride : (int, int)
        Rows and columns of a patch, and from one patch to the next.

    Returns
    -------
    list of Window
        All inside the image; empty where it is smaller than a patch.
    """
    starts = []
    for size, patch, step in zip((height, width), shape, stride, strict=True):
        if size < patch:
            return []
        along = list(range(0, size - patch + 1, step))
        if along[-1] + patch < size:
            along.append(size - patch)
        starts.append(along)
    return [Window(row, col, *shape) for row in starts[0] for col in starts[1]]


def cut_patches(
    folder: Path,
    out: Path,
    *,
    shape: tuple[int, int] = (512, 512),
    stride: tuple[int, int] | None = None,
    masks: Path | None = None,
    max_nodata: float = 0.01,
    progress: Callable[[float], None] | None = None,
) -> Cut:
    """Cut the images of a folder into GeoTIFF patches.

    Parameters
    ----------
    folder : Path
        With images in it, or one level deeper.
    out : Path
        Folder to make; give a draft (`segmentation.drafts`). Patches go to ``images``, cut masks to ``masks``, under the same
        names: the image's, with the first row and column of the patch.
    shape, stride : (int, int)
        Rows and columns of a patch, and from one to the next (by default the shape: patches side by side).
    masks : Path or None
        Folder with a mask for each image.
    max_nodata : float
        Patches with a larger share of pixels without data are left out, 0 to 1.
    progress : callable or None
        Told the share of the images done, 0 to 1.

    Returns
    -------
    Cut
        Images smaller than a patch give none, which ``small`` tells: padded ones would be mostly nodata.

    Raises
    ------
    InvalidArgumentError
        For sizes outside their range, masks that are missing or of another size, and images whose patches would have
        the same names.
    SegmentationError
        If an image cannot be read, or nothing is left.
    """
    stride = stride or shape
    _check(shape, stride, max_nodata)
    images = find_images(folder, masks)
    mask_of = [None] * len(images) if masks is None else find_masks(images, folder, masks)
    names = _names(images, folder)
    cut = Cut()
    with writing(out):
        (out / IMAGES).mkdir(parents=True)
        if masks is not None:
            (out / MASKS).mkdir()
    for done, (image, mask, name) in enumerate(zip(images, mask_of, names, strict=True)):
        with open_scene(image) as scene:
            windows = patch_windows(scene.height, scene.width, shape, stride)
            if not windows:
                cut.small.append(
                    f"{image.relative_to(folder)} has {scene.width} x {scene.height} pixels, less than a patch; left out."
                )
            for number, window in enumerate(_cut_image(scene, windows, max_nodata, out / IMAGES, name, cut)):
                if progress is not None:
                    progress((done + (number + 1) / len(windows)) / len(images))
                if mask is not None and window is not None:
                    _cut_mask(mask, scene, window, out / MASKS / f"{_patch_name(name, window)}")
    if not cut.patches:
        raise SegmentationError(
            f"None of the {len(images)} images gave a patch: {len(cut.small)} are smaller than {shape[0]} x {shape[1]} pixels, and "
            f"{cut.skipped} patches of the others hold too little data. Choose a smaller --patch-shape or a larger --max-nodata."
        )
    return cut


def _check(shape: tuple[int, int], stride: tuple[int, int], max_nodata: float) -> None:
    for what, sizes in (("patch shape", shape), ("stride", stride)):
        if not all(1 <= size <= _MAX_SIDE for size in sizes):
            raise InvalidArgumentError(
                f"The {what} is {sizes[0]} x {sizes[1]} pixels; choose from 1 to {_MAX_SIDE:,} for both."
            )
    if not 0 <= max_nodata <= 1:
        raise InvalidArgumentError(f"The largest share of nodata is {max_nodata:g}; choose one from 0 to 1.")


def _names(images: list[Path], folder: Path) -> list[str]:
    names = ["_".join(image.relative_to(folder).with_suffix("").parts) for image in images]
    seen: dict[str, Path] = {}
    for image, name in zip(images, names, strict=True):
        if name.lower() in seen:
            raise InvalidArgumentError(
                f"{seen[name.lower()].relative_to(folder)} and {image.relative_to(folder)} would give patches of the same name; "
                "rename one."
            )
        seen[name.lower()] = image
    return names


def _patch_name(name: str, window: Window) -> str:
    return f"{name}_r{window.row:06d}_c{window.col:06d}.tif"


def _cut_image(
    scene: Scene, windows: list[Window], max_nodata: float, out: Path, name: str, cut: Cut
) -> Iterator[Window | None]:
    """Write the patches of one image; yields each window once it is written, None where it was left out."""
    bands = scene.dataset_bands()
    for window in windows:
        where = f" near row {window.row}, column {window.col}"
        with scene.dataset() as dataset:
            with readable(scene.path, where):
                _, valid = read_raw(dataset, bands, bands, scene.rules, window)
            nodata = 1 - float(valid.mean())
            if nodata > max_nodata:
                cut.skipped += 1
                yield None
                continue
            _write(dataset, window, out / _patch_name(name, window), scene.path)
        cut.patches.append(
            {
                "patch": f"{IMAGES}/{_patch_name(name, window)}",
                "row": window.row,
                "col": window.col,
                "nodata": round(nodata, 6),
            }
        )
        yield window


def _cut_mask(mask: Path, scene: Scene, window: Window, out: Path) -> None:
    path = check_path(mask)
    with open_dataset(path, Limits()) as dataset:
        if (dataset.height, dataset.width) != (scene.height, scene.width):
            raise InvalidArgumentError(
                f"The mask {path.name} has {dataset.width} x {dataset.height} pixels and its image {scene.path.name} {scene.width} x "
                f"{scene.height}; they must be the same."
            )
        _write(dataset, window, out, path, placed_by=scene)


def _write(
    dataset: DatasetReader, window: Window, out: Path, path: Image, placed_by: Scene | None = None
) -> None:
    """One patch as the source has it: type, bands, nodata, mask, colors, tags and place."""
    area = DatasetWindow(window.col, window.row, window.width, window.height)
    with readable(path, f" near row {window.row}, column {window.col}"):
        pixels = dataset.read(window=area)
        flags = dataset.mask_flag_enums[0]
        mask = None
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
            mask = dataset.dataset_mask(window=area)
    alpha = ColorInterp.alpha in dataset.colorinterp
    with (
        writing(out),
        rasterio.open(
            out,
            "w",
            driver="GTiff",
            width=window.width,
            height=window.height,
            count=dataset.count,
            dtype=str(np.result_type(*dataset.dtypes)),
            nodata=dataset.nodata,
            compress="DEFLATE",
            photometric="RGB" if dataset.colorinterp[:3] == _RGB else "MINISBLACK",
            alpha="YES" if alpha else "NO",  # else the fourth of four 8-bit bands is marked as alpha
            **_place(dataset, window, placed_by),
        ) as target,
    ):
        if ColorInterp.palette in dataset.colorinterp:
            target.write_colormap(1, dataset.colormap(1))
        else:
            target.colorinterp = dataset.colorinterp
        target.descriptions = dataset.descriptions
        target.update_tags(**{key: value for key, value in dataset.tags().items() if key != "AREA_OR_POINT"})
        target.write(pixels)
        if mask is not None:
            target.write_mask(mask)


def _place(dataset: DatasetReader, window: Window, placed_by: Scene | None) -> dict[str, Any]:
    """Where a patch lies: by its shifted transform or ground control points; a mask without a place takes its image's."""
    points, points_crs = dataset.gcps
    if points:
        shifted = [
            GroundControlPoint(one.row - window.row, one.col - window.col, one.x, one.y, one.z or 0.0)
            for one in points
        ]
        return {"gcps": shifted, "crs": points_crs}
    transform, crs = dataset.transform, dataset.crs
    if placed_by is not None and transform == Affine.identity():
        transform, crs = placed_by.transform, placed_by.crs
    if transform == Affine.identity():
        return {"crs": crs} if crs else {}
    return {"transform": transform @ Affine.translation(window.col, window.row), "crs": crs}
