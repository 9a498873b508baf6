"""Why a coordinate system does not count, as a sentence."""

from __future__ import annotations

import pytest
from affine import Affine
from rasterio.crs import CRS

from segmentation.rasters.earth import earth_crs
from segmentation.rasters.georeference import Georeference

NORTH_UP = Affine(10, 0, 3e5, 0, -10, 5.1e6)
FULL_DISK = "+proj=geos +h=35786023 +lon_0=0 +ellps=GRS80"


@pytest.mark.parametrize(
    ("crs", "transform", "sentence"),
    [
        ("EPSG:32633", Affine.identity(), "not where it lies"),
        ("EPSG:32633", Affine(0, 0, 3e5, 0, 0, 5e6), "not where it lies"),
        ("EPSG:4978", NORTH_UP, '"WGS 84" has no longitude and latitude on Earth'),
        (
            "+proj=longlat +R=1737400 +no_defs",
            Affine(0.1, 0, 10, 0, -0.1, 40),
            "has no longitude and latitude on Earth",
        ),
        ("no such system", NORTH_UP, "(unnamed) has no longitude and latitude on Earth"),
        ("EPSG:4326", NORTH_UP, 'outside the area in which its coordinate system "WGS 84" is defined'),
        (FULL_DISK, Affine(3000, 0, -5.5e6, 0, -3000, 5.5e6), "outside the area in which"),
    ],
)
def test_earth_crs_says_why_there_is_none(crs, transform, sentence):
    found, reason = earth_crs(crs, transform, 3667, 3667)
    assert found is None
    assert sentence in reason
    assert reason.endswith("so it is shown in pixel coordinates.")


def test_earth_crs_says_nothing_where_there_is_nothing_to_say():
    assert earth_crs(None, NORTH_UP, 100, 100) == (None, "")
    assert earth_crs(CRS.from_epsg(32633), NORTH_UP, 100, 100) == (CRS.from_epsg(32633), "")


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:4978", "EPSG:3857", FULL_DISK])
@pytest.mark.parametrize(
    "transform", [NORTH_UP, Affine(0.01, 0, 12, 0, -0.01, 47), Affine(1, 0, 0, 0, -1, 300)]
)
def test_scene_and_georeference_agree_on_what_counts(crs, transform):
    found, _ = earth_crs(crs, transform, 300, 300)
    assert (Georeference(transform, crs, 300, 300).crs is None) == (found is None)
