"""Roles of bands, on the namings and orders that are out there."""

import pytest
from rasterio.enums import ColorInterp

from segmentation.rasters.bands import guess_roles
from segmentation.rasters.scene import open_scene
from segmentation.testing import synthetic_scene, write_scene

GRAY = [ColorInterp.gray] + [ColorInterp.undefined] * 20
RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ("B02 B03 B04 B08", "blue green red nir"),
        ("B2,B3,B4,B8", "blue green red nir"),
        ("B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12", "- blue green red - - - nir - - - -"),
        ("B04 red,B03 green,B02 blue,B08 near infrared", "red green blue nir"),
        ("B2 blue,B3 green,B4 red,B5 nir", "blue green red nir"),
        ("SR_B1,SR_B2,SR_B3,SR_B4,SR_B5,SR_B7", "blue green red nir - -"),  # Landsat 7
        ("SR_B1,SR_B2,SR_B3,SR_B4,SR_B5,SR_B6,SR_B7", "- blue green red nir - -"),  # Landsat 8
        ("Band 2,Band 3,Band 4,Band 5", "blue green red nir"),
        ("blue,green,red,red_edge,nir", "blue green red - nir"),
        ("coastal,blue,green,yellow,red,RedEdge,NIR1,NIR2", "- blue green - red - nir -"),
        ("near-infrared,Red,Green", "nir red green"),
        ("T33UUU_20170216_B04,T33UUU_20170216_B08", "red nir"),
        ("infrared,thermal", "- -"),
    ],
)
def test_names_tell_roles(names, roles):
    names = names.split("," if "," in names else " ")
    expected = tuple(role.replace("-", "") for role in roles.split())
    assert guess_roles(GRAY[: len(names)], names, "uint16") == expected


@pytest.mark.parametrize(
    ("interpretations", "dtype", "roles"),
    [
        (RGB[:3], "uint8", ("red", "green", "blue")),
        (RGB, "uint8", ("red", "green", "blue", "nir")),
        (RGB[2::-1], "uint16", ("blue", "green", "red")),
        ([*RGB[:3], ColorInterp.nir, ColorInterp.undefined], "uint16", ("red", "green", "blue", "nir", "")),
        (GRAY[:1], "uint8", ("",)),
        (GRAY[:2], "float32", ("", "")),
        (GRAY[:3], "uint16", ("red", "green", "blue")),
        (GRAY[:4], "uint8", ("red", "green", "blue", "nir")),
        (GRAY[:4], "uint16", ("blue", "green", "red", "nir")),
        (GRAY[:7], "uint8", ("",) * 7),
    ],
)
def test_nameless_bands_have_the_usual_roles(interpretations, dtype, roles):
    assert guess_roles(interpretations, [""] * len(roles), dtype) == roles


def test_names_outweigh_the_colors_that_software_marks_by_itself():
    assert guess_roles(RGB[:3], ["B02", "B03", "B04"], "uint8") == ("blue", "green", "red")


def test_names_are_of_one_line_and_of_sane_length(tmp_path):
    pixels = synthetic_scene(8, 8, 2)[0]
    with open_scene(write_scene(tmp_path / "a.tif", pixels, names=("  two\n lines ", "x" * 500))) as scene:
        assert scene.band_names == ("two lines", "x" * 80)
