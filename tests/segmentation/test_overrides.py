"""Layers that were drawn by hand: what shows, in every reading of it, and how much of it there is."""

from __future__ import annotations

import numpy as np
import pytest

from segmentation import masks
from segmentation import overrides as module
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.overrides import (
    ERASED,
    Counts,
    Layer,
    Overrides,
    count_overrides,
    covered_pixels,
    layer_blocks,
    polygon_blocks,
    sampled_pixels,
    write_layer,
)
from segmentation.pyramid import NODATA_LEAF, reduce_once
from segmentation.rasters.windows import BLOCK
from segmentation.split_store import SplitSegmentation
from tests.webapp.scenario import stripes, write_store

HEIGHT, WIDTH = SHAPE = (1301, 1100)


def rectangle(top, left, bottom, right):
    return [[[[top, left], [top, right], [bottom, right], [bottom, left]]]]


# Rectangles, each with its value: over one another, over blocks' edges, one of them erasing.
DRAWN = [
    ((100, 100, 900, 700), 3),
    ((400, 300, 600, 1100), 7),
    ((450, 350, 550, 900), ERASED),
    ((500, 500, 520, 530), 250),
]


@pytest.fixture
def layers(tmp_path):
    made = []
    for index, (box, value) in enumerate(DRAWN):
        path = tmp_path / f"{index}.mask"
        info = write_layer(path, polygon_blocks(rectangle(*box), SHAPE))
        assert info.bounds == box
        assert info.pixel == box[:2]
        assert info.pixels == (box[2] - box[0]) * (box[3] - box[1])
        assert info.blocks == layer_blocks(path)
        made.append(Layer(path, value))
    return made


def reference(drawn=DRAWN):
    values = np.zeros(SHAPE, np.uint8)
    for (top, left, bottom, right), value in drawn:
        values[top:bottom, left:right] = value
    return values


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(module, "_kept", module._Kept(64 * 2**20))


def test_later_layers_lie_over_earlier_ones(layers):
    assert (Overrides(SHAPE, layers).read(0, 0, *SHAPE) == reference()).all()


def test_without_a_layer_what_lay_below_shows_again(layers):
    for gone in range(len(layers)):
        rest = [index for index in range(len(layers)) if index != gone]
        found = Overrides(SHAPE, [layers[index] for index in rest]).read(0, 0, *SHAPE)
        assert (found == reference([DRAWN[index] for index in rest])).all()


def test_one_more_layer_gives_what_all_of_them_give(layers, monkeypatch):
    grown = [Overrides(SHAPE, layers[:n]).read(0, 0, *SHAPE).copy() for n in range(len(layers) + 1)]
    for n, values in enumerate(grown):
        monkeypatch.setattr(module, "_kept", module._Kept(0))  # from the beginning each time
        assert (Overrides(SHAPE, layers[:n]).read(0, 0, *SHAPE) == values).all()


def test_covered_layers_are_not_read(layers, tmp_path):
    whole = tmp_path / "whole.mask"
    write_layer(whole, polygon_blocks(rectangle(0, 0, BLOCK, BLOCK), SHAPE))
    stack = Overrides(SHAPE, [layers[0], Layer(whole, 9)])
    assert layer_blocks(layers[0].path)  # known from before
    layers[0].path.unlink()
    assert (stack.block(0, 0) == 9).all()
    with pytest.raises(StoreError, match="drawn by hand cannot be read"):
        stack.block(1, 0)


def test_windows_join_without_a_seam(layers):
    overrides = Overrides(SHAPE, layers)
    whole = reference()
    for row, col, height, width in [
        (0, 0, 1, WIDTH),
        (399, 290, 250, 600),
        (511, 511, 2, 2),
        (1300, 1099, 1, 1),
    ]:
        window = overrides.read(row, col, height, width)
        assert (window == whole[row : row + height, col : col + width]).all()


@pytest.mark.parametrize("size", [1, 2, 511, 512, 513, 1100, 1301])
def test_texels_are_of_the_pixels_that_the_pyramid_keeps(size):
    pixels = np.arange(size)[:, None]
    for level in range(5):
        assert sampled_pixels(size, level).tolist() == pixels[:, 0].tolist()
        pixels = reduce_once(np.repeat(pixels, 2, axis=1), level)[:, :1]


def test_overviews_go_with_those_of_the_leaves(layers):
    level = reference()
    for number in range(1, 3):
        level = reduce_once(level, number - 1)
        rows, cols = (-(-size // BLOCK) for size in level.shape)
        for row in range(rows):
            for col in range(cols):
                texels = Overrides(SHAPE, layers).texels(number, row, col)
                part = level[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
                assert (texels[: part.shape[0], : part.shape[1]] == part).all()
                assert not texels[part.shape[0] :].any()


def test_a_block_beyond_the_scene_is_refused(layers):
    with pytest.raises(InvalidArgumentError, match="There is no block 3, 0 at level 0"):
        Overrides(SHAPE, layers).texels(0, 3, 0)


def test_a_shape_without_a_pixel_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InvalidArgumentError, match="the center of no pixel"):
        write_layer(tmp_path / "none.mask", polygon_blocks(rectangle(10.6, 10.6, 10.9, 10.9), SHAPE))
    assert list(tmp_path.glob("**/*.mask*")) == []


def test_a_shape_over_too_many_blocks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "MAX_BLOCKS", 3)
    with pytest.raises(
        InvalidArgumentError, match="more than 3 blocks of 512 x 512 pixels; draw it in parts"
    ):
        write_layer(tmp_path / "large.mask", polygon_blocks(rectangle(0, 0, *SHAPE), SHAPE))
    assert list(tmp_path.glob("**/*.mask*")) == []


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
@pytest.mark.parametrize("aoi", [None, [[200, 200], [700, 200], [700, 800], [200, 800], [200, 200]]])
def test_counts_are_those_of_the_pixels(layers, tmp_path, crs, aoi):
    if aoi is not None and crs is not None:
        aoi = None  # the area in longitude and latitude is tested with the georeference
    ids = stripes(*SHAPE, 8).copy()
    ids[450:480] = NODATA_LEAF
    write_store(tmp_path / "store.zarr", ids, 8, crs=crs)
    store = SplitSegmentation(tmp_path / "store.zarr")
    area = None if aoi is None else {"type": "Polygon", "coordinates": [aoi]}
    overrides = Overrides(SHAPE, layers)
    counts = Counts.joined([count_overrides(store, overrides, *block, area) for block in overrides.blocks])
    values, held = reference(), ids != NODATA_LEAF
    if aoi is not None:
        held[:200] = held[800:] = held[:, :200] = held[:, 700:] = False
    expected = {}
    sizes = store.georeference.pixel_areas_m2(0, 0, *SHAPE)
    for value in (3, 7, 250):
        for leaf in range(8):
            here = (values == value) & (ids == leaf) & held
            if here.any():
                expected[value, leaf] = (int(here.sum()), None if sizes is None else sizes[here].sum())
    found = zip(counts.values.tolist(), counts.leaves.tolist(), strict=True)
    assert list(found) == list(expected)
    assert counts.pixels.tolist() == [pixels for pixels, _ in expected.values()]
    if crs is None:
        assert np.isnan(counts.area_m2).all()
    else:
        assert counts.area_m2 == pytest.approx([area for _, area in expected.values()])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:5], lambda data: b"X" + data[1:], lambda data: data[:-20]]
)
def test_a_damaged_mask_is_told(tmp_path, damage):
    path = tmp_path / "one.mask"
    write_layer(path, polygon_blocks(rectangle(100, 100, 900, 700), SHAPE))
    path.write_bytes(damage(path.read_bytes()))
    masks._index.cache_clear()
    with pytest.raises(StoreError, match="drawn by hand cannot be read"):
        Overrides(SHAPE, [Layer(path, 1)]).read(0, 0, *SHAPE)


def test_whole_blocks_take_no_room(tmp_path):
    path = tmp_path / "whole.mask"
    info = write_layer(path, polygon_blocks(rectangle(0, 0, 2 * BLOCK, 2 * BLOCK), SHAPE))
    assert info.blocks == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert path.stat().st_size < 100
    assert (Overrides(SHAPE, [Layer(path, 5)]).block(1, 1) == 5).all()


def test_pixels_under_others_are_counted_once(layers):
    own, *above = [layer.path for layer in layers]
    values = np.zeros(SHAPE, int)
    for index, ((top, left, bottom, right), _) in enumerate(DRAWN[1:][::-1]):
        values[top:bottom, left:right] = len(DRAWN) - 1 - index
    (top, left, bottom, right), _ = DRAWN[0]
    inside = values[top:bottom, left:right]
    assert covered_pixels(own, above) == [int((inside == number).sum()) for number in (1, 2, 3)]
    assert covered_pixels(own, []) == []
