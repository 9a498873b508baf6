import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from segmentation.errors import InvalidArgumentError
from segmentation.testing import CLASSES, synthetic_scene, write_scene


def test_a_seed_gives_one_scene_and_another_seed_another():
    first, truth = synthetic_scene(120, 160, 4, seed=3)
    again, same = synthetic_scene(120, 160, 4, seed=3)
    other, _ = synthetic_scene(120, 160, 4, seed=4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(truth, same)
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("n_bands", [1, 3, 4, 12])
def test_types_and_bands_are_those_asked_for(dtype, n_bands):
    pixels, truth = synthetic_scene(64, 48, n_bands, dtype=dtype)
    assert pixels.shape == (n_bands, 64, 48)
    assert pixels.dtype == dtype
    assert truth.shape == (64, 48)
    assert pixels.min() > 0  # 0 is free for nodata
    assert np.isfinite(pixels).all()


def test_classes_look_like_themselves():
    pixels, truth = synthetic_scene(600, 900, 4, seed=0)
    assert set(np.unique(truth)) == set(range(len(CLASSES)))
    red, near_infrared = pixels[0].astype(float), pixels[3].astype(float)
    ndvi = (near_infrared - red) / (near_infrared + red)
    mean = {name: ndvi[truth == place].mean() for place, name in enumerate(CLASSES)}
    assert mean["water"] < 0 < mean["built-up"] < mean["soil"] < mean["grass"]
    assert mean["forest"] > 0.6


@pytest.mark.parametrize("arguments", [(3, 100, 3), (100, 3, 3), (100, 100, 0)])
def test_sizes_that_cannot_be_drawn_are_refused(arguments):
    with pytest.raises(InvalidArgumentError, match="cannot be drawn"):
        synthetic_scene(*arguments)


@pytest.fixture(scope="module")
def pixels():
    return synthetic_scene(40, 60, 3, seed=1, dtype="uint8")[0]


def test_written_scenes_are_what_gdal_reads(tmp_path, pixels):
    grid = Affine(0.5, 0.1, 7, 0.1, -0.5, 50)
    path = write_scene(
        tmp_path / "a.tif", pixels, crs="EPSG:4326", transform=grid, nodata=3, names=("a", "b", "c")
    )
    with rasterio.open(path) as dataset:
        assert dataset.crs.to_epsg() == 4326
        assert dataset.transform.almost_equals(grid)
        assert dataset.nodatavals == (3, 3, 3)
        assert dataset.descriptions == ("a", "b", "c")
        np.testing.assert_array_equal(dataset.read(), pixels)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_written_masks_are_the_file_s_own(tmp_path, pixels, driver):
    mask = np.arange(60)[None].repeat(40, axis=0) > 20
    path = write_scene(tmp_path / "a.tif", pixels, mask=mask, driver=driver)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, mask)
    assert [entry.name for entry in tmp_path.glob("a*")] == ["a.tif"]


@pytest.mark.parametrize("n_bands", [1, 3])
@pytest.mark.parametrize("driver", ["GTiff", "COG", "PNG", "JP2OpenJPEG"])
def test_written_alpha_is_marked_as_such(tmp_path, pixels, driver, n_bands):
    alpha = np.where(np.arange(60) > 20, 255, 0)[None].repeat(40, axis=0)
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    path = write_scene(tmp_path / "a.bin", pixels[:n_bands], alpha=alpha, driver=driver, crs=None, **options)
    with rasterio.open(path) as dataset:
        assert dataset.count == n_bands + 1
        assert dataset.colorinterp[-1] == ColorInterp.alpha
        assert ColorInterp.alpha not in dataset.colorinterp[:-1]
        np.testing.assert_array_equal(dataset.read(n_bands + 1), alpha)
        np.testing.assert_array_equal(dataset.read(1), pixels[0])


def test_alpha_in_a_jpeg_is_refused(tmp_path, pixels):
    with pytest.raises(InvalidArgumentError, match=r'"a.jpg" cannot be a JPEG with alpha; choose PNG'):
        write_scene(tmp_path / "a.jpg", pixels, alpha=pixels[0], driver="JPEG")
    assert not (tmp_path / "a.jpg").exists()


def test_written_control_points_stand_in_for_a_transform(tmp_path, pixels):
    points = [GroundControlPoint(row, col, col, -row) for row, col in ((0, 0), (0, 60), (40, 0))]
    path = write_scene(tmp_path / "a.tif", pixels, crs="EPSG:4326", gcps=points)
    with rasterio.open(path) as dataset:
        found, crs = dataset.gcps
        assert crs.to_epsg() == 4326
        assert [(point.row, point.col) for point in found] == [(0, 0), (0, 60), (40, 0)]
        assert dataset.crs is None


def test_scenes_without_crs_have_no_position(tmp_path, pixels):
    with rasterio.open(write_scene(tmp_path / "a.tif", pixels, crs=None)) as dataset:
        assert dataset.crs is None
        assert dataset.transform.is_identity
