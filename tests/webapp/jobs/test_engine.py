"""Jobs on a real cluster inside the process: import, segment, cancel, a worker that dies, a server that stops."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp.jobs import door
from webapp.jobs.jobfiles import JobFolder, jobs_on_disk
from webapp.models import Project, Scene, Segmentation

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

BANDS, HEIGHT, WIDTH = 3, 1100, 1300  # 3 x 3 blocks


def write_image(path, height=HEIGHT, width=WIDTH):
    """Fields of different colors, with some noise."""
    rng = np.random.default_rng(0)
    fields = rng.integers(30, 220, (BANDS, height // 100 + 1, width // 100 + 1))
    data = fields.repeat(100, axis=1).repeat(100, axis=2)[:, :height, :width]
    data = np.clip(data + rng.normal(0, 6, data.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", "GTiff", width, height, BANDS, dtype="uint8") as file:
        file.write(data)


@pytest.fixture
def received(data_dir) -> Scene:
    scene = Scene.objects.create(owner=scenario.make_user("ana"), name="fields", source_name="fields.tif")
    write_image(data_dir / "uploads" / f"{scene.pk}-x.tif")
    return scene


def upload_of(scene):
    return next((scene.folder.parents[1] / "uploads").glob(f"{scene.pk}-*"))


async def until(condition, seconds=90):
    """Wait for what a query says."""
    end = time.monotonic() + seconds
    while not (found := await database_sync_to_async(condition)()):
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.1)
    return found


def in_state(row, *states):
    def check():
        row.refresh_from_db()
        return row.state in states

    return check


@asynccontextmanager
async def serving():
    await get_channel_layer().flush()
    async with door.engine_lifespan():
        yield


async def imported(scene):
    await database_sync_to_async(door.submit_import)(scene, upload_of(scene))
    await until(in_state(scene, "ready", "failed"))
    assert scene.state == "ready", scene.message


def new_project(scene):
    project = Project.objects.create(owner=scene.owner, scene=scene, name="map")
    door.project_created(project)
    return project, scene.segmentations.first()


def worker_pids():
    """Processes of Dask's workers below this one."""
    listing = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                command = Path(f"/proc/{entry}/cmdline").read_text()
            except OSError:
                continue
            listing[int(entry)] = (int(fields[1]), command)
    below = {os.getpid()}
    for _ in range(4):
        below |= {pid for pid, (parent, _) in listing.items() if parent in below}
    return [pid for pid in below if "spawn_main" in listing.get(pid, (0, ""))[1]]


async def test_image_becomes_a_scene_and_its_blocks_stream_into_an_open_page(received):
    async with serving():
        await imported(received)
        assert received.info["width"] == WIDTH
        assert received.cog_path.exists()
        assert received.thumbnail_path.exists()
        project, segmentation = await database_sync_to_async(new_project)(received)
        socket = Socket(project.owner, f"/ws/projects/{project.pk}/")
        assert await socket.connect()
        seen, blocks, progress = [], set(), []
        is_asked = False
        async with asyncio.timeout(120):
            while True:
                message = await socket.receive(60)
                if isinstance(message, bytes):
                    frame = scenario.parse_frame(message)
                    if frame["ids"].shape == (512, 512):
                        blocks.add((frame["level"], *frame["block"]))
                    continue
                event = scenario.read_event(message)
                seen.append(event["type"])
                if event["type"] == "edit.applied" and not is_asked:
                    assert (event["kind"], event["user"]) == ("segmentation.adopt", None)
                    is_asked = True
                    wanted = [[row, col] for row in range(3) for col in range(3)]
                    want = {
                        "type": "blocks.want",
                        "segmentation": segmentation.pk,
                        "level": 0,
                        "blocks": wanted,
                    }
                    await socket.send(scenario.json.dumps(want))
                if event["type"] == "segmentation.progress":
                    progress.append(event)
                    if event["state"] == "complete" and len(blocks) == 9:
                        break
                if event["type"] == "heartbeat" and len(blocks) == 9 and progress[-1]["state"] == "complete":
                    break
        await socket.disconnect()
        shares = [event["progress"] for event in progress]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert "segmentations.changed" in seen
        await until(in_state(segmentation, "complete"))
        assert segmentation.n_leaves > 2
        assert segmentation.device
        assert segmentation.size_bytes > 1000
        # The row is complete before the job's folder is cleared up.
        await until(lambda: jobs_on_disk(received.folder.parents[1]) == [])
        await until(lambda: list((received.folder.parents[1] / "uploads").iterdir()) == [])
    assert worker_pids() == []


async def test_broken_file_fails_with_a_sentence(received):
    upload_of(received).write_bytes(b"II*\0 this is no image")
    async with serving():
        await database_sync_to_async(door.submit_import)(received, upload_of(received))
        await until(in_state(received, "failed"))
        assert received.message.endswith(".")
        await until(lambda: not received.folder.exists())
        await until(lambda: jobs_on_disk(received.folder.parents[1]) == [])


async def test_cancel_takes_effect_and_a_killed_worker_is_survived(received):
    async with serving():
        await imported(received)

        def start(seed):
            row = Segmentation.objects.create(scene=received, parameters={"seed": seed})
            door.submit_segmentation(row)
            return row

        cancelled = await database_sync_to_async(start)(1)
        await until(in_state(cancelled, "running"))
        assert await database_sync_to_async(door.cancel)(cancelled)
        await until(lambda: jobs_on_disk(received.folder.parents[1]) == [])
        await until(in_state(cancelled, "cancelled"))
        await until(lambda: not cancelled.store_path.exists())

        survivor = await database_sync_to_async(start)(2)
        folder = JobFolder(received.folder.parents[1], f"segmentation-{survivor.pk}")
        await until(lambda: in_state(survivor, "running")() and survivor.stage)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: folder.description().get("attempts") == 1)
        await until(in_state(survivor, "complete", "failed"))
        assert survivor.state == "complete", survivor.message


async def test_a_map_that_somebody_waits_for_passes_one_that_learns(received):
    def start(**parameters):
        row = Segmentation.objects.create(scene=received, parameters=parameters)
        door.submit_segmentation(row)
        return row

    async with serving():
        await imported(received)
        learning = await database_sync_to_async(start)(mode="best", train_seconds=3600)
        await until(lambda: in_state(learning, "running")() and learning.stage == "learning")
        fast = await database_sync_to_async(start)(mode="fast")
        await until(in_state(fast, "complete", "failed"))
        assert fast.state == "complete", fast.message
        assert await database_sync_to_async(in_state(learning, "running"))()
        assert learning.stage == "learning"
        assert await database_sync_to_async(door.cancel)(learning)
        await until(lambda: jobs_on_disk(received.folder.parents[1]) == [])
        await until(lambda: not learning.store_path.exists())
        assert fast.store_path.exists()


async def test_stopped_server_leaves_a_segmentation_that_the_next_one_finishes(received):
    async with serving():
        await imported(received)
        _, segmentation = await database_sync_to_async(new_project)(received)
        await until(lambda: in_state(segmentation, "running")() and segmentation.stage)
    assert worker_pids() == []
    segmentation = await Segmentation.objects.aget(pk=segmentation.pk)
    assert segmentation.state == "running"
    async with serving():
        await until(in_state(segmentation, "complete", "failed"))
        assert segmentation.state == "complete", segmentation.message
