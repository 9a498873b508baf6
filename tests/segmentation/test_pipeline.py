"""The whole library run: same leaves for the same seed, nodata kept, resumable, honest about bad input."""

import functools
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from segmentation import BLOCK, NODATA_LEAF, Click, open_segmentation, transfer_classes
from segmentation import segment as segment_scene
from segmentation.errors import CancelledError, EmptySceneError, InvalidArgumentError, StoreError
from segmentation.pyramid import level_shape, reduce_once

# Learning has tests of its own (tests/segmentation/learning); these would take a minute each with it.
segment = functools.partial(segment_scene, mode="fast")


def pixels_of(height=700, width=600, n_bands=3, seed=0):
    """Four fields of different color and texture."""
    rng = np.random.default_rng(seed)
    field = (np.arange(height)[:, None] > height / 2) * 2 + (np.arange(width)[None] > width / 2)
    levels = rng.uniform(40, 200, (n_bands, 4))
    noise = rng.normal(0, 1, (n_bands, height, width)) * np.array([2, 12, 4, 8])[field]
    return np.clip(levels[:, field] + noise, 1, 255).astype(np.uint8), field


def write(path, pixels, **options):
    options = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10), **options}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
        dtype=pixels.dtype, tiled=True, blockxsize=256, blockysize=256, **options,
    ) as out:  # fmt: skip
        out.write(pixels)
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return write(tmp_path_factory.mktemp("image") / "fields.tif", pixels_of()[0])


@pytest.fixture(scope="module")
def done(image, tmp_path_factory):
    events = []
    segmentation = segment(image, tmp_path_factory.mktemp("store") / "s", progress=events.append)
    return segmentation, events


def same(first, second):
    np.testing.assert_array_equal(first.leaves[:], second.leaves[:])
    np.testing.assert_array_equal(first.tree.parent, second.tree.parent)
    np.testing.assert_array_equal(first.table("statistics/sums"), second.table("statistics/sums"))


def test_every_pixel_has_a_leaf_and_clusters_follow_the_fields(done):
    segmentation, _ = done
    leaves = segmentation.leaves[:]
    assert leaves.shape == segmentation.shape == (700, 600)
    assert leaves.dtype == np.uint16
    assert leaves.max() < segmentation.n_leaves
    assert segmentation.valid[:].all()
    _, field = pixels_of()
    clusters = segmentation.tree.clusters_at(8)[leaves]
    inside = np.ones(field.shape, bool)  # borders between fields are mixtures
    inside[340:360], inside[:, 290:310] = False, False
    purity = sum(
        np.bincount(field[inside & (clusters == cluster)].ravel()).max(initial=0)
        for cluster in np.unique(clusters)
    )
    assert purity / inside.sum() > 0.97


def test_statistics_count_every_pixel_once_and_spectra_are_means(done, image):
    segmentation, _ = done
    statistics = segmentation.statistics()
    leaves = segmentation.leaves[:]
    np.testing.assert_array_equal(
        statistics.pixels, np.bincount(leaves.ravel(), minlength=segmentation.n_leaves)
    )
    assert statistics.complete
    assert statistics.area_m2.sum() == pytest.approx(
        700 * 600 * 100, rel=1e-2
    )  # UTM scale at the central meridian
    pixels, _ = pixels_of()
    low, high = 5, 60
    mean, n = segmentation.spectrum(low, high)
    chosen = (leaves >= low) & (leaves < high)
    assert n == chosen.sum()
    np.testing.assert_allclose(mean, pixels[:, chosen].mean(axis=1), rtol=1e-3)


def test_statistics_inside_an_area_of_interest(done):
    segmentation, _ = done
    corners = segmentation.georeference.to_lonlat(
        np.array([100, 300, 300, 100, 100]), np.array([50, 50, 650, 650, 50])
    )
    ring = [list(map(float, point)) for point in zip(*corners, strict=True)]
    found = segmentation.statistics({"type": "Polygon", "coordinates": [ring]})
    expected = np.bincount(segmentation.leaves[50:650, 100:300].ravel(), minlength=segmentation.n_leaves)
    np.testing.assert_array_equal(found.pixels, expected)


def test_progress_tells_stages_blocks_and_reaches_the_end(done):
    _, events = done
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["reading", "codebook", "leaves", "overviews"]
    assert next(e.block for e in events if e.stage == "leaves") is None
    assert sorted(e.block for e in events if e.block) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(0 <= e.done <= e.total for e in events)


def test_overviews_are_the_reduced_leaves_and_patches_agree(done):
    segmentation, _ = done
    ids = segmentation.leaves[:]
    assert segmentation.n_levels == 2
    reduced = reduce_once(ids, 0)
    assert reduced.shape == level_shape(700, 600, 1)
    np.testing.assert_array_equal(segmentation.block_ids(1, 0, 0), reduced)
    for row in range(2):
        for col in range(2):
            block_row, block_col, top, left, patch = segmentation.patch(row, col, 1)
            assert (block_row, block_col) == (0, 0)
            np.testing.assert_array_equal(
                patch, reduced[top : top + patch.shape[0], left : left + patch.shape[1]]
            )


def test_same_seed_same_leaves_whatever_the_order_and_threads(done, image, tmp_path):
    segmentation, _ = done
    again = segment(image, tmp_path / "s", threads=1, wanted=lambda: [(0, 1, 1), (0, 0, 1)])
    same(segmentation, again)
    other = segment(image, tmp_path / "other", seed=1)
    assert (other.leaves[:] != segmentation.leaves[:]).any()


def test_store_opens_while_computing_and_wanted_blocks_come_first(image, tmp_path):
    seen = []

    def look(progress):
        if progress.stage == "leaves":
            segmentation = open_segmentation(tmp_path / "s")
            seen.append((progress.block, segmentation.complete, segmentation.block(0, 1, 0) is not None))

    segment(image, tmp_path / "s", progress=look, wanted=lambda: [(0, 1, 0)], threads=1)
    assert seen[0] == (None, False, False)
    assert seen[1] == ((1, 0), False, True)


def test_cancelled_run_is_continued_and_ends_the_same(done, image, tmp_path):
    written = []
    with pytest.raises(CancelledError):
        segment(
            image, tmp_path / "s", threads=1,
            progress=lambda p: written.append(p.block) if p.block else None, cancelled=lambda: len(written) >= 2,
        )  # fmt: skip
    assert len(written) == 2
    assert not open_segmentation(tmp_path / "s").complete
    events = []
    resumed = segment(image, tmp_path / "s", progress=events.append)
    assert next(e.done for e in events if e.stage == "leaves") == 2
    assert len([e for e in events if e.block]) == 2
    same(done[0], resumed)


def test_complete_store_is_not_computed_again_but_other_parameters_replace_it(image, tmp_path):
    segment(image, tmp_path / "s", n_leaves=50)
    events = []
    assert segment(image, tmp_path / "s", n_leaves=50, progress=events.append).n_leaves <= 50
    assert events == []
    assert segment(image, tmp_path / "s", n_leaves=200).n_leaves > 50


@pytest.mark.parametrize("kind", ["nodata", "nan", "mask"])
def test_nodata_stays_nodata_everywhere(tmp_path, kind):
    pixels, _ = pixels_of(300, 620)
    hole = np.zeros((300, 620), bool)
    hole[100:200, 50:400], hole[:, 610:] = True, True
    if kind == "nodata":
        pixels[:, hole] = 0
        write(tmp_path / "i.tif", pixels, nodata=0)
    elif kind == "nan":
        floats = pixels.astype(np.float32)
        floats[1, hole] = np.nan
        write(tmp_path / "i.tif", floats)
    else:
        write(tmp_path / "i.tif", pixels)
        with rasterio.open(tmp_path / "i.tif", "r+") as out, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            out.write_mask(~hole)
    segmentation = segment(tmp_path / "i.tif", tmp_path / "s")
    np.testing.assert_array_equal(segmentation.valid[:], ~hole)
    assert (segmentation.leaves[:][hole] == NODATA_LEAF).all()
    assert segmentation.statistics().pixels.sum() == (~hole).sum()


def test_area_of_interest_and_bands(image, tmp_path):
    crs_free = write(tmp_path / "plain.tif", pixels_of()[0], crs=None, transform=None)
    triangle = {"type": "Polygon", "coordinates": [[[10, 10], [400, 10], [10, 500], [10, 10]]]}
    segmentation = segment(crs_free, tmp_path / "s", aoi=triangle, bands=[2, 1])
    valid = segmentation.valid[:]
    assert valid[20, 20]
    assert not valid[600, 500]
    assert valid.sum() == pytest.approx(390 * 490 / 2, rel=0.02)
    assert np.isnan(segmentation.statistics().area_m2).all()
    assert len(segmentation.spectrum(0, 1)[0]) == 2


@pytest.mark.parametrize(
    ("bands", "dtype"), [(1, np.uint16), (4, np.int16), (12, np.float64), (40, np.float32)]
)
def test_any_number_of_bands_and_types(tmp_path, bands, dtype):
    pixels, _ = pixels_of(260, 300, bands)
    segmentation = segment(write(tmp_path / "i.tif", pixels.astype(dtype)), tmp_path / "s")
    assert segmentation.valid[:].all()
    assert len(segmentation.spectrum(0, 2)[0]) == bands


@pytest.mark.parametrize("shape", [(5, 5), (4, 900), (513, 4)])
def test_tiny_and_thin_scenes(tmp_path, shape):
    pixels, _ = pixels_of(*shape)
    segmentation = segment(write(tmp_path / "i.tif", pixels), tmp_path / "s")
    assert segmentation.valid[:].all()
    assert segmentation.block(0, (shape[0] - 1) // BLOCK, (shape[1] - 1) // BLOCK)


def test_constant_image_is_one_leaf(tmp_path):
    segmentation = segment(write(tmp_path / "i.tif", np.full((3, 200, 200), 7, np.uint8)), tmp_path / "s")
    assert segmentation.n_leaves == 1
    assert segmentation.tree.parent.tolist() == [0]
    assert (segmentation.leaves[:] == 0).all()


def test_all_nodata_is_refused_and_leaves_no_store(tmp_path):
    write(tmp_path / "i.tif", np.zeros((3, 100, 100), np.uint8), nodata=0)
    with pytest.raises(EmptySceneError, match="No pixel of the image holds data"):
        segment(tmp_path / "i.tif", tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bands": [1, 9]}, r"Bands \[1, 9\].*from 1 to 3"),
        ({"bands": []}, "choose different ones"),
        ({"bands": [1, 1]}, "choose different ones"),
        ({"superpixel_px": 99}, "99 pixels"),
        ({"n_leaves": 1}, "1 leaves were asked for"),
        ({"threads": 0}, "0 threads"),
        ({"mode": "slow"}, 'mode is "slow"'),
        ({"device": "tpu"}, 'device is "tpu"'),
    ],
)
def test_bad_arguments_are_refused_with_their_value(image, tmp_path, options, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        segment(image, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_missing_broken_and_foreign_stores_are_refused(done, tmp_path):
    with pytest.raises(StoreError, match="no segmentation"):
        open_segmentation(tmp_path / "nowhere")
    (tmp_path / "segmentation.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        open_segmentation(tmp_path)
    (tmp_path / "segmentation.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format 99"):
        open_segmentation(tmp_path)
    with pytest.raises(InvalidArgumentError, match="no block 9, 0"):
        done[0].block(0, 9, 0)
    with pytest.raises(InvalidArgumentError, match="outside the scene"):
        done[0].leaf_at(700, 0)
    with pytest.raises(InvalidArgumentError, match="not a range"):
        done[0].spectrum(3, 3)


def test_classes_are_carried_to_another_segmentation(done, image, tmp_path):
    old, _ = done
    new = segment(image, tmp_path / "s", seed=5, n_leaves=300)
    clusters = old.tree.clusters_at(6)
    table = (np.unique(clusters, return_inverse=True)[1] % 3).astype(np.uint8)
    carried = transfer_classes(old, table, new)
    agree = table[old.leaves[:]] == carried[new.leaves[:]]
    assert agree.mean() > 0.95
    np.testing.assert_array_equal(transfer_classes(old, table, old), table)
    with pytest.raises(InvalidArgumentError, match="table has 2"):
        transfer_classes(old, table[:2], new)


def test_classify_gives_clicked_leaves_their_class_and_the_fields_theirs(done):
    segmentation, _ = done
    _, field = pixels_of()
    clicks = [Click(100, 100, 3), Click(100, 500, 0), Click(600, 100, 7), Click(600, 500, 9)]
    prediction = segmentation.classify(clicks)
    for click in clicks:
        leaf = segmentation.leaf_at(click.row, click.col)
        assert prediction.classes[leaf] == click.class_id
    expected = np.array([3, 0, 7, 9])[field]
    assert (prediction.classes[segmentation.leaves[:]] == expected).mean() > 0.9
    assert prediction.certainty.min() > 0
    assert prediction.certainty.max() <= 1
    with pytest.raises(InvalidArgumentError, match="no click"):
        segmentation.classify([])
    with pytest.raises(InvalidArgumentError, match="outside the scene"):
        segmentation.classify([Click(-1, 0, 1)])


SCRIPT = """
from segmentation import segment
s = segment({image!r}, {store!r}, threads=2, mode="fast")
print("leaves", s.n_leaves)
"""


@pytest.mark.parametrize("how", ["script without a guard", "standard input"])
def test_it_runs_from_a_script_and_from_standard_input(image, tmp_path, how):
    code = textwrap.dedent(SCRIPT).format(image=str(image), store=str(tmp_path / "s"))
    if how == "standard input":
        command, text = [sys.executable, "-"], code
    else:
        (tmp_path / "script.py").write_text(code)
        command, text = [sys.executable, str(tmp_path / "script.py")], None
    from segmentation import __file__ as package

    root = str(package).rsplit("/", 2)[0]
    run = subprocess.run(
        command, input=text, capture_output=True, text=True, env={"PYTHONPATH": root}, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("leaves ")


def test_it_runs_inside_an_event_loop_as_in_a_notebook(image, tmp_path):
    import asyncio

    async def cell():
        return segment(image, tmp_path / "s").n_leaves

    assert asyncio.run(cell()) > 1


@pytest.mark.parametrize("how", ["area of interest", "nodata"])
def test_a_small_part_with_data_in_a_large_scene_is_found_and_divided_finely(tmp_path, how):
    pixels = np.zeros((3, 2600, 2700), np.uint8)  # above the size that is looked at as a whole
    part, _ = pixels_of(100, 110)
    pixels[:, 1030:1130, 1545:1655] = part  # in the corner of a block
    if how == "nodata":
        segmentation = segment(write(tmp_path / "i.tif", pixels, nodata=0), tmp_path / "s")
    else:
        write(tmp_path / "i.tif", np.maximum(pixels, 1), crs=None, transform=None)
        ring = [[1545, 1030], [1655, 1030], [1655, 1130], [1545, 1130], [1545, 1030]]
        aoi = {"type": "Polygon", "coordinates": [ring]}
        segmentation = segment(tmp_path / "i.tif", tmp_path / "s", aoi=aoi)
    valid = segmentation.valid[1030:1130, 1545:1655]
    assert valid.all()
    assert segmentation.statistics().pixels.sum() == valid.sum()
    assert segmentation.n_leaves > 100  # of some 400 to 700 superpixels
