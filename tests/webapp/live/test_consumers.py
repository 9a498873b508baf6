"""The socket of a project."""

import asyncio
import base64
import itertools
import json
import threading
import zlib
from contextlib import asynccontextmanager

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import AnonymousUser, User

from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp import actions
from webapp.editing import adoption
from webapp.jobs import jobrows
from webapp.jobs.jobfiles import JobFolder
from webapp.live import broadcast, consumers, feed, readings
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project(scenario.make_user("ana"))


@pytest.fixture(autouse=True)
async def _empty_layer():
    await get_channel_layer().flush()


class Page:
    """A browser's end of the socket."""

    def __init__(self, communicator):
        self.socket = communicator

    async def do(self, kind, **fields):
        """Send an editing command; the client_id it was given."""
        client_id = f"c{next(_ids)}"
        await self.send(kind, client_id=client_id, **fields)
        return client_id

    async def send(self, kind, **fields):
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def next(self, seconds=5):
        """The next event, or the next leaf block as {"type": "block", ...}."""
        message = await self.socket.receive(seconds)
        while isinstance(message, bytes) and message.startswith(b"CNDT"):
            message = await self.socket.receive(seconds)  # the decoder's tables have tests of their own
        if isinstance(message, bytes):
            return {"type": "block", **scenario.parse_frame(message)}
        return scenario.read_event(message)

    async def until(self, kind, seconds=5):
        async with asyncio.timeout(seconds):
            while (event := await self.next())["type"] != kind:
                pass
        return event

    async def until_number(self, number):
        """The event of an edit."""
        while (event := await self.until("edit.applied"))["number"] != number:
            pass
        return event

    async def nothing(self):
        await self.socket.nothing_within(0.15)


def communicator(user, project_id):
    return Socket(user, f"/ws/projects/{project_id}/")


@asynccontextmanager
async def opened(project, user=None):
    socket = communicator(user or project.owner, project.pk)
    accepted = await socket.connect()
    assert accepted
    page = Page(socket)
    try:
        page.state = await page.next()
        assert page.state["type"] == "project.state"
        yield page
    finally:
        await socket.disconnect()


def table_of(state):
    return list(zlib.decompress(base64.b64decode(state["table"])))


async def ready_class(page):
    await page.do("class.create", name="Water", color="#0072b2")
    return await page.until("edit.applied")


# ---------------------------------------------------------------------------------------------------- opening


async def test_anonymous_is_refused(project):
    accepted = await communicator(AnonymousUser(), project.pk).connect()
    assert not accepted


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_project_that_one_may_not_know_closes_with_4404(project, whose):
    user = project.owner if whose == "nobody's" else await database_sync_to_async(scenario.make_user)()
    socket = communicator(user, 987 if whose == "nobody's" else project.pk)
    accepted = await socket.connect()
    assert accepted
    assert await socket.receive_output() == {"type": "websocket.close", "code": 4404}


async def test_state_comes_first(project):
    async with opened(project) as page:
        state = page.state
        assert state["number"] == 1
        off = {"on": False, "threshold": 0.5}
        assert state["project"] == {"id": project.pk, "name": "Fields", "aoi": None, "completion": off}
        assert state["completion"] == off
        assert state["user"] == "ana"
        assert state["scene"]["id"] == project.scene_id
        assert state["classes"] == []
        assert state["segmentation"]["id"] == project.segmentation_id
        assert state["segmentation"]["tree_ready"]
        assert [row["id"] for row in state["segmentations"]] == [project.segmentation_id]
        assert table_of(state) == [0] * 8
        assert (state["can_undo"], state["can_redo"], state["offered"]) == (False, False, None)


async def test_state_without_segmentation_has_no_table(data_dir):
    project = await database_sync_to_async(scenario.make_project)(with_segmentation=False)
    async with opened(project) as page:
        assert (page.state["segmentation"], page.state["table"]) == (None, None)


# ---------------------------------------------------------------------------------------------------- editing


async def test_edit_reaches_author_and_others(project):
    async with opened(project) as page, opened(project) as other:
        client_id = await page.do("class.create", name="Water", color="#0072b2")
        for one in (page, other):
            event = await one.next()
            assert event["type"] == "edit.applied"
            assert (event["number"], event["kind"], event["client_id"]) == (2, "class.create", client_id)
            assert event["user"] == "ana"
            assert event["classes"] == [
                {
                    "number": 1,
                    "name": "Water",
                    "color": "#0072b2",
                    "position": 0,
                    "deleted": False,
                    "merged_into": None,
                }
            ]
            assert event["can_undo"]
            assert not event["reload"]
        await page.do(
            "leaves.assign", segmentation=project.segmentation_id, version=0, ranges=[[2, 4]], **{"class": 1}
        )
        for one in (page, other):
            assert (await one.next())["changes"] == [[2, 4, 1]]


async def test_all_editing_commands_work_over_the_socket(project):
    async with opened(project) as page:
        segmentation = {"segmentation": project.segmentation_id, "version": 0}
        square = {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 1]]]}
        commands = [
            ("class.create", {"name": "Water", "color": "#0072b2"}),
            ("class.create", {"name": "Soil", "color": "#e69f00"}),
            ("class.rename", {"class": 1, "name": "Lake"}),
            ("class.recolor", {"class": 1, "color": "#ffffff"}),
            ("class.reorder", {"order": [2, 1]}),
            ("leaves.assign", {**segmentation, "ranges": [[0, 6]], "class": 1, "point": [3, 4]}),
            ("leaves.unassign", {**segmentation, "ranges": [[1, 2]]}),
            ("class.delete", {"class": 2}),
            ("aoi.set", {"geometry": square}),
            ("edit.undo", {}),
            ("edit.undo", {}),
            ("edit.redo", {}),
        ]
        for number, (kind, fields) in enumerate(commands, 2):
            client_id = await page.do(kind, **fields)
            event = await page.next()
            assert (event["type"], event["kind"], event["number"], event["client_id"]) == (
                "edit.applied",
                kind,
                number,
                client_id,
            )
        await page.send("state.fetch")
        state = await page.next()
        assert table_of(state) == [1, 0, 1, 1, 1, 1, 0, 0]
        assert [(label["name"], label["deleted"]) for label in state["classes"]] == [
            ("Soil", True),
            ("Lake", False),
        ]
        assert state["project"]["aoi"] is None
        assert (state["can_undo"], state["can_redo"]) == (True, True)


async def test_events_lead_to_the_state_fetched_afresh(project):
    async with opened(project) as page:
        table = table_of(page.state)
        await ready_class(page)
        for low in range(0, 8, 2):
            await page.do(
                "leaves.assign",
                segmentation=project.segmentation_id,
                version=0,
                ranges=[[low, low + 1]],
                **{"class": 1},
            )
        await page.do("edit.undo")
        for _ in range(5):
            for low, high, value in (await page.until("edit.applied"))["changes"]:
                table[low:high] = [value] * (high - low)
        await page.send("state.fetch")
        assert table_of(await page.next()) == table == [1, 0, 1, 0, 1, 0, 0, 0]


async def test_repeated_client_id_is_answered_with_the_first_edit(project):
    async with opened(project) as page, opened(project) as other:
        await page.send("class.create", client_id="once", name="Water", color="#0072b2")
        first = await page.next()
        await other.next()
        await page.send("class.create", client_id="once", name="Water", color="#0072b2")
        again = await page.next()
        assert (again["number"], again["client_id"]) == (first["number"], "once")
        await other.nothing()


async def test_remark_is_for_the_author_alone(project):
    boris = await User.objects.acreate(username="boris")
    await database_sync_to_async(scenario.join)(project, boris)
    async with opened(project) as page, opened(project, boris) as other:
        await ready_class(page)
        for one, name in ((page, "Lake"), (other, "Sea")):
            await one.do("class.rename", name=name, **{"class": 1})
            assert (await page.until("edit.applied"))["kind"] == "class.rename"
        await page.do("edit.undo")
        mine = await page.until("edit.applied")
        theirs = [await other.until("edit.applied") for _ in range(4)][-1]
        assert mine["kind"] == theirs["kind"] == "edit.undo"
        assert "boris has renamed the class since" in mine["message"]
        assert theirs["message"] == ""
        assert (mine["can_undo"], theirs["can_undo"]) == (True, True)
        assert (mine["can_redo"], theirs["can_redo"]) == (True, False)


@pytest.mark.parametrize(
    ("text", "code", "client_id"),
    [
        ("{", "invalid", None),
        ('{"type": "nonsense", "client_id": "x1"}', "invalid", "x1"),
        ('{"type": "class.create", "client_id": "x1", "name": "", "color": "#000000"}', "invalid", "x1"),
        ('{"type": "class.delete", "client_id": "x1", "class": 9}', "missing", "x1"),
        ('{"type": "segmentation.adopt", "client_id": "x1", "segmentation": 99}', "missing", "x1"),
        ('{"type": "edit.undo", "client_id": "x1"}', "nothing", "x1"),
        ('{"type": "edit.redo", "client_id": "x1"}', "nothing", "x1"),
        (
            '{"type": "leaves.unassign", "client_id": "x1", "segmentation": 99, "version": 0, "ranges": [[0, 1]]}',
            "stale",
            "x1",
        ),
        ('{"type": "class.reorder", "client_id": "x1", "order": [4]}', "conflict", "x1"),
        ('{"type": "blocks.want", "segmentation": 99, "level": 0, "blocks": []}', "missing", None),
        ('{"type": "x", "client_id": "x1", "pad": "' + "x" * 1024 * 1024 + '"}', "limit", "x1"),
    ],
)
async def test_rejection_goes_to_the_sender_with_a_code(project, text, code, client_id):
    async with opened(project) as page, opened(project) as other:
        await page.socket.send(text)
        event = await page.next()
        assert event["type"] == "command.rejected"
        assert (event["code"], event["client_id"]) == (code, client_id)
        assert event["message"].endswith(".")
        await other.nothing()


async def test_binary_message_is_rejected(project):
    async with opened(project) as page:
        await page.socket.send(b"CNLB")
        assert (await page.next())["code"] == "invalid"


async def test_error_nobody_foresaw_is_told_without_its_text(project, monkeypatch, caplog):
    def broken(*args):
        raise RuntimeError("secret path")

    monkeypatch.setattr(consumers, "perform", broken)
    async with opened(project) as page:
        await page.do("edit.undo")
        event = await page.next()
        assert event["code"] == "internal"
        assert "secret" not in event["message"]
        assert "secret path" in caplog.text


async def test_too_fast_is_limited(project, monkeypatch):
    monkeypatch.setattr(consumers, "COMMANDS_PER_S", 0.01)
    monkeypatch.setattr(consumers, "BURST", 5)
    async with opened(project) as page:
        for _ in range(6):
            await page.send("edits.since", number=1)
        event = await page.until("command.rejected")
        assert event["code"] == "limit"
        assert "wait a second" in event["message"]


# ---------------------------------------------------------------------------------------------------- keeping up


async def test_lost_hint_is_made_up_for_by_the_heartbeat(project, monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.1)
    async with opened(project) as page:
        monkeypatch.setattr(broadcast, "send", lambda *args, **kwargs: None)
        await database_sync_to_async(actions.create_class)(
            project.owner, project.pk, "x", name="a", color="#000000"
        )
        assert (await page.until("edit.applied"))["number"] == 2
        assert (await page.until("heartbeat"))["number"] == 2


async def test_edits_since_sends_them_again(project):
    async with opened(project) as page:
        await ready_class(page)
        await page.do("class.rename", name="Lake", **{"class": 1})
        await page.until("edit.applied")
        await page.send("edits.since", number=1)
        assert [(await page.next())["number"] for _ in range(2)] == [2, 3]
        await page.send("edits.since", number=99)
        assert (await page.next())["type"] == "project.state"


async def test_edits_since_too_long_ago_sends_the_state(project, monkeypatch):
    monkeypatch.setattr(feed, "MAX_RESENT", 3)
    async with opened(project) as page:
        for name in "abcd":
            await page.do("class.create", name=name, color="#000000")
            await page.until("edit.applied")
        await page.send("edits.since", number=1)
        assert (await page.next())["type"] == "project.state"


async def test_slow_page_holds_nobody(project):
    """A page that reads nothing: the other's edits go through, and the group's messages do not pile up."""
    async with opened(project) as slow, opened(project) as page:
        await ready_class(page)
        for i in range(20):
            await page.do("class.rename", name=f"name {i}", **{"class": 1})
            assert (await page.until("edit.applied"))["number"] == 3 + i
        numbers = [(await slow.next())["number"] for _ in range(21)]
        assert numbers == list(range(2, 23))


async def test_deleted_project_closes_the_socket(project, monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.1)
    async with opened(project) as page:
        await database_sync_to_async(project.delete)()
        while (output := await page.socket.receive_output(timeout=5))["type"] != "websocket.close":
            pass
        assert output["code"] == 4404


async def test_closed_account_closes_the_socket(project, monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.1)
    async with opened(project) as page:
        await database_sync_to_async(User.objects.filter(pk=project.owner.pk).update)(is_active=False)
        while (output := await page.socket.receive_output(timeout=5))["type"] != "websocket.close":
            pass
        assert output["code"] == 4404


async def test_broken_task_closes_the_socket_for_a_new_try(project, monkeypatch, caplog):
    async with opened(project) as page:

        def broken(*args):
            raise RuntimeError("no database")

        monkeypatch.setattr(readings, "state", broken)
        await page.send("state.fetch")
        assert await page.socket.receive_output(timeout=5) == {"type": "websocket.close", "code": 1011}
        assert "no database" in caplog.text


# ---------------------------------------------------------------------------------------------------- blocks


async def test_wanted_blocks_come_and_are_told_to_the_job(project):
    folder = JobFolder(project.scene.folder.parents[1], f"segmentation-{project.segmentation_id}")
    folder.describe(attempts=0)
    async with opened(project) as page:
        await page.send("blocks.want", segmentation=project.segmentation_id, level=0, blocks=[[1, 2], [0, 0]])
        first, second = await page.next(), await page.next()
        assert (first["block"], second["block"]) == ((1, 2), (0, 0))
        assert first["segmentation"] == project.segmentation_id
        await asyncio.sleep(0.05)
        assert folder.wanted() == [(0, 1, 2), (0, 0, 0)]
    await asyncio.sleep(0.05)
    assert folder.wanted() == []


async def test_blocks_of_another_scene_are_missing(project):
    def elsewhere():
        return scenario.make_segmentation(scenario.make_scene(scenario.make_user())).pk

    other = await database_sync_to_async(elsewhere)()
    async with opened(project) as page:
        await page.send("blocks.want", segmentation=other, level=0, blocks=[[0, 0]])
        assert (await page.next())["code"] == "missing"
        await page.nothing()


async def test_blocks_and_progress_come_while_it_computes(data_dir):
    def begin():
        project = scenario.make_project(state="running", leave_out=frozenset({(0, 0, 1)}))
        return project, Segmentation.objects.get(pk=project.segmentation_id)

    project, segmentation = await database_sync_to_async(begin)()
    async with opened(project) as page:
        await page.send("blocks.want", segmentation=segmentation.pk, level=0, blocks=[[0, 1], [0, 0]])
        assert (await page.next())["block"] == (0, 0)
        ids = scenario.stripes(700, 1100, 8)
        writer = await database_sync_to_async(scenario.write_store)(segmentation.store_path, ids, 8)
        assert writer.n_levels == 3
        segmentation.progress, segmentation.stage = 0.5, "leaves"
        await database_sync_to_async(jobrows.tell_progress)(
            segmentation, 12.5, [[0, 1]], {"step": 5, "steps": 10, "loss": 2.5}
        )
        got = {}
        for _ in range(2):
            event = await page.next()
            got[event["type"]] = event
        assert got["block"]["block"] == (0, 1)
        del got["segmentation.progress"]["type"]
        assert got["segmentation.progress"] == {
            "segmentation": segmentation.pk,
            "state": "running",
            "stage": "leaves",
            "progress": 0.5,
            "message": "",
            "left_s": 12.5,
            "training": {"step": 5, "steps": 10, "loss": 2.5},
        }


async def test_first_segmentation_reaches_the_open_page(data_dir):
    project = await database_sync_to_async(scenario.make_project)(with_segmentation=False)
    async with opened(project) as page:
        segmentation = await database_sync_to_async(scenario.make_segmentation)(
            project.scene, state="running"
        )
        await database_sync_to_async(jobrows.adopt_where_missing)(segmentation)
        event = await page.until("edit.applied")
        assert (event["kind"], event["user"], event["reload"], event["client_id"]) == (
            "segmentation.adopt",
            None,
            True,
            "",
        )
        await page.send("state.fetch")
        assert (await page.until("project.state"))["segmentation"]["id"] == segmentation.pk


async def test_finished_segmentation_is_offered_and_adopted(project):
    async with opened(project) as page:
        await ready_class(page)
        await page.do(
            "leaves.assign", segmentation=project.segmentation_id, version=0, ranges=[[0, 4]], **{"class": 1}
        )
        await page.until("edit.applied")
        newer = await database_sync_to_async(scenario.make_segmentation)(
            project.scene, n_leaves=16, state="running"
        )
        await database_sync_to_async(jobrows.finish_segmentation)(
            newer.pk, {"n_leaves": 16, "device": "cpu", "size_bytes": 1000}
        )
        event = await page.until("segmentations.changed")
        assert event["offered"]["id"] == newer.pk
        assert [row["state"] for row in event["segmentations"]] == ["complete", "complete"]
        assert (await page.until("statistics.changed"))["segmentation"] == newer.pk
        client_id = await page.do("segmentation.adopt", segmentation=newer.pk)
        event = await page.until("edit.applied")
        assert (event["client_id"], event["reload"]) == (client_id, True)
        await page.send("state.fetch")
        state = await page.until("project.state")
        assert table_of(state) == [1] * 8 + [0] * 8
        assert state["offered"] is None


async def test_classifying_goes_on_while_a_segmentation_is_adopted(project, monkeypatch):
    gate = threading.Event()
    transfer = adoption.transfer_classes

    def slow(*args):
        assert gate.wait(10)
        return transfer(*args)

    monkeypatch.setattr(adoption, "transfer_classes", slow)
    newer = await database_sync_to_async(scenario.make_segmentation)(project.scene, n_leaves=16)
    async with opened(project) as page:
        await ready_class(page)
        assign = {"segmentation": project.segmentation_id, "version": 0, "class": 1}
        await page.do("leaves.assign", ranges=[[0, 2]], **assign)
        await page.until("edit.applied")
        await page.do("segmentation.adopt", segmentation=newer.pk)
        await page.do("leaves.assign", ranges=[[2, 4]], **assign)
        assert (await page.until("edit.applied"))["kind"] == "leaves.assign"
        await page.do("segmentation.adopt", segmentation=newer.pk)
        assert (await page.until("command.rejected"))["code"] == "limit"
        gate.set()
        assert (await page.until("edit.applied"))["kind"] == "segmentation.adopt"
        await page.send("state.fetch")
        assert table_of(await page.until("project.state")) == [1] * 8 + [0] * 8


async def test_state_is_restored_and_told_to_everybody(project):
    async with opened(project) as page, opened(project) as other:
        await ready_class(page)
        await page.do("class.rename", name="Lake", **{"class": 1})
        await page.do("state.restore", number=2)
        for one in (page, other):
            event = await one.until("edit.applied")
            while event["kind"] != "state.restore":
                event = await one.until("edit.applied")
            assert event["classes"][0]["name"] == "Water"
            assert (event["died"], event["revived"]) == ([[3, 4]], [])
            assert event["detail"] == {"number": 2}
            assert event["author"]["name"] == "ana"


@pytest.mark.parametrize("number", [0, -1, "2", None])
async def test_malformed_restore_is_rejected(project, number):
    async with opened(project) as page:
        client_id = await page.do("state.restore", number=number)
        rejected = await page.until("command.rejected")
        assert (rejected["client_id"], rejected["code"]) == (client_id, "invalid")
        client_id = await page.do("state.restore", number=99)
        rejected = await page.until("command.rejected")
        assert (rejected["client_id"], rejected["code"]) == (client_id, "missing")


async def test_notes_and_versions_are_hinted_at(project):
    from webapp.editing import comments, versions

    async with opened(project) as page:
        await ready_class(page)
        await database_sync_to_async(comments.pin)(project.owner, project.pk, 1, 1, "a")
        assert await page.until("comments.changed") == {"type": "comments.changed"}
        await database_sync_to_async(versions.save_version)(project.owner, project.pk, "a", "", None)
        assert await page.until("versions.changed") == {"type": "versions.changed"}


async def test_loser_of_a_race_is_told_and_nobody_else(project):
    boris = await User.objects.acreate(username="boris")
    await database_sync_to_async(scenario.join)(project, boris)
    async with opened(project) as page, opened(project, boris) as other:
        await ready_class(page)
        await page.do("class.create", name="Soil", color="#d55e00")
        leaves = {"segmentation": project.segmentation_id, "version": 0, "ranges": [[0, 3]], "seen": 3}
        await page.do("leaves.assign", **leaves, **{"class": 1})
        await page.until_number(4)
        await other.do("leaves.assign", **leaves, **{"class": 2})
        mine, theirs = await page.until_number(5), await other.until_number(5)
        assert mine["lost"] == {"leaves": 3, "label": 1}
        assert mine["label"] == 2
        assert "lost" not in theirs
