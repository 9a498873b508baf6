"""What goes to one browser, in which order, and what becomes of it when the browser does not read."""

import asyncio
import json
from contextlib import asynccontextmanager

from webapp.live import outbox
from webapp.live.outbox import Outbox
from webapp.live.presence import News


class Browser:
    """Reads when it is told to."""

    def __init__(self):
        self.got = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.given_up = 0

    async def write(self, message):
        await self.reading.wait()
        self.got.append(message)

    def give_up(self):
        self.given_up += 1

    async def until(self, count):
        async with asyncio.timeout(5):
            while len(self.got) < count:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def opened():
    browser = Browser()
    box = Outbox(browser.write, browser.write, browser.give_up)
    task = asyncio.create_task(box.run())
    try:
        yield box, browser
        assert not task.done() or task.exception() is None
    finally:
        task.cancel()


async def busy(box, browser):
    """The browser stops reading, with one message under way."""
    browser.reading.clear()
    box.put("under way")
    await asyncio.sleep(0.01)


async def test_edits_overtake_everything_and_keep_their_order():
    async with opened() as (box, browser):
        await busy(box, browser)
        block = asyncio.create_task(box.put_block(b"block"))
        await asyncio.sleep(0)
        box.put_presence(News({"a": "1"}))
        box.put_table(b"table")
        box.put_notice("heartbeat", "notice")
        for name in ("first", "second", "third"):
            box.put(name)
        browser.reading.set()
        await block
        presence = '{"type":"presence","people":[1],"gone":[]}'
        assert browser.got == [
            "under way", "first", "second", "third", "notice", b"table", presence, b"block",
        ]  # fmt: skip


async def test_only_the_newest_notice_and_table_are_sent():
    async with opened() as (box, browser):
        await busy(box, browser)
        for number in range(100):
            box.put_notice("progress 1", f"progress {number}")
            box.put_table(b"table %d" % number)
        box.put_notice("progress 2", "another")
        browser.reading.set()
        await browser.until(4)
        await asyncio.sleep(0.01)
        assert browser.got == ["under way", "progress 99", "another", b"table 99"]


async def test_presence_that_waits_is_merged_into_one_frame():
    async with opened() as (box, browser):
        await busy(box, browser)
        for number in range(50):
            box.put_presence(News({"a": f'{{"n":{number}}}', f"b{number % 2}": '{"b":1}'}))
        box.put_presence(News({}, ["b0"]))
        browser.reading.set()
        await browser.until(2)
        frame = json.loads(browser.got[1])
        assert frame == {"type": "presence", "people": [{"n": 49}, {"b": 1}], "gone": ["b0"]}


async def test_blocks_wait_for_the_browser_to_take_them():
    async with opened() as (box, browser):
        box.use_window(2)

        async def stream():
            for number in range(5):
                await box.put_block(b"%d" % number)

        task = asyncio.create_task(stream())
        await asyncio.sleep(0.05)
        assert browser.got == [b"0", b"1"]
        box.put("edit")
        await browser.until(3)
        assert browser.got[2] == "edit", "an edit does not wait for blocks"
        assert box.took(1)
        await browser.until(4)
        await asyncio.sleep(0.02)
        assert browser.got[3:] == [b"2"]
        assert not box.took(9), "more than were sent"
        assert box.took(3)
        await task
        assert browser.got[4:] == [b"3", b"4"]


async def test_without_a_window_blocks_are_sent_as_fast_as_they_go():
    async with opened() as (box, browser):
        for number in range(20):
            await box.put_block(b"%d" % number)
        assert len(browser.got) == 20


async def test_a_full_queue_has_no_room_until_it_is_read():
    async with opened() as (box, browser):
        await busy(box, browser)
        await asyncio.wait_for(box.roomy(), 1)
        for number in range(outbox.ROOMY):
            box.put(str(number))
        waiting = asyncio.create_task(box.roomy())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        browser.reading.set()
        await asyncio.wait_for(waiting, 1)


async def test_long_messages_fill_it_too():
    async with opened() as (box, browser):
        await busy(box, browser)
        box.put("x" * outbox.ROOMY_BYTES)
        waiting = asyncio.create_task(box.roomy())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        browser.reading.set()
        await asyncio.wait_for(waiting, 1)


async def test_far_too_much_is_given_up_once_and_frees_the_memory():
    async with opened() as (box, browser):
        await busy(box, browser)
        for number in range(outbox.MOST + 10):
            box.put(str(number))
        assert browser.given_up == 1
        browser.reading.set()
        await asyncio.sleep(0.02)
        assert browser.got == ["under way"]


async def test_one_message_may_be_of_any_size():
    async with opened() as (box, browser):
        box.put("x" * (outbox.MOST_BYTES + 1))
        await browser.until(1)
        assert browser.given_up == 0


async def test_a_broken_line_ends_the_writing_without_a_word():
    async def broken(message):
        raise ConnectionResetError

    box = Outbox(broken, broken, lambda: None)
    box.put("lost")
    await asyncio.wait_for(box.run(), 1)
