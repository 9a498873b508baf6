"""Imagery tiles, compared with values that can be worked out by hand."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import rasterio
from asgiref.sync import sync_to_async
from django.test import AsyncClient
from PIL import Image
from pyproj import Transformer
from rasterio.transform import Affine, from_origin

from webapp.imagery import tile_render

pytestmark = pytest.mark.django_db(transaction=True)

WORLD = 2 * math.pi * 6378137.0
MERCATOR = "EPSG:3857"


def mercator_tile(z: int, x: int, y: int) -> Affine:
    """Pixel grid of a tile, in Web Mercator."""
    side = WORLD / 2**z
    return from_origin(x * side - WORLD / 2, WORLD / 2 - y * side, side / 256, side / 256)


def decode(response) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))


@pytest.fixture
def mercator_scene(make_scene):
    """A scene that fills tile 12/2200/1400, a pixel a pixel: red is the column, green the row."""
    rows, cols = np.mgrid[0:256, 0:256].astype(np.uint8)
    data = np.stack([cols, rows, np.full_like(rows, 200)])
    return make_scene(
        data, crs=MERCATOR, transform=mercator_tile(12, 2200, 1400), roles=("red", "green", "blue")
    )


async def test_tile_shows_each_pixel_where_it_lies(signed_in_async, mercator_scene):
    query = "stretch=0,255"
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/12/2200/1400.png?{query}")
    assert response.status_code == 200
    assert response["Content-Type"] == "image/png"
    image = decode(response)
    assert image.shape == (256, 256, 4)
    rows, cols = np.mgrid[0:256, 0:256]
    np.testing.assert_allclose(image[..., 0], cols, atol=1)
    np.testing.assert_allclose(image[..., 1], rows, atol=1)
    assert (image[..., 2] == 200).all()
    assert (image[..., 3] == 255).all()


async def test_tile_below_native_zoom_repeats_pixels(signed_in_async, mercator_scene):
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/15/17600/11200.png?stretch=0,255")
    image = decode(response)
    # Three levels further in, each pixel of the scene is 8 x 8 pixels of the tile.
    np.testing.assert_array_equal(image[..., 0], np.repeat(np.arange(32), 8)[None, :].repeat(256, axis=0))


async def test_tile_takes_bands_and_stretch(signed_in_async, mercator_scene):
    url = f"/tiles/{mercator_scene.pk}/12/2200/1400.png"
    swapped = decode(await signed_in_async.get(f"{url}?bands=3,2,1&stretch=0,255"))
    assert (swapped[..., 0] == 200).all()
    gray = decode(await signed_in_async.get(f"{url}?bands=3&stretch=100,300"))
    assert (gray[..., :3] == 128).all()  # (200 - 100) / 200 of 255, rounded to even


async def test_tile_default_stretch_is_the_scenes_percentiles(signed_in_async, mercator_scene):
    image = decode(await signed_in_async.get(f"/tiles/{mercator_scene.pk}/12/2200/1400.png"))
    low, high = mercator_scene.info["percentiles"][0]
    expected = np.rint((np.arange(256) - low) / (high - low) * 255).clip(0, 255)
    np.testing.assert_allclose(image[0, :, 0], expected, atol=1)


async def test_tile_index_is_the_normalized_difference(signed_in_async, make_scene_async):
    data = np.zeros((2, 256, 256), np.uint16)
    data[0], data[1] = 300, 100  # (300 - 100) / 400 = 0.5
    data[:, :, 128:] = 0  # 0 / 0: nothing to show
    scene = await make_scene_async(
        data, crs=MERCATOR, transform=mercator_tile(12, 2200, 1400), roles=("nir", "red")
    )
    image = decode(await signed_in_async.get(f"/tiles/{scene.pk}/12/2200/1400.png?index=ndvi&stretch=0,0.5"))
    np.testing.assert_array_equal(image[10, 10], [*tile_render.RAMPS["ndvi"][-1], 255])
    assert image[10, 200, 3] == 0


async def test_tile_leaves_nodata_clear(signed_in_async, make_scene_async):
    valid = np.ones((256, 256), bool)
    valid[:, :100] = False
    data = np.full((3, 256, 256), 90, np.uint8)
    scene = await make_scene_async(data, crs=MERCATOR, transform=mercator_tile(12, 2200, 1400), valid=valid)
    url = f"/tiles/{scene.pk}/12/2200/1400"
    for suffix in ("png", "webp"):
        image = decode(await signed_in_async.get(f"{url}.{suffix}"))
        assert (image[:, :99, 3] == 0).all()
        assert (image[:, 101:, 3] == 255).all()
    white = decode(await signed_in_async.get(f"{url}.jpg"))
    assert (white[:, :90, :3] > 245).all()


async def test_tile_leaves_nan_clear(signed_in_async, make_scene_async):
    data = np.ones((1, 256, 256), np.float32)
    data[0, :50] = np.nan
    scene = await make_scene_async(data, crs=MERCATOR, transform=mercator_tile(12, 2200, 1400))
    image = decode(await signed_in_async.get(f"/tiles/{scene.pk}/12/2200/1400.png"))
    assert (image[:49, :, 3] == 0).all()
    assert (image[52:, :, 3] == 255).all()


@pytest.mark.parametrize("rotation", [0, 30])
async def test_tile_of_a_projected_scene_agrees_with_pyproj(signed_in_async, make_scene_async, rotation):
    transform = Affine.translation(500_000, 5_200_000) * Affine.rotation(rotation) * Affine.scale(10, -10)
    data = np.full((1, 300, 300), 50, np.uint8)
    data[0, 140:160, 140:160] = 250  # a bright square in the middle
    bounds = rotated_bounds(transform, 300)
    scene = await make_scene_async(data, transform=transform)
    scene.info["bounds"] = bounds
    await scene.asave()
    lon, lat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(
        *(transform * (150, 150))
    )
    x, y = web_pixel(lon, lat, 14)
    response = await signed_in_async.get(
        f"/tiles/{scene.pk}/14/{int(x // 256)}/{int(y // 256)}.png?stretch=0,255"
    )
    image = decode(response)
    row, col = int(y % 256), int(x % 256)
    assert image[row, col, 0] == 250
    rows, cols = np.nonzero(image[..., 0] > 200)
    # At zoom 14 and 47 degrees north a pixel of the tile is 6.5 m, so the square's centre is known to a pixel.
    assert abs(rows.mean() - y % 256) < 1.5
    assert abs(cols.mean() - x % 256) < 1.5


def rotated_bounds(transform: Affine, size: int) -> list[float]:
    to_lonlat = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    corners = [
        to_lonlat.transform(*(transform * corner)) for corner in ((0, 0), (size, 0), (0, size), (size, size))
    ]
    lons, lats = zip(*corners, strict=True)
    return [min(lons), min(lats), max(lons), max(lats)]


def web_pixel(lon: float, lat: float, z: int) -> tuple[float, float]:
    x, y = Transformer.from_crs("EPSG:4326", MERCATOR, always_xy=True).transform(lon, lat)
    scale = 256 * 2**z / WORLD
    return (x + WORLD / 2) * scale, (WORLD / 2 - y) * scale


async def test_tiles_on_both_sides_of_the_antimeridian(signed_in_async, make_scene_async):
    # 100 to 500 km in zone 1, whose middle is 177 degrees west: about 176.9 to 183 degrees.
    scene = await make_scene_async(
        np.full((1, 200, 400), 77, np.uint8),
        crs="EPSG:32601",
        transform=from_origin(100_000, 6_000_000, 1000, 1000),
    )
    scene.info["bounds"] = [176.5, 52.0, 183.1, 54.3]
    await scene.asave()
    row = int(web_pixel(178, 53.2, 6)[1] // 256)
    for column in (63, 0):  # of zoom 6: the last before and the first after 180 degrees
        response = await signed_in_async.get(f"/tiles/{scene.pk}/6/{column}/{row}.png?stretch=0,154")
        image = decode(response)
        shown = image[image[..., 3] > 0]
        assert len(shown) > 1000
        assert (shown[:, 0] == 128).all()


async def test_tiles_without_crs_are_plain_windows(signed_in_async, make_scene_async):
    rows, cols = np.mgrid[0:600, 0:900]
    data = np.stack([cols % 251, rows % 251, (rows + cols) % 251]).astype(np.uint8)
    scene = await make_scene_async(data, crs=None)
    assert scene.info["max_zoom"] == 2
    image = decode(await signed_in_async.get(f"/tiles/{scene.pk}/2/1/1.png?bands=1,2,3&stretch=0,255"))
    np.testing.assert_array_equal(image[..., :3], data[:, 256:512, 256:512].transpose(1, 2, 0))
    edge = decode(await signed_in_async.get(f"/tiles/{scene.pk}/2/3/2.png?bands=1,2,3&stretch=0,255"))
    np.testing.assert_array_equal(edge[:88, :132, :3], data[:, 512:, 768:].transpose(1, 2, 0))
    assert (edge[88:, :, 3] == 0).all()
    assert (edge[:, 132:, 3] == 0).all()
    whole = decode(await signed_in_async.get(f"/tiles/{scene.pk}/0/0/0.png"))
    assert (whole[:150, :225, 3] == 255).all()
    assert (whole[150:, :, 3] == 0).all()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/avif,image/webp,image/png,*/*;q=0.8", "image/jpeg"),
        ("image/webp,image/png", "image/webp"),
        ("*/*", "image/png"),
        ("", "image/png"),
        ("image/jpeg", "image/jpeg"),
    ],
)
async def test_tile_format_follows_accept(signed_in_async, mercator_scene, accept, kind):
    response = await signed_in_async.get(
        f"/tiles/{mercator_scene.pk}/12/2200/1400", headers={"accept": accept}
    )
    assert response["Content-Type"] == kind
    assert "Accept" in response["Vary"]
    assert decode(response).shape == (256, 256, 4)


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("jpg", "JPEG"), ("jpeg", "JPEG")]
)
async def test_tile_format_follows_suffix(signed_in_async, mercator_scene, suffix, kind):
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/12/2200/1400.{suffix}")
    assert Image.open(io.BytesIO(response.content)).format == kind


async def test_tile_is_kept_for_good_and_known_by_its_etag(signed_in_async, mercator_scene):
    url = f"/tiles/{mercator_scene.pk}/12/2200/1400.png"
    first = await signed_in_async.get(url)
    assert first["Cache-Control"] == "private, max-age=31536000, immutable"
    again = await signed_in_async.get(url, headers={"if-none-match": first["ETag"]})
    assert again.status_code == 304
    assert again.content == b""
    other = await signed_in_async.get(f"{url}?bands=1", headers={"if-none-match": first["ETag"]})
    assert other.status_code == 200
    assert other["ETag"] != first["ETag"]


@pytest.mark.parametrize("path", ["12/2201/1400", "12/0/0", "3/7/7", "2/9/0", "5/0/99"])
async def test_tile_outside_is_empty(signed_in_async, mercator_scene, path):
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/{path}.png")
    assert response.status_code == 204
    assert response.content == b""


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("12/2200/1400.gif", "Tiles come as .png, .webp or .jpg"),
        ("12/2200/1400.png?bands=9", "asks for band 9"),
        ("12/2200/1400.png?stretch=2,1", "stretch must be"),
        ("12/2200/1400.png?index=ndvi", "NDVI needs the nir band"),
        ("40/0/0.png", "zoom levels 0 to 26, not 40"),
    ],
)
async def test_bad_tile_requests_get_a_sentence(signed_in_async, mercator_scene, path, sentence):
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/{path}")
    assert response.status_code == 400
    assert sentence in response.json()["detail"]


async def test_zoom_beyond_a_scene_without_crs_gets_a_sentence(signed_in_async, make_scene_async):
    scene = await make_scene_async(crs=None)
    response = await signed_in_async.get(f"/tiles/{scene.pk}/3/0/0.png")
    assert response.status_code == 400
    assert "zoom levels 0 to 0, not 3" in response.json()["detail"]


async def test_tiles_of_others_do_not_exist(make_scene_async, stranger):
    scene = await make_scene_async()
    client = AsyncClient()
    await client.aforce_login(stranger)
    response = await client.get(f"/tiles/{scene.pk}/0/0/0.png")
    assert response.status_code == 404
    assert (await AsyncClient().get(f"/tiles/{scene.pk}/0/0/0.png")).status_code == 401


async def test_tile_of_a_lost_image_says_so(signed_in_async, make_scene_async):
    scene = await make_scene_async()
    scene.cog_path.unlink()
    response = await signed_in_async.get(f"/tiles/{scene.pk}/0/0/0.png")
    assert response.status_code == 404
    assert "import it again" in response.json()["detail"]


async def test_tile_of_a_damaged_image_says_so(signed_in_async, mercator_scene, caplog):
    mercator_scene.cog_path.write_bytes(b"no tiff")
    response = await signed_in_async.get(f"/tiles/{mercator_scene.pk}/12/2200/1400.png")
    assert response.status_code == 500
    assert response.json()["detail"] == "The image of this scene cannot be read; import it again."
    assert "tile 12/2200/1400" in caplog.text


async def test_tile_takes_only_reads(signed_in_async, mercator_scene):
    assert (await signed_in_async.post(f"/tiles/{mercator_scene.pk}/12/2200/1400.png")).status_code == 405


def test_forget_closes_readers(make_scene):
    scene = make_scene(crs=None)
    readers = tile_render._Readers()
    with readers.lend(scene.cog_path) as lent:
        dataset = lent.dataset
        readers.forget(scene.cog_path)
        assert not dataset.closed  # somebody is reading
    assert dataset.closed
    with readers.lend(scene.cog_path) as lent:
        idle = lent.dataset
    assert not idle.closed
    with readers.lend(scene.cog_path) as lent:
        assert lent.dataset is idle  # used again
    readers.forget(scene.cog_path)
    assert idle.closed


def test_readers_drop_one_that_failed(make_scene):
    readers = tile_render._Readers()
    scene = make_scene(crs=None)
    seen = []
    with pytest.raises(rasterio.errors.RasterioError), readers.lend(scene.cog_path) as lent:
        raise seen.append(lent.dataset) or rasterio.errors.RasterioIOError("read failed")
    assert seen[0].closed
    assert readers._lent == {}


@pytest.fixture
def signed_in_async(user) -> AsyncClient:
    client = AsyncClient()
    client.force_login(user)
    return client


@pytest.fixture
def make_scene_async(make_scene):
    return sync_to_async(make_scene)
