"""The decoder's table over the socket."""

import asyncio
import itertools
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from segmentation import Click
from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp import actions
from webapp.decoding import completion_service
from webapp.editing import projects
from webapp.live import broadcast
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 120  # the first table of a process loads the decoder, on machines that may be busy

_ids = itertools.count(1)


@pytest.fixture(autouse=True)
async def _empty_layer():
    await get_channel_layer().flush()


@pytest.fixture
def project(data_dir) -> Project:
    """Eight leaves in stripes of 137.5 pixels; two classes, no example."""
    return scenario.make_labeled_project(scenario.make_user("ana"))


class Page:
    """A browser's end of the socket: events and tables, in the order in which they came."""

    def __init__(self, socket):
        self.socket = socket
        self.came = []

    async def do(self, kind, **fields):
        client_id = f"c{next(_ids)}"
        await self.socket.send(json.dumps({"type": kind, "client_id": client_id, **fields}))
        return client_id

    async def click(self, project, leaf, number):
        await self.do(
            "leaves.assign",
            segmentation=project.segmentation_id,
            version=0,
            ranges=[[leaf, leaf + 1]],
            point=list(leaf_point(leaf)),
            **{"class": number},
        )

    async def until(self, kind, /, **fields):
        """The next message of a kind, "table" being one, with these fields."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive(PATIENCE_S)
                is_table = isinstance(message, bytes)
                message = (
                    {"type": "table", **scenario.parse_table(message)}
                    if is_table
                    else scenario.read_event(message)
                )
                self.came.append(message["type"])
                if message["type"] == kind and all(message[name] == value for name, value in fields.items()):
                    return message

    async def nothing(self):
        """Nothing more comes within a fifth of a second."""
        await self.socket.nothing_within(0.2)


def leaf_point(leaf):
    return 300, int((leaf + 0.5) * 1100 / 8)


@asynccontextmanager
async def opened(project):
    socket = Socket(project.owner, f"/ws/projects/{project.pk}/")
    accepted = await socket.connect()
    assert accepted
    page = Page(socket)
    try:
        page.state = await page.until("project.state")
        yield page
    finally:
        await socket.disconnect()


def expected(segmentation, *clicks):
    got = scenario.blocks.open_store(segmentation).classify([Click(*click) for click in clicks])
    return got.classes.tolist(), np.floor(got.certainty * 255.0).astype(int).tolist()


def bytes_of(table):
    return table["classes"].tolist(), table["certainty"].tolist()


async def test_table_follows_the_edit_to_every_member_and_is_what_the_library_says(project):
    async with opened(project) as page, opened(project) as other:
        await page.click(project, 0, 1)
        await page.click(project, 7, 2)
        for one in (page, other):
            table = await one.until("table", number=5)
            assert table["segmentation"] == project.segmentation_id
            assert bytes_of(table) == expected(
                project.segmentation_id, (*leaf_point(0), 1), (*leaf_point(7), 2)
            )
            assert one.came.index("edit.applied") < one.came.index("table")


async def test_one_that_connects_later_gets_the_table_after_its_state(project):
    async with opened(project) as page:
        await page.click(project, 2, 1)
        table = await page.until("table", number=4)
    async with opened(project) as late:
        again = await late.until("table")
        assert late.came == ["project.state", "table"]
        assert bytes_of(again) == bytes_of(table) == ([1] * 8, [255] * 8)


async def test_connections_share_one_computation(project, monkeypatch):
    decoded = []
    decode = completion_service.decode

    def counted(order, previous=None):
        answer = decode(order, previous)
        if answer is not previous:
            decoded.append(order.number)
        return answer

    monkeypatch.setattr(completion_service, "decode", counted)
    async with opened(project) as page, opened(project) as one, opened(project) as other:
        await page.click(project, 2, 1)
        for member in (page, one, other):
            await member.until("table", number=4)
    assert decoded == [4]


async def test_project_without_examples_sends_no_table(project):
    async with opened(project) as page:
        await page.do("class.rename", name="Sea", **{"class": 1})
        await page.until("edit.applied")
        await page.nothing()


async def test_edits_that_change_no_example_send_no_table(project):
    async with opened(project) as page:
        await page.click(project, 2, 1)
        await page.until("table")
        await page.do("class.rename", name="Sea", **{"class": 1})
        await page.do("completion.set", on=True, threshold=0.6)
        told = await page.until("edit.applied", kind="completion.set")
        assert told["project"]["completion"] == {"on": True, "threshold": 0.6}
        await page.nothing()
    async with opened(project) as page:
        assert page.state["completion"] == {"on": True, "threshold": 0.6}


async def test_undo_and_redo_of_an_example_change_the_table_back(project):
    async with opened(project) as page:
        await page.click(project, 0, 1)
        one_class = bytes_of(await page.until("table", number=4))
        await page.click(project, 7, 2)
        two_classes = bytes_of(await page.until("table", number=5))
        assert one_class != two_classes
        await page.do("edit.undo")
        assert bytes_of(await page.until("table", number=6)) == one_class
        await page.do("edit.redo")
        assert bytes_of(await page.until("table", number=7)) == two_classes


async def test_last_example_gone_empties_the_table(project):
    async with opened(project) as page:
        await page.click(project, 0, 1)
        await page.until("table", number=4)
        await page.do("examples.remove", targets=[4])
        assert bytes_of(await page.until("table", number=5)) == ([0] * 8, [0] * 8)
    async with opened(project) as page:  # its browser may hold the table from before
        assert bytes_of(await page.until("table")) == ([0] * 8, [0] * 8)


async def test_deleted_class_is_predicted_no_more(project):
    async with opened(project) as page:
        await page.click(project, 0, 1)
        await page.click(project, 7, 2)
        await page.until("table", number=5)
        await page.do("class.delete", **{"class": 2})
        table = await page.until("table", number=6)
        assert set(table["classes"].tolist()) == {1}


async def test_strokes_count_like_clicks(project):
    async with opened(project) as page:
        await page.do(
            "examples.add",
            examples=[
                {"class": 1, "points": [list(leaf_point(0))]},
                {"class": 2, "points": [list(leaf_point(7)), list(leaf_point(6))]},
                {"class": 1, "against": True, "points": [list(leaf_point(2))]},
            ],
        )
        applied = await page.until("edit.applied")
        assert (applied["kind"], applied["changes"]) == ("examples.add", [])
        table = await page.until("table", number=4)
        assert bytes_of(table) == expected(
            project.segmentation_id,
            (*leaf_point(0), 1),
            (*leaf_point(7), 2),
            (*leaf_point(6), 2),
            (*leaf_point(2), 1, True),
        )


async def test_refused_examples_are_told_to_their_sender(project):
    async with opened(project) as page:
        client_id = await page.do("examples.add", examples=[{"class": 1, "points": [[700, 3]]}])
        told = await page.until("command.rejected")
        assert (told["client_id"], told["code"]) == (client_id, "invalid")
        assert "Pixel 700, 3 is outside the scene of 700 rows and 1100 columns" in told["message"]


async def test_adoption_keeps_the_examples_and_decodes_on_the_new_leaves(project):
    rows = np.broadcast_to((np.arange(700) * 16 // 700).astype(np.uint16)[:, None], (700, 1100))
    make = database_sync_to_async(scenario.make_segmentation)
    async with opened(project) as page:
        await page.click(project, 0, 1)
        await page.click(project, 7, 2)
        await page.until("table", number=5)
        new = await make(project.scene, n_leaves=16, ids=rows)
        await page.do("segmentation.adopt", segmentation=new.pk)
        await page.until("edit.applied", kind="segmentation.adopt")
        table = await page.until("table", segmentation=new.pk)
        assert len(table["classes"]) == 16
        assert bytes_of(table) == expected(new.pk, (*leaf_point(0), 1), (*leaf_point(7), 2))
        await page.do("edit.undo")
        table = await page.until("table", segmentation=project.segmentation_id)
        assert len(table["classes"]) == 8


async def test_copy_of_a_project_has_its_own_table(project):
    async with opened(project) as page:
        await page.click(project, 2, 1)
        table = await page.until("table", number=4)
        copy = await database_sync_to_async(projects.duplicate_project)(project, project.owner, "copy")
        async with opened(copy) as second:
            assert bytes_of(await second.until("table", number=4)) == bytes_of(table)
            await second.do("edit.undo")
            assert not (await second.until("table", number=5))["classes"].any()
        await page.nothing()


async def test_blocks_that_come_later_make_their_examples_count(data_dir):
    ids = scenario.stripes(700, 1100, 8)
    missing = frozenset({(0, 0, 2), (0, 1, 2)})
    project = await database_sync_to_async(scenario.make_project)(
        ids=ids, state=Segmentation.State.RUNNING, leave_out=missing
    )
    create = database_sync_to_async(actions.create_class)
    for name in ("Water", "Soil"):
        await create(project.owner, project.pk, "", name=name, color="#000000")
    async with opened(project) as page:
        await page.click(project, 0, 1)
        await page.click(project, 7, 2)
        assert set((await page.until("table", number=5))["classes"].tolist()) == {1}
        whole = scenario.write_store(project.segmentation.store_path.with_name("whole.zarr"), ids, 8)
        for row in (0, 1):
            block = project.segmentation.store_path / f"leaves/0/c/{row}/2"
            block.parent.mkdir(parents=True, exist_ok=True)
            block.write_bytes((whole.path / f"leaves/0/c/{row}/2").read_bytes())
        progress = {
            "segmentation": project.segmentation_id,
            "state": "running",
            "stage": "leaves",
            "progress": 0.9,
            "message": "",
            "left_s": None,
        }
        await get_channel_layer().group_send(
            broadcast.scene_group(project.scene_id),
            {"type": "segmentation.grew", "progress": progress, "blocks": [[0, 2], [1, 2]]},
        )
        table = await page.until("table")
        assert bytes_of(table) == expected(project.segmentation_id, (*leaf_point(0), 1), (*leaf_point(7), 2))


async def test_decoder_that_breaks_is_told_and_the_class_stands(project, monkeypatch):
    def broken(order, previous=None):
        raise RuntimeError("the trees fell")

    async with opened(project) as page:
        with monkeypatch.context() as patched:
            patched.setattr(completion_service, "decode", broken)
            await page.click(project, 2, 1)
            applied = await page.until("edit.applied")
            assert applied["changes"] == [[2, 3, 1]]
            told = await page.until("completion.failed")
            assert told["number"] == 4
            assert "What you classified is kept" in told["message"]
            assert "trees" not in told["message"]
        await page.click(project, 3, 1)
        assert set((await page.until("table", number=5))["classes"].tolist()) == {1}


async def test_project_without_segmentation_stays_silent(data_dir):
    project = await database_sync_to_async(scenario.make_project)(with_segmentation=False)
    create = database_sync_to_async(actions.create_class)
    await create(project.owner, project.pk, "", name="Water", color="#000000")
    async with opened(project) as page:
        await page.do("examples.add", examples=[{"class": 1, "points": [[5, 5]]}])
        await page.until("edit.applied")
        await page.nothing()
