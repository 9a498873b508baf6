"""The same pages over the server's real sockets, with all its tasks and threads: what happens when is then nobody's choice."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from tests.collaboration.pages import Pages
from tests.collaboration.world import Page, World
from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp.live import consumers
from webapp.models import Project, Scene

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 100
QUIET_S = 0.4  # longer than two heartbeats of this test
MOST_S = 60.0  # for all to come to rest, on a machine that does much else


class Sockets(World):
    """A world whose lines are sockets."""

    def begin(self) -> None:
        """Lines are opened on the event loop."""
        self.sockets: dict[int, tuple[Socket, asyncio.Task[None]]] = {}
        self.traffic = 0

    async def dial(self, page: Page) -> None:
        if page.index in self.sockets:
            return
        # The page has to dial before it can be asked from where on; it says nothing until it is told something.
        query = urlsplit((await self.ask(page, op="open"))["url"]).query
        socket = Socket(page.user, f"/ws/projects/{self.project_id}/?{query}")
        assert await socket.connect()
        self.sockets[page.index] = socket, asyncio.create_task(self._listen(page, socket))

    async def hang_up(self, page: Page) -> None:
        """What is on its way in either direction may be lost."""
        if page.index not in self.sockets:
            return
        socket, listening = self.sockets.pop(page.index)
        page.had_drops = True
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        self._ask(page, op="close", code=1006)
        await socket.disconnect()

    async def _listen(self, page: Page, socket: Socket) -> None:
        while True:
            output = await socket.receive_output(timeout=600)
            if text := output.get("text"):
                self.traffic += json.loads(text)["type"] != "heartbeat"
                await self.ask(page, op="say", texts=[text])

    async def ask(self, page: Page, **request: Any) -> dict[str, Any]:
        """Have the page do something, and send what it says."""
        told = self.note(page, self.pages.ask(page=page.index, **request))
        self.traffic += len(told["sent"])
        if page.index in self.sockets:
            for text in told["sent"]:
                await self.sockets[page.index][0].send(text)
        return told

    async def rest(self) -> None:
        """Wait until all are connected and nobody says anything."""
        for page in self.tabs:
            await self.dial(page)
        async with asyncio.timeout(MOST_S):
            while True:
                before = self.traffic
                await asyncio.sleep(QUIET_S)
                waits = any(self.look(page)["pending"] for page in self.tabs)
                if before == self.traffic and not waits:
                    return


def leaves(rng: random.Random) -> dict[str, Any]:
    low = rng.randrange(9)
    kind = (
        {"type": "leaves.assign", "class": rng.randrange(4)}
        if rng.random() < 0.8
        else {"type": "leaves.unassign"}
    )
    return {"do": "leaves", **kind, "ranges": [[low, min(low + rng.randrange(1, 5), 9)]]}


ACTS: list[Callable[[random.Random], dict[str, Any]]] = [
    leaves,
    leaves,
    leaves,
    lambda rng: {"do": "undo"},
    lambda rng: {"do": "undo"},
    lambda rng: {"do": "redo"},
    lambda rng: {"do": "", "type": "class.create", "name": rng.choice("ABCDEFG"), "color": "#112233"},
    lambda rng: {"do": "", "type": "class.rename", "class": rng.randrange(4), "name": rng.choice("ABCDEFG")},
    lambda rng: {"do": "", "type": "class.delete", "class": rng.randrange(6)},
    lambda rng: {"do": "merge", "type": "class.merge", "class": rng.randrange(4), "source": rng.randrange(4)},
    lambda rng: {"do": "split", "type": "leaf.split", "leaf": rng.randrange(9), "parts": 2},
    lambda rng: {
        "do": "",
        "type": "override.add",
        "class": rng.choice([None, 0, 1]),
        "polygons": [[[[5, 5], [40, 5], [40, rng.randrange(20, 600)]]]],
    },
    lambda rng: {"do": "", "type": "completion.set", "on": rng.random() < 0.5, "threshold": 0.5},
    lambda rng: {"do": "adopt", "type": "segmentation.adopt"},
    lambda rng: {"do": "restore", "type": "state.restore", "back": rng.randrange(1, 8)},
]


@pytest.mark.parametrize("seed", range(int(os.environ.get("COLLABORATION_SEEDS", "1"))))
async def test_pages_agree_over_sockets_that_break(
    node_pages: Pages, scene: Scene, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.15)
    rng = random.Random(seed)

    def make() -> Sockets:
        people: list[User] = [scene.owner, scenario.make_user("boris"), scenario.make_user("cleo")]
        return Sockets(scene, [*people, scene.owner], node_pages)

    world = await sync_to_async(make)()
    try:
        for page in world.tabs:
            await world.dial(page)
        for _ in range(STEPS):
            page = rng.choice(world.tabs)
            chance = rng.random()
            if chance < 0.06:
                await world.hang_up(page)
            elif chance < 0.14:
                await world.dial(page)
            else:
                await world.ask(page, op="act", fields=rng.choice(ACTS)(rng))
            await asyncio.sleep(rng.choice([0, 0, 0.002, 0.03]))
        await world.rest()
        await sync_to_async(world.check)()
        project = await Project.objects.aget(pk=world.project_id)
        assert project.number > STEPS // 4, "much has happened"
    finally:
        for page in world.tabs:
            await world.hang_up(page)
