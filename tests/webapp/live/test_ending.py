"""Tasks beside a socket end, whatever becomes of a cancellation on its way."""

import asyncio

import pytest

from webapp.live import ending
from webapp.live.ending import end


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)


async def test_task_that_loses_a_cancellation_is_cancelled_again():
    lost = 0

    async def deaf():
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end([task])
    assert (task.cancelled(), lost) == (True, 3)


async def test_task_that_fails_on_the_way_out_holds_up_nobody():
    async def fails():
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("the line is gone")

    tasks = [asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await end(tasks)
    assert all(task.done() for task in tasks)


async def test_nothing_to_end():
    await end([])
