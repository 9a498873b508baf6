"""Opening and reading scenes. Expected values are the arrays that were written, or GDAL's own masks."""

import threading

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from segmentation.errors import InvalidArgumentError, UnreadableSceneError, UnsupportedSceneError
from segmentation.rasters.scene import open_scene
from segmentation.testing import synthetic_scene, write_scene

MOON = (
    'GEOGCS["Moon 2000",DATUM["D_Moon_2000",SPHEROID["Moon_2000_IAU_IAG",1737400,0]],'
    'PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]]'
)
SITE = 'LOCAL_CS["Building site",LOCAL_DATUM["Local",0],UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'


@pytest.fixture(scope="module")
def pixels():
    return synthetic_scene(90, 130, 3, seed=1)[0]


def read_all(path, **options):
    with open_scene(path) as scene:
        return scene.read(0, 0, scene.height, scene.width, **options)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_read_gives_what_was_written_as_float32(tmp_path, dtype):
    written = synthetic_scene(40, 50, 2, seed=2, dtype="float64")[0] * 100
    written = written.astype(dtype)
    read, valid = read_all(write_scene(tmp_path / "a.tif", written))
    assert read.dtype == np.float32
    assert valid.dtype == np.bool_
    np.testing.assert_array_equal(read, written.astype(np.float32))
    assert valid.all()


def test_read_outside_the_scene_is_not_valid(tmp_path, pixels):
    with open_scene(write_scene(tmp_path / "a.tif", pixels)) as scene:
        read, valid = scene.read(-10, 120, 30, 40)
        assert read.shape == (3, 30, 40)
        np.testing.assert_array_equal(read[:, 10:, :10], pixels[:, :20, 120:])
        expected = np.zeros((30, 40), bool)
        expected[10:, :10] = True
        np.testing.assert_array_equal(valid, expected)
        assert not read[:, ~valid].any()
        assert not scene.read(500, 500, 4, 4)[1].any()


def test_read_bands_in_the_order_asked_for(tmp_path, pixels):
    read, _ = read_all(write_scene(tmp_path / "a.tif", pixels), bands=[3, 1])
    np.testing.assert_array_equal(read, pixels[[2, 0]])


@pytest.mark.parametrize("bands", [[0], [4], []])
def test_read_refuses_bands_that_are_not_there(tmp_path, pixels, bands):
    scene = open_scene(write_scene(tmp_path / "a.tif", pixels))
    with scene, pytest.raises(InvalidArgumentError, match=r"bands 1 to 3\. Choose"):
        scene.read(0, 0, 4, 4, bands=bands)


def test_read_refuses_an_empty_window(tmp_path, pixels):
    with open_scene(write_scene(tmp_path / "a.tif", pixels)) as scene:
        with pytest.raises(InvalidArgumentError, match="0 x 5 pixels"):
            scene.read(0, 0, 0, 5)
        with pytest.raises(InvalidArgumentError, match="reduction by 0"):
            scene.read_reduced(0)


def test_read_after_close_says_so(tmp_path, pixels):
    scene = open_scene(write_scene(tmp_path / "a.tif", pixels))
    scene.close()
    with pytest.raises(InvalidArgumentError, match="is closed"):
        scene.read(0, 0, 4, 4)


def test_one_band_without_data_is_enough_for_deep_pixels(tmp_path):
    written = np.full((2, 8, 8), 7, np.int16)
    written[0, 1, 1] = -999
    written[:, 2, 2] = -999
    read, valid = read_all(write_scene(tmp_path / "a.tif", written, nodata=-999))
    assert sorted(map(tuple, np.argwhere(~valid))) == [(1, 1), (2, 2)]
    assert not read[:, ~valid].any()


def test_a_band_that_is_not_read_does_not_take_pixels_away(tmp_path):
    written = np.full((2, 8, 8), 7, np.int16)
    written[0, 1, 1] = -999
    assert read_all(write_scene(tmp_path / "a.tif", written, nodata=-999), bands=[2])[1].all()


def test_pictures_lack_data_only_where_all_bands_do(tmp_path):
    written = np.full((3, 8, 8), 90, np.uint8)
    written[0, 1, 1] = 0  # a shadow
    written[:, 2, 2] = 0
    path = write_scene(tmp_path / "a.tif", written, nodata=0)
    for bands in (None, [1], [3]):
        valid = read_all(path, bands=bands)[1]
        assert sorted(map(tuple, np.argwhere(~valid))) == [(2, 2)]
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)


@pytest.mark.parametrize("nodata", [np.nan, -9999.0, -3.4028234663852886e38, -3.4e38])
def test_float_nodata_is_found_in_the_type_of_the_file(tmp_path, nodata):
    written = np.ones((1, 8, 8), np.float32)
    written[0, 3, 4] = nodata
    written[0, 5, 5] = np.nan
    written[0, 6, 6] = np.inf
    read, valid = read_all(write_scene(tmp_path / "a.tif", written, nodata=nodata))
    assert sorted(map(tuple, np.argwhere(~valid))) == [(3, 4), (5, 5), (6, 6)]
    assert np.isfinite(read).all()


def test_doubles_beyond_float32_are_not_valid(tmp_path):
    written = np.ones((1, 8, 8))
    written[0, 2, 3] = 1e300
    read, valid = read_all(write_scene(tmp_path / "a.tif", written))
    assert sorted(map(tuple, np.argwhere(~valid))) == [(2, 3)]
    assert np.isfinite(read).all()


def test_nodata_that_the_type_cannot_hold_matches_nothing(tmp_path):
    path = write_scene(tmp_path / "a.tif", np.full((1, 8, 8), 241, np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Area")
    # GDAL refuses to declare such a value, so it is put into the file by hand: ASCII tag 42113.
    with rasterio.open(
        tmp_path / "b.tif", "w", driver="GTiff", count=1, height=8, width=8, dtype="uint8", nodata=200
    ) as out:
        out.write(np.full((1, 8, 8), 241, np.uint8))
    content = (tmp_path / "b.tif").read_bytes()
    assert content.count(b"200\0") == 1
    (tmp_path / "b.tif").write_bytes(content.replace(b"200\0", b"-15\0"))  # -15 wraps round to 241
    assert read_all(tmp_path / "b.tif")[1].all()


def test_own_mask_and_alpha_and_nodata_all_count(tmp_path, pixels):
    height, width = pixels.shape[1:]
    mask = np.ones((height, width), bool)
    mask[:20] = False
    with open_scene(write_scene(tmp_path / "mask.tif", pixels, mask=mask)) as scene:
        np.testing.assert_array_equal(scene.read(0, 0, height, width)[1], mask)
        assert "own mask" in scene.remarks[0]
    alpha = np.where(mask, 65535, 0)
    with open_scene(write_scene(tmp_path / "alpha.tif", pixels, alpha=alpha)) as scene:
        assert scene.n_bands == 3
        read, valid = scene.read(0, 0, height, width)
        np.testing.assert_array_equal(valid, mask)
        np.testing.assert_array_equal(read[:, valid], pixels[:, mask])
        assert "alpha" in scene.remarks[0]


@pytest.mark.parametrize("driver", ["PNG", "JP2OpenJPEG", "COG"])
def test_alpha_of_other_formats_counts(tmp_path, driver):
    written = synthetic_scene(64, 80, 3, seed=4, dtype="uint8")[0]
    held = np.arange(80)[None].repeat(64, axis=0) > 30
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    path = write_scene(tmp_path / "a.bin", written, alpha=held * 255, driver=driver, crs=None, **options)
    with open_scene(path) as scene:
        assert scene.n_bands == 3
        read, valid = scene.read(0, 0, 64, 80)
    np.testing.assert_array_equal(valid, held)
    np.testing.assert_array_equal(read[:, held], written[:, held])


def test_near_infrared_marked_as_alpha_is_a_band(tmp_path):
    written = synthetic_scene(200, 200, 4, seed=3, dtype="uint8")[0]
    path = write_scene(tmp_path / "a.tif", written[:3], alpha=written[3], photometric="RGB")
    with open_scene(path) as scene:
        assert scene.n_bands == 4
        assert scene.band_roles == ("red", "green", "blue", "nir")
        assert "marked as alpha but holds" in scene.remarks[0]
        read, valid = scene.read(0, 0, 200, 200)
    np.testing.assert_array_equal(read, written)
    assert valid.all()


def test_soft_alpha_edges_remain_alpha(tmp_path):
    written = synthetic_scene(200, 200, 3, seed=3, dtype="uint8")[0]
    alpha = np.full((200, 200), 255, np.uint8)
    alpha[:, :10] = np.linspace(0, 255, 10)
    with open_scene(write_scene(tmp_path / "a.tif", written, alpha=alpha, photometric="RGB")) as scene:
        assert scene.n_bands == 3


@pytest.mark.parametrize("driver", ["PNG", "JPEG", "JP2OpenJPEG", "COG"])
def test_other_formats_open(tmp_path, driver):
    written = synthetic_scene(64, 80, 3, seed=4, dtype="uint8")[0]
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    path = write_scene(tmp_path / "a.bin", written, driver=driver, crs=None, **options)
    with open_scene(path) as scene:
        assert (scene.height, scene.width, scene.n_bands, scene.dtype) == (64, 80, 3, "uint8")
        assert scene.crs is None
        assert scene.gsd_m is None
        read, valid = scene.read(0, 0, 64, 80)
    assert valid.all()
    assert np.abs(read - written).mean() < (6 if driver == "JPEG" else 1e-9)


def test_read_reduced_covers_the_scene(tmp_path, pixels):
    with open_scene(write_scene(tmp_path / "a.tif", pixels)) as scene:
        reduced, valid = scene.read_reduced(4, bands=[2])
        assert reduced.shape == (1, 23, 33)
        assert valid.all()
        assert abs(reduced.mean() / pixels[1].mean() - 1) < 0.05
        np.testing.assert_array_equal(scene.read_reduced(1)[0], pixels)


def test_threads_read_the_same_as_one(tmp_path):
    written = synthetic_scene(600, 600, 3, seed=5)[0]
    path = write_scene(tmp_path / "a.tif", written, tiled=True, compress="deflate")
    errors = []
    with open_scene(path) as scene:

        def work(start):
            for row in range(start, 560, 37):
                read, _ = scene.read(row, row // 2, 40, 200)
                if not np.array_equal(read, written[:, row : row + 40, row // 2 : row // 2 + 200]):
                    errors.append(row)

        threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


def test_gsd_is_measured_on_the_ground(tmp_path, pixels):
    # 60 degrees north: Web Mercator shows twice the size.
    mercator = Affine(2, 0, 1_000_000, 0, -2, 8_399_737.89)
    with open_scene(write_scene(tmp_path / "a.tif", pixels, crs="EPSG:3857", transform=mercator)) as scene:
        assert scene.gsd_m == pytest.approx(1.0, rel=0.01)
    degrees = Affine(1 / 3600, 0, 10, 0, -1 / 3600, 0.01)
    with open_scene(write_scene(tmp_path / "b.tif", pixels, crs="EPSG:4326", transform=degrees)) as scene:
        assert scene.gsd_m == pytest.approx(30.82, abs=0.05)  # an arc second at the equator: 30.92 x 30.71 m
    turned = Affine.translation(400_000, 5_800_000) @ Affine.rotation(30) @ Affine.scale(3, -12)
    with open_scene(write_scene(tmp_path / "c.tif", pixels, transform=turned)) as scene:
        assert scene.gsd_m == pytest.approx(6.0, rel=0.001)


@pytest.mark.parametrize("crs", [MOON, SITE, "EPSG:4978"])
def test_crs_without_a_place_on_earth_counts_as_none(tmp_path, pixels, crs):
    path = write_scene(
        tmp_path / "a.tif", pixels, crs=CRS.from_user_input(crs), transform=Affine(0.1, 0, 5, 0, -0.1, 5)
    )
    with open_scene(path) as scene:
        assert scene.crs is None
        assert scene.gsd_m is None
        assert any("Earth" in remark for remark in scene.remarks) or not rasterio.open(path).crs


def test_crs_without_a_position_counts_as_none(tmp_path, pixels):
    path = write_scene(tmp_path / "a.tif", pixels, crs="EPSG:32633", transform=Affine.identity())
    with open_scene(path) as scene:
        assert scene.crs is None


def test_ground_control_points_are_reported(tmp_path, pixels):
    points = [
        GroundControlPoint(row, col, 13 + col * 1e-4, 52 - row * 1e-4)
        for row, col in ((0, 0), (0, 130), (90, 0), (90, 130))
    ]
    with open_scene(write_scene(tmp_path / "a.tif", pixels, crs="EPSG:4326", gcps=points)) as scene:
        assert scene.has_gcps
        assert scene.crs is None
        assert "4 ground control points" in scene.remarks[0]


def test_complex_values_are_refused(tmp_path):
    path = write_scene(tmp_path / "a.tif", np.ones((1, 8, 8), np.complex64))
    with pytest.raises(
        UnsupportedSceneError, match=r"complex numbers \(complex64\).*convert it to amplitude"
    ):
        open_scene(path)


def test_palettes_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=8, width=8, dtype="uint8", photometric="PALETTE"
    ) as out:
        out.write(np.ones((1, 8, 8), np.uint8))
        out.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(UnsupportedSceneError, match=r"palette.*gdal_translate -expand rgb"):
        open_scene(path)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3)])
def test_tiny_images_are_refused(tmp_path, shape):
    path = write_scene(tmp_path / "a.tif", np.ones((1, *shape), np.uint8))
    with pytest.raises(UnsupportedSceneError, match="at least 4 x 4 are needed"):
        open_scene(path)


def test_one_bit_images_open(tmp_path):
    written = (synthetic_scene(40, 40, 1, seed=6)[0] > 800).astype(np.uint8)
    read, _ = read_all(write_scene(tmp_path / "a.tif", written, nbits=1))
    np.testing.assert_array_equal(read, written)


def test_damage_is_reported_with_its_place(tmp_path, pixels):
    path = write_scene(
        tmp_path / "a.tif", pixels, compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    try:
        scene = open_scene(path)
    except UnreadableSceneError as error:
        pytest.fail(f"the header is whole: {error}")
    with (
        scene,
        pytest.raises(UnreadableSceneError, match=r'"a.tif" is damaged or incomplete near row 0, column 0'),
    ):
        scene.read(0, 0, 90, 130)
