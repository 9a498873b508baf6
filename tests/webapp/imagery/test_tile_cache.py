"""Kept tiles: bounded, shared, and never in the way."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from webapp.imagery import tile_cache
from webapp.imagery.tile_cache import TileCache

MIB = 1024**2
BODY = bytes(range(250)) * 20


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "tiles"


def key(number: int) -> str:
    return f"{number:040x}"[::-1]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_tile_comes_back_with_its_format_in_another_process_too(folder):
    TileCache(folder, MIB).put(3, key(1), "webp", BODY)
    again = TileCache(folder, MIB)
    assert again.get(3, key(1)) == ("webp", BODY)
    assert again.get(3, key(2)) is None
    assert again.get(4, key(1)) is None


def test_without_a_bound_nothing_is_kept(folder):
    cache = TileCache(folder, 0)
    cache.put(1, key(1), "jpg", BODY)
    assert cache.get(1, key(1)) is None
    assert not folder.exists()


def test_forget_drops_one_scene(folder):
    cache = TileCache(folder, MIB)
    for scene in (1, 2):
        cache.put(scene, key(1), "jpg", BODY)
    cache.forget(1)
    cache.forget(7)  # of which nothing was kept
    assert cache.get(1, key(1)) is None
    assert cache.get(2, key(1)) == ("jpg", BODY)


def test_bytes_stay_within_the_bound_and_the_longest_unused_go(folder):
    cache = TileCache(folder, MIB)  # 8 KiB a tile on the disk: 128 of them
    for number in range(100):
        cache.put(1, key(number), "jpg", BODY)
        os.utime(cache._path(1, key(number)), (number, number))
    assert cache.get(1, key(3)) is not None  # marks it as used
    for number in range(100, 300):
        cache.put(1, key(number), "jpg", BODY)
        assert cache.size_bytes() <= MIB
    assert cache.get(1, key(3)) is not None or cache.get(1, key(299)) is not None
    assert cache.get(1, key(4)) is None
    assert cache.get(1, key(299)) == ("jpg", BODY)


def test_use_is_noted_once_an_hour(folder):
    cache = TileCache(folder, MIB)
    cache.put(1, key(1), "jpg", BODY)
    path = cache._path(1, key(1))
    now = time.time()
    os.utime(path, (now - 1000, now - 1000))
    cache.get(1, key(1))
    assert os.stat(path).st_mtime < now - 900
    os.utime(path, (now - 4000, now - 4000))
    cache.get(1, key(1))
    assert os.stat(path).st_mtime >= now - 5


def test_tile_too_large_for_the_bound_is_not_kept(folder):
    cache = TileCache(folder, MIB)
    cache.put(1, key(1), "jpg", os.urandom(30_000))  # more than a fiftieth
    assert cache.size_bytes() == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda held: b"",
        lambda held: held[:10],
        lambda held: held[:-1],
        lambda held: held + b"x",
        lambda held: b"\0" * len(held),
        lambda held: held[:-7] + bytes([held[-7] ^ 1]) + held[-6:],
        lambda held: held[:4] + b"gif\0" + held[8:],
    ],
    ids=["empty", "no head", "short", "long", "zeros", "one bit", "other format"],
)
def test_damaged_entry_is_told_removed_and_made_again(folder, caplog, damage):
    cache = TileCache(folder, MIB)
    cache.put(1, key(1), "jpg", BODY)
    path = Path(cache._path(1, key(1)))
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(1, key(1)) is None
    assert "is damaged" in caplog.text
    assert not path.exists()
    cache.put(1, key(1), "jpg", BODY)
    assert cache.get(1, key(1)) == ("jpg", BODY)


def test_folder_that_cannot_be_made_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = TileCache(tmp_path / "file" / "tiles", MIB)
    for number in range(3):
        cache.put(1, key(number), "jpg", BODY)
        assert cache.get(1, key(number)) is None
    assert caplog.text.count("tiles cannot be kept in") == 1


def test_full_disk_is_told_and_leaves_no_draft(folder, caplog, monkeypatch):
    cache = TileCache(folder, MIB)
    cache.put(1, key(1), "jpg", BODY)

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tile_cache.os, "replace", full)
    cache.put(1, key(2), "jpg", BODY)
    assert "No space left on device" in caplog.text
    assert len(files(folder)) == 1
    assert cache.get(1, key(1)) == ("jpg", BODY)


def test_nearly_full_disk_is_left_alone(folder, caplog):
    cache = TileCache(folder, MIB, min_free_bytes=2**62)
    folder.parent.mkdir(exist_ok=True)
    cache.put(1, key(1), "jpg", BODY)
    assert cache.get(1, key(1)) is None
    assert "nearly full" in caplog.text


def test_entry_that_cannot_be_read_is_told(folder, caplog):
    cache = TileCache(folder, MIB)
    path = Path(cache._path(1, key(1)))
    path.mkdir(parents=True)  # in the place of a file
    assert cache.get(1, key(1)) is None
    assert "cannot be read" in caplog.text


def test_drafts_of_a_crash_are_swept_and_younger_ones_left(folder):
    old, young = folder / "1" / "00" / "a.9-0.part", folder / "1" / "00" / "b.9-1.part"
    old.parent.mkdir(parents=True)
    for draft in (old, young):
        draft.write_bytes(BODY)
    os.utime(old, (1, 1))
    TileCache(folder, MIB).put(1, key(1), "jpg", BODY)  # the first of a process looks at what is there
    assert not old.exists()
    assert young.exists()


def write_many(folder: Path, first: int) -> None:
    cache = TileCache(folder, MIB)
    for number in range(first, first + 300):
        cache.put(1, key(number % 400), "jpg", BODY)
        held = cache.get(1, key((number * 7) % 400))
        assert held in (None, ("jpg", BODY))


def test_processes_that_write_the_same_tiles_do_not_hurt_each_other(folder):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(folder, 100 * n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    cache = TileCache(folder, MIB)
    assert 0 < cache.size_bytes() <= MIB
    assert not [path for path in files(folder) if path.suffix == ".part"]
    assert all(cache.get(1, path.parent.name + path.name) == ("jpg", BODY) for path in files(folder))
