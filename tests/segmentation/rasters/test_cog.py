"""Taking scenes in: what becomes of each kind of image, and that nothing half-made is left."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rio_cogeo.cogeo import cog_validate

from segmentation.errors import (
    CancelledError,
    EmptySceneError,
    SceneTooLargeError,
    SegmentationError,
    StorageFullError,
    UnreadableSceneError,
    UnsupportedSceneError,
)
from segmentation.rasters import cog
from segmentation.rasters.cog import Limits, ingest
from segmentation.rasters.scene import open_scene
from segmentation.testing import synthetic_scene, write_scene

DOCUMENTED = {
    "width", "height", "n_bands", "dtype", "band_names", "band_roles", "crs", "transform", "gsd_m", "bounds", "outline",
    "percentiles", "means", "valid_share", "max_zoom", "min_zoom", "n_levels", "remarks",
}  # fmt: skip


@pytest.fixture(scope="module")
def pixels():
    return synthetic_scene(700, 900, 4, seed=1)[0]


@pytest.fixture
def here(tmp_path_factory):
    """A folder in which nothing but the test makes files."""
    return tmp_path_factory.mktemp("ingest")


def assert_nothing_left(folder: Path, before=()):
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(before)


def read_back(folder):
    with open_scene(folder / "scene.tif") as scene:
        return scene.read(0, 0, scene.height, scene.width)


def test_ingest_writes_a_cog_with_the_same_pixels(here, pixels):
    source = write_scene(here / "a.tif", pixels, names=("red", "green", "blue", "nir"))
    shares = []
    info = ingest(source, here / "out" / "7", progress=shares.append)
    assert sorted(entry.name for entry in (here / "out" / "7").iterdir()) == [
        "scene.tif",
        "thumbnail.webp",
    ]
    assert_nothing_left(here / "out", ["7"])
    valid, errors, warnings = cog_validate(here / "out/7/scene.tif")
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(here / "out/7/scene.tif") as dataset:
        assert dataset.block_shapes[0] == (512, 512)
        assert dataset.overviews(1) == [2]
        assert dataset.crs.to_epsg() == 32633
        np.testing.assert_array_equal(dataset.read(), pixels)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    described = info.as_dict()
    assert set(described) == DOCUMENTED
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["band_roles"] == ["red", "green", "blue", "nir"]
    assert described["crs"] == "EPSG:32633"
    assert described["transform"] == [10, 0, 390_000, 0, -10, 5_820_000]
    assert described["gsd_m"] == pytest.approx(10, rel=0.002)
    assert described["n_levels"] == 2
    assert described["valid_share"] == 1
    np.testing.assert_allclose(described["means"], pixels.mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(
        described["percentiles"], np.percentile(pixels, (2, 98), axis=(1, 2)).T, rtol=0.01
    )


def test_protocol_describes_every_key():
    page = (Path(__file__).parents[3] / "docs/protocol.md").read_text()
    section = page.partition("### Scene description")[2].partition("\n### ")[0]
    assert [key for key in sorted(DOCUMENTED) if f"`{key}`" not in section] == []


def test_max_zoom_is_where_tiles_reach_the_scene_s_resolution(here, pixels):
    # A scene that is the tile grid's own zoom 13.
    size = 2 * np.pi * 6378137 / 256 / 2**13
    exact = write_scene(
        here / "a.tif", pixels[:1], crs="EPSG:3857", transform=Affine(size, 0, 0, 0, -size, 0)
    )
    info = ingest(exact, here / "a")
    assert (info.min_zoom, info.max_zoom) == (11, 13)
    finer = write_scene(
        here / "b.tif", pixels[:1], crs="EPSG:3857", transform=Affine(size * 0.9, 0, 0, 0, -size * 0.9, 0)
    )
    assert ingest(finer, here / "b").max_zoom == 14


def test_scene_without_crs_is_described_in_pixels(here, pixels):
    info = ingest(write_scene(here / "a.tif", pixels, crs=None), here / "out")
    assert (info.crs, info.bounds, info.gsd_m) == (None, None, None)
    assert (info.min_zoom, info.max_zoom) == (0, 2)  # 900 px = 4 tiles of 256
    assert {tuple(point) for point in info.outline} == {(0, 0), (900, 0), (900, 700), (0, 700)}


@pytest.mark.parametrize("kind", ["nodata", "nan", "mask", "alpha"])
def test_every_kind_of_nodata_becomes_one_mask(here, pixels, kind):
    hole = np.zeros(pixels.shape[1:], bool)
    hole[100:300, 200:650] = True
    written = pixels[:3].astype(np.float32 if kind == "nan" else np.uint16)
    options = {}
    if kind == "nodata":
        written[:, hole] = 65535
        options = {"nodata": 65535}
    elif kind == "nan":
        written[1, hole] = np.nan
    elif kind == "mask":
        options = {"mask": ~hole}
    else:
        options = {"alpha": np.where(hole, 0, 65535)}
    info = ingest(write_scene(here / "a.tif", written, **options), here / "out")
    read, valid = read_back(here / "out")
    np.testing.assert_array_equal(valid, ~hole)
    np.testing.assert_array_equal(read[:, valid], pixels[:3, ~hole])
    assert info.n_bands == 3
    assert info.valid_share == pytest.approx(1 - hole.mean())
    np.testing.assert_allclose(info.means, pixels[:3, ~hole].mean(axis=1), rtol=1e-6)
    with rasterio.open(here / "out/scene.tif") as dataset:
        assert dataset.nodata is None
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, ~hole)
    thumbnail = np.asarray(Image.open(here / "out/thumbnail.webp"))
    assert thumbnail.shape == (350, 450, 4)
    assert thumbnail[100, 200, 3] == 0
    assert thumbnail[10, 10, 3] == 255


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
)
def test_types_are_kept(here, dtype):
    written = synthetic_scene(60, 70, 4, seed=2, dtype="float64")[0] * 200
    written = written.astype(dtype)
    info = ingest(write_scene(here / "a.tif", written), here / "out")
    assert (info.dtype, info.n_bands) == (dtype, 4)
    with rasterio.open(here / "out/scene.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), written)


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("JP2OpenJPEG", "jp2")])
def test_pictures_are_taken_in(here, driver, suffix):
    written = synthetic_scene(600, 300, 3, seed=3, dtype="uint8")[0]
    source = write_scene(here / f"a.{suffix}", written, driver=driver, crs=None)
    with rasterio.open(source) as dataset:
        decoded = dataset.read()
    info = ingest(source, here / "out")
    assert info.band_roles == ["red", "green", "blue"]
    np.testing.assert_array_equal(read_back(here / "out")[0], decoded)


def test_rotated_scene_keeps_its_grid(here, pixels):
    turned = Affine.translation(400_000, 5_800_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    info = ingest(write_scene(here / "a.tif", pixels, transform=turned), here / "out")
    np.testing.assert_allclose(info.transform, list(turned)[:6])
    np.testing.assert_array_equal(read_back(here / "out")[0], pixels)


def test_ground_control_points_are_warped_once(here):
    written = synthetic_scene(200, 300, 3, seed=4)[0]
    written[:, 40:60, 100:130] = 30_000  # a beacon
    # The image lies with its first row in the south.
    place = lambda row, col: (13 + col * 1e-3, 52 + row * 6e-4)  # noqa: E731
    points = [
        GroundControlPoint(row, col, *place(row, col)) for row in (0, 100, 200) for col in (0, 150, 300)
    ]
    source = write_scene(here / "a.tif", written, crs="EPSG:4326", gcps=points)
    info = ingest(source, here / "out")
    assert info.crs == "EPSG:4326"
    assert any("warped once, by its 9 ground control points" in remark for remark in info.remarks)
    np.testing.assert_allclose(info.bounds, (13, 52, 13.3, 52.12), atol=2e-3)
    assert 0.9 < info.valid_share <= 1
    read, _ = read_back(here / "out")
    rows, cols = np.nonzero(read[0] > 20_000)
    lon, lat = Affine(*info.transform) * (cols.mean() + 0.5, rows.mean() + 0.5)
    np.testing.assert_allclose((lon, lat), place(50, 115), atol=1e-3)


def test_ground_control_points_on_a_line_are_refused(here):
    points = [GroundControlPoint(at, at, 13 + at * 1e-3, 52 + at * 1e-3) for at in (0, 50, 100, 150)]
    source = write_scene(here / "a.tif", synthetic_scene(200, 200, 1)[0], crs="EPSG:4326", gcps=points)
    with pytest.raises(UnsupportedSceneError, match=r'4 ground control points of "a.tif" .* gdalwarp'):
        ingest(source, here / "out")
    assert_nothing_left(here, ["a.tif"])


@pytest.mark.parametrize(("crs", "count"), [(None, 4), ("EPSG:4326", 2)])
def test_ground_control_points_that_do_not_suffice_leave_pixel_coordinates(here, crs, count):
    places = [(0, 0), (0, 200), (200, 0), (200, 200)][:count]
    points = [GroundControlPoint(row, col, 13 + col * 1e-3, 52 - row * 1e-3) for row, col in places]
    source = write_scene(here / "a.tif", synthetic_scene(200, 200, 1)[0], crs=crs, gcps=points)
    info = ingest(source, here / "out")
    assert info.crs is None
    assert info.remarks[-1].endswith("so the image is shown in pixel coordinates.")


def test_many_bands_get_smaller_blocks(here):
    written = np.random.default_rng(0).integers(0, 4000, (200, 140, 150)).astype(np.float32)
    ingest(write_scene(here / "a.tif", written, interleave="band"), here / "out")
    with rasterio.open(here / "out/scene.tif") as dataset:
        assert dataset.block_shapes[0] == (128, 128)
        np.testing.assert_array_equal(dataset.read(), written)
    assert cog_validate(here / "out/scene.tif")[0]


@pytest.mark.parametrize("budget", [40_000, 200_000])
def test_windows_do_not_change_the_result(here, pixels, monkeypatch, budget):
    """Narrow memory means other windows (parts of blocks, too): the same file."""
    monkeypatch.setattr(cog, "_WINDOW_BYTES", budget)
    for name, options in (("strips", {}), ("tiles", {"tiled": True, "blockxsize": 256, "blockysize": 256})):
        info = ingest(write_scene(here / f"{name}.tif", pixels, **options), here / name)
        np.testing.assert_array_equal(read_back(here / name)[0], pixels)
        np.testing.assert_allclose(info.means, pixels.mean(axis=(1, 2)), rtol=1e-6)


def test_scene_without_data_is_refused(here, pixels):
    source = write_scene(here / "a.tif", np.full_like(pixels, 7), nodata=7)
    with pytest.raises(EmptySceneError, match=r'"a.tif" holds no data.*Check'):
        ingest(source, here / "out")
    assert_nothing_left(here, ["a.tif"])


@pytest.mark.parametrize("cut", [0.3, 0.95])
@pytest.mark.parametrize("driver", ["GTiff", "PNG", "JPEG", "JP2OpenJPEG"])
def test_truncated_files_are_refused(here, driver, cut):
    written = synthetic_scene(400, 500, 3, seed=5, dtype="uint8")[0]
    # Tags at the front, as most writers put them, so that a cut file still opens.
    options = {"copy_src_overviews": "NO"} if driver == "GTiff" else {}
    source = write_scene(here / "a.bin", written, driver="COG" if options else driver, crs=None)
    os.truncate(source, int(source.stat().st_size * cut))
    with pytest.raises(UnreadableSceneError, match=r'"a.bin" is damaged or incomplete.*again\.'):
        ingest(source, here / "out")
    assert_nothing_left(here, ["a.bin"])


@pytest.mark.parametrize(("driver", "options"), [("GTiff", {"compress": "DEFLATE"}), ("PNG", {})])
def test_corrupt_files_are_refused(here, driver, options):
    written = synthetic_scene(400, 500, 3, seed=5, dtype="uint8")[0]
    source = write_scene(here / "a.bin", written, driver=driver, crs=None, **options)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    source.write_bytes(content)
    with pytest.raises(UnreadableSceneError, match=r'"a.bin" is damaged or incomplete.*again\.'):
        ingest(source, here / "out")
    assert_nothing_left(here, ["a.bin"])


def test_limits_are_passed_on(here, pixels):
    source = write_scene(here / "a.tif", pixels)
    with pytest.raises(SceneTooLargeError, match="at most 2 are taken"):
        ingest(source, here / "out", Limits(max_bands=2))
    assert_nothing_left(here, ["a.tif"])


@pytest.mark.parametrize("after", [0, 1, 3])
def test_cancel_leaves_nothing(here, pixels, after):
    source = write_scene(here / "a.tif", np.concatenate([pixels] * 3), interleave="band")
    asked = []

    def cancelled():
        asked.append(None)
        return len(asked) > after

    with pytest.raises(CancelledError, match=r'"a.tif" was cancelled'):
        ingest(source, here / "out", cancelled=cancelled)
    assert_nothing_left(here, ["a.tif"])


def test_cancel_stops_the_layout_too(here, pixels, monkeypatch):
    """The last step belongs to GDAL; it ends because its source does."""
    outcome = []
    really_copy = cog.copy_raster

    def copy(*arguments, **options):
        try:
            started.append(True)
            for _ in range(50):
                really_copy(*arguments, **options)
        except BaseException as error:
            outcome.append(error)
            raise

    started = []
    monkeypatch.setattr(cog, "copy_raster", copy)
    with pytest.raises(CancelledError):
        ingest(write_scene(here / "a.tif", pixels), here / "out", cancelled=lambda: bool(started))
    assert len(outcome) == 1
    assert_nothing_left(here, ["a.tif"])


def test_an_error_in_a_callback_leaves_nothing(here, pixels):
    def progress(share):
        raise RuntimeError("listener gone")

    with pytest.raises(RuntimeError, match="listener gone"):
        ingest(write_scene(here / "a.tif", pixels), here / "out", progress=progress)
    assert_nothing_left(here, ["a.tif"])


def test_a_running_import_shows_signs_of_life(here, pixels):
    """The folder that it works in never looks old, or it would be swept away."""
    ages = []

    def progress(share):
        for draft in here.glob(".out.*"):
            ages.append(time.time() - draft.stat().st_mtime)
            os.utime(draft, (0, 0))

    ingest(write_scene(here / "a.tif", pixels), here / "out", progress=progress)
    assert len(ages) > 2
    assert max(ages) < 1e6


def test_heights_are_left_out_of_the_coordinate_system(here, pixels):
    info = ingest(write_scene(here / "a.tif", pixels, crs="EPSG:32633+5773"), here / "out")
    assert info.crs == "EPSG:32633"


def test_an_earlier_attempt_is_replaced(here, pixels):
    (here / "out").mkdir()
    (here / "out/scene.tif").write_bytes(b"half")
    (here / "out/notes.txt").write_text("kept")
    ingest(write_scene(here / "a.tif", pixels), here / "out")
    np.testing.assert_array_equal(read_back(here / "out")[0], pixels)
    assert_nothing_left(here / "out", ["notes.txt", "scene.tif", "thumbnail.webp"])


def test_full_disk_is_said_and_leaves_nothing(here, pixels):
    """A limit on file sizes stands in for the disk: the kernel refuses the write in the same way."""
    write_scene(here / "a.tif", pixels)
    script = f"""
        import resource, signal
        from segmentation.rasters.cog import ingest
        from segmentation.errors import StorageFullError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            ingest({str(here / "a.tif")!r}, {str(here / "out")!r})
        except StorageFullError as error:
            print("FULL", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.startswith("FULL The disk is full"), done.stderr
    assert_nothing_left(here, ["a.tif"])


def test_other_write_errors_are_said(here, pixels):
    (here / "file").write_text("in the way")
    with pytest.raises(SegmentationError, match=r"could not be stored \(.*\)\. Check the disk") as caught:
        ingest(write_scene(here / "a.tif", pixels), here / "file" / "out")
    assert not isinstance(caught.value, StorageFullError)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(here):
    """Peak memory of two imports, each in a process of its own: four times the pixels."""
    peaks = []
    for side in (3000, 6000):
        source = here / f"{side}.tif"
        tile = synthetic_scene(500, 500, 4, seed=6)[0]
        with rasterio.open(
            source,
            "w",
            driver="GTiff",
            count=4,
            height=side,
            width=side,
            dtype="uint16",
            tiled=True,
            compress="deflate",
        ) as out:
            for row in range(0, side, 500):
                for col in range(0, side, 500):
                    out.write(tile, window=((row, row + 500), (col, col + 500)))
        script = f"""
            import resource
            from segmentation.rasters.cog import ingest
            ingest({str(source)!r}, {str(here / str(side))!r})
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "GDAL_CACHEMAX": "64"},
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 150, peaks  # MiB; held whole, it would be 206 for one copy alone
