"""Which coordinate systems count."""

import pytest
from affine import Affine
from rasterio.crs import CRS

from segmentation.rasters.earth import earth_crs

METERS = Affine(10, 0, 400_000, 0, -10, 5_800_000)
DEGREES = Affine(0.1, 0, 5, 0, -0.1, 50)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", METERS),
        ("EPSG:3857", METERS),
        ("EPSG:4326", DEGREES),
        ("EPSG:4267", DEGREES),  # another datum
        ("+proj=laea +lat_0=52 +lon_0=10", Affine(10, 0, 0, 0, -10, 0)),
        ("+proj=longlat +R=6371007.181", DEGREES),  # the sphere of MODIS
        ("EPSG:32633", METERS @ Affine.rotation(40)),
    ],
)
def test_systems_on_earth_are_kept(crs, transform):
    kept, reason = earth_crs(CRS.from_user_input(crs), transform, 100, 200)
    assert kept == CRS.from_user_input(crs)
    assert reason == ""


@pytest.mark.parametrize(
    ("crs", "transform", "reason"),
    [
        ("+proj=longlat +R=1737400", DEGREES, "no longitude and latitude on Earth"),
        ("+proj=merc +R=3396190", METERS, "no longitude and latitude on Earth"),
        ("EPSG:4978", METERS, "no longitude and latitude on Earth"),
        ("EPSG:32633", Affine.identity(), "not where it lies"),
        ("EPSG:32633", Affine(0, 0, 5, 0, 0, 5), "not where it lies"),
        ("+proj=geos +h=35785831 +lon_0=0", Affine(1e5, 0, -5e6, 0, -1e5, 5e6), "outside the area"),
        ("EPSG:4326", Affine(10, 0, 0, 0, -10, 5000), "outside the area"),
        ("EPSG:32633", Affine(2, 0, 390_000, 0, -1e-290, 5_820_000), "no size on the ground"),
        ("EPSG:32633", Affine(10, 0, 390_000, 0, -10, 6e80), "no size on the ground"),
        ("EPSG:3857", Affine(10, 0, 0, 0, -10, 1e9), "no size on the ground"),
        ("EPSG:4326", Affine(1e-12, 0, 5, 0, -1e-12, 50), "no size on the ground"),
    ],
)
def test_others_count_as_none_and_say_why(crs, transform, reason):
    kept, told = earth_crs(CRS.from_user_input(crs), transform, 100, 100)
    assert kept is None
    assert reason in told
    assert told.endswith("so it is shown in pixel coordinates.")


def test_no_system_is_nothing_to_remark():
    assert earth_crs(None, METERS, 10, 10) == (None, "")
    assert earth_crs(CRS(), METERS, 10, 10) == (None, "")


def test_of_a_compound_system_the_horizontal_part_is_kept():
    kept, _ = earth_crs(CRS.from_user_input("EPSG:32633+5773"), METERS, 10, 10)
    assert kept == CRS.from_epsg(32633)
