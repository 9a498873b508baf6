"""Stores in object storage: the same bytes as on disk, on an S3 server and in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obstore
import pytest

from segmentation import Click, open_segmentation
from segmentation import segment as segment_scene
from segmentation.class_maps import table_of_clicks, write_maps
from segmentation.errors import CancelledError, InvalidArgumentError, StoreError
from segmentation.legend import Legend
from segmentation.objects import (
    ObjectPath,
    bucket_of,
    forget_buckets,
    open_zarr,
    remove_tree,
    store_path,
    tree_size,
    write_whole,
)
from segmentation.split_store import Split, SplitSegmentation
from segmentation.splitting import split_leaf
from segmentation.testing import synthetic_scene, write_scene
from tests import s3_server


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "scene.tif"
    write_scene(path, synthetic_scene(1100, 700, 3)[0], tiled=True, blockxsize=256, blockysize=256)
    return path


def segment(image, store, **options):
    return segment_scene(image, store, mode="fast", n_leaves=64, threads=2, **options)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def objects_below(url: str) -> dict[str, bytes]:
    place = store_path(url)
    assert isinstance(place, ObjectPath)
    bucket = bucket_of(place.bucket)
    return {
        key.removeprefix(place.key).strip("/"): bytes(obstore.get(bucket, key).bytes())
        for key, _ in place.below()
    }


@pytest.fixture(scope="module")
def on_disk(image, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("disk") / "store"
    segment(image, store)
    return store


def test_store_on_s3_is_byte_identical_to_one_on_disk(image, on_disk, s3):
    url = "s3://scenes/stores/1.zarr"
    done = segment(image, url)
    assert done.complete
    assert objects_below(url) == files_below(on_disk)
    assert tree_size(store_path(url)) == sum(map(len, files_below(on_disk).values()))


def test_store_in_memory_is_byte_identical_to_one_on_disk(image, on_disk, memory_url):
    segment(image, memory_url)
    assert objects_below(memory_url) == files_below(on_disk)


def test_run_on_s3_that_was_stopped_goes_on_and_ends_the_same(image, on_disk, s3):
    url = "s3://scenes/stopped"
    seen: list[str] = []

    def cancelled() -> bool:
        return "leaves" in seen and (store_path(url) / "leaves/0/c/0/0").exists()

    with pytest.raises(CancelledError):
        segment(image, url, progress=lambda event: seen.append(event.stage), cancelled=cancelled)
    assert not open_segmentation(url).complete
    n_before = sum(key.startswith("leaves/0/c") for key in objects_below(url))
    assert 1 <= n_before < 6
    stages: list[str] = []
    segment(image, url, progress=lambda event: stages.append(event.stage))
    assert "reading" not in stages  # the codebook was there
    assert objects_below(url) == files_below(on_disk)


def test_map_from_s3_is_the_one_from_disk(on_disk, image, s3, tmp_path):
    url = "s3://scenes/for-map"
    segment(image, url)
    clicks = [Click(100, 100, 1), Click(900, 600, 2), Click(500, 300, 1)]
    maps = []
    for name, place in (("disk.tif", str(on_disk)), ("s3.tif", url)):
        store = open_segmentation(place)
        table, _ = table_of_clicks(store, clicks, Legend({1: "field", 2: "water"}))
        write_maps(store, table, tmp_path / name)
        maps.append((tmp_path / name).read_bytes())
    assert maps[0] == maps[1]


def test_blocks_are_fetched_once(image, s3, monkeypatch):
    url = "s3://scenes/once"
    segment(image, url)
    fetched: list[str] = []
    get = ObjectPath.read_bytes
    monkeypatch.setattr(ObjectPath, "read_bytes", lambda self: fetched.append(self.key) or get(self))
    store = open_segmentation(url)
    for _ in range(3):
        for row in range(3):
            assert store.block(0, row, 1) is not None
    blocks = [key for key in fetched if "/leaves/" in key]
    assert len(blocks) == len(set(blocks)) == 3


def test_overviews_are_made_without_fetching_blocks_again(image, monkeypatch, memory_url):
    fetched: list[str] = []
    get = ObjectPath.read_bytes
    monkeypatch.setattr(ObjectPath, "read_bytes", lambda self: fetched.append(self.key) or get(self))
    segment(image, memory_url)
    assert [key for key in fetched if "/leaves/" in key] == []


def test_leaf_of_a_store_on_s3_is_split_as_on_disk(image, on_disk, s3, tmp_path):
    url = "s3://scenes/to-split"
    segment(image, url)
    leaf = int(np.argmax(open_segmentation(url).statistics().pixels))
    there, here = store_path(url) / "splits/1", tmp_path / "split"
    split_leaf(SplitSegmentation(url), leaf, there, first=61_440, n=2)
    split_leaf(SplitSegmentation(on_disk), leaf, here, first=61_440, n=2)
    assert objects_below(str(there)) == files_below(here)
    seen = SplitSegmentation(url, [Split(there, leaf, 61_440, 2)])
    assert seen.n_leaves == open_segmentation(url).n_leaves + 1


def test_tree_is_removed_and_its_neighbors_stay(memory_url):
    place = store_path(memory_url)
    for name in ("a/x", "a/y/z", "ab/x"):
        (place / name).write_bytes(b"1234")
    assert tree_size(place / "a") == 8
    remove_tree(place / "a")
    assert objects_below(memory_url) == {"ab/x": b"1234"}


def test_whole_writing_leaves_no_draft(tmp_path):
    write_whole(tmp_path / "a", b"one")
    write_whole(tmp_path / "a", b"two", lasting=True)
    assert files_below(tmp_path) == {"a": b"two"}


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "s3:///key", "https://host/store", "s3://user:secret@bucket/x", "s3://b/x?sig=1"]
)
def test_urls_that_nothing_is_stored_at_are_refused(url):
    with pytest.raises(
        InvalidArgumentError, match="is no place to store at; give a folder, or a URL"
    ) as told:
        store_path(url)
    assert "secret" not in str(told.value)
    assert "sig" not in str(told.value)


def test_missing_store_is_told_as_on_disk(s3):
    with pytest.raises(StoreError, match="There is no segmentation at s3://scenes/nothing"):
        open_segmentation("s3://scenes/nothing")


def test_missing_bucket_is_told(image, s3):
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x"):
        segment(image, "s3://no-such-bucket/x")


def test_storage_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("segmentation.objects._RETRY", {"max_retries": 0})
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "x",
    }.items():
        monkeypatch.setenv(name, value)
    forget_buckets()
    try:
        with pytest.raises(StoreError, match=r"The storage at s3://away/x.* does not answer") as told:
            open_zarr(store_path("s3://away/x"), "r")
        assert "very-secret" not in str(told.value)
    finally:
        forget_buckets()


def test_client_of_the_tests_sees_what_was_stored(s3):
    (store_path("s3://scenes/plain") / "a").write_bytes(b"abc")
    assert bytes(obstore.get(s3_server.client(), "plain/a").bytes()) == b"abc"
