"""Encoded tiles on the disk: bounded, shared by all processes of the server, and never needed.

Each entry is a file that appears by renaming, so that nobody reads half of one, with a checksum in front, so that what a crash
or a bad disk left is told from a tile. Nothing is locked: two processes that write the same entry write the same bytes. Where
the folder cannot be written to, or the disk is full, tiles are computed as if there were no cache, and the log says so.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["TileCache"]

logger = logging.getLogger(__name__)

_HEAD = struct.Struct("<4s4sII")  # magic, format ("jpg"), bytes of the tile, CRC-32 of format and tile
_MAGIC = b"CNT1"
_TOUCH_S = 3600.0  # an entry that was read is marked as used at most this often
_SWEEP_SHARE = 0.02  # of the bound: written by this process since it last looked at what all of them hold
_FULL_SHARE = 0.9  # of the bound: what a sweep leaves
_ABANDONED_S = 300.0  # a draft this old is a crash's
_WARN_S = 60.0  # between two warnings of the same kind


class _Entry(NamedTuple):
    used: float
    size_bytes: int
    path: str


class TileCache:
    """Tiles by key, in a folder for each scene.

    Parameters
    ----------
    folder : Path
        Made when the first tile is kept.
    max_bytes : int
        Of all entries, as the disk counts them. Checked by every process after each 2 % that it wrote, and then reduced to
        90 %, the longest unused first: up to five processes never exceed it. 0: nothing is kept.
    min_free_bytes : int
        Nothing is kept while the disk has less than this left.
    """

    def __init__(self, folder: Path, max_bytes: int, min_free_bytes: int = 0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()
        self._unswept: float = max_bytes  # bytes written; the first write of a process looks at what is there
        self._drafts = itertools.count()
        self._warned: dict[str, float] = {}

    def get(self, scene_id: int, key: str) -> tuple[str, bytes] | None:
        """The tile's format and bytes, or None where it is not kept (any more), or damaged."""
        if not self._max_bytes:
            return None
        path = self._path(scene_id, key)
        try:
            with open(path, "rb", buffering=0) as file:
                held = file.read()
                if time.time() - os.fstat(file.fileno()).st_mtime > _TOUCH_S:
                    os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("read", f"tiles that were kept cannot be read ({error}); they are computed instead")
            return None
        tile = _unpack(held)
        if tile is None:
            self._warn("damaged", f"the kept tile {path} is damaged; it is computed again")
            _remove(path)
        return tile

    def put(self, scene_id: int, key: str, suffix: str, body: bytes) -> None:
        """Keep a tile; where that fails, the log says why."""
        if not self._max_bytes:
            return
        path = self._path(scene_id, key)
        draft = f"{path}.{os.getpid()}-{next(self._drafts)}.part"
        try:
            if self._sweep_due():
                self._sweep()
            if not self._has_room(len(body)):
                return
            try:
                _write(draft, path, suffix, body)
            except FileNotFoundError:  # the folder is made when it is first needed, and goes with its scene
                os.makedirs(os.path.dirname(path), exist_ok=True)
                _write(draft, path, suffix, body)
            with self._lock:
                self._unswept += _on_disk(_HEAD.size + len(body))
        except OSError as error:
            _remove(draft)
            self._warn("write", f"tiles cannot be kept in {self._folder} ({error.strerror or error})")

    def forget(self, scene_id: int) -> None:
        """Drop a scene's tiles."""
        try:
            shutil.rmtree(self._folder / str(scene_id))
        except FileNotFoundError:
            return
        except OSError as error:
            # What is left is never asked for again, and is the first to go.
            self._warn("forget", f"kept tiles of scene {scene_id} cannot be removed ({error})")

    def size_bytes(self) -> int:
        """Of all entries, as the disk counts them."""
        return sum(entry.size_bytes for entry in self._entries())

    def _path(self, scene_id: int, key: str) -> str:
        return f"{self._folder}/{scene_id}/{key[:2]}/{key[2:]}"

    def _has_room(self, size: int) -> bool:
        if _on_disk(size + _HEAD.size) > self._max_bytes * _SWEEP_SHARE:
            return False  # the bound is smaller than fifty tiles: it would not hold
        if not self._min_free_bytes:
            return True
        folder = self._folder if self._folder.is_dir() else self._folder.parent
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize - size < self._min_free_bytes:
            self._warn("full", f"the disk of {self._folder} is nearly full, so tiles are not kept")
            return False
        return True

    def _sweep_due(self) -> bool:
        with self._lock:
            return self._unswept >= self._max_bytes * _SWEEP_SHARE

    def _sweep(self) -> None:
        """Remove the longest unused down to 90 % of the bound, and drafts that a crash left."""
        if not self._sweeping.acquire(blocking=False):
            return  # another thread is at it
        try:
            with self._lock:
                self._unswept = 0
            entries = sorted(self._entries())
            total = sum(entry.size_bytes for entry in entries)
            for entry in entries:
                if total <= self._max_bytes * _FULL_SHARE:
                    break
                _remove(entry.path)
                total -= entry.size_bytes
        finally:
            self._sweeping.release()

    def _entries(self) -> Iterator[_Entry]:
        for folder in _folders(str(self._folder)):
            for part in _folders(folder):
                for file in _scan(part):
                    try:
                        stat = file.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # another process swept it
                    if file.name.endswith(".part") and time.time() - stat.st_mtime > _ABANDONED_S:
                        _remove(file.path)
                    else:
                        yield _Entry(stat.st_mtime, _on_disk(stat.st_size), file.path)

    def _warn(self, kind: str, message: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._warned.get(kind, -_WARN_S) < _WARN_S:
                return
            self._warned[kind] = now
        logger.warning("%s", message)


def _write(draft: str, path: str, suffix: str, body: bytes) -> None:
    with open(draft, "wb", buffering=0) as file:
        form = suffix.encode().ljust(4, b"\0")
        whole = _HEAD.pack(_MAGIC, form, len(body), zlib.crc32(body, zlib.crc32(form))) + body
        if file.write(whole) != len(whole):
            raise OSError("only part of a tile could be written")
    os.replace(draft, path)


def _unpack(held: bytes) -> tuple[str, bytes] | None:
    if len(held) < _HEAD.size:
        return None
    magic, form, size, checksum = _HEAD.unpack_from(held)
    body = held[_HEAD.size :]
    if magic != _MAGIC or len(body) != size or zlib.crc32(body, zlib.crc32(form)) != checksum:
        return None
    return form.rstrip(b"\0").decode(), body


def _on_disk(size: int) -> int:
    return -(-size // 4096) * 4096


def _folders(path: str) -> list[str]:
    return [entry.path for entry in _scan(path) if entry.is_dir(follow_symlinks=False)]


def _scan(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # another process was first
    except OSError as error:
        logger.warning("a kept tile cannot be removed: %s", error)
