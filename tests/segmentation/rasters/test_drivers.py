"""What reaches GDAL, and what does not."""

import os
import struct

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioError

from segmentation.errors import SceneTooLargeError, UnreadableSceneError
from segmentation.rasters.drivers import check_path, sniff_driver
from segmentation.rasters.limits import Limits
from segmentation.rasters.scene import open_scene
from segmentation.testing import write_scene

GRAY = np.full((1, 32, 32), 9, np.uint8)


@pytest.mark.parametrize(
    "path",
    [
        "/vsicurl/http://127.0.0.1:9/a.tif",
        "/vsizip/a.zip/a.tif",
        "http://127.0.0.1:9/a.tif",
        "s3://bucket/a.tif",
        "file:///etc/passwd",
        "a\0b.tif",
    ],
)
def test_only_plain_paths_pass(path):
    with pytest.raises(UnreadableSceneError, match="is not the path of a file"):
        check_path(path)


def test_gdal_prefixes_are_names_of_missing_files(tmp_path):
    path = write_scene(tmp_path / "a.tif", GRAY)
    with pytest.raises(UnreadableSceneError, match="There is no file"):
        open_scene(f"GTIFF_DIR:1:{path}")


def test_missing_folder_and_special_files_are_told_apart(tmp_path):
    with pytest.raises(UnreadableSceneError, match=r"There is no file .* check its path"):
        open_scene(tmp_path / "none.tif")
    with pytest.raises(UnreadableSceneError, match="is a folder"):
        open_scene(tmp_path)
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(UnreadableSceneError, match="is not a plain file"):
        open_scene(tmp_path / "pipe.tif")


def test_symbolic_links_are_followed_and_dangling_ones_refused(tmp_path):
    write_scene(tmp_path / "a.tif", GRAY)
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    (tmp_path / "dangling.tif").symlink_to(tmp_path / "gone.tif")
    with open_scene(tmp_path / "link.tif") as scene:
        assert scene.width == 32
    with pytest.raises(UnreadableSceneError, match="There is no file"):
        open_scene(tmp_path / "dangling.tif")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<VRTDataset rasterXSize='9' rasterYSize='9'/>", "is not an image that can be opened"),
        (b"just some text", "is not an image that can be opened"),
        (b"PK\x03\x04 a zip", "is not an image that can be opened"),
        (b"II*\0", "is damaged or incomplete"),
        (b"\x89PNG\r\n\x1a\n and no more", "is damaged or incomplete"),
        (b"\xff\xd8\xff\xe0 and no more", "is damaged or incomplete"),
        (b"\0\0\0\x0cjP  \r\n\x87\n and no more", "is damaged or incomplete"),
    ],
)
def test_content_decides_not_the_name(tmp_path, content, message):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(UnreadableSceneError, match=message):
        open_scene(path)


def test_damaged_geographic_tags_are_told(tmp_path):
    """rasterio lets GDAL's own errors out where a mere property of the dataset is asked for."""
    path = write_scene(tmp_path / "a.tif", GRAY)
    content = path.read_bytes()
    for whole, damaged in (
        (struct.pack("<HHI", 33550, 12, 3), struct.pack("<HHI", 33550, 0xFF0C, 3)),  # type of the pixel size
        (struct.pack("<4H", 1024, 0, 1, 1), struct.pack("<4H", 1024, 0, 0xFF01, 1)),  # how many kinds of CRS
    ):
        assert content.count(whole) == 1
        content = content.replace(whole, damaged)
    path.write_bytes(content)
    with pytest.raises(UnreadableSceneError, match=r'"a.tif" is damaged or incomplete.*again\.') as caught:
        open_scene(path)
    assert not isinstance(caught.value.__cause__, RasterioError)


def test_a_vrt_cannot_smuggle_in_other_files(tmp_path):
    inner = write_scene(tmp_path / "inner.tif", GRAY)
    vrt = (
        f'<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{inner}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "outer.tif").write_text(vrt)
    with rasterio.open(tmp_path / "outer.tif", driver="VRT") as dataset:
        assert dataset.read(1).max() == 9  # so it is a working VRT, and refused as one
    with pytest.raises(UnreadableSceneError, match="is not an image"):
        open_scene(tmp_path / "outer.tif")


def test_names_do_not_matter(tmp_path):
    for driver, name in (("GTiff", "a.png"), ("PNG", "b.tif"), ("JPEG", "c"), ("JP2OpenJPEG", "d.txt")):
        path = write_scene(tmp_path / name, GRAY, driver=driver, crs=None)
        assert sniff_driver(path) == driver
        with open_scene(path) as scene:
            assert scene.width == 32


def test_a_bare_jpeg_2000_codestream_opens(tmp_path):
    path = write_scene(tmp_path / "a.j2k", GRAY, driver="JP2OpenJPEG", crs=None, CODEC="J2K")
    assert path.read_bytes().startswith(b"\xff\x4f\xff\x51")
    with open_scene(path) as scene:
        assert scene.read(0, 0, 32, 32)[0].mean() == pytest.approx(9, abs=0.5)


def test_files_beside_the_image_are_not_read(tmp_path):
    path = write_scene(tmp_path / "a.tif", GRAY, crs=None)
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>5,1,0,5,0,-1</GeoTransform>"
        '<PAMRasterBand band="1"><Description>planted</Description><NoDataValue>9</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n500000\n5000000\n")
    write_scene(tmp_path / "a.tif.msk", np.zeros_like(GRAY), crs=None)
    write_scene(tmp_path / "a.tif.ovr", np.zeros((1, 16, 16), np.uint8), crs=None)
    with open_scene(path) as scene:
        read, valid = scene.read(0, 0, 32, 32)
        reduced, _ = scene.read_reduced(2)
        assert scene.crs is None
        assert scene.transform.is_identity
        assert scene.band_names == ("",)
    assert valid.all()
    assert (read == 9).all()
    assert (reduced == 9).all()
    assert sorted(entry.name for entry in tmp_path.glob("a.*")) == [
        "a.tfw",
        "a.tif",
        "a.tif.aux.xml",
        "a.tif.msk",
        "a.tif.ovr",
    ]


def test_world_files_of_pictures_are_not_read(tmp_path):
    path = write_scene(tmp_path / "a.png", GRAY, driver="PNG", crs=None)
    for suffix in ("pgw", "wld"):
        (tmp_path / f"a.{suffix}").write_text("1\n0\n0\n-1\n500000\n5000000\n")
    with open_scene(path) as scene:
        assert scene.transform.is_identity


def test_limits_are_compared_before_anything_is_decoded(tmp_path):
    path = write_scene(tmp_path / "a.tif", GRAY)
    with pytest.raises(SceneTooLargeError, match="at most 10 bytes"):
        open_scene(path, Limits(max_file_bytes=10))
    with pytest.raises(SceneTooLargeError, match=r"32 x 32 = 1,024 pixels; at most 1,000"):
        open_scene(path, Limits(max_pixels=1000))
    many = write_scene(tmp_path / "b.tif", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(SceneTooLargeError, match="3 bands; at most 2"):
        open_scene(many, Limits(max_bands=2))


def test_two_hundred_and_fifty_bands_pass_and_one_more_does_not(tmp_path):
    with open_scene(write_scene(tmp_path / "a.tif", np.zeros((250, 8, 8), np.uint8))) as scene:
        assert scene.n_bands == 250
    with pytest.raises(SceneTooLargeError, match="251 bands; at most 250"):
        open_scene(write_scene(tmp_path / "b.tif", np.zeros((251, 8, 8), np.uint8)))


def sparse(path, height, width, **options):
    """A GeoTIFF that declares its pixels and holds none."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=height,
        width=width,
        dtype="uint8",
        sparse_ok=True,
        **options,
    ):
        pass
    return path


def test_bombs_are_refused_by_their_header(tmp_path):
    path = sparse(tmp_path / "a.tif", 120_000, 120_000, tiled=True, blockxsize=4096, blockysize=4096)
    assert path.stat().st_size < 100_000
    with pytest.raises(SceneTooLargeError, match="would unpack to"):
        open_scene(path)
    huge = sparse(tmp_path / "b.tif", 400_000, 400_000, tiled=True, blockxsize=16384, blockysize=16384)
    with pytest.raises(SceneTooLargeError, match=r"160,000,000,000 pixels"):
        open_scene(huge)


def test_a_single_part_too_large_for_memory_is_refused(tmp_path):
    path = sparse(tmp_path / "a.tif", 30_000, 30_000, tiled=True, blockxsize=28_672, blockysize=28_672)
    with pytest.raises(SceneTooLargeError, match=r"stored in parts of .* gdal_translate -co TILED=YES"):
        open_scene(path)
