from pathlib import Path

import pytest

from segmentation.errors import SceneTooLargeError
from segmentation.rasters.limits import Limits
from segmentation.rasters.windows import BLOCK, Window, n_levels


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(1000))
    return path


def test_sizes_at_the_limit_pass(file):
    limits = Limits(max_file_bytes=1000, max_pixels=100, max_bands=3)
    limits.check_file(file)
    limits.check_raster(file, 10, 10, 3, 8)


def test_sizes_over_the_limit_are_named(file):
    with pytest.raises(SceneTooLargeError, match=r'"a.tif" has 1.0 KB; at most 999 bytes'):
        Limits(max_file_bytes=999).check_file(file)
    with pytest.raises(SceneTooLargeError, match=r"11 x 10 = 110 pixels; at most 100"):
        Limits(max_pixels=100).check_raster(file, 11, 10, 1, 1)
    with pytest.raises(SceneTooLargeError, match=r"251 bands; at most 250"):
        Limits().check_raster(file, 10, 10, 251, 1)
    with pytest.raises(SceneTooLargeError, match=r"parts of 600.0 MB; at most 536.9 MB"):
        Limits().check_block(file, 600_000_000)


def test_expansion_counts_only_where_it_hurts(file):
    limits = Limits(max_expansion=10, expansion_from_bytes=50_000)
    limits.check_raster(file, 100, 100, 5, 1)  # 50 times its size, but small
    with pytest.raises(SceneTooLargeError, match=r"1.0 KB and would unpack to 60.0 KB"):
        limits.check_raster(file, 100, 100, 6, 1)


@pytest.mark.parametrize(
    ("height", "width", "levels"),
    [
        (1, 1, 1),
        (512, 512, 1),
        (513, 1, 2),
        (1024, 1024, 2),
        (1025, 7, 3),
        (7, 20_000, 7),
        (2**20, 2**20, 12),
    ],
)
def test_the_last_level_fits_one_block_and_the_one_before_does_not(height, width, levels):
    assert n_levels(height, width) == levels
    assert -(-max(height, width) // 2 ** (levels - 1)) <= BLOCK
    assert levels == 1 or -(-max(height, width) // 2 ** (levels - 2)) > BLOCK


def test_windows_compare_by_value():
    assert Window(1, 2, 3, 4) == Window(row=1, col=2, height=3, width=4)
