"""Which coordinate reference systems count: those with longitude and latitude on Earth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

__all__ = ["earth_crs"]

_EARTH_RADII_M = (6_300_000, 6_400_000)  # of every ellipsoid and sphere in use for the Earth


def earth_crs(crs: Any, transform: Affine, height: int, width: int) -> tuple[CRS | None, str]:
    """Keep a CRS that gives longitude and latitude on Earth for this very grid.

    Engineering, geocentric and vertical systems, other planets, and grids that lie where the projection is not
    defined (the rim of a geostationary full-disk view) count as none: such a scene is handled in pixel coordinates.

    Parameters
    ----------
    crs : CRS, anything that ``CRS.from_user_input`` takes, or None
        As the image names it.
    transform : Affine
        From pixel (column, row) to the CRS.
    height, width : int
        Pixels of the scene.

    Returns
    -------
    CRS or None
        The CRS to use.
    str
        Why there is none, as a sentence; empty where there is nothing to say.
    """
    if not crs:
        return None, ""
    kept = "so it is shown in pixel coordinates"
    if transform == Affine.identity() or transform.is_degenerate:
        # rasterio gives the identity for an image without a position.
        return None, f"The image names a coordinate system but not where it lies, {kept}."
    try:
        found = CRS.from_user_input(crs)
        system = pyproj.CRS.from_wkt(found.to_wkt())
        if system.is_compound:
            system = system.sub_crs_list[0]
        radius = system.ellipsoid.semi_major_metre if system.ellipsoid else 0
        is_map = system.is_projected or (system.is_geographic and not system.is_geocentric)
        if not (is_map and _EARTH_RADII_M[0] < radius < _EARTH_RADII_M[1]):
            return (
                None,
                f"Its coordinate system {_name(system)} has no longitude and latitude on Earth, {kept}.",
            )
        to_lonlat = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    except (CRSError, pyproj.exceptions.ProjError):
        return None, f"Its coordinate system is not one that is known here, {kept}."
    # The whole border must be defined, or the scene has no outline and no areas.
    steps = np.linspace(0, 1, 17)
    zeros, ones = np.zeros(17), np.ones(17)
    cols = np.concatenate([steps, steps, zeros, ones, [0.5]]) * width
    rows = np.concatenate([zeros, ones, steps, steps, [0.5]]) * height
    xs = transform.a * cols + transform.b * rows + transform.c
    ys = transform.d * cols + transform.e * rows + transform.f
    lons, lats = to_lonlat.transform(xs, ys)
    # Outer edges of global grids may lie a little beyond the poles.
    if not (np.isfinite(lons).all() and np.isfinite(lats).all() and (np.abs(lats) <= 91).all()):
        return (
            None,
            f"It lies outside the area in which its coordinate system {_name(system)} is defined, {kept}.",
        )
    return found, ""


def _name(system: pyproj.CRS) -> str:
    return f'"{system.name}"' if system.name and system.name != "unknown" else "(unnamed)"
