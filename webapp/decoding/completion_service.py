"""When the decoder runs: in threads of its own, once for all connections of a process, the newest order first.

While one answer of a project is computed, only its newest order waits; those who asked for an older one get the newer
answer. So a fast hand makes no queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from segmentation.completion import warm_up
from segmentation.errors import SegmentationError
from webapp.collector import spare_what_stays
from webapp.decoding.completion import Completed, Order, decode
from webapp.errors import CompletionError, WebError
from webapp.live.blocks import open_store

__all__ = ["CompletionService", "completions"]

logger = logging.getLogger(__name__)

THREADS = 2  # projects that are decoded at the same time
MAX_BYTES = 256 * 1024**2  # of answers that are kept
MAX_ROOMS = 64


@dataclass
class _Waiting:
    order: Order
    future: Future[Completed]


@dataclass
class _Room:
    """One project."""

    latest: Completed | None = None
    waiting: _Waiting | None = None
    is_busy: bool = False


class CompletionService:
    """Answers orders; safe to ask from any thread and any event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
        self._lock = threading.Lock()
        self._is_prepared = False
        self._opened: set[int] = set()
        self._rooms: OrderedDict[tuple[int, datetime], _Room] = OrderedDict()

    async def answer(self, order: Order) -> Completed:
        """Wait for the answer to ``order`` or to a newer one; the event loop goes on meanwhile."""
        # A browser that leaves takes back its own wait, not the answer for the others.
        return await asyncio.shield(asyncio.wrap_future(self.request(order)))

    def request(self, order: Order) -> Future[Completed]:
        """The answer to ``order`` or to a newer one.

        It fails with CompletionError where the decoder broke, or with what keeps it from beginning (StoreError,
        ConflictError).
        """
        with self._lock:
            room = self._rooms.setdefault(order.project, _Room())
            self._rooms.move_to_end(order.project)
            latest = room.latest
            if latest is not None and latest.is_final and _is_answered(order, latest):
                done: Future[Completed] = Future()
                done.set_result(latest)
                return done
            if room.waiting is None:
                future: Future[Completed] = Future()
                future.set_running_or_notify_cancel()  # so that one who leaves cannot cancel it for the others
                room.waiting = _Waiting(order, future)
            elif order.number >= room.waiting.order.number:
                room.waiting.order = order
            future = room.waiting.future
            if not room.is_busy:
                room.is_busy = True
                self._pool.submit(self._work, room)
        return future

    def prepare(self) -> None:
        """Load the decoder in the background, so that the first click does not wait for it."""
        with self._lock:
            if not self._is_prepared:
                self._is_prepared = True
                self._pool.submit(_load)

    def open(self, segmentation: int) -> None:
        """Find out in the background which leaves touch, so that the first click does not wait for that either."""
        with self._lock:
            if segmentation not in self._opened:
                self._opened.add(segmentation)
                self._pool.submit(self._open, segmentation)

    def _open(self, segmentation: int) -> None:
        try:
            store = open_store(segmentation)
            if store.complete:
                _ = store.graph
                return
        except (SegmentationError, WebError) as error:
            # Whoever clicks is told; here it is only work done ahead.
            logger.warning("segmentation %d could not be read ahead: %s", segmentation, error)
        with self._lock:
            self._opened.discard(segmentation)

    def forget(self) -> None:
        """Drop all answers that are kept."""
        with self._lock:
            for room in self._rooms.values():
                room.latest = None

    def _work(self, room: _Room) -> None:
        with self._lock:
            waiting, room.waiting, latest = room.waiting, None, room.latest
        assert waiting is not None  # noqa: S101  (a room is busy only while an order waits or is worked on)
        completed, error = _attempt(waiting.order, latest)
        with self._lock:
            if completed is not None:
                room.latest = completed
            room.is_busy = room.waiting is not None
            if room.is_busy:
                # Behind the others, so that one busy project does not hold up the rest.
                self._pool.submit(self._work, room)
            self._make_room()
        if completed is not None:
            waiting.future.set_result(completed)
        else:
            waiting.future.set_exception(error)

    def _make_room(self) -> None:
        held = sum(room.latest.n_bytes for room in self._rooms.values() if room.latest is not None)
        for key, room in list(self._rooms.items())[:-1]:
            if held <= MAX_BYTES and len(self._rooms) <= MAX_ROOMS:
                return
            if room.is_busy:
                continue
            held -= room.latest.n_bytes if room.latest is not None else 0
            del self._rooms[key]


def _load() -> None:
    try:
        warm_up()
        spare_what_stays()
    except Exception:
        logger.exception("the decoder could not be loaded; completing maps will fail")


def _attempt(order: Order, latest: Completed | None) -> tuple[Completed | None, Exception | None]:
    if latest is not None and latest.number > order.number:
        order = latest.order
    try:
        completed = decode(order, latest)
        completed.frame  # noqa: B018  (packed here, once, rather than on the event loop)
    except (WebError, SegmentationError) as error:
        return None, error
    except Exception:
        logger.exception("the decoder failed for project %s at edit %s", order.project[0], order.number)
        return None, CompletionError()
    return completed, None


def _is_answered(order: Order, latest: Completed) -> bool:
    return latest.number >= order.number or latest.order.asks_the_same(order)


completions = CompletionService()
