"""Drawn shapes against the even-odd rule at every pixel's center, in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from segmentation.drawing import MAX_VERTICES, polygon_blocks
from segmentation.errors import InvalidArgumentError
from segmentation.rasters.windows import BLOCK

SHAPE = (700, 1100)


def drawn(polygons, shape=SHAPE):
    """The blocks as one mask of the scene."""
    rows, cols = (-(-size // BLOCK) for size in shape)
    mask = np.zeros((rows * BLOCK, cols * BLOCK), bool)
    for (row, col), block in polygon_blocks(polygons, shape):
        assert block.any()
        mask[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK] = block
    assert not mask[shape[0] :].any()
    assert not mask[:, shape[1] :].any()
    return mask[: shape[0], : shape[1]]


def inside(polygons, shape=SHAPE):
    """Even-odd at the centers: how often a ray to the left crosses an edge."""
    rows, cols = (np.arange(size) + 0.5 for size in shape)
    found = np.zeros(shape, bool)
    for rings in polygons:
        odd = np.zeros(shape, bool)
        for ring in rings:
            for (r0, c0), (r1, c1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                crosses = (r0 <= rows) != (r1 <= rows)
                at = c0 + (rows[crosses] - r0) / (r1 - r0) * (c1 - c0) if r0 != r1 else np.zeros(0)
                odd[crosses] ^= at[:, None] < cols[None, :]
        found |= odd
    return found


def test_a_rectangle_holds_the_pixels_whose_centers_it_holds():
    mask = drawn([[[[10.4, 20.6], [10.4, 30.4], [15.6, 30.4], [15.6, 20.6]]]])
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (10, 15, 21, 29)
    assert mask.sum() == 6 * 9


@pytest.mark.parametrize("seed", range(6))
def test_shapes_that_cross_themselves_follow_the_even_odd_rule(seed):
    random = np.random.default_rng(seed)
    ring = random.uniform((-100, -100), (800, 1200), (12, 2)).tolist()
    assert (drawn([[ring]]) == inside([[ring]])).all()


def test_a_smooth_shape_over_several_blocks_has_no_seam():
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([350 + 301.3 * np.sin(turn), 560 + 480.7 * np.cos(turn)], axis=1).tolist()
    assert (drawn([[ring]]) == inside([[ring]])).all()


def test_a_lasso_that_winds_twice_leaves_the_middle_out():
    turn = np.linspace(0, 4 * np.pi, 200, endpoint=False)
    far = np.linspace(200, 100, 200)
    ring = np.stack([300.3 + far * np.sin(turn), 400.2 + far * np.cos(turn)], axis=1).tolist()
    mask = drawn([[ring]])
    assert (mask == inside([[ring]])).all()
    assert not mask[300, 400]


def test_holes_and_islands_in_them():
    def square(size):
        return [
            [350.2 - size, 550.3 - size],
            [350.2 - size, 550.3 + size],
            [350.2 + size, 550.3 + size],
            [350.2 + size, 550.3 - size],
        ]

    polygon = [square(200), square(100), square(40)]
    mask = drawn([polygon])
    assert (mask == inside([polygon])).all()
    assert [bool(mask[350, col]) for col in (550, 620, 720)] == [True, False, True]


def test_polygons_that_overlap_are_joined():
    pair = [[[[10, 10], [10, 60], [60, 60], [60, 10]]], [[[30, 30], [30, 90], [90, 90], [90, 30]]]]
    assert drawn(pair).sum() == 50 * 50 + 60 * 60 - 30 * 30


def test_what_lies_outside_of_the_scene_is_left_out():
    assert drawn([[[[-500, -500], [-500, 2000], [2000, 2000], [2000, -500]]]]).all()
    assert not drawn([[[[-50, -50], [-50, -10], [-10, -10], [-10, -50]]]]).any()
    assert not drawn([[[[900, 0], [900, 100], [1000, 100]]]]).any()


def test_a_closed_ring_and_a_line_without_area():
    triangle = [[10, 10], [10, 50], [50, 10]]
    assert (drawn([[triangle]]) == drawn([[[*triangle, triangle[0]]]])).all()
    assert not drawn([[[[10, 10], [10, 50], [10, 30]]]]).any()


def test_progress_is_told_to_the_end():
    told = []
    list(polygon_blocks([[[[0, 0], [0, 1100], [700, 1100], [700, 0]]]], SHAPE, told.append))
    assert told == [0.5, 1.0]


@pytest.mark.parametrize(
    ("polygons", "sentence"),
    [
        ([[[[0, 0], [1, 1]]]], "A ring of 2 positions encloses nothing"),
        ([[]], "A polygon has no ring"),
        ([[[[0, 0], [1, 1], [float("nan"), 3]]]], "is no number, or is far outside"),
        ([[[[0, 0], [1, 1], [3e8, 3]]]], "is no number, or is far outside"),
        ([[[[0, 0], [1, 1], [1]]]], "A ring is a list of"),
        ([[[[0, 0]] * (MAX_VERTICES + 1)]], "10,001 corners"),
    ],
)
def test_bad_shapes_are_refused_with_a_sentence(polygons, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        list(polygon_blocks(polygons, SHAPE))


def test_a_scribble_that_crosses_itself_a_million_times_is_filled_like_any_other():
    ring = np.random.default_rng(1).uniform(0, 600, (2000, 2)).tolist()
    assert (drawn([[ring]], (600, 600)) == inside([[ring]], (600, 600))).all()
