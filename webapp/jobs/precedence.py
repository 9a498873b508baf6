"""Who goes first among the segmentations of one worker process: maps that somebody waits for before learning, small before
large, looked at before not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["LARGE", "MEDIUM", "SMALL", "Precedence", "Turn", "learns", "rank_of", "size_class"]

LOOK_S = 0.5  # between looks whether one that stands aside was cancelled
SMALL, MEDIUM, LARGE = 0, 1, 2
MOST_PX = (
    16_000_000,
    256_000_000,
)  # of a small scene and of a medium one: seconds, and minutes, on a few cores
UNSEEN = 1.5  # in size classes: what is looked at passes one class of what is not, never two


def learns(parameters: dict[str, Any]) -> bool:
    """Whether a segmentation with these parameters trains on its scene."""
    seconds = parameters.get("train_seconds")
    return parameters.get("mode") == "best" and (seconds is None or seconds > 0)


def size_class(work_px: int) -> int:
    """SMALL, MEDIUM or LARGE."""
    return sum(work_px > most for most in MOST_PX)


def rank_of(work_px: int, is_seen: bool) -> float:
    """The lower goes first: by size, and by whether somebody looks at what it computes just now."""
    return size_class(work_px) + (0.0 if is_seen else UNSEEN)


@dataclass(eq=False)
class Turn:
    """One that computes; its rank may change on the way."""

    rank: float


class Precedence:
    """Lets some work of a process stand aside while other work of it runs."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._turns: list[Turn] = []

    @contextmanager
    def first(self, rank: float = 0.0) -> Iterator[Turn]:
        """Go first: who gives way, and ranks higher, waits until this ends."""
        turn = Turn(rank)
        with self.goes(turn):
            yield turn

    @contextmanager
    def goes(self, turn: Turn) -> Iterator[None]:
        """The same with a turn whose rank may change."""
        with self._condition:
            self._turns.append(turn)
        try:
            yield
        finally:
            with self._condition:
                self._turns.remove(turn)
                self._condition.notify_all()

    def give_way(
        self, is_cancelled: Callable[[], bool], rank: float = math.inf, patience_s: float = math.inf
    ) -> None:
        """Wait while anything of a lower rank runs, unless cancelled, and no longer than ``patience_s``."""
        until = time.monotonic() + patience_s
        with self._condition:
            while any(turn.rank < rank for turn in self._turns) and not is_cancelled():
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return
                self._condition.wait(min(LOOK_S, left_s))
