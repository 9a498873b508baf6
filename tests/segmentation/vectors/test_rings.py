"""The sweep and its rings, taken out after any number of rows."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize

from segmentation.vectors.rings import ring_marks, take_complete
from segmentation.vectors.sweep import Sweep

FAR = 1 << 30
NO_AREAS = np.zeros((0, 0), np.int64)

maps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda size: arrays(np.uint8, size[:2], elements=st.integers(0, size[2]))
)


def polygons_of(classes, *, rows=1, extra_nodes=FAR, reverse=False, steps=(FAR, FAR), areas=None):
    """Polygons as (class, pixels, area, rings), rings as lists of (col, row)."""
    height, width = classes.shape
    sweep = Sweep(width, *steps)
    found = []

    def take():
        taken = take_complete(sweep, reverse=reverse)
        for index in range(len(taken)):
            rings = [
                list(zip(taken.cols[ring].tolist(), taken.rows[ring].tolist(), strict=True))
                for ring in taken.rings(index)
            ]
            found.append(
                (int(taken.class_of[index]), int(taken.pixels[index]), int(taken.area[index]), rings)
            )

    for row in range(0, height, rows):
        strip = np.ascontiguousarray(classes[row : row + rows])
        strip_areas = NO_AREAS if areas is None else areas[row : row + rows]
        done = 0
        while done < len(strip):
            done = sweep.advance(strip, strip_areas, row, done, sweep.n_nodes + extra_nodes)
            take()
    sweep.advance(np.zeros((1, width), np.uint8), NO_AREAS, height, 0, FAR)
    take()
    assert sweep.n_nodes == 0, "boundaries are left over"
    assert sweep.n_regions == 1, "regions are left over"
    return found


@given(maps)
def test_rings_enclose_exactly_the_pixels_of_each_class(classes):
    found = polygons_of(classes)
    shapes = [shapely.Polygon(rings[0], rings[1:]) for _, _, _, rings in found]
    assert [shape.area for shape in shapes] == [pixels for _, pixels, _, _ in found]
    assert all(shape.is_valid for shape in shapes)
    if shapes:
        burned = rasterize(
            [(shape, entry[0]) for shape, entry in zip(shapes, found, strict=True)], classes.shape
        )
        np.testing.assert_array_equal(burned, classes)
        assert shapely.coverage_is_valid(shapes)
    else:
        assert not classes.any()


@given(maps, st.integers(1, 12), st.integers(0, 9))
def test_rings_do_not_depend_on_when_they_are_taken(classes, rows, extra_nodes):
    assert polygons_of(classes, rows=rows, extra_nodes=extra_nodes) == polygons_of(classes, rows=len(classes))


@given(maps)
def test_reversed_rings_are_the_same_rings_backward(classes):
    forward, backward = polygons_of(classes), polygons_of(classes, reverse=True)
    assert [[ring[::-1] for ring in rings] for *_, rings in backward] == [rings for *_, rings in forward]


@given(maps, st.data())
def test_areas_add_up(classes, data):
    areas = data.draw(arrays(np.int64, classes.shape, elements=st.integers(0, 2**40)))
    found = polygons_of(classes, rows=3, areas=areas)
    assert sum(area for _, _, area, _ in found) == int(areas[classes > 0].sum())
    if found:
        number, _, area, rings = found[0]
        burned = rasterize([shapely.Polygon(rings[0], rings[1:])], classes.shape) > 0
        assert area == int(areas[burned].sum())
        assert (classes[burned] == number).all()


def test_polygons_come_by_last_row_then_first_pixel():
    classes = np.array([[1, 2, 3], [1, 2, 0], [1, 0, 4]], np.uint8)
    assert [number for number, *_ in polygons_of(classes)] == [3, 2, 1, 4]


def test_straight_edges_get_corners_at_the_steps_only():
    # Two fields of 6 x 4, their border at row 3; steps at even rows and at columns that are multiples of 3.
    classes = np.repeat(np.array([[1], [2]], np.uint8), 3, axis=0).repeat(4, axis=1)
    (_, _, _, upper), (_, _, _, lower) = polygons_of(classes, steps=(2, 3))
    assert upper == [[(0, 0), (3, 0), (4, 0), (4, 2), (4, 3), (3, 3), (0, 3), (0, 2), (0, 0)]]
    assert lower == [[(0, 3), (3, 3), (4, 3), (4, 4), (4, 6), (3, 6), (0, 6), (0, 4), (0, 3)]]


def test_a_pinched_ring_is_parted_even_where_the_sides_meet_much_later():
    # Both pixels at the pinch (the corner 1, 1) turn out to be of one region only in the last row.
    classes = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    ((_, pixels, _, rings),) = polygons_of(classes)
    assert pixels == 7
    assert [len(ring) for ring in rings] == [7, 5]
    assert set(rings[1]) == {(1, 1), (2, 1), (2, 2), (1, 2)}


def test_a_map_with_more_regions_than_room_grows():
    side = 160  # a checkerboard: 12,800 regions, 51,200 nodes for each class
    classes = (np.indices((side, side)).sum(axis=0) % 2 + 1).astype(np.uint8)
    found = polygons_of(classes, rows=side)
    assert len(found) == side * side
    assert {pixels for _, pixels, _, _ in found} == {1}


@pytest.mark.parametrize("ends", [[], [5], [5, 9, 14]])
def test_ring_marks_name_first_and_last_vertices(ends):
    starts, closes, begins = ring_marks(np.array(ends, np.int64), np.array([0] if ends else [], np.int64))
    assert np.flatnonzero(starts).tolist() == [0, *ends][: len(ends)]
    assert (np.flatnonzero(closes) + 1).tolist() == ends
    assert np.flatnonzero(begins).tolist() == ([0] if ends else [])
