"""Imagery tiles beside GDAL's own warper, which shares no code with ours, on the same images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.warp import reproject

from segmentation.rasters.image_blocks import ImageBlocks, ImageFile
from segmentation.rasters.tiles import TILE_PX, read_map_tile, read_plain_tile

WORLD = 2 * math.pi * 6378137.0
PLACES = {
    "utm": ("EPSG:32633", from_origin(500_000, 5_200_000, 10, 10)),
    "rotated": (
        "EPSG:32633",
        Affine.translation(500_000, 5_200_000) * Affine.rotation(25) * Affine.scale(10, -10),
    ),
    "oblong": ("EPSG:32633", from_origin(500_000, 5_200_000, 10, 17)),
    "laea": ("EPSG:3035", from_origin(4_000_000, 3_000_000, 25, 25)),
    "south": ("EPSG:32733", from_origin(300_000, 7_000_000, 5, 5)),
    "degrees": ("EPSG:4326", from_origin(13.0, 47.0, 0.0002, 0.0002)),
    "mercator": ("EPSG:3857", from_origin(1_500_000, 6_000_000, 20, 20)),
    "polar": ("EPSG:3413", from_origin(-200_000, -2_000_000, 100, 100)),
}


def smooth(bands: int, height: int, width: int, top: float) -> np.ndarray:
    """Waves of about a hundred pixels: what one resampling makes of them hardly differs from what another makes."""
    rows, cols = np.mgrid[0:height, 0:width]
    waves = [np.sin(cols / (17 + 3 * band)) * np.cos(rows / (23 + band)) for band in range(bands)]
    return (0.5 + 0.45 * np.stack(waves)) * top


def write(path, data, *, crs=None, transform=None, valid=None, nodata=None, block=128, factors=(2, 4)):
    layout = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate"}
    place = {"crs": crs, "transform": transform} if crs else {}
    bands, height, width = data.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=data.dtype, nodata=nodata,
        **layout, **place,
    ) as file:  # fmt: skip
        file.write(data)
        if valid is not None:
            file.write_mask(valid)
        if factors:
            file.build_overviews(list(factors), Resampling.average)
    return ImageFile(path)


def tile_over(
    crs: str, transform: Affine, height: int, width: int, zooms_out: int = 0
) -> tuple[int, int, int]:
    """The tile over the image's middle whose pixels are at least as small as the image's own, or so many zooms out."""
    to_map = Transformer.from_crs(crs, "EPSG:3857", always_xy=True)
    (x, east, below), (y, east_y, below_y) = to_map.transform(
        *zip(
            *[transform * (width / 2 + dx, height / 2 + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))],
            strict=True,
        )
    )
    pixel = min(math.hypot(east - x, east_y - y), math.hypot(below - x, below_y - y))
    z = math.ceil(math.log2(WORLD / TILE_PX / pixel)) - zooms_out
    side = WORLD / 2**z
    return z, int((x + WORLD / 2) // side), int((WORLD / 2 - y) // side)


def map_grid(z: int, x: int, y: int) -> Affine:
    side = WORLD / 2**z
    return from_origin(x * side - WORLD / 2, WORLD / 2 - y * side, side / TILE_PX, side / TILE_PX)


def by_gdal(data, crs, transform, tile, method=Resampling.bilinear):
    """Values and where GDAL finds any: it is told to warp without its usual approximations."""
    out = np.zeros((len(data), TILE_PX, TILE_PX), np.float64)
    grid = {
        "dst_transform": map_grid(*tile),
        "dst_crs": "EPSG:3857",
        "src_crs": crs,
        "src_transform": transform,
    }
    reproject(data.astype(np.float64), out, resampling=method, tolerance=0, **grid)
    there = np.zeros((TILE_PX, TILE_PX), np.uint8)
    inside = np.ones(data.shape[1:], np.uint8)
    reproject(inside, there, resampling=Resampling.nearest, tolerance=0, **grid)
    return out, there > 0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("dtype", "top", "bands"), [("uint8", 250, 3), ("uint16", 9000, 1), ("float32", 1, 2)]
)
def test_tile_at_full_resolution_is_what_gdal_gives(tmp_path, place, dtype, top, bands):
    crs, transform = PLACES[place]
    data = smooth(bands, 600, 700, top).astype(dtype)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=transform)
    tile = tile_over(crs, transform, 600, 700)
    values, valid = read_map_tile(ImageBlocks(10**8), image, *tile, range(1, bands + 1), smooth=True)
    expected, there = by_gdal(data, crs, transform, tile)
    assert values.dtype == np.dtype(dtype)
    assert there.any()
    np.testing.assert_array_equal(valid, there)
    # A tenth of a pixel along the steepest wave, and rounding.
    error = np.abs(values - expected)[:, there]
    assert error.max() <= top * 0.45 / 17 * 0.15 + (1 if dtype != "float32" else 0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("zooms_out", [1, 2, 3])
def test_reduced_tile_is_close_to_gdals_own_reduction(tmp_path, place, zooms_out):
    crs, transform = PLACES[place]
    data = smooth(3, 900, 1000, 250).astype(np.uint8)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=transform, factors=(2, 4, 8))
    tile = tile_over(crs, transform, 900, 1000, zooms_out)
    values, valid = read_map_tile(ImageBlocks(10**8), image, *tile, (1, 2, 3), smooth=True)
    expected, there = by_gdal(data, crs, transform, tile)
    edge = valid != there
    assert edge.mean() < 0.005  # within a pixel of the image's edge
    error = np.abs(values.astype(float) - expected)[:, valid & there]
    assert error.mean() < 2  # of 250
    assert np.percentile(error, 99) < 12


def test_enlarged_tile_shows_pixels_as_they_are(tmp_path):
    crs, transform = PLACES["utm"]
    data = np.random.default_rng(0).integers(1, 255, (2, 300, 300)).astype(np.uint8)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=transform)
    z, x, y = tile_over(crs, transform, 300, 300)
    tile = (z + 2, 4 * x + 1, 4 * y + 1)
    values, valid = read_map_tile(ImageBlocks(10**8), image, *tile, (1, 2), smooth=False)
    expected, there = by_gdal(data, crs, transform, tile, Resampling.nearest)
    np.testing.assert_array_equal(valid, there)
    same = (values == expected)[:, there]
    assert same.mean() > 0.99  # at borders of pixels, a hundredth of a pixel decides


@pytest.mark.parametrize("kind", ["mask", "nodata", "nan"])
def test_pixels_without_data_take_no_part(tmp_path, kind):
    crs, transform = PLACES["mercator"]
    valid = np.ones((400, 400), bool)
    valid[150:, 230:] = False
    data = np.full((1, 400, 400), 100, np.float32 if kind == "nan" else np.uint16)
    data[0][~valid] = {"mask": 60_000, "nodata": 7, "nan": np.nan}[kind]
    image = write(
        tmp_path / "a.tif",
        data,
        crs=crs,
        transform=transform,
        valid=valid if kind == "mask" else None,
        nodata=7 if kind == "nodata" else None,
    )
    blocks = ImageBlocks(10**8)
    for zooms_out in (0, 1):
        tile = tile_over(crs, transform, 400, 400, zooms_out)
        values, shown = read_map_tile(blocks, image, *tile, (1,), smooth=True)
        grid = ~transform * map_grid(*tile)
        cols, rows = grid * np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
        inside = (cols >= 0) & (cols < 400) & (rows >= 0) & (rows < 400)
        hole = (cols >= 230) & (rows >= 150)
        near = (np.abs(cols - 230) < 4) | (np.abs(rows - 150) < 4)  # an overview's pixel may be partly valid
        np.testing.assert_array_equal(shown[~near], (inside & ~hole)[~near])
        assert (values[0][shown] == 100).all()
        assert (values[0][~shown] == 0).all()


def test_neighboring_tiles_join_without_a_seam(tmp_path):
    crs, transform = PLACES["laea"]
    data = smooth(1, 900, 900, 60_000).astype(np.uint16)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=transform)
    blocks = ImageBlocks(10**8)
    z, x, y = tile_over(crs, transform, 900, 900)
    left, right = (read_map_tile(blocks, image, z, x + dx, y, (1,), smooth=True)[0][0] for dx in (0, 1))
    step = np.abs(right[:, 0].astype(int) - left[:, -1])
    within = np.abs(np.diff(left.astype(int), axis=1)).max()
    assert step.max() <= within * 1.2


def test_block_size_changes_no_pixel(tmp_path):
    crs, transform = PLACES["rotated"]
    data = np.random.default_rng(1).integers(0, 60_000, (3, 500, 530)).astype(np.uint16)
    tile = tile_over(crs, transform, 500, 530)
    first, second = (
        read_map_tile(
            ImageBlocks(10**8),
            write(tmp_path / f"{block}.tif", data, crs=crs, transform=transform, block=block),
            *tile,
            (3, 1, 2),
            smooth=True,
        )
        for block in (64, 512)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32601", "EPSG:3832"])
def test_tiles_on_both_sides_of_the_antimeridian(tmp_path, crs):
    to_crs = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_crs.transform(179.0, 53.0)
    pixel = 0.01 if crs == "EPSG:4326" else 1000
    data = np.full((1, 200, 300), 77, np.uint8)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=from_origin(x, y, pixel, pixel))
    blocks = ImageBlocks(10**8)
    row = int((1 - math.asinh(math.tan(math.radians(52.2))) / math.pi) / 2 * 2**6)
    for column in (63, 0):  # the last before and the first after 180 degrees
        values, valid = read_map_tile(blocks, image, 6, column, row, (1,), smooth=True)
        assert valid.sum() > 500
        assert (values[0][valid] == 77).all()


@pytest.mark.parametrize("tile", [(0, 0, 0), (1, 1, 0), (2, 2, 1)])
def test_low_zooms_show_the_image_small(tmp_path, tile):
    crs, transform = PLACES["utm"]
    wide = transform * Affine.scale(300)  # 3 km pixels: some 1,200 km
    image = write(tmp_path / "a.tif", np.full((1, 400, 200), 9, np.uint8), crs=crs, transform=wide)
    values, valid = read_map_tile(ImageBlocks(10**8), image, *tile, (1,), smooth=True)
    _, there = by_gdal(np.full((1, 400, 200), 9, np.uint8), crs, wide, tile)
    assert np.abs(valid.sum() - there.sum()) <= 0.05 * there.sum() + 4
    assert (values[0][valid] == 9).all()


def test_tile_beside_the_image_reads_nothing(tmp_path, monkeypatch):
    crs, transform = PLACES["rotated"]
    image = write(tmp_path / "a.tif", np.ones((1, 300, 300), np.uint8), crs=crs, transform=transform)
    blocks = ImageBlocks(10**8)
    blocks.pyramid(image)
    monkeypatch.setattr(ImageBlocks, "read", lambda *_: pytest.fail("something was read"))
    z, x, y = tile_over(crs, transform, 300, 300)
    assert read_map_tile(blocks, image, z, x + 40, y, (1,), smooth=True) is None
    assert read_map_tile(blocks, image, z, 0, 0, (1,), smooth=True) is None


def test_tile_without_any_data_is_none(tmp_path):
    crs, transform = PLACES["utm"]
    data = np.ones((1, 300, 300), np.uint8)
    image = write(tmp_path / "a.tif", data, crs=crs, transform=transform, valid=np.zeros((300, 300), bool))
    tile = tile_over(crs, transform, 300, 300)
    assert read_map_tile(ImageBlocks(10**8), image, *tile, (1,), smooth=True) is None


def test_image_without_crs_has_no_map_tile(tmp_path):
    image = write(tmp_path / "a.tif", np.ones((1, 300, 300), np.uint8))
    with pytest.raises(ValueError, match="no CRS"):
        read_map_tile(ImageBlocks(10**8), image, 0, 0, 0, (1,), smooth=True)


@pytest.mark.parametrize("halvings", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("factors", [(), (2, 4)])
def test_plain_tile_is_the_mean_of_its_pixels(tmp_path, halvings, factors):
    data = smooth(2, 512, 640, 250).astype(np.float32)
    valid = np.ones((512, 640), bool)
    valid[:64, :32] = False
    image = write(tmp_path / "a.tif", data, valid=valid, factors=factors)
    values, shown = read_plain_tile(ImageBlocks(10**8), image, halvings, 0, 0, (2, 1))
    side = 1 << halvings
    height, width = min(256, 512 // side), min(256, 640 // side)
    used = data[:, : height * side, : width * side]
    means = used.reshape(2, height, side, width, side).mean(axis=(2, 4))[::-1]
    expected = np.zeros((256, 256), bool)
    expected[:height, :width] = True
    expected[: 64 // side, : 32 // side] = False
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_allclose(values[:, expected], means[:, expected[:height, :width]], atol=0.01)
    assert (values[:, ~expected] == 0).all()


def test_plain_tile_at_the_edge_and_beyond(tmp_path):
    data = np.random.default_rng(2).integers(0, 255, (1, 300, 301)).astype(np.uint8)
    image = write(tmp_path / "a.tif", data)
    blocks = ImageBlocks(10**8)
    values, shown = read_plain_tile(blocks, image, 0, 1, 1, (1,))
    np.testing.assert_array_equal(values[0, :44, :45], data[0, 256:, 256:])
    assert shown.sum() == 44 * 45
    assert read_plain_tile(blocks, image, 0, 2, 0, (1,)) is None
    _, halved = read_plain_tile(blocks, image, 1, 0, 0, (1,))
    assert halved.sum() == 150 * 151  # of an odd width the last pixel stands for one column
