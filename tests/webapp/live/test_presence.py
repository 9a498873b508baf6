"""Who is at a project: told ten times a second at most, at every process, and never longer than they are there."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from channels.layers import get_channel_layer

from webapp.live import presence
from webapp.live.presence import News, Person, Presence

ANA = Person(1, "ana", "#a00000", "editor")
BORIS = Person(2, "boris", "#00a000", "viewer")


def said(**changes):
    rest = {"leaf": None, "view": None, "cut": 40, "idle": False}
    return {"point": (1.0, 2.0), **rest, **changes}


@pytest.fixture(autouse=True)
async def _empty_layer():
    await get_channel_layer().flush()


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(presence, "FRAME_S", 0.02)
    monkeypatch.setattr(presence, "REPEAT_S", 0.05)
    monkeypatch.setattr(presence, "SILENCE_S", 0.3)


@asynccontextmanager
async def process(project=7):
    """What one server process knows of a project."""
    room = Presence(project)
    room.start()
    try:
        await asyncio.sleep(0.01)
        yield room
    finally:
        await room.close()


class Ear:
    """A connection that hears."""

    def __init__(self, here):
        self.frames = []
        self.people = {}
        self.here = here
        here.listen(self.take)

    def take(self, news):
        frame = json.loads(news.text)
        self.frames.append(frame)
        self.people |= {one["connection"]: one for one in frame["people"]}
        for connection in frame["gone"]:
            self.people.pop(connection, None)

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition(self.people):
                await asyncio.sleep(0.005)


async def test_people_are_told_with_all_that_the_protocol_promises(fast):
    async with process() as room:
        ana, boris = room.join(ANA), room.join(BORIS)
        ear = Ear(ana)
        boris.say(said(point=(3.5, 4.5), leaf=6, view=(0.0, 0.0, 9.0, 9.0)))
        await ear.until(len)
        assert ear.frames[0] == {
            "type": "presence",
            "people": [
                {"connection": boris.connection, "user": 2, "name": "boris", "color": "#00a000", "role": "viewer"}
                | {"point": [3.5, 4.5], "leaf": 6, "view": [0, 0, 9, 9], "cut": 40, "idle": False}
            ],
            "gone": [],
        }  # fmt: skip


async def test_whoever_comes_later_hears_at_once_who_is_there(fast):
    async with process() as room:
        room.join(BORIS).say(said())
        assert [one["name"] for one in Ear(room.join(ANA)).people.values()] == ["boris"]


async def test_nobody_sees_who_has_said_nothing(fast):
    async with process() as room:
        room.join(BORIS)
        assert Ear(room.join(ANA)).frames == []


async def test_many_moves_make_few_frames_and_the_last_place_holds(monkeypatch):
    monkeypatch.setattr(presence, "FRAME_S", 0.1)
    async with process() as room:
        ear = Ear(room.join(ANA))
        movers = [room.join(BORIS) for _ in range(50)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for step in range(40):
            for mover in movers:
                mover.say(said(point=(float(step), 0.0)))
            await asyncio.sleep(0.005)
        await ear.until(lambda people: {one["point"][0] for one in people.values()} == {39.0})
        # By the clock of the test itself, however slow the machine is.
        assert len(ear.frames) <= (loop.time() - began) / 0.1 + 2


async def test_what_is_said_twice_is_told_once(fast):
    async with process() as room:
        ear, boris = Ear(room.join(ANA)), room.join(BORIS)
        for _ in range(5):
            boris.say(said())
            await asyncio.sleep(0.03)
        assert len(ear.frames) == 1


async def test_whoever_leaves_is_gone(fast):
    async with process() as room:
        ear, boris = Ear(room.join(ANA)), room.join(BORIS)
        boris.say(said())
        await ear.until(len)
        boris.leave()
        await ear.until(lambda people: not people)
        assert ear.frames[-1]["gone"] == [boris.connection]


async def test_whoever_comes_and_goes_between_two_frames_is_never_shown(fast):
    async with process() as room:
        ear, boris = Ear(room.join(ANA)), room.join(BORIS)
        boris.say(said())
        boris.leave()
        await asyncio.sleep(0.1)
        assert ear.people == {}


async def test_a_new_role_is_told(fast):
    async with process() as room:
        ear, boris = Ear(room.join(ANA)), room.join(BORIS)
        boris.use_role("owner")
        boris.say(said())
        boris.use_role("editor")
        await ear.until(lambda people: [one["role"] for one in people.values()] == ["editor"])


async def test_processes_see_each_others_people(fast):
    async with process() as here, process() as there:
        ear, boris = Ear(here.join(ANA)), there.join(BORIS)
        boris.say(said(point=(8.0, 9.0)))
        await ear.until(lambda people: [one["point"] for one in people.values()] == [[8.0, 9.0]])
        boris.leave()
        await ear.until(lambda people: not people)


async def test_a_process_that_starts_later_is_told_of_all(fast, monkeypatch):
    monkeypatch.setattr(presence, "REPEAT_S", 60)
    async with process() as here:
        here.join(BORIS).say(said())
        async with process() as there:
            ear = Ear(there.join(ANA))
            await ear.until(len)


async def test_projects_are_apart(fast):
    async with process(7) as here, process(8) as there:
        ear = Ear(here.join(ANA))
        there.join(BORIS).say(said())
        await asyncio.sleep(0.1)
        assert ear.frames == []


async def test_a_process_that_stops_in_order_takes_its_people_along(fast):
    async with process() as here:
        ear = Ear(here.join(ANA))
        async with process() as there:
            there.join(BORIS).say(said())
            await ear.until(len)
        await ear.until(lambda people: not people)


async def test_a_process_that_dies_leaves_no_ghosts(fast):
    async with process() as here:
        ear = Ear(here.join(ANA))
        there = Presence(7)
        there.start()
        there.join(BORIS).say(said())
        await ear.until(len)
        for task in there._tasks:  # killed: it says goodbye to nobody
            task.cancel()
        await ear.until(lambda people: not people)


async def test_a_lost_message_is_made_up_for_by_the_next_repetition(fast, monkeypatch):
    async with process() as here, process() as there:
        ear = Ear(here.join(ANA))
        layer = get_channel_layer()
        whole = layer.group_send

        async def lossy(group, message):
            if "people" not in message:
                await whole(group, message)

        monkeypatch.setattr(layer, "group_send", lossy)
        there.join(BORIS).say(said())
        await ear.until(len)


async def test_a_layer_that_fails_keeps_those_at_one_process_together(fast, monkeypatch, caplog):
    monkeypatch.setattr(presence, "RETRY_S", 0.02)

    async def broken(*args):
        raise ConnectionError("no channel layer")

    layer = get_channel_layer()
    whole = layer.group_send
    monkeypatch.setattr(layer, "group_send", broken)
    async with process() as here, process() as there:
        ear, far = Ear(here.join(ANA)), Ear(there.join(ANA))
        boris = here.join(BORIS)
        boris.say(said())
        await ear.until(len)
        assert far.people == {}
        assert "no channel layer" in caplog.text
        monkeypatch.setattr(layer, "group_send", whole)
        await far.until(len)


def test_news_after_news_is_one():
    first = News({"a": "1", "b": "2"}, ["c"])
    both = first.followed_by(News({"c": "3", "b": "4"}, ["a"]))
    assert (dict(both.people), both.gone) == ({"b": "4", "c": "3"}, {"a"})
