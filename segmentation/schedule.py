"""Which block is computed next: those that people look at, then outwards from there, else row by row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from segmentation.rasters.windows import BLOCK

__all__ = ["Schedule"]

_SAVE_EVERY_S = 2.0  # how stale the sums on disk may be


class Schedule:
    """Shared by the threads of one run."""

    def __init__(self, height: int, width: int, levels: int) -> None:
        self._rows, self._cols, self._levels = -(-height // BLOCK), -(-width // BLOCK), levels
        self._waiting = dict.fromkeys(self.all_blocks())  # an ordered set
        self._missing = {
            (level, row, col): len(self._children(level, row, col))
            for level in range(1, levels)
            for row in range(self._size(self._rows, level))
            for col in range(self._size(self._cols, level))
        }
        self._wishes: Sequence[tuple[int, int, int]] = ()
        self._lock = threading.Lock()
        self._stopped = False
        self._saved_at = time.monotonic()
        self.n_done = 0

    @property
    def n_blocks(self) -> int:
        """Level-0 blocks of the scene."""
        return self._rows * self._cols

    def all_blocks(self) -> Iterator[tuple[int, int]]:
        """Every level-0 block, row by row."""
        return ((row, col) for row in range(self._rows) for col in range(self._cols))

    def take(self, wanted: Callable[[], Sequence[tuple[int, int, int]]] | None) -> tuple[int, int] | None:
        """The next block to compute; None when there is none left."""
        wishes = wanted() if wanted is not None else ()
        with self._lock:
            if self._stopped or not self._waiting:
                return None
            if wishes and wishes != self._wishes:
                self._wishes = wishes
                self._reorder(wishes)
            place = next(iter(self._waiting))
            del self._waiting[place]
            return place

    def stop(self) -> None:
        """Give out no more blocks."""
        with self._lock:
            self._stopped = True

    def done(self, row: int, col: int) -> tuple[int, int, int] | None:
        """Note that a block is written; returns the level-1 block that is complete now, if any."""
        with self._lock:
            self._waiting.pop((row, col), None)
            self.n_done += 1
            return self._settle(0, row, col)

    def overview_done(self, level: int, row: int, col: int) -> tuple[int, int, int] | None:
        """Note that an overview block is written; returns its parent, if that is complete now."""
        with self._lock:
            return self._settle(level, row, col)

    def is_time_to_save(self) -> bool:
        """True once every two seconds."""
        with self._lock:
            now = time.monotonic()
            if now - self._saved_at < _SAVE_EVERY_S:
                return False
            self._saved_at = now
            return True

    def _settle(self, level: int, row: int, col: int) -> tuple[int, int, int] | None:
        parent = (level + 1, row // 2, col // 2)
        if parent not in self._missing:
            return None
        self._missing[parent] -= 1
        return parent if self._missing[parent] == 0 else None

    def _reorder(self, wishes: Sequence[tuple[int, int, int]]) -> None:
        """Wanted blocks first, in their order; the rest by distance from the first of them."""
        rank: dict[tuple[int, int], int] = {}
        for level, row, col in wishes:
            for place in self._below(level, row, col):
                if place in self._waiting:
                    rank.setdefault(place, len(rank))
        level, row, col = wishes[0]
        center_row, center_col = (row + 0.5) * 2**level - 0.5, (col + 0.5) * 2**level - 0.5
        last = len(rank)
        self._waiting = dict.fromkeys(
            sorted(
                self._waiting,
                key=lambda place: (
                    rank.get(place, last),
                    (place[0] - center_row) ** 2 + (place[1] - center_col) ** 2,
                ),
            )
        )

    def _below(self, level: int, row: int, col: int) -> Iterator[tuple[int, int]]:
        size = 2 ** max(level, 0)
        for child_row in range(max(row, 0) * size, min((row + 1) * size, self._rows)):
            for child_col in range(max(col, 0) * size, min((col + 1) * size, self._cols)):
                yield child_row, child_col

    def _children(self, level: int, row: int, col: int) -> list[tuple[int, int]]:
        rows, cols = self._size(self._rows, level - 1), self._size(self._cols, level - 1)
        return [
            (r, c) for r in (2 * row, 2 * row + 1) for c in (2 * col, 2 * col + 1) if r < rows and c < cols
        ]

    @staticmethod
    def _size(blocks: int, level: int) -> int:
        return -(-blocks // 2**level)
