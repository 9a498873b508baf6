"""Decoded blocks: what is read is what rasterio reads, each block once, within bounds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from segmentation.rasters import image_blocks
from segmentation.rasters.image_blocks import ImageBlocks, ImageFile


@pytest.fixture
def image(tmp_path):
    random = np.random.default_rng(0)
    data = random.integers(0, 60_000, (4, 300, 410)).astype(np.uint16)
    layout = {"tiled": True, "blockxsize": 128, "blockysize": 64, "compress": "deflate"}
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=300, width=410, dtype="uint16", **layout
    ) as file:
        file.write(data)
        file.write_mask(random.random((300, 410)) > 0.2)
        file.build_overviews([2, 4], Resampling.average)
    return ImageFile(path, 1, 2)


@pytest.fixture
def decoded(monkeypatch):
    """Blocks that were decoded, in order."""
    calls = []
    own = image_blocks._decode

    def noted(dataset, level, place, planes):
        calls.append((level.width, place, tuple(planes)))
        return own(dataset, level, place, planes)

    monkeypatch.setattr(image_blocks, "_decode", noted)
    return calls


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("window", [(0, 0, 1, 1), (0, 0, 75, 102), (10, 33, 60, 69), (63, 100, 12, 2)])
def test_window_is_what_rasterio_reads(image, level, window):
    blocks = ImageBlocks(10**8)
    values, valid = blocks.read(image, level, window, (3, 1))
    row, col, height, width = window
    options = {"overview_level": level - 1} if level else {}
    with rasterio.open(image.path, **options) as file:
        place = Window(col, row, width, height)
        np.testing.assert_array_equal(values, file.read([3, 1], window=place))
        np.testing.assert_array_equal(valid, file.dataset_mask(window=place) > 0)


def test_pyramid_tells_levels_and_place(image):
    pyramid = ImageBlocks(0).pyramid(image)
    assert [(level.height, level.width) for level in pyramid.levels] == [(300, 410), (150, 205), (75, 103)]
    assert pyramid.levels[2].factor_x == pytest.approx(410 / 103)
    assert pyramid.dtype == np.uint16
    assert not pyramid.all_valid
    assert pyramid.projection is None


def test_block_is_decoded_once_and_further_bands_are_added(image, decoded):
    blocks = ImageBlocks(10**8)
    blocks.read(image, 0, (0, 0, 10, 10), (1, 2))
    blocks.read(image, 0, (20, 20, 10, 10), (2, 1))
    assert decoded == [(410, (0, 0), (1, 2, 0))]
    blocks.read(image, 0, (0, 0, 10, 10), (2, 4))
    assert decoded[1:] == [(410, (0, 0), (4,))]


def test_another_time_of_change_counts_as_another_image(image, decoded):
    blocks = ImageBlocks(10**8)
    for mtime in (1, 1, 2):
        blocks.read(image._replace(mtime_ns=mtime), 0, (0, 0, 10, 10), (1,))
    assert len(decoded) == 2


def test_bytes_stay_within_the_bound_and_the_oldest_goes(image, decoded):
    one = 64 * 128 * 2 + 64 * 128  # a band and the mask
    blocks = ImageBlocks(3 * one)
    for col in (0, 128, 256):
        blocks.read(image, 0, (0, col, 5, 5), (1,))
    blocks.read(image, 0, (0, 0, 5, 5), (1,))  # used again, so it stays
    blocks.read(image, 0, (64, 0, 5, 5), (1,))
    assert blocks.bytes == 3 * one
    count = len(decoded)
    blocks.read(image, 0, (0, 0, 5, 5), (1,))
    assert len(decoded) == count
    blocks.read(image, 0, (0, 128, 5, 5), (1,))
    assert len(decoded) == count + 1


def test_nothing_kept_still_reads(image):
    blocks = ImageBlocks(0)
    whole = ImageBlocks(10**8).read(image, 0, (0, 0, 300, 410), (1, 2, 3, 4))
    again = blocks.read(image, 0, (0, 0, 300, 410), (1, 2, 3, 4))
    np.testing.assert_array_equal(again[0], whole[0])
    assert blocks.bytes == 0


def test_threads_get_the_same_and_decode_each_block_once(image, decoded):
    blocks = ImageBlocks(10**8)
    expected, _ = ImageBlocks(10**8).read(image, 0, (0, 0, 300, 410), (1, 2))
    decoded.clear()
    with ThreadPoolExecutor(8) as pool:
        read = [pool.submit(blocks.read, image, 0, (0, 0, 300, 410), (1, 2)) for _ in range(24)]
        for each in read:
            np.testing.assert_array_equal(each.result()[0], expected)
    assert len(decoded) == len(set(decoded)) == 5 * 4


def test_forget_drops_blocks_and_closes_files(image):
    files = image_blocks._OpenFiles(4)
    with files.lend(image, 0) as lent:
        files.forget(image.path)
        assert not lent.closed  # somebody is reading
    assert lent.closed
    with files.lend(image, 0) as first:
        pass
    assert not first.closed
    with files.lend(image, 0) as again:
        assert again is first
    files.forget(image.path)
    assert first.closed

    blocks = ImageBlocks(10**8)
    blocks.read(image, 0, (0, 0, 10, 10), (1,))
    blocks.forget(image.path)
    assert blocks.bytes == 0


def test_open_files_are_bounded_and_the_oldest_is_closed(image):
    files = image_blocks._OpenFiles(2)
    lent = []
    for level in (0, 1, 2):
        with files.lend(image, level) as dataset:
            lent.append(dataset)
    assert [dataset.closed for dataset in lent] == [True, False, False]


def test_file_that_failed_is_not_lent_again(image):
    files = image_blocks._OpenFiles(2)
    with pytest.raises(RasterioError, match="read failed"), files.lend(image, 0) as lent:
        raise RasterioError("read failed")
    assert lent.closed
    with files.lend(image, 0) as other:
        assert other is not lent


def test_unreadable_image_is_an_error(tmp_path):
    (tmp_path / "b.tif").write_bytes(b"no tiff")
    with pytest.raises(RasterioError):
        ImageBlocks(10**8).read(ImageFile(tmp_path / "b.tif"), 0, (0, 0, 1, 1), (1,))
