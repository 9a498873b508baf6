"""Work on tiles: once each, bounded, given up where nobody waits any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from webapp.errors import BusyError
from webapp.imagery.tile_queue import TileQueue


@pytest.fixture
def held():
    """Work that waits until it is let go."""
    gate = threading.Event()
    calls: list[str] = []

    def work(name: str):
        def run() -> str:
            calls.append(name)
            assert gate.wait(20)
            return name

        return run

    yield gate, calls, work
    gate.set()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_same_tile_is_made_once_for_all(held):
    gate, calls, work = held
    queue = TileQueue(2, 10)
    waiting = [asyncio.create_task(queue.result("a", work("a"))) for _ in range(5)]
    await until(lambda: calls)
    gate.set()
    assert await asyncio.gather(*waiting) == ["a"] * 5
    assert calls == ["a"]
    await until(lambda: queue.waiting == 0)
    assert await queue.result("a", work("again")) == "again"  # kept elsewhere, not here


async def test_one_too_many_is_refused_with_a_sentence(held):
    gate, calls, work = held
    queue = TileQueue(1, 2)
    waiting = [asyncio.create_task(queue.result(name, work(name))) for name in "ab"]
    await until(lambda: calls)
    with pytest.raises(BusyError, match="too many tiles to draw just now; try again"):
        await queue.result("c", work("c"))
    assert BusyError.status == 503
    same = asyncio.create_task(queue.result("b", work("b")))  # is being made anyway
    gate.set()
    assert await asyncio.gather(*waiting, same) == ["a", "b", "b"]


async def test_tile_that_nobody_waits_for_is_not_begun(held):
    gate, calls, work = held
    queue = TileQueue(1, 10)
    first = asyncio.create_task(queue.result("a", work("a")))
    await until(lambda: calls)
    gone = asyncio.create_task(queue.result("b", work("b")))
    await until(lambda: queue.waiting == 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert queue.waiting == 1
    gate.set()
    assert await first == "a"
    assert await queue.result("c", work("c")) == "c"
    assert calls == ["a", "c"]


async def test_one_who_leaves_takes_nothing_from_the_others(held):
    gate, calls, work = held
    queue = TileQueue(1, 10)
    blocking = asyncio.create_task(queue.result("x", work("x")))
    await until(lambda: calls)
    leaves, stays = (asyncio.create_task(queue.result("a", work("a"))) for _ in range(2))
    await asyncio.sleep(0.01)
    leaves.cancel()
    gate.set()
    assert await stays == "a"
    assert await blocking == "x"


async def test_error_reaches_everybody_and_the_next_one_tries_again():
    queue = TileQueue(1, 10)

    def fail():
        raise OSError("no such disk")

    results = await asyncio.gather(*(queue.result("a", fail) for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in results] == ["no such disk"] * 2
    await until(lambda: queue.waiting == 0)
    assert await queue.result("a", lambda: "fine") == "fine"
