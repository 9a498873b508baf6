"""Work on tiles, in threads: bounded, each tile once however many ask for it, none for browsers that went away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from webapp.errors import BusyError

__all__ = ["TileQueue"]

T = TypeVar("T")


@dataclass
class _Job(Generic[T]):
    future: Future[T]
    waiting: int = 0


class TileQueue(Generic[T]):
    """For one event loop.

    Parameters
    ----------
    threads : int
        How many tiles are worked on at once.
    most : int
        How many may be asked for and not be done yet; :meth:`result` of one more raises BusyError.
    """

    def __init__(self, threads: int, most: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tile")
        self._most = most
        self._jobs: dict[str, _Job[T]] = {}

    @property
    def waiting(self) -> int:
        """Tiles that are worked on, or wait for it."""
        return len(self._jobs)

    async def result(self, key: str, work: Callable[[], T]) -> T:
        """What ``work`` gives. Cancelled by the last one who waits for it, it is not begun any more."""
        job = self._jobs.get(key)
        if job is None:
            if len(self._jobs) >= self._most:
                raise BusyError("The server has too many tiles to draw just now; try again in a moment.")
            job = self._jobs[key] = _Job(self._pool.submit(work))
            loop = asyncio.get_running_loop()
            job.future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done, key, job))
        job.waiting += 1
        try:
            # Shielded: one browser that goes away must not take the tile from the others.
            return await asyncio.shield(asyncio.wrap_future(job.future))
        finally:
            job.waiting -= 1
            if not job.waiting and job.future.cancel():
                self._done(key, job)

    def _done(self, key: str, job: _Job[T]) -> None:
        if self._jobs.get(key) is job:
            del self._jobs[key]
