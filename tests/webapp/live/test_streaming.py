"""Which blocks a browser gets, and in which order."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.webapp import scenario
from webapp.live import blocks
from webapp.live import streaming as streaming_module
from webapp.live.streaming import BlockStream

HEIGHT, WIDTH = 1100, 1600  # 3 x 4 blocks, then 2 x 2, then 1


def noise():
    return np.random.default_rng(5).integers(0, 50, (HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture
def make_store(data_dir):
    def make(leave_out=frozenset(), segmentation=1):
        blocks.forget_stores()
        return scenario.write_store(
            data_dir / f"segmentations/{segmentation}.zarr", noise(), 50, frozenset(leave_out)
        )

    return make


class Browser:
    """Receives frames, as slowly as it likes."""

    def __init__(self):
        self.frames = asyncio.Queue()
        self.is_reading = asyncio.Event()
        self.is_reading.set()

    async def send(self, frame):
        await self.is_reading.wait()
        await self.frames.put(scenario.parse_frame(frame))

    async def next(self, seconds=5):
        return await asyncio.wait_for(self.frames.get(), seconds)

    async def nothing(self):
        await asyncio.sleep(0.1)
        assert self.frames.empty()


@asynccontextmanager
async def streaming():
    browser = Browser()
    stream = BlockStream(browser.send)
    task = asyncio.create_task(stream.run())
    try:
        yield stream, browser
        assert not task.done()
    finally:
        task.cancel()


async def test_blocks_come_in_the_order_wanted(make_store):
    make_store()
    async with streaming() as (stream, browser):
        wanted = [(2, 1), (0, 0), (1, 3)]
        stream.want(1, 0, wanted)
        assert [(await browser.next())["block"] for _ in wanted] == wanted
        await browser.nothing()


async def test_new_list_replaces_the_old_one(make_store):
    make_store()
    async with streaming() as (stream, browser):
        browser.is_reading.clear()
        stream.want(1, 0, [(0, 0), (0, 1), (0, 2), (0, 3)])
        await asyncio.sleep(0.1)  # the first is on its way
        stream.want(1, 0, [(2, 2)])
        browser.is_reading.set()
        assert (await browser.next())["block"] == (0, 0)
        assert (await browser.next())["block"] == (2, 2)
        await browser.nothing()


async def test_block_that_stays_on_the_list_is_sent_once(make_store):
    make_store()
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(0, 0)])
        await browser.next()
        stream.want(1, 0, [(0, 1), (0, 0)])
        assert (await browser.next())["block"] == (0, 1)
        await browser.nothing()
        stream.want(1, 0, [])
        stream.want(1, 0, [(0, 0)])
        assert (await browser.next())["block"] == (0, 0)


async def test_block_comes_as_soon_as_it_is_computed(make_store):
    writer = make_store({(0, 0, 1)})
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(0, 1), (0, 0)])
        assert (await browser.next())["block"] == (0, 0)
        await browser.nothing()
        scenario.write_block(writer, noise(), 0, 1)
        stream.grew(2, [[0, 1]])  # of another segmentation
        await browser.nothing()
        stream.grew(1, [[0, 1]])
        assert (await browser.next())["block"] == (0, 1)


async def test_lost_hint_is_made_up_for_by_looking_again(make_store):
    writer = make_store({(0, 0, 1)})
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(0, 1)])
        await browser.nothing()
        scenario.write_block(writer, noise(), 0, 1)
        stream.look_again()
        assert (await browser.next())["block"] == (0, 1)


async def test_overview_is_filled_by_patches_until_it_is_complete(make_store):
    missing = {(0, 1, 1), (0, 2, 3)}
    writer = make_store(missing)
    async with streaming() as (stream, browser):
        stream.want(1, 2, [(0, 0)])
        pieced = np.full((512, 512), 65535, np.uint16)

        def put(frame):
            (top, left), (height, width) = frame["at"], frame["ids"].shape
            pieced[top : top + height, left : left + width] = frame["ids"]

        for _ in range(4):  # rows 0 whole, 1 in two parts, 2 up to the missing one
            put(await browser.next())
        await browser.nothing()
        for row, col in [(1, 1), (2, 3)]:
            scenario.write_block(writer, noise(), row, col)
            stream.grew(1, [[row, col]])
            frame = await browser.next()
            assert frame["ids"].shape[0] < 512
            put(frame)
        await browser.nothing()
        for level, rows, cols in [(1, 2, 2), (2, 1, 1)]:
            for row in range(rows):
                for col in range(cols):
                    writer.write_overview(level, row, col)
        stream.look_again()
        whole = await browser.next()
        assert whole["ids"].shape == (512, 512)
        assert (whole["ids"] == pieced).all()
        stream.look_again()
        await browser.nothing()


async def test_blocks_that_cannot_be_are_passed_over(make_store):
    make_store()
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(77, 0), (0, 0)])
        assert (await browser.next())["block"] == (0, 0)
        stream.want(1, 9, [(0, 0)])
        await browser.nothing()


async def test_segmentation_without_codebook_is_waited_for(make_store):
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(0, 0)])
        await browser.nothing()
        make_store()
        stream.look_again()
        assert (await browser.next())["segmentation"] == 1


async def test_other_segmentation_starts_anew(make_store):
    make_store()
    make_store(segmentation=2)
    async with streaming() as (stream, browser):
        stream.want(1, 0, [(0, 0)])
        await browser.next()
        stream.want(2, 0, [(0, 0)])
        assert (await browser.next())["segmentation"] == 2
        assert stream.segmentation == 2


async def test_blocks_that_there_was_no_time_for_come_all_the_same(make_store, monkeypatch):
    make_store({(0, 1, 2)})
    monkeypatch.setattr(streaming_module, "LOOK_S", -1.0)  # over before it has begun
    async with streaming() as (stream, browser):
        wanted = [(row, col) for row in range(3) for col in range(4)]
        stream.want(1, 0, wanted)
        wanted.remove((1, 2))  # is not computed
        assert [(await browser.next())["block"] for _ in wanted] == wanted
        await browser.nothing()


async def test_blocks_are_looked_at_several_at_once(make_store, monkeypatch):
    make_store()
    looks = []
    own = streaming_module._build_some
    monkeypatch.setattr(
        streaming_module,
        "_build_some",
        lambda leaves, asked: (looks.append(len(asked)), own(leaves, asked))[1],
    )
    monkeypatch.setattr(streaming_module, "LOOK_S", 20.0)
    async with streaming() as (stream, browser):
        wanted = [(row, col) for row in range(3) for col in range(4)]
        stream.want(1, 0, wanted)
        assert [(await browser.next())["block"] for _ in wanted] == wanted
    assert looks == [8, 4]
