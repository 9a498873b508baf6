"""Splits over the socket: progress, previews that only their sender sees, and blocks that are sent again."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from channels.db import database_sync_to_async

from tests.webapp.editing.test_leaf_splitting import (  # noqa: F401  (two are fixtures)
    N,
    biggest,
    made_segmentation,
    now,
    pixels_of,
    split_project,
)
from tests.webapp.live.test_consumers import opened
from webapp.editing import leaf_splitting
from webapp.editing.leaves import splits_folder
from webapp.editing.refinements import FIRST_CHILD as C

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

SLOW = 60  # seconds that a split may take on a busy machine


def fields(project, **more):
    return {"segmentation": project.segmentation_id, "version": 0, **more}


async def want(page, project, *blocks):
    wanted = [list(block) for block in blocks]
    await page.send("blocks.want", segmentation=project.segmentation_id, level=0, blocks=wanted)
    return [await page.until("block", SLOW) for _ in blocks]


async def no_block(page):
    """Whatever else comes (a heartbeat, the decoder's table), no leaf block is among it."""
    while not await page.socket.receive_nothing(timeout=0.5):
        message = await page.socket.receive()
        assert isinstance(message, str) or not message.startswith(b"CNLB")


async def test_split_is_told_with_progress_and_its_blocks_are_sent_again(project):
    leaf = await database_sync_to_async(biggest)(project)
    first, second = await database_sync_to_async(pixels_of)(project, leaf)
    async with opened(project) as page, opened(project) as other:
        for name in (page, other):
            blocks = await want(name, project, (0, 0), (0, 1))
            assert [block["version"] for block in blocks] == [0, 0]
        await page.do(
            "leaves.assign", **fields(project, ranges=[[leaf, leaf + 1]], **{"class": 1}, point=first)
        )
        assert (await page.until("edit.applied", SLOW))["clicks"] == {
            "added": [[4, *first, 1, leaf]],
            "removed": [],
        }
        await other.until("edit.applied", SLOW)
        split = fields(project, leaf=leaf, point=second, **{"class": 2})
        client_id = await page.do("leaf.split", **split)
        progress = []
        while (event := await page.next(SLOW))["type"] != "edit.applied":
            if event["type"] == "split.progress":
                assert event["client_id"] == client_id
                progress.append(event["progress"])
        assert progress == sorted(progress)
        assert event["splits"]["leaves"] == [[leaf, C, 2, 1, 0]]
        assert sorted(click[3:] for click in event["clicks"]["all"]) == [[1, C + 1], [2, C]]
        assert (await other.until("edit.applied", SLOW))["changes"] == [[C, C + 1, 2]]
        for name in (page, other):
            again = [await name.until("block", SLOW) for _ in range(2)]
            assert {block["version"] for block in again} == {event["number"]}
            ids = np.concatenate([block["ids"].ravel() for block in again])
            assert not (ids == leaf).any()
            assert {C, C + 1} <= set(ids.tolist())
        await page.do("edit.undo")
        undone = await page.until("edit.applied", SLOW)
        assert undone["splits"]["leaves"] == [[leaf, C, 2, 0, 0]]
        await no_block(page)  # no block is rewritten


async def test_preview_is_its_senders_alone_and_becomes_the_split(project, monkeypatch):
    leaf = await database_sync_to_async(biggest)(project)
    calls = []
    compute = leaf_splitting._compute
    monkeypatch.setattr(leaf_splitting, "_compute", lambda *args: calls.append(1) or compute(*args))
    async with opened(project) as page, opened(project) as other:
        await want(page, project, (0, 0))
        await want(other, project, (0, 0))
        client_id = await page.do("split.preview", **fields(project, leaf=leaf, parts=3))
        shown = await page.until("split.previewed", SLOW)
        assert (shown["client_id"], shown["leaf"], shown["first"], len(shown["pixels"])) == (
            client_id,
            leaf,
            C,
            3,
        )
        assert {C, C + 1, C + 2} & set((await page.until("block", SLOW))["ids"].ravel().tolist())
        await no_block(other)

        await page.send("split.cancel")
        back = await page.until("block", SLOW)
        assert leaf in back["ids"]
        assert C not in back["ids"]
        async with asyncio.timeout(SLOW):
            while list(splits_folder(project.segmentation_id).iterdir()):
                await asyncio.sleep(0.02)
        assert (await database_sync_to_async(now)(project)).number == project.number

        await page.do("split.preview", **fields(project, leaf=leaf, parts=2))
        await page.until("split.previewed", SLOW)
        await page.until("block", SLOW)
        await page.do("leaf.split", **fields(project, leaf=leaf, parts=2))
        event = await page.until("edit.applied", SLOW)
        assert event["splits"]["leaves"] == [[leaf, C, 2, 1, 1]]
        assert len(calls) == 2, "the split is the one that was looked at"
        await other.until("edit.applied", SLOW)
        assert C in (await other.until("block", SLOW))["ids"]
        await no_block(page)  # it has these blocks


async def test_preview_of_a_browser_that_leaves_is_removed(project):
    leaf = await database_sync_to_async(biggest)(project)
    async with opened(project) as page:
        await page.do("split.preview", **fields(project, leaf=leaf, parts=2))
        await page.until("split.previewed", SLOW)
        assert len(list(splits_folder(project.segmentation_id).iterdir())) == 1
    assert list(splits_folder(project.segmentation_id).iterdir()) == []


async def test_one_split_at_a_time_and_no_undo_meanwhile(project, monkeypatch):
    leaf = await database_sync_to_async(biggest)(project)
    may_go_on = threading.Event()
    compute = leaf_splitting._compute
    monkeypatch.setattr(leaf_splitting, "_compute", lambda *args: may_go_on.wait(30) and compute(*args))
    async with opened(project) as page:
        await page.do("leaf.split", **fields(project, leaf=leaf, parts=2))
        second = await page.do("leaf.split", **fields(project, leaf=leaf, parts=2))
        refused = await page.until("command.rejected", SLOW)
        assert (refused["client_id"], refused["code"]) == (second, "limit")
        assert "being split already" in refused["message"]
        await page.do("edit.undo")
        assert "still being made" in (await page.until("command.rejected", SLOW))["message"]
        # One can go on classifying.
        await page.do("leaves.assign", **fields(project, ranges=[[0, 1]], **{"class": 1}))
        assert (await page.until("edit.applied", SLOW))["kind"] == "leaves.assign"
        may_go_on.set()
        assert (await page.until("edit.applied", SLOW))["kind"] == "leaf.split"


async def test_rejections_name_the_command(project):
    async with opened(project) as page:
        for kind in ("leaf.split", "split.preview"):
            client_id = await page.do(kind, **fields(project, leaf=N + 5, parts=2))
            refused = await page.until("command.rejected", SLOW)
            assert (refused["client_id"], refused["code"]) == (client_id, "missing")
        await page.send("split.cancel")  # nothing to cancel is no fault
        await no_block(page)
