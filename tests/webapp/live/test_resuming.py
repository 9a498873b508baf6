"""A page that dials again goes on from the edit that it knows, with all that the connection brings beside the edits."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from tests.webapp import scenario
from tests.webapp.live.test_consumers import Page, opened
from tests.webapp.socketry import Socket
from webapp import actions
from webapp.live import consumers
from webapp.models import Project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_labeled_project(scenario.make_user("ana"))


@pytest.fixture(autouse=True)
async def _empty_layer(monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 60.0)
    await get_channel_layer().flush()


async def back(project: Project, state: dict[str, Any]) -> Page:
    """The socket of somebody whose page stands at ``state``."""
    query = urlencode({"since": state["number"], "at": state["at"]})
    socket = Socket(project.owner, f"/ws/projects/{project.pk}/?{query}")
    assert await socket.connect()
    return Page(socket)


async def test_missed_edits_come_with_the_race_that_was_lost_meanwhile(project):
    boris = await database_sync_to_async(scenario.join)(
        project, await database_sync_to_async(scenario.make_user)("boris")
    )
    fields = {"segmentation": project.segmentation_id, "version": 0, "ranges": [[0, 2]]}
    async with opened(project) as page:
        seen = page.state["number"]
        await page.do("leaves.assign", **fields, **{"class": 1}, seen=seen)
        own = await page.until_number(seen + 1)
        state = {**page.state, "number": own["number"], "at": own["at"]}
    async with opened(project, boris) as other:
        await other.do("leaves.assign", **fields, **{"class": 2}, seen=seen)
        await other.until_number(seen + 2)
    page = await back(project, state)
    try:
        resumed = await page.next()
        assert (resumed["type"], resumed["number"]) == ("project.resumed", seen + 2)
        missed = await page.next()
        assert (missed["number"], missed["changes"]) == (seen + 2, [[0, 2, 2]])
        assert missed["lost"] == {"leaves": 2, "label": 1}
    finally:
        await page.socket.disconnect()


async def test_presence_and_blocks_come_as_after_a_state(project):
    async with opened(project) as page:
        state = page.state
        async with opened(project) as other:
            await other.send("presence", point=[1, 2], leaf=None, view=None, cut=40, idle=False)
            await other.until("presence")
            again = await back(project, state)
            try:
                assert (await again.next())["type"] == "project.resumed"
                assert [person["point"] for person in (await again.until("presence"))["people"]] == [[1, 2]]
                await again.send(
                    "blocks.want", segmentation=project.segmentation_id, level=0, blocks=[[0, 0]]
                )
                assert (await again.until("block"))["block"] == (0, 0)
                number = (
                    await database_sync_to_async(actions.create_class)(
                        project.owner, project.pk, "", name="Wood", color="#000000"
                    )
                ).number
                assert (await again.until("edit.applied"))["number"] == number
            finally:
                await again.socket.disconnect()


async def test_an_address_without_sense_begins_with_the_state(project):
    socket = Socket(project.owner, f"/ws/projects/{project.pk}/?since=many")
    assert await socket.connect()
    try:
        assert json.loads(str(await socket.receive()))["type"] == "project.state"
    finally:
        await socket.disconnect()
