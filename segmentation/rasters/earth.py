"""Which coordinate reference systems count: those with longitude and latitude on Earth."""

from __future__ import annotations

from typing import Any

import pyproj
from affine import Affine
from rasterio.crs import CRS

from segmentation.rasters import lonlat
from segmentation.rasters.georeference import Georeference

__all__ = ["earth_crs"]

_FINEST_M = 1e-4  # finer than any camera's pixels; what is below comes from damaged numbers


def earth_crs(crs: Any, transform: Affine, height: int, width: int) -> tuple[CRS | None, str]:
    """Keep a CRS that gives longitude and latitude on Earth for this very grid.

    Engineering, geocentric and vertical systems, other planets, and grids that lie where the projection is not
    defined (the rim of a geostationary full-disk view) or pixels have no size, count as none: such a scene is handled
    in pixel coordinates.

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
    if lonlat.earth_crs(crs) is None:
        return None, f"Its coordinate system {_name(crs)} has no longitude and latitude on Earth, {kept}."
    found = lonlat.earth_crs(crs, transform, height, width)
    if found is None:
        return (
            None,
            f"It lies outside the area in which its coordinate system {_name(crs)} is defined, {kept}.",
        )
    gsd_m = Georeference(transform, found, height, width).gsd_m
    if gsd_m is None or not gsd_m >= _FINEST_M:  # so that NaN is caught, too
        return None, f"Its position gives its pixels no size on the ground, {kept}."
    system = pyproj.CRS.from_wkt(found.to_wkt())
    if system.is_compound:  # heights play no part here, and their grids may be missing
        found = CRS.from_wkt(system.sub_crs_list[0].to_wkt())
    return found, ""


def _name(crs: Any) -> str:
    try:
        name = pyproj.CRS.from_user_input(crs).name
    except pyproj.exceptions.CRSError:  # whatever PROJ cannot read
        name = ""
    return f'"{name}"' if name and name != "unknown" else "(unnamed)"
