"""Ending what runs beside a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

__all__ = ["end"]

AGAIN_S = 0.5  # after which a task that still runs is cancelled once more


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until the last of them has ended.

    Once is not enough: Python 3.11's ``asyncio.wait_for``, which Redis's client uses to write, forgets a cancellation that comes in
    the moment in which it is done, and the task goes on for good.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # whatever it was, nobody waits for it any more
