"""Drawing by hand over the socket: told to everybody, in order, while the connection goes on getting its blocks."""

from __future__ import annotations

import asyncio
import threading

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from tests.webapp import scenario
from tests.webapp.live.test_consumers import opened
from webapp.editing import overriding
from webapp.live import progress
from webapp.models import Project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

SLOW = 30  # seconds that something may take on a busy machine
BOX = [[[[10, 10], [10, 90], [60, 90], [60, 10]]]]


@pytest.fixture(autouse=True)
async def _empty_layer():
    await get_channel_layer().flush()


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_labeled_project(scenario.make_user("ana"))


@pytest.fixture
def held(monkeypatch):
    """Drawings wait for this event."""
    may_go = threading.Event()
    write = overriding.write_layer

    def waiting(path, blocks):
        assert may_go.wait(SLOW)
        return write(path, blocks)

    monkeypatch.setattr(overriding, "write_layer", waiting)
    yield may_go
    may_go.set()


async def test_a_drawing_is_told_to_everybody(project):
    async with opened(project) as page, opened(project) as other:
        client_id = await page.do("override.add", **{"class": 1}, polygons=BOX)
        told = [await one.until("edit.applied", SLOW) for one in (page, other)]
        assert [event["client_id"] for event in told] == [client_id] * 2
        assert [event["overrides"]["blocks"] for event in told] == [[[0, 0, told[0]["number"], 1]]] * 2
        assert told[0]["can_undo"]
    async with opened(project) as late:
        assert late.state["overrides"] == told[0]["overrides"]


async def test_later_edits_wait_and_blocks_do_not(project, held):
    async with opened(project) as page:
        first = await page.do("override.add", **{"class": 1}, polygons=BOX)
        await page.send("blocks.want", segmentation=project.segmentation_id, level=0, blocks=[[0, 0]])
        assert (await page.until("block", SLOW))["block"] == (0, 0)
        second = await page.do("override.add", **{"class": 2}, polygons=BOX)
        undone = await page.do("edit.undo")
        await asyncio.sleep(0.1)
        held.set()
        events = [await page.until("edit.applied", SLOW) for _ in range(3)]
    assert [event["client_id"] for event in events] == [first, second, undone]
    assert [event["kind"] for event in events] == ["override.add", "override.add", "edit.undo"]
    assert [event["number"] for event in events] == sorted(event["number"] for event in events)


async def test_others_go_on_while_somebody_draws(project, held):
    async with opened(project) as page, opened(project) as other:
        await page.do("override.add", **{"class": 1}, polygons=BOX)
        quick = await other.do("class.create", name="Wood", color="#00ff00")
        assert (await other.until("edit.applied", SLOW))["client_id"] == quick
        held.set()
        assert (await other.until("edit.applied", SLOW))["kind"] == "override.add"


async def test_progress_is_told_to_the_sender_alone(project, monkeypatch):
    monkeypatch.setattr(progress, "PAUSE_S", 0)
    async with opened(project) as page, opened(project) as other:
        client_id = await page.do(
            "override.add", **{"class": 1}, polygons=[[[[0, 0], [0, 1100], [700, 1100], [700, 0]]]]
        )
        shares = []
        while (event := await page.next(SLOW))["type"] != "edit.applied":
            if event["type"] == "override.progress":
                assert event["client_id"] == client_id
                shares.append(event["progress"])
        assert shares == sorted(shares)
        assert set(shares) <= {0.5, 1.0}
        while (event := await other.next(SLOW))["type"] != "edit.applied":
            assert event["type"] != "override.progress"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"class": 1, "polygons": [[[[0, 0], [1, 1]]]]}, "should have at least 3 items"),
        ({"class": 1, "polygons": []}, "should have at least 1 item"),
        ({"class": 1, "polygons": [[[["a", 0], [1, 1], [2, 2]]]]}, "cannot be 'a'"),
        ({"class": 0, "polygons": BOX}, "`class` of override.add cannot be 0"),
        ({"polygons": BOX}, "override.add lacks its field `class`"),
        ({"class": 1}, "give one of the two"),
        ({"class": 1, "region": {"point": [1, 1]}}, "lacks its field `region`[segmentation]"),
        ({"class": 1, "polygons": [[[[900, 0], [950, 0], [950, 9]]]]}, "the center of no pixel"),
        ({"class": 9, "polygons": BOX}, "There is no class 9"),
        ({"class": None, "polygons": BOX}, "nothing to erase"),
    ],
)
async def test_bad_drawings_are_refused_with_a_sentence(project, fields, sentence):
    async with opened(project) as page:
        client_id = await page.do("override.add", **fields)
        refused = await page.until("command.rejected", SLOW)
        assert refused["client_id"] == client_id
        assert sentence in refused["message"]
        # The connection goes on.
        assert await page.do("override.add", **{"class": 1}, polygons=BOX)
        assert (await page.until("edit.applied", SLOW))["kind"] == "override.add"


async def test_positions_that_are_no_numbers_are_refused(project):
    async with opened(project) as page:
        text = '{"type": "override.add", "client_id": "n", "class": 1, "polygons": [[[[NaN, 0], [1, 1], [2, 2]]]]}'
        await page.socket.send(text)
        refused = await page.until("command.rejected", SLOW)
        assert refused["code"] == "invalid"


async def test_a_repeated_drawing_is_answered_with_the_first(project):
    async with opened(project) as page:
        command = {"client_id": "same", "class": 1, "polygons": BOX}
        await page.send("override.add", **command)
        first = await page.until("edit.applied", SLOW)
        await page.send("override.add", **command)
        assert (await page.until("edit.applied", SLOW))["number"] == first["number"]
    assert await database_sync_to_async(project.edits.filter(kind="override.add").count)() == 1


async def test_a_merge_is_told_with_the_classes(project):
    async with opened(project) as page:
        await page.do("class.merge", sources=[1], **{"class": 2})
        told = await page.until("edit.applied", SLOW)
        assert {label["number"]: label["merged_into"] for label in told["classes"]} == {1: 2, 2: None}
        await page.do("class.merge", sources=[2], **{"class": 2})
        assert "cannot be merged into itself" in (await page.until("command.rejected", SLOW))["message"]
