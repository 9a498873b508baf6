"""Made-up scenes with known truth, for tests, benchmarks, and as a demo where there is no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import scipy.ndimage
import scipy.spatial
from affine import Affine
from numpy.typing import DTypeLike, NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from segmentation.errors import InvalidArgumentError

__all__ = ["CLASSES", "synthetic_scene", "write_scene"]

CLASSES = ("water", "forest", "grass", "crop", "soil", "built-up")  # truth holds their places in this order

# Reflectance of each class at four wavelengths, typical of Sentinel-2 in early summer.
_WAVELENGTHS_UM = np.array([0.49, 0.56, 0.665, 0.84])
_REFLECTANCE = np.array(
    [
        [0.055, 0.050, 0.030, 0.018],
        [0.025, 0.040, 0.026, 0.270],
        [0.045, 0.085, 0.060, 0.360],
        [0.050, 0.095, 0.075, 0.470],
        [0.095, 0.130, 0.175, 0.250],
        [0.150, 0.165, 0.175, 0.200],
    ]
)
_GRAIN = np.array([0.002, 0.016, 0.006, 0.008, 0.010, 0.045])  # local variation: crowns, furrows, roofs
_NAMED = {3: (0.665, 0.56, 0.49), 4: (0.665, 0.56, 0.49, 0.84)}


def synthetic_scene(
    height: int = 1024, width: int = 1536, n_bands: int = 4, seed: int = 0, dtype: DTypeLike = "uint16"
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Draw a landscape of fields, woods, a river, lakes and a town.

    Parameters
    ----------
    height, width : int
        Pixels, at least 4.
    n_bands : int
        3 are red, green, blue; 4 have near infrared as well; other numbers run from 0.49 to 0.84 micrometers.
    seed : int
        The same seed gives the same scene.
    dtype : dtype
        Integers hold reflectance x 10,000 (x 600, at most 255, in 8 bits), floats reflectance.

    Returns
    -------
    pixels : array of ``dtype``, shape (n_bands, height, width)
    truth : uint8 array, shape (height, width)
        Place in :data:`CLASSES` of each pixel.

    Raises
    ------
    InvalidArgumentError
        If a size is too small.
    """
    if min(height, width) < 4 or n_bands < 1:
        raise InvalidArgumentError(
            f"A scene of {n_bands} bands of {height} x {width} pixels cannot be drawn; "
            "ask for at least one band and 4 x 4 pixels."
        )
    random = np.random.default_rng(seed)
    truth = _landscape(height, width, random)
    wavelengths = np.array(
        _NAMED.get(n_bands) or np.linspace(_WAVELENGTHS_UM[0], _WAVELENGTHS_UM[-1], n_bands)
    )
    spectra = np.stack(
        [np.interp(wavelengths, _WAVELENGTHS_UM, row) for row in _REFLECTANCE]
    )  # (class, band)
    light = 1 + 0.06 * _smooth(height, width, 60, random)
    grain = random.standard_normal((height, width), np.float32)
    grain = 0.6 * grain + 0.8 * scipy.ndimage.gaussian_filter(grain, 1.2) * 3
    kind = np.dtype(dtype)
    scale, top = {1: (600, 255), 2: (10_000, 32_767)}.get(kind.itemsize, (10_000, 2**31 - 1))
    pixels = np.empty((n_bands, height, width), kind)
    for band in range(n_bands):
        values = spectra[truth, band] * light + grain * _GRAIN[truth] * (0.5 + spectra[truth, band] * 2)
        values = np.maximum(values, 0.001)
        pixels[band] = values if kind.kind == "f" else np.clip(np.rint(values * scale), 1, top)
    return pixels, truth


def write_scene(
    path: str | Path,
    pixels: NDArray[Any],
    *,
    crs: Any = "EPSG:32633",
    transform: Affine | None = None,
    nodata: float | None = None,
    mask: NDArray[np.bool_] | None = None,
    alpha: NDArray[Any] | None = None,
    names: Sequence[str] = (),
    gcps: Sequence[GroundControlPoint] = (),
    driver: str = "GTiff",
    **options: Any,
) -> Path:
    """Write an image file in one of the many ways that images come in.

    Parameters
    ----------
    path : str or Path
        The file.
    pixels : array, shape (B, H, W)
        Bands, in the type to store.
    crs : CRS or None
        None, too, for a scene in pixel coordinates.
    transform : Affine or None
        None: north-up, 10 m, beside Berlin; without CRS none at all.
    nodata : float or None
        Nodata value to declare; ``pixels`` holds it already where it applies.
    mask : bool array, shape (H, W), or None
        True where there is data: stored as the file's own mask.
    alpha : array, shape (H, W), or None
        Stored as one more band, marked as alpha.
    names : sequence of str
        Descriptions of the bands.
    gcps : sequence of GroundControlPoint
        Ground control points in ``crs``, instead of a transform.
    driver : str
        GDAL driver: GTiff, COG, PNG, JPEG or JP2OpenJPEG.
    **options
        Creation options of the driver.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InvalidArgumentError
        For alpha in a JPEG, which has no place for it.
    """
    path = Path(path)
    if alpha is not None and driver == "JPEG":
        raise InvalidArgumentError(
            f'"{path.name}" cannot be a JPEG with alpha; choose PNG, JP2OpenJPEG, COG or GTiff.'
        )
    bands = pixels if alpha is None else np.concatenate([pixels, alpha[None].astype(pixels.dtype)])
    if transform is None and crs is not None and not gcps:
        transform = Affine(10, 0, 390_000, 0, -10, 5_820_000)
    profile: dict[str, Any] = {
        "count": len(bands),
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype,
        "nodata": nodata,
    }
    if gcps:
        profile |= {"gcps": list(gcps), "crs": CRS() if crs is None else crs}
    elif transform is not None:
        profile |= {"transform": transform, "crs": crs}
    if driver == "GTiff":
        options = {"photometric": "MINISBLACK", "alpha": "NO", **options}
    if (
        driver == "JP2OpenJPEG"
    ):  # whatever the file is called: a bare codestream has no place for what bands mean
        options = {"CODEC": "JP2", **options}
    # Formats that are written in one go, and masks, need a file to copy from.
    direct = driver in ("GTiff", "PNG", "JPEG", "JP2OpenJPEG")
    with rasterio.open(path, "w", driver=driver if direct else "COG", **profile, **options) as target:
        if alpha is not None:  # before any pixel: the header cannot change afterwards
            target.colorinterp = _with_alpha(target.colorinterp, driver)
        target.write(bands)
        if names:
            target.descriptions = tuple(names)
        if mask is not None:
            target.write_mask(mask)
    return path


def _with_alpha(meanings: Sequence[ColorInterp], driver: str) -> list[ColorInterp]:
    """The last band is alpha. JPEG 2000 notes that only beside gray or red, green, blue."""
    colors = list(meanings[:-1])
    if driver == "JP2OpenJPEG":
        named = {1: [ColorInterp.gray], 3: [ColorInterp.red, ColorInterp.green, ColorInterp.blue]}
        colors = named.get(len(colors), colors)
    return [*colors, ColorInterp.alpha]


def _landscape(height: int, width: int, random: np.random.Generator) -> NDArray[np.uint8]:
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    size = max(height, width)
    # Fields: cells around scattered points, on a grid that is turned and bent a little.
    bend = _smooth(height, width, 80, random) * 12
    n_fields = max(6, int(height * width / 60**2))
    seeds = random.uniform((-30, -30), (height + 30, width + 30), (n_fields, 2)) * (1, 0.6)
    _, field = scipy.spatial.cKDTree(seeds).query(
        np.stack([rows + bend, (cols + bend[::-1]) * 0.6], axis=-1).reshape(-1, 2), workers=1
    )
    crops = random.choice([2, 3, 3, 3, 4], n_fields)
    truth = crops[field].reshape(height, width).astype(np.uint8)
    truth[_smooth(height, width, 45, random) > 0.9] = 1
    center_row, center_col = random.uniform(0.2, 0.8, 2) * (height, width)
    distance = np.hypot(rows - center_row, cols - center_col) / (0.11 * size) + 0.35 * _smooth(
        height, width, 15, random
    )
    street = ((rows + cols * 0.3) % 14 < 11) & ((cols - rows * 0.3) % 18 < 15)
    truth[(distance < 1) & street] = 5
    truth[(distance < 1) & ~street] = 4
    course = 0.5 * height + 0.2 * height * np.sin(cols[0] / size * 7 + random.uniform(0, 6))
    course += 8 * np.sin(cols[0] / size * 31 + random.uniform(0, 6))
    truth[np.abs(rows - course) < 0.008 * size + 2 * np.sin(cols / 23)] = 0
    truth[_smooth(height, width, 30, random) > 2.3] = 0
    return truth


def _smooth(height: int, width: int, sigma_px: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of mean 0 and deviation about 1; drawn coarsely and enlarged, since it is smooth."""
    step = max(1, int(sigma_px / 4))
    rows, cols = height // step + 8, width // step + 8
    coarse = scipy.ndimage.gaussian_filter(random.standard_normal((rows, cols)), sigma_px / step, mode="wrap")
    coarse /= max(float(coarse.std()), 1e-9)
    fine = scipy.ndimage.zoom(coarse, step, order=1, mode="nearest", grid_mode=True)
    return np.asarray(fine[:height, :width], np.float32)
