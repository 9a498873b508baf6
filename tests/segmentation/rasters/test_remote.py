"""Images by URL: from a web server and an S3 server of this machine, pinned, cached, and refused with sentences."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import obstore
import pytest

from segmentation import segment
from segmentation.errors import ChangedSceneError, UnreadableSceneError
from segmentation.rasters.access import Access
from segmentation.rasters.ranges import CHUNK, RangeCache
from segmentation.rasters.remote import Pin, open_remote
from segmentation.rasters.scene import open_scene
from segmentation.testing import synthetic_scene, write_scene
from tests import s3_server
from tests.web_server import Web, running_web

LOCAL = Access(hosts=("127.0.0.1",))


@pytest.fixture
def web() -> Iterator[Web]:
    with running_web() as server:
        yield server


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return synthetic_scene(1100, 700, 3, dtype="uint8")[0]


@pytest.fixture(scope="module")
def image(pixels, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "scene.tif"
    write_scene(path, pixels, tiled=True, blockxsize=256, blockysize=256, compress="deflate")
    return path


def open_at(web: Web, path: str, **options):
    return open_remote(f"{web.url}/{path}", LOCAL, cache=RangeCache(), **options)


def test_window_over_http_is_the_one_of_the_file(web, image, pixels):
    web.files["scene.tif"] = image.read_bytes()
    with open_scene(open_at(web, "plain/scene.tif")) as remote, open_scene(image) as local:
        read, valid = remote.read(200, 300, 400, 350)
        assert valid.all()
        np.testing.assert_array_equal(read, pixels[:, 200:600, 300:650])
        assert (remote.crs, remote.transform, remote.gsd_m) == (local.crs, local.transform, local.gsd_m)
        assert remote.path.name == "scene.tif"


def test_only_what_is_read_is_fetched_and_that_once(web, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 2048, 2048), dtype=np.uint8)
    write_scene(tmp_path / "noise.tif", noise, tiled=True, blockxsize=256, blockysize=256)
    web.files["noise.tif"] = (tmp_path / "noise.tif").read_bytes()
    with open_scene(open_at(web, "plain/noise.tif")) as scene:
        for _ in range(3):
            scene.read(0, 0, 512, 512)
    fetched = sum(end - start for start, end in web.asked)
    assert fetched < len(web.files["noise.tif"]) / 3
    chunks = [index for start, end in web.asked for index in range(start // CHUNK, -(-end // CHUNK))]
    assert len(chunks) == len(set(chunks))


def test_connection_is_used_again(web, image):
    web.files["scene.tif"] = image.read_bytes()
    with open_scene(open_at(web, "plain/scene.tif")) as scene:
        for row in range(0, 1100, 100):
            scene.read(row, 0, 100, 700)
    assert len(web.asked) > 1
    assert web.connections == 1


def test_threads_that_come_and_go_share_the_image(web, image, pixels):
    web.files["scene.tif"] = image.read_bytes()
    failed: list[BaseException] = []

    def work(scene, seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(12):
                row, col = chance.randrange(900), chance.randrange(500)
                read, _ = scene.read(row, col, 200, 200)
                np.testing.assert_array_equal(read, pixels[:, row : row + 200, col : col + 200])
        except BaseException as error:
            failed.append(error)

    with open_scene(open_at(web, "plain/scene.tif")) as scene:
        for turn in range(4):
            threads = [threading.Thread(target=work, args=(scene, 10 * turn + n)) for n in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            gc.collect()
    assert failed == []


def test_segmentation_of_a_url_is_that_of_the_file(web, image, tmp_path):
    web.files["scene.tif"] = image.read_bytes()
    options = {"mode": "fast", "n_leaves": 64, "threads": 2}
    remote = segment(open_at(web, "plain/scene.tif"), tmp_path / "remote", **options)
    local = segment(image, tmp_path / "local", **options)
    assert remote.image == f"{web.url}/plain/scene.tif"
    assert {p.name: p.read_bytes() for p in (tmp_path / "remote/leaves").rglob("*") if p.is_file()} == {
        p.name: p.read_bytes() for p in (tmp_path / "local/leaves").rglob("*") if p.is_file()
    }
    np.testing.assert_array_equal(remote.leaves[:], local.leaves[:])
    np.testing.assert_array_equal(remote.table("statistics/sums"), local.table("statistics/sums"))


def test_image_on_s3_is_read_by_ranges(s3, image, pixels):
    obstore.put(s3_server.client(), "images/scene.tif", image.read_bytes())
    access = Access(buckets=("s3://scenes/images",))
    with open_scene(open_remote("s3://scenes/images/scene.tif", access)) as scene:
        np.testing.assert_array_equal(scene.read(0, 0, 100, 100)[0], pixels[:, :100, :100])


def test_image_that_changed_while_it_is_read_is_told(web, image):
    web.files["scene.tif"] = image.read_bytes()
    with open_scene(open_at(web, "plain/scene.tif")) as scene:
        changed = bytearray(web.files["scene.tif"])
        changed[-1] ^= 1
        web.files["scene.tif"] = bytes(changed)
        with pytest.raises(ChangedSceneError, match="has changed since it was added"):
            scene.read(0, 0, 1100, 700)


def test_image_on_s3_that_changed_is_told(s3, image):
    bucket = s3_server.client()
    obstore.put(bucket, "changing.tif", image.read_bytes())
    with open_scene(open_remote("s3://scenes/changing.tif", cache=RangeCache())) as scene:
        obstore.put(bucket, "changing.tif", image.read_bytes()[:-1] + b"x")
        with pytest.raises(ChangedSceneError, match="has changed"):
            scene.read(600, 300, 400, 400)


def test_other_version_than_the_pinned_one_is_refused(web, image):
    web.files["scene.tif"] = image.read_bytes()
    pin = open_at(web, "plain/scene.tif").pin
    assert open_at(web, "plain/scene.tif", pin=pin).pin == pin
    for other in (Pin(pin.size + 1, pin.etag), Pin(pin.size, '"other"')):
        with pytest.raises(ChangedSceneError, match="Add it as a new scene"):
            open_at(web, "plain/scene.tif", pin=other)


def test_server_without_tags_is_held_to_the_size(web, image):
    web.files["scene.tif"] = image.read_bytes()
    with open_scene(open_at(web, "tagless/scene.tif")) as scene:
        web.files["scene.tif"] += b"more"
        with pytest.raises(ChangedSceneError):
            scene.read(0, 0, 1100, 700)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("plain/none.tif", "There is no file at http://127.0.0.1:.*none.tif; check the address"),
        ("secret/scene.tif", "Access to .* is refused; make the file public"),
        ("moved/scene.tif", "it leads on to another address, which is not followed"),
        ("whole/scene.tif", "its server sends files only as a whole"),
        ("sizeless/scene.tif", "its server does not tell the file's size"),
        ("plain/empty.tif", '"empty.tif" is empty'),
    ],
)
def test_what_a_server_answers_becomes_a_sentence(web, image, path, sentence):
    web.files["scene.tif"] = image.read_bytes()
    web.files["empty.tif"] = b""
    with pytest.raises(UnreadableSceneError, match=sentence):
        open_at(web, path)


def test_server_that_fails_is_told(web, monkeypatch):
    monkeypatch.setattr("segmentation.rasters.remote._RETRIES", False)
    with pytest.raises(UnreadableSceneError, match=r"its server answered with an error \(500\)"):
        open_at(web, "broken/scene.tif")


def test_server_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("segmentation.rasters.remote._RETRIES", False)
    with pytest.raises(UnreadableSceneError, match="cannot be read: its server does not answer"):
        open_remote("http://127.0.0.1:9/scene.tif", LOCAL)


def test_answer_that_ends_early_is_told(web, image, monkeypatch):
    web.files["scene.tif"] = image.read_bytes()
    with (
        open_scene(open_at(web, "short/scene.tif")) as scene,
        pytest.raises(UnreadableSceneError, match="ended the answer early"),
    ):
        scene.read(0, 0, 1100, 700)


def test_what_is_no_image_is_told_by_its_name(web):
    web.files["page.html"] = b"<html>nothing to see</html>"
    with pytest.raises(UnreadableSceneError, match=r'"page.html" is not an image that can be opened here'):
        open_scene(open_at(web, "plain/page.html"))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3://scenes/none.tif", "There is no file at s3"),
        ("s3://no-bucket-here/a.tif", "s3://no-bucket-here/a.tif"),
    ],
)
def test_what_is_not_on_s3_is_told(s3, url, error):
    with pytest.raises(UnreadableSceneError, match=error):
        open_remote(url)


def test_download_copies_the_pinned_version(web, image, tmp_path):
    web.files["scene.tif"] = image.read_bytes()
    told: list[int] = []
    open_at(web, "plain/scene.tif").download(tmp_path / "copy.tif", told.append)
    assert (tmp_path / "copy.tif").read_bytes() == image.read_bytes()
    assert told[-1] == image.stat().st_size


def test_cache_gives_back_what_was_put_and_stays_within_its_bound():
    cache = RangeCache(4 * CHUNK)
    for number in range(10):
        cache.put(number, bytes([number]) * (CHUNK - number))
        cache.get(0)  # in use: it stays
    assert cache.get(0) == bytes(CHUNK)
    held = [number for number in range(10) if cache.get(number) is not None]
    assert held == [0, 7, 8, 9]
    assert cache.get(9) == b"\x09" * (CHUNK - 9)


def test_cache_on_a_full_disk_keeps_less(monkeypatch):
    cache = RangeCache(4 * CHUNK)
    cache.put(1, b"one")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    cache.put(2, b"two")
    monkeypatch.undo()
    cache.put(3, b"three")
    assert [cache.get(key) for key in (1, 2, 3)] == [None, None, b"three"]
