"""Which windows stand for a scene."""

import pytest

from segmentation.features.sampling import all_blocks, is_sampled_whole, sample_windows, seeded_hash


def test_small_scenes_are_looked_at_as_a_whole():
    windows = sample_windows(all_blocks(1000, 700), 0)
    assert is_sampled_whole(all_blocks(1000, 700))
    assert sum(w.height * w.width for w in windows) == 700_000
    assert {(w.row, w.col) for w in windows} == {(0, 0), (0, 512), (512, 0), (512, 512)}


@pytest.mark.parametrize("shape", [(5_000, 6_000), (40_000, 30_000), (300, 200_000)])
def test_large_scenes_are_looked_at_in_windows_inside_their_blocks(shape):
    height, width = shape
    windows = sample_windows(all_blocks(height, width), 3)
    assert not is_sampled_whole(all_blocks(height, width))
    assert len(windows) <= 220
    assert len({(w.row // 512, w.col // 512) for w in windows}) == len(windows)
    for window in windows:
        assert 0 <= window.row <= window.row + window.height <= height
        assert 0 <= window.col <= window.col + window.width <= width
        assert (window.row + window.height - 1) // 512 == window.row // 512
        assert (window.col + window.width - 1) // 512 == window.col // 512
    assert 1e6 < sum(w.height * w.width for w in windows) < 9e6


def test_the_draw_depends_on_the_seed_alone():
    assert sample_windows(all_blocks(9_000, 9_000), 1) == sample_windows(all_blocks(9_000, 9_000), 1)
    assert sample_windows(all_blocks(9_000, 9_000), 1) != sample_windows(all_blocks(9_000, 9_000), 2)


def test_hashes_look_random():
    draws = [seeded_hash(0, row, col) for row in range(40) for col in range(40)]
    assert len(set(draws)) == 1600
    assert 0.45 < sum(draw >> 63 for draw in draws) / 1600 < 0.55
