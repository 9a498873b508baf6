"""Who goes first among the segmentations of one worker process: maps that somebody waits for, before learning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Precedence", "learns"]

LOOK_S = 0.5  # between looks whether one that stands aside was cancelled


def learns(parameters: dict[str, Any]) -> bool:
    """Whether a segmentation with these parameters trains on its scene."""
    seconds = parameters.get("train_seconds")
    return parameters.get("mode") == "best" and (seconds is None or seconds > 0)


class Precedence:
    """Lets some work of a process stand aside while other work of it runs."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._first = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """Go first: who gives way waits until this ends."""
        with self._condition:
            self._first += 1
        try:
            yield
        finally:
            with self._condition:
                self._first -= 1
                self._condition.notify_all()

    def give_way(self, is_cancelled: Callable[[], bool]) -> None:
        """Wait while anything goes first, unless cancelled."""
        with self._condition:
            while self._first and not is_cancelled():
                self._condition.wait(LOOK_S)
