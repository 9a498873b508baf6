"""Numbers written by compiled code, held to Python's own decimals."""

import json
from decimal import Decimal

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from segmentation.vectors.text import write_rings


def text_of(rings, digits, exteriors=(0,)):
    points = np.array([point for ring in rings for point in ring], np.int64).reshape(-1, 2)
    ends = np.cumsum([len(ring) for ring in rings])
    is_start, is_end, is_exterior = np.zeros((3, len(points)), bool)
    starts = np.append(0, ends[:-1])
    is_start[starts], is_end[ends - 1], is_exterior[starts[list(exteriors)]] = True, True, True
    x, y = np.ascontiguousarray(points.T)
    return write_rings(x, y, is_start, is_end, is_exterior, digits)


@given(st.integers(-(10**15), 10**15), st.integers(0, 12))
@example(0, 6)
@example(-1, 12)
@example(-1800000000, 7)
@example(10**15, 0)
def test_numbers_are_exact_and_short(scaled, digits):
    text, _ = text_of([[(scaled, -scaled)]], digits)
    first, second = text.strip("[]").split(",")
    exact = Decimal(scaled).scaleb(-digits)
    assert Decimal(first) == exact
    assert Decimal(second) == -exact
    assert first == "0" or not first.startswith("-0,")
    if "." in first:
        assert not first.endswith(("0", "."))
    json.loads(first)


def test_rings_of_one_polygon_are_parted_by_commas():
    text, begins = text_of([[(0, 0), (10, 0), (10, 15)], [(1, 1), (2, 2)]], 1)
    assert text == "[[0,0],[1,0],[1,1.5]],[[0.1,0.1],[0.2,0.2]]"
    assert begins.tolist() == [0]


def test_polygons_begin_where_the_list_says():
    text, begins = text_of([[(1, 2), (3, 4)], [(5, 6), (7, 8)]], 0, exteriors=(0, 1))
    assert [text[: begins[1]], text[begins[1] :]] == ["[[1,2],[3,4]]", "[[5,6],[7,8]]"]


def test_a_piece_may_begin_and_end_inside_a_ring():
    x, y = np.array([1, 2], np.int64), np.array([3, 4], np.int64)
    nowhere = np.zeros(2, bool)
    text, begins = write_rings(x, y, nowhere, nowhere, nowhere, 0)
    assert text == "[1,3],[2,4],"
    assert not len(begins)
