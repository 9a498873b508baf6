"""Several browsers at one project: presence over the socket, edits read once, and one that does not read."""

import asyncio
import itertools
import json
from contextlib import asynccontextmanager

import pytest
import uvicorn
import websockets
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.routing import URLRouter

from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp import actions
from webapp.live import consumers, feed, outbox, rooms
from webapp.models import Membership, Project
from webapp.routing import websocket_urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)
HERE = {"type": "presence", "point": [3.5, 4.5], "leaf": 6, "view": [0, 0, 9, 9], "cut": 40, "idle": False}


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project(scenario.make_user("ana"))


@pytest.fixture(autouse=True)
async def _empty_layer():
    await get_channel_layer().flush()


class Page:
    def __init__(self, socket):
        self.socket = socket

    async def send(self, **message):
        await self.socket.send(json.dumps(message))

    async def edit(self, kind, **fields):
        client_id = f"e{next(_ids)}"
        await self.send(type=kind, client_id=client_id, **fields)
        return client_id

    async def next(self):
        message = await self.socket.receive(10)
        while isinstance(message, bytes) and message.startswith(b"CNDT"):
            message = await self.socket.receive(10)
        return scenario.parse_frame(message) if isinstance(message, bytes) else scenario.read_event(message)

    async def until(self, kind):
        async with asyncio.timeout(10):
            while (event := await self.next()).get("type") != kind:
                pass
        return event

    async def nothing(self):
        await self.socket.nothing_within(0.2)


@asynccontextmanager
async def opened(project, user=None):
    socket = Socket(user or project.owner, f"/ws/projects/{project.pk}/")
    assert await socket.connect()
    page = Page(socket)
    try:
        assert (await page.next())["type"] == "project.state"
        yield page
    finally:
        await socket.disconnect()


@pytest.fixture
def boris(project):
    return scenario.join(project, scenario.make_user("boris"), "viewer")


# ---------------------------------------------------------------------------------------------------- presence


async def test_members_see_each_other_viewers_too(project, boris):
    async with opened(project) as page:
        async with opened(project, boris) as other:
            await other.send(**HERE)
            [person] = (await page.until("presence"))["people"]
            assert {key: person[key] for key in HERE if key != "type"} == {
                key: HERE[key] for key in HERE if key != "type"
            }
            assert (person["user"], person["name"], person["role"]) == (boris.pk, "boris", "viewer")
            assert person["color"].startswith("#")
            async with opened(project) as third:
                assert [one["name"] for one in (await third.until("presence"))["people"]] == ["boris"]
        assert (await page.until("presence"))["gone"] == [person["connection"]]


async def test_a_new_role_is_shown_to_the_others(project, boris):
    async with opened(project) as page, opened(project, boris) as other:
        await other.send(**HERE)
        assert (await page.until("presence"))["people"][0]["role"] == "viewer"

        def promote():
            from webapp.live import broadcast

            Membership.objects.filter(user=boris).update(role="editor")
            broadcast.send(broadcast.project_group(project.pk), "members.changed")

        await database_sync_to_async(promote)()
        assert (await page.until("presence"))["people"][0]["role"] == "editor"


@pytest.mark.parametrize(
    "wrong",
    [
        {"point": [1]},
        {"point": ["a", 2]},
        {"point": [1e300, 2]},
        {"leaf": -1},
        {"leaf": 65_535},
        {"view": [1, 2, 3]},
        {"cut": 0},
        {"idle": "no"},
        {"name": "somebody else"},
        {"color": "#ffffff"},
    ],
)
async def test_bad_presence_is_told_to_its_sender_and_changes_nothing(project, boris, wrong):
    async with opened(project) as page, opened(project, boris) as other:
        await other.send(**{**HERE, **wrong})
        event = await other.until("command.rejected")
        assert (event["code"], event["client_id"]) == ("invalid", None)
        assert "presence" in event["message"]
        await page.nothing()


async def test_presence_without_its_fields_is_rejected(project):
    async with opened(project) as page:
        await page.send(type="presence")
        assert "lacks its field" in (await page.until("command.rejected"))["message"]


async def test_too_much_presence_is_dropped_without_a_word_and_costs_no_edit(project, boris, monkeypatch):
    monkeypatch.setattr(consumers, "PRESENCES_PER_S", 0.001)
    monkeypatch.setattr(consumers, "PRESENCE_BURST", 3)
    monkeypatch.setattr(consumers, "COMMANDS_PER_S", 0.001)
    monkeypatch.setattr(consumers, "BURST", 1)
    async with opened(project) as page, opened(project, boris) as other:
        for step in range(50):
            await other.send(**{**HERE, "point": [step, 0]})
        for one in (page, other):  # the third was the last that got through
            last = {}
            while last.get("point") != [2, 0]:
                last = (await one.until("presence"))["people"][0]
        await other.nothing()
        await other.send(type="state.fetch")  # the one command that is left
        await other.until("project.state")
        await page.nothing()


async def test_a_class_may_be_named_presence(project):
    async with opened(project) as page:
        await page.edit("class.create", name="presence", color="#000000")
        assert (await page.until("edit.applied"))["classes"][0]["name"] == "presence"


# ---------------------------------------------------------------------------------------------------- edits


async def test_an_edit_is_read_once_for_all_sockets(project, monkeypatch):
    readings = []
    read = feed._read_edits

    def counted(*args):
        found = read(*args)
        readings.extend(edit.number for edit in found)
        return found

    monkeypatch.setattr(feed, "_read_edits", counted)
    async with opened(project) as a, opened(project) as b, opened(project) as c, opened(project) as d:
        for name in ("Water", "Forest", "Field"):
            client_id = await a.edit("class.create", name=name, color="#000000")
            told = [await page.until("edit.applied") for page in (a, b, c, d)]
            assert {event["client_id"] for event in told} == {client_id}
            assert all(event == told[0] for event in told[1:])
    assert readings == [2, 3, 4]


async def test_what_one_can_undo_is_told_to_each_alone(project):
    cleo = await database_sync_to_async(scenario.make_user)("cleo")
    await database_sync_to_async(scenario.join)(project, cleo)
    async with opened(project) as page, opened(project, cleo) as other:
        await page.edit("class.create", name="Water", color="#000000")
        mine, theirs = [await one.until("edit.applied") for one in (page, other)]
        assert (mine["can_undo"], theirs["can_undo"]) == (True, False)
        same = {"can_undo", "can_redo", "message"}
        assert {key: mine[key] for key in mine if key not in same} == {
            key: theirs[key] for key in theirs if key not in same
        }


async def test_a_room_is_left_by_the_last(project):
    async with opened(project):
        async with opened(project):
            pass
        assert len(rooms._rooms[asyncio.get_running_loop()]) == 1
    assert not rooms._rooms[asyncio.get_running_loop()]


async def test_hints_come_again_after_the_channel_layer_failed(project, monkeypatch, caplog):
    monkeypatch.setattr(rooms, "RETRY_S", 0.02)
    layer = get_channel_layer()
    receive, failures = layer.receive, []

    async def fails_once(channel):
        message = await receive(channel)
        if message["type"] == "edit.recorded" and not failures:
            failures.append(message)
            raise ConnectionError("no channel layer")
        return message

    monkeypatch.setattr(layer, "receive", fails_once)
    async with opened(project) as page, opened(project) as other:
        await page.edit("class.create", name="Water", color="#000000")
        await page.until("edit.applied")
        async with asyncio.timeout(5):
            while "no channel layer" not in caplog.text:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await page.edit("class.create", name="Forest", color="#000000")
        assert [(await other.until("edit.applied"))["number"] for _ in range(2)] == [2, 3]


async def test_one_socket_that_cannot_take_a_hint_keeps_it_from_no_other(project, monkeypatch, caplog):
    async with opened(project) as page, opened(project) as other:
        [room] = rooms._rooms[asyncio.get_running_loop()].values()
        broken = next(iter(room.guests))

        async def fail(message):
            raise RuntimeError("out of order")

        monkeypatch.setattr(broken, "edit_recorded", fail)
        await database_sync_to_async(actions.create_class)(
            project.owner, project.pk, "x", name="Water", color="#000000"
        )
        done, pending = await asyncio.wait(
            [asyncio.create_task(one.until("edit.applied")) for one in (page, other)],
            timeout=2,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert [task.result()["number"] for task in done] == [2]
        for task in pending:
            task.cancel()
        assert "out of order" in caplog.text


async def test_blocks_wait_until_they_are_taken_and_edits_do_not(project):
    async with opened(project) as page:
        wanted = {"segmentation": project.segmentation_id, "level": 0, "blocks": [[0, 0], [0, 1], [1, 0]]}
        await page.send(type="blocks.want", **wanted, window=1)
        assert (await page.next())["block"] == (0, 0)
        await page.nothing()
        await page.edit("class.create", name="Water", color="#000000")
        assert (await page.next())["type"] == "edit.applied"
        await page.send(type="blocks.taken", frames=7)
        event = await page.next()
        assert (event["code"], event["message"]) == ("invalid", "7 frames cannot have come: fewer were sent.")
        await page.send(type="blocks.taken", frames=1)
        assert (await page.next())["block"] == (0, 1)
        await page.nothing()


# ---------------------------------------------------------------------------------------------------- a slow reader


@asynccontextmanager
async def served(user):
    """The sockets on a real server, where ``user`` is signed in."""
    routes = URLRouter(websocket_urlpatterns)

    async def app(scope, receive, send):
        await routes({**scope, "user": user}, receive, send)

    config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def outboxes(monkeypatch):
    made = []

    class Watched(outbox.Outbox):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(consumers, "Outbox", Watched)
    return made


async def test_who_does_not_read_holds_nobody_and_is_told_everything_later(project, outboxes, monkeypatch):
    monkeypatch.setattr(feed, "KEPT_BYTES", 300_000)

    def named(number):
        # Long remarks to the names of classes: each event lists all of them.
        actions.create_class(
            project.owner, project.pk, f"n{number}", name=f"{number} " + "x" * 70, color="#000000"
        )

    async with served(project.owner) as port:
        url = f"ws://127.0.0.1:{port}/ws/projects/{project.pk}/"
        options = {"ping_interval": None, "compression": None, "max_size": None}
        async with (
            websockets.connect(url, max_queue=1, **options) as slow,
            websockets.connect(url, **options) as quick,
        ):
            await slow.recv()
            await quick.recv()
            create = database_sync_to_async(named)
            edits = 240
            for number in range(edits):
                await create(number)
            seen = []
            async with asyncio.timeout(60):
                while len(seen) < edits:
                    event = json.loads(await quick.recv())
                    if event["type"] == "edit.applied":
                        seen.append(event["number"])
            assert seen == list(range(2, edits + 2))
            for box in outboxes:
                assert len(box._events) <= outbox.ROOMY + feed.KEPT
            told, number = [], 1
            async with asyncio.timeout(60):
                while number < edits + 1:
                    event = json.loads(await slow.recv())
                    if event["type"] in ("edit.applied", "project.state"):
                        told.append((number, event))
                        assert event["type"] == "project.state" or event["number"] == number + 1
                        number = event["number"]
            assert told


async def test_who_is_too_far_behind_gets_the_state_afresh(project, outboxes, monkeypatch):
    monkeypatch.setattr(feed, "MAX_RESENT", 20)
    monkeypatch.setattr(outbox, "ROOMY", 2)

    async with opened(project) as page:
        box = outboxes[0]
        reading = asyncio.Event()
        write = box._send_text

        async def slow_write(text):
            await reading.wait()
            await write(text)

        box._send_text = slow_write

        def create(number):
            actions.create_class(project.owner, project.pk, f"n{number}", name=f"{number}", color="#000000")

        for number in range(30):
            await database_sync_to_async(create)(number)
            await asyncio.sleep(0.01)
        assert len(box._events) <= 4
        reading.set()
        events = []
        while not events or events[-1]["type"] != "project.state":
            events.append(await page.next())
        assert len(events) < 20
        assert events[-1]["number"] == 31


async def test_who_sends_much_and_reads_nothing_is_sent_away(project, outboxes, monkeypatch, caplog):
    monkeypatch.setattr(outbox, "MOST", 5)
    async with opened(project) as page:

        async def never(text):
            await asyncio.Event().wait()

        outboxes[0]._send_text = never
        for _ in range(20):
            await page.send(type="nonsense")
        assert await page.socket.receive_output(timeout=5) == {"type": "websocket.close", "code": 1013}
        assert "does not read" in caplog.text
