"""Pixels that stand for polygons and lines."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.examples.spread import line_pixels, polygon_pixels, thinned


def chosen(area, most=25, seed=0) -> np.ndarray:
    return polygon_pixels(area, most, np.random.default_rng(seed))


def nearest_distances(pixels: np.ndarray) -> np.ndarray:
    distances = np.hypot(*(pixels[:, None] - pixels[None]).T.astype(float))
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=0)


def test_pixels_lie_inside_away_from_the_outline():
    ring = shapely.Point(300, 200).buffer(80).difference(shapely.Point(300, 200).buffer(40))
    pixels = chosen(ring)
    assert len(pixels) == 25
    assert shapely.contains_xy(ring, pixels[:, 1] + 0.5, pixels[:, 0] + 0.5).all()
    assert len(np.unique(pixels, axis=0)) == 25


def test_pixels_are_better_spread_than_drawn_at_random():
    area = shapely.box(0, 0, 400, 100)
    rng = np.random.default_rng(1)
    drawn = [nearest_distances(rng.integers(0, [100, 400], (25, 2))).min() for _ in range(200)]
    assert nearest_distances(chosen(area)).min() > np.quantile(drawn, 0.99)


def test_each_part_of_a_multipolygon_gets_its_share():
    both = shapely.MultiPolygon([shapely.box(0, 0, 60, 60), shapely.box(500, 500, 560, 560)])
    left = (chosen(both, 20)[:, 1] < 100).sum()
    assert 8 <= left <= 12


def test_parts_far_from_each_other_are_found():
    both = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(0, 90_000, 9, 90_009)])
    assert {row // 1000 for row in chosen(both, 4)[:, 0]} == {0, 90}


def test_same_seed_same_pixels_and_another_seed_others():
    area = shapely.box(0, 0, 300, 300)
    assert (chosen(area, seed=3) == chosen(area, seed=3)).all()
    assert (chosen(area, seed=3) != chosen(area, seed=4)).any()


def test_a_polygon_smaller_than_a_pixel_gives_that_pixel():
    assert chosen(shapely.box(5.2, 7.3, 5.4, 7.35)).tolist() == [[7, 5]]


def test_a_small_polygon_gives_every_pixel_of_its_inside():
    assert chosen(shapely.box(9, 19, 13, 22), most=25).tolist() == [[20, 10], [20, 11]]


def test_a_sliver_gives_pixels_along_it():
    pixels = chosen(shapely.Polygon([(0, 3.2), (900, 3.3), (900, 3.4)]), most=5)
    assert set(pixels[:, 0]) == {3}
    assert len(pixels) == 5


@settings(max_examples=60, deadline=None)
@given(
    corners=st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=3, max_size=8),
    most=st.integers(1, 30),
)
def test_any_polygon_gives_between_one_and_most_pixels_that_touch_it(corners, most):
    area = shapely.MultiPoint(corners).convex_hull
    if area.geom_type != "Polygon" or area.area < 1e-6:
        return
    pixels = chosen(area, most)
    assert 1 <= len(pixels) <= most
    squares = shapely.box(pixels[:, 1], pixels[:, 0], pixels[:, 1] + 1, pixels[:, 0] + 1)
    assert (shapely.distance(squares, area) < 1e-6).all()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([(0.5, 0.5), (3.5, 0.5)], [[0, 0], [0, 1], [0, 2], [0, 3]]),
        ([(3.5, 0.5), (0.5, 0.5)], [[0, 3], [0, 2], [0, 1], [0, 0]]),
        ([(0.5, 0.5), (0.5, 1.5), (0.5, 0.5)], [[0, 0], [1, 0]]),
        ([(2.5, 4.5), (2.5, 4.5)], [[4, 2]]),
    ],
)
def test_line_pixels_follow_the_line_once(line, expected):
    assert line_pixels(shapely.LineString(line), 200).tolist() == expected


def test_line_pixels_leave_no_gap_and_are_thinned_evenly():
    line = shapely.LineString([(0, 0), (700, 300), (300, 650)])
    every = line_pixels(line, 10_000)
    assert np.abs(np.diff(every, axis=0)).max() == 1
    some = line_pixels(line, 200)
    assert len(some) == 200
    assert some[0].tolist() == every[0].tolist()
    assert some[-1].tolist() == every[-1].tolist()
    assert np.hypot(*np.diff(some, axis=0).T).max() < 12


def test_line_pixels_of_nothing():
    assert line_pixels(shapely.LineString(), 10).shape == (0, 2)


def test_thinned_keeps_the_ends():
    pixels = np.stack([np.arange(1001), np.arange(1001)], axis=1)
    assert thinned(pixels, 3).tolist() == [[0, 0], [500, 500], [1000, 1000]]
    assert thinned(pixels[:3], 3) is not None
    assert len(thinned(pixels[:3], 3)) == 3
