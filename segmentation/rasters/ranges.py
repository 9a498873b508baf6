"""Parts of remote files kept on this machine's disk within a bound; the longest unused make room."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

__all__ = ["CHUNK", "RangeCache"]

CHUNK = 256 * 1024
_LOCKS = 64


class RangeCache:
    """Chunks of at most `CHUNK` bytes in one file that has no name: it goes with the process, whatever happens to it.

    Parameters
    ----------
    max_bytes : int
        How large it may grow on disk.
    """

    def __init__(self, max_bytes: int = 1024 * 2**20) -> None:
        self._slots = max(1, max_bytes // CHUNK)
        self._file = tempfile.TemporaryFile(prefix="clusternet-ranges-")  # noqa: SIM115  (as long as this lives)
        self._held: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()  # slot and length, newest last
        self._lock = threading.Lock()
        self._busy = [threading.Lock() for _ in range(_LOCKS)]

    @staticmethod
    @functools.cache
    def of_process() -> RangeCache:
        """The one that is shared by all images of this process."""
        return RangeCache()

    @contextmanager
    def busy(self, key: Hashable) -> Iterator[None]:
        """Hold off others who want the same: they find it here afterwards."""
        with self._busy[hash(key) % _LOCKS]:
            yield

    def get(self, key: Hashable) -> bytes | None:
        """What was kept under a key."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            slot, length = self._held[key]
            # Inside the lock, or the slot could be given away meanwhile; it is a copy from the system's memory.
            return os.pread(self._file.fileno(), length, slot * CHUNK)

    def put(self, key: Hashable, data: bytes) -> None:
        """Keep some bytes. A disk that takes no more costs a fetch later, nothing else."""
        if len(data) > CHUNK:
            raise ValueError(f"{len(data)} bytes are more than a chunk")
        with self._lock:
            if key in self._held:
                return
            if len(self._held) < self._slots:
                slot = len(self._held)
            else:
                _, (slot, _) = self._held.popitem(last=False)
            try:
                written = os.pwrite(self._file.fileno(), data, slot * CHUNK)
            except OSError:
                written = -1
            if written == len(data):
                self._held[key] = slot, len(data)
            else:
                self._slots = max(1, len(self._held))  # the disk is full: it grows no more
