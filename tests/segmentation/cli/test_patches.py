"""``patches``: every pixel is in one, each keeps its place, masks are cut alike."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from segmentation.rasters.patches import patch_windows
from segmentation.testing import synthetic_scene, write_scene


@pytest.mark.parametrize(
    ("size", "stride", "starts"),
    [
        (512, 512, [0]),
        (513, 512, [0, 1]),
        (1024, 512, [0, 512]),
        (1300, 512, [0, 512, 788]),
        (1000, 256, [0, 256, 488]),
        (2000, 700, [0, 700, 1400, 1488]),
        (511, 512, []),
    ],
)
def test_last_row_and_column_are_included(size, stride, starts):
    windows = patch_windows(size, 512, (512, 512), (stride, stride))
    assert [window.row for window in windows] == starts
    windows = patch_windows(512, size, (512, 512), (stride, stride))
    assert [window.col for window in windows] == starts
    for window in windows:
        assert 0 <= window.col <= size - 512


@pytest.fixture
def folder(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "labels"
    (images / "north").mkdir(parents=True)
    (masks / "north").mkdir(parents=True)
    pixels, truth = synthetic_scene(70, 100, 4, seed=1)
    for place in ("a.tif", "north/a.tif"):
        write_scene(images / place, pixels, names=("red", "green", "blue", "nir"))
        write_scene((masks / place).with_suffix(".png"), truth[None] + 1, driver="PNG", crs=None)
    return images, masks, pixels, truth


def test_patches_cover_the_image_and_keep_their_place(folder, tmp_path, call):
    images, masks, pixels, truth = folder
    done = call(
        "patches",
        images,
        tmp_path / "out",
        "--patch-shape",
        32,
        40,
        "--stride",
        32,
        40,
        "--masks",
        masks,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert len(facts["patches"]) == 2 * 3 * 3
    assert facts == {
        "folder": str(tmp_path / "out"),
        **json.loads((tmp_path / "out/patches.json").read_text()),
    }
    seen = np.zeros(truth.shape, int)
    with rasterio.open(images / "a.tif") as image:
        for row, col in [(r, c) for r in (0, 32, 38) for c in (0, 40, 60)]:
            name = f"north_a_r{row:06d}_c{col:06d}.tif"
            with rasterio.open(tmp_path / "out/images" / name) as patch:
                np.testing.assert_array_equal(patch.read(), pixels[:, row : row + 32, col : col + 40])
                assert patch.transform * (0, 0) == image.transform * (col, row)
                assert (patch.crs, patch.descriptions) == (image.crs, image.descriptions)
            with rasterio.open(tmp_path / "out/masks" / name) as mask:
                np.testing.assert_array_equal(mask.read(1), truth[row : row + 32, col : col + 40] + 1)
                assert mask.transform * (0, 0) == image.transform * (col, row)
            seen[row : row + 32, col : col + 40] += 1
    assert (seen > 0).all()


def test_an_exact_image_gives_one_patch(tmp_path, call):
    (tmp_path / "in").mkdir()
    write_scene(tmp_path / "in/a.tif", np.ones((1, 512, 512), np.uint8))
    done = call("patches", tmp_path / "in", tmp_path / "out")
    assert done.stdout == f"1 patches written to {tmp_path / 'out'}.\n"


def test_nodata_palettes_masks_alpha_and_points_are_kept(tmp_path, call):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels, _ = synthetic_scene(40, 60, 3, dtype="uint8")
    held = np.ones((40, 60), bool)
    held[:20, :20] = False
    write_scene(folder / "mask.tif", pixels, mask=held)
    write_scene(folder / "alpha.tif", pixels, alpha=np.where(held, 255, 0).astype(np.uint8))
    write_scene(folder / "nodata.tif", np.where(held, pixels, 0), nodata=0)
    points = [GroundControlPoint(r, c, 13 + c / 100, 52 - r / 100) for r in (0, 40) for c in (0, 60)]
    write_scene(folder / "points.tif", pixels, gcps=points, crs="EPSG:4326")
    done = call("patches", folder, tmp_path / "out", "--patch-shape", 20, 20, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["skipped"] == 3  # the corner without data, but not of the one that marks none
    assert len(facts["patches"]) == 4 * 6 - 3
    images = tmp_path / "out/images"
    with rasterio.open(images / "alpha_r000000_c000020.tif") as patch:
        assert patch.colorinterp[3] == ColorInterp.alpha
    with rasterio.open(images / "nodata_r000000_c000020.tif") as patch:
        assert patch.nodata == 0
    with rasterio.open(images / "points_r000020_c000040.tif") as patch:
        found, crs = patch.gcps
        assert (found[0].row, found[0].col, crs) == (-20, -40, rasterio.crs.CRS.from_epsg(4326))
    everything = json.loads(
        call("patches", folder, tmp_path / "all", "--patch-shape", 20, 20, "--max-nodata", 1, "--json").stdout
    )
    assert (everything["skipped"], len(everything["patches"])) == (0, 24)
    with rasterio.open(tmp_path / "all/images/mask_r000000_c000000.tif") as patch:
        assert not patch.dataset_mask().any()


def test_small_images_are_left_out_and_told(folder, tmp_path, call):
    images, _, _, _ = folder
    write_scene(images / "small.tif", np.ones((1, 20, 200), np.uint8))
    done = call("patches", images, tmp_path / "out", "--patch-shape", 64, 64)
    assert done.returncode == 0
    assert done.stderr == "small.tif has 200 x 20 pixels, less than a patch; left out.\n"


def test_masks_inside_the_image_folder_are_no_images(folder, call):
    images, masks, _, _ = folder
    inside = images / "labels"
    inside.mkdir()
    for path in (masks / "a.png", masks / "north/a.png"):
        target = inside / path.relative_to(masks)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    done = call(
        "patches", images, images.parent / "out", "--patch-shape", 64, 64, "--masks", inside, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert {one["patch"][:14] for one in json.loads(done.stdout)["patches"]} == {
        "images/a_r0000",
        "images/north_a",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["{tmp}/nowhere", "{tmp}/out"], 2, "There is no folder"),
        (["{tmp}/empty", "{tmp}/out"], 2, "There is no image in"),
        (["{tmp}/images", "{tmp}/labels"], 2, "is not an empty folder"),
        (["{tmp}/images", "{tmp}/no/out"], 2, "does not exist; make it first"),
        (["{tmp}/images", "{tmp}/out", "--patch-shape", "0", "9"], 2, "The patch shape is 0 x 9 pixels"),
        (["{tmp}/images", "{tmp}/out", "--stride", "-1", "9"], 2, "The stride is -1 x 9 pixels"),
        (["{tmp}/images", "{tmp}/out", "--patch-shape", "8", "x"], 2, "Invalid value for '--patch-shape'"),
        (["{tmp}/images", "{tmp}/out", "--max-nodata", "1.5"], 2, "The largest share of nodata is 1.5"),
        (["{tmp}/images", "{tmp}/out", "--masks", "{tmp}/nowhere"], 2, "There is no folder"),
        (["{tmp}/images", "{tmp}/out", "--masks", "{tmp}/empty"], 2, "There is no mask for a.tif"),
        (
            ["{tmp}/images", "{tmp}/out", "--patch-shape", "300", "300"],
            1,
            "None of the 2 images gave a patch",
        ),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(folder, tmp_path, call, arguments, code, sentence):
    (tmp_path / "empty").mkdir()
    done = call("patches", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_masks_of_another_size_twins_and_damaged_images_are_refused(folder, tmp_path, call):
    images, masks, _, _ = folder
    write_scene(masks / "a.tif", np.ones((1, 70, 100), np.uint8))
    arguments = ["patches", images, tmp_path / "out", "--patch-shape", 32, 32, "--masks", masks]
    done = call(*arguments)
    assert (done.returncode, "There are 2 masks for a.tif" in done.stderr) == (2, True)
    (masks / "a.png").unlink()
    write_scene(masks / "a.tif", np.ones((1, 71, 100), np.uint8))
    done = call(*arguments)
    assert (done.returncode, "The mask a.tif has 100 x 71 pixels" in done.stderr) == (2, True)
    (images / "north/b.tif").write_bytes((images / "a.tif").read_bytes()[:5000])
    done = call(*arguments[:-2])
    assert (done.returncode, "b.tif" in done.stderr) == (1, True)
    (images / "north/b.tif").unlink()
    write_scene(images / "north_a.tif", np.ones((1, 70, 100), np.uint8))
    done = call(*arguments[:-2])
    assert (done.returncode, "would give patches of the same name" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))
