"""How much went from which class to which."""

import numpy as np
import pytest

from segmentation.changes import ClassMap, count_changes
from segmentation.errors import InvalidArgumentError
from segmentation.overrides import ERASED, Layer, Overrides, polygon_blocks, write_layer
from segmentation.split_store import SplitSegmentation
from tests.webapp.scenario import write_store

SHAPE = (700, 1100)
AS_IT_IS = np.arange(256, dtype=np.uint8)


@pytest.fixture
def ids():
    ids = np.add.outer(np.arange(SHAPE[0]) // 90, np.arange(SHAPE[1]) // 130) % 6
    ids = ids.astype(np.uint16)
    ids[:40, :40] = 65_535
    return ids


@pytest.fixture
def store(tmp_path, ids):
    write_store(tmp_path / "store.zarr", ids, 6, crs="EPSG:32633")
    return SplitSegmentation(tmp_path / "store.zarr")


def drawn(folder, *shapes):
    """Overrides of (name, row0, col0, row1, col1, value)."""
    layers = []
    for name, row0, col0, row1, col1, value in shapes:
        ring = [(row0, col0), (row0, col1), (row1, col1), (row1, col0), (row0, col0)]
        path = folder / f"{name}.npz"
        write_layer(path, polygon_blocks([[ring]], SHAPE))
        layers.append(Layer(path, value))
    return Overrides(SHAPE, layers)


def reference(ids, one):
    """Class of every pixel, put together without blocks."""
    out = np.zeros(SHAPE, np.uint8)
    leaf = ids != 65_535
    out[leaf] = one.table[ids[leaf]]
    values = one.shown[one.overrides.read(0, 0, *SHAPE)]
    over = leaf & (values != 0)
    out[over] = values[over]
    return out


def table(*classes):
    return np.array(classes, np.uint8)


def test_leaves_alone_are_told_by_their_counts(store, ids):
    nothing = Overrides(SHAPE)
    before = ClassMap(table(1, 1, 0, 2, 2, 0), nothing, AS_IT_IS)
    after = ClassMap(table(1, 2, 0, 2, 0, 1), nothing, AS_IT_IS)
    found = count_changes(store, before, after)
    sizes = np.bincount(ids[ids != 65_535], minlength=6)
    assert found.pixels[1, 1] == sizes[0]
    assert found.pixels[1, 2] == sizes[1]
    assert found.pixels[0, 0] == sizes[2]
    assert found.pixels[2, 0] == sizes[4]
    assert found.pixels[0, 1] == sizes[5]
    assert found.pixels.sum() == (ids != 65_535).sum()
    assert np.allclose(found.area_m2, 100 * found.pixels)
    assert found.bounds == ()


def test_drawings_count_to_the_pixel(store, ids, tmp_path):
    first = ("a", 400, 300, 600, 700, 3)
    before = ClassMap(table(1, 1, 0, 2, 2, 0), drawn(tmp_path, first), AS_IT_IS)
    hides = AS_IT_IS.copy()
    hides[4] = 0  # of a class that is deleted by then
    shapes = (
        first,
        ("b", 10, 10, 100, 900, 1),
        ("c", 450, 0, 500, 1100, ERASED),
        ("d", 620, 620, 690, 800, 4),
    )
    after = ClassMap(table(1, 2, 0, 2, 0, 1), drawn(tmp_path, *shapes), hides)
    found = count_changes(store, before, after)
    old, new = reference(ids, before), reference(ids, after)
    leaf = ids != 65_535
    expected = np.zeros((256, 256))
    np.add.at(expected, (old[leaf], new[leaf]), 1)
    assert np.array_equal(found.pixels, expected)
    # The made-up store says 100 m² of each pixel; what is drawn is measured on the ground, 0.03 % less.
    assert np.allclose(found.area_m2, 100 * expected, rtol=2e-3)
    same_leaf = np.zeros(SHAPE, bool)
    same_leaf[leaf] = (before.table == after.table)[ids[leaf]]
    apart = (old != new) & same_leaf
    boxes = np.zeros(SHAPE, bool)
    for row0, col0, row1, col1 in found.bounds:
        boxes[row0:row1, col0:col1] = True
        inside = apart[row0:row1, col0:col1]
        assert all(
            side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1])
        )  # none is too large
    assert not apart[~boxes].any()
    assert apart.any()


def test_only_what_lies_inside_an_area_counts(store, ids, tmp_path):
    ring = [[0, 0], [600, 0], [600, 650], [0, 650], [0, 0]]
    write_store(tmp_path / "plain.zarr", ids, 6)  # without CRS: the area is in pixels
    plain = SplitSegmentation(tmp_path / "plain.zarr")
    before = ClassMap(table(1, 1, 0, 2, 2, 0), Overrides(SHAPE), AS_IT_IS)
    after = ClassMap(table(1, 2, 0, 2, 0, 1), drawn(tmp_path, ("a", 300, 100, 690, 900, 5)), AS_IT_IS)
    found = count_changes(plain, before, after, {"type": "Polygon", "coordinates": [ring]})
    inside = np.zeros(SHAPE, bool)
    inside[:650, :600] = True
    inside &= ids != 65_535
    expected = np.zeros((256, 256))
    np.add.at(expected, (reference(ids, before)[inside], reference(ids, after)[inside]), 1)
    assert np.array_equal(found.pixels, expected)
    assert np.isnan(found.area_m2[expected > 0]).all()


def test_table_of_other_leaves_is_refused(store):
    good = ClassMap(table(1, 1, 0, 2, 2, 0), Overrides(SHAPE), AS_IT_IS)
    with pytest.raises(InvalidArgumentError, match="the table has 2 entries, and the segmentation 6 leaves"):
        count_changes(store, good, ClassMap(table(1, 1), Overrides(SHAPE), AS_IT_IS))
