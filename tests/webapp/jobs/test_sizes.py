"""Small maps beside large ones, on real clusters, with threads to spare and with a single one; a download written by one."""

import json

import pytest
from channels.db import database_sync_to_async
from distributed import LocalCluster

from tests.webapp import scenario
from tests.webapp.jobs.test_engine import imported, in_state, serving, until, write_image
from webapp.jobs import door, exporting
from webapp.jobs.jobfiles import jobs_on_disk
from webapp.models import Job, Scene, Segmentation
from webapp.rest import exports

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MEDIUM = 4300  # pixels a side: over the size of a small scene, 9 x 9 blocks


def receive(data_dir, name, side) -> Scene:
    scene = Scene.objects.create(owner=scenario.make_user(name), name=name, source_name=f"{name}.tif")
    write_image(data_dir / "uploads" / f"{scene.pk}-x.tif", side, side)
    return scene


@pytest.fixture
def large(data_dir) -> Scene:
    return receive(data_dir, "large", MEDIUM)


@pytest.fixture
def small(data_dir) -> Scene:
    return receive(data_dir, "small", 700)


def start(scene) -> Segmentation:
    row = Segmentation.objects.create(scene=scene, created_by=scene.owner, parameters={"seed": 1})
    door.submit_segmentation(row)
    return row


def in_stage(row, stage):
    def check():
        row.refresh_from_db()
        return row.stage == stage and 0.3 < row.progress < 0.7

    return check


def log_of(row):
    return [line.text for line in Job.objects.get(segmentation=row).lines.all()]


async def test_small_map_is_there_while_the_large_one_goes_on(large, small):
    async with serving():
        await imported(large)
        await imported(small)
        big = await database_sync_to_async(start)(large)
        await until(lambda: in_state(big, "running")() and big.stage)
        little = await database_sync_to_async(start)(small)
        await until(in_state(little, "complete", "failed"))
        assert little.state == "complete", little.message
        assert await database_sync_to_async(in_state(big, "running"))()
        assert await database_sync_to_async(door.cancel)(big)
        await until(lambda: jobs_on_disk(large.folder.parents[1]) == [])


async def test_large_map_makes_room_on_a_cluster_of_one_thread(large, small, settings):
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
    ) as cluster:
        settings.DASK_SCHEDULER_ADDRESS = cluster.scheduler_address
        async with serving():
            await imported(large)
            await imported(small)
            big = await database_sync_to_async(start)(large)
            await until(in_stage(big, "leaves"))
            little = await database_sync_to_async(start)(small)
            await until(in_state(little, "complete", "failed"))
            assert little.state == "complete", little.message
            assert not await database_sync_to_async(in_state(big, "complete"))()
            await until(in_state(big, "complete", "failed"), 180)
            assert big.state == "complete", big.message
            log = await database_sync_to_async(log_of)(big)
            assert "It made room for a smaller job." in log
            assert any(line.startswith("Goes on at block ") for line in log)
            await until(lambda: jobs_on_disk(large.folder.parents[1]) == [])


def prepare(project) -> Job:
    order = exports.prepare(project.owner, project.pk)
    job = exporting.submit(project.owner, order, exporting.order_of(order))
    door.wake()
    return job


async def test_download_is_written_by_the_engine(data_dir):
    project = await database_sync_to_async(lambda: scenario.make_labeled_project(scenario.make_user()))()
    async with serving():
        job = await database_sync_to_async(prepare)(project)
        await until(in_state(job, "complete", "failed"))
        assert job.state == "complete", job.message
        assert json.loads(job.file_path.read_text())["type"] == "FeatureCollection"
        assert job.size_bytes == job.file_path.stat().st_size
        await until(lambda: jobs_on_disk(data_dir) == [])
        lines = await database_sync_to_async(lambda: [line.text for line in job.lines.all()])()
        assert any(line.startswith("Began on ") for line in lines)
