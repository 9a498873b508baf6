"""Whose turn it is among real rows, with the engine that takes notes."""

import json
import os

import pytest

from tests.webapp import scenario
from tests.webapp.jobs.test_runner import NotingEngine, done, folder_of, progress, state_of
from webapp.jobs import door, jobbook
from webapp.jobs.capacity import Capacity
from webapp.jobs.jobfiles import JobFolder, segmentation_job
from webapp.jobs.runner import Runner
from webapp.live.viewports import viewports
from webapp.models import Job, Scene, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

HUGE = 40_000  # pixels a side


@pytest.fixture
def engine():
    return NotingEngine()


@pytest.fixture
def work(data_dir, engine) -> Runner:
    """A runner whose thread does not run: the test turns it by hand."""
    work = Runner(door.project_created)
    work._engine = engine
    return work


def ask(owner, side=1000, **parameters) -> Segmentation:
    """Somebody wants a segmentation of a scene of theirs."""
    scene = scenario.make_scene(owner, side, side)
    row = Segmentation.objects.create(scene=scene, created_by=owner, parameters=parameters)
    door.submit_segmentation(row)
    return row


def names(engine) -> list[str]:
    return [job for job, *_ in engine.submitted]


def job_of(row) -> Job:
    return Job.objects.get(segmentation=row)


def texts(row) -> list[str]:
    return [line.text for line in job_of(row).lines.all()]


def test_users_take_turns(work, engine):
    ana, boris = scenario.make_user("ana"), scenario.make_user("boris")
    rows = {"a1": ask(ana), "a2": ask(ana), "a3": ask(ana), "b1": ask(boris)}
    order = []
    for _ in rows:
        work._look()
        job = names(engine)[-1]
        order.append(next(key for key, row in rows.items() if segmentation_job(row.pk) == job))
        work._ended(job, *done())
    assert order == ["a1", "b1", "a2", "a3"]


def test_small_scene_is_begun_beside_a_huge_one_that_came_first(work, engine):
    huge, next_huge = ask(scenario.make_user(), HUGE), ask(scenario.make_user(), HUGE)
    small = ask(scenario.make_user())
    work._look()
    assert names(engine) == [segmentation_job(huge.pk), segmentation_job(small.pk)]
    assert state_of(next_huge) == "queued"
    assert next_huge.message == "Number 1 in the queue. It waits for the job before it."
    work._ended(segmentation_job(huge.pk), *done())
    work._look()
    assert (state_of(next_huge), next_huge.message) == ("running", "")


def test_no_more_than_so_many_jobs_of_a_user_compute(work, engine, settings):
    ana = scenario.make_user("ana")
    settings.JOBS_PER_USER = 1
    first, second = ask(ana), ask(ana, HUGE)
    work._look()
    assert names(engine) == [segmentation_job(first.pk)]
    job = job_of(second)
    assert (job.state, job.place, job.message) == (
        "queued",
        1,
        "It waits for ana's other jobs: 1 is computing.",
    )
    work._ended(segmentation_job(first.pk), *done())
    work._look()
    assert names(engine)[-1] == segmentation_job(second.pk)
    job = job_of(second)
    assert (job.state, job.place, job.message, job.attempt) == ("running", None, "", 1)


def test_what_the_server_learns_keeps_nobody_from_computing(work, engine, settings):
    settings.JOBS_PER_USER = 1
    ana = scenario.make_user("ana")
    learned = ask(ana, mode="best")
    Segmentation.objects.filter(pk=learned.pk).update(automatic=True)
    Job.objects.update(automatic=True)
    asked = ask(ana)
    work._look()
    assert set(names(engine)) == {segmentation_job(learned.pk), segmentation_job(asked.pk)}


def test_map_that_somebody_has_open_is_begun_first(work, engine):
    unseen, seen = ask(scenario.make_user()), ask(scenario.make_user())
    viewports.watch(seen.scene_id)
    work._look()
    assert names(engine) == [segmentation_job(seen.pk)]
    assert state_of(unseen) == "queued"


def test_blocks_that_people_look_at_count_and_cease_to(data_dir):
    row = ask(scenario.make_user())
    folder = folder_of(row)
    assert not folder.is_watched()
    viewports.put("one", row.pk, [(0, 1, 2)])
    assert folder.is_watched()
    assert folder.wanted() == [(0, 1, 2)]
    viewports.drop("one")
    assert not folder.is_watched()
    assert folder.wanted() == []


def test_large_job_makes_room_for_a_small_one_and_goes_on(work, engine):
    engine.room = Capacity(workers=1, threads=1)
    huge = ask(scenario.make_user(), HUGE)
    work._look()
    work._progressed(progress(huge, ready={"n_leaves": 8, "device": "cpu"}))
    small = ask(scenario.make_user())
    work._look()
    assert folder_of(huge).is_yielding()
    huge.store_path.mkdir(parents=True)
    work._ended(segmentation_job(huge.pk), "done", {"outcome": "yielded"})
    assert (state_of(huge), huge.n_leaves) == ("queued", 8)
    assert huge.store_path.exists()
    work._look()
    assert names(engine)[-1] == segmentation_job(small.pk)
    assert not folder_of(huge).is_yielding()
    work._ended(segmentation_job(small.pk), *done())
    work._look()
    job, number, *_ = engine.submitted[-1]
    # Under another key: the cluster may remember what became of the first.
    assert (job, number) == (segmentation_job(huge.pk), 1)
    assert state_of(huge) == "running"
    assert "It made room for a smaller job." in texts(huge)
    assert job_of(huge).attempt == 2


def test_job_cancelled_while_it_makes_room_is_cancelled(work, engine):
    engine.room = Capacity(workers=1, threads=1)
    huge = ask(scenario.make_user(), HUGE)
    work._look()
    ask(scenario.make_user())
    work._look()
    door.cancel(huge)
    huge.store_path.mkdir(parents=True)
    work._ended(segmentation_job(huge.pk), "done", {"outcome": "yielded"})
    assert (state_of(huge), job_of(huge).state) == ("cancelled", "cancelled")
    assert not huge.store_path.exists()


def test_cluster_without_workers_begins_nothing_and_says_so(work, engine):
    engine.room = Capacity(0, 0)
    row = ask(scenario.make_user())
    work._look()
    assert names(engine) == []
    assert job_of(row).place == 1
    assert job_of(row).message.startswith("No worker is there")
    engine.room = Capacity(1, 1)
    work._look()
    assert names(engine) == [segmentation_job(row.pk)]


def test_log_tells_the_story_of_a_job(work, engine):
    row = ask(scenario.make_user("ana"))
    name = segmentation_job(row.pk)
    work._look()
    work._progressed({"job": name, "began_on": "node-3, process 7"})
    work._progressed(progress(row, "reading", 0.1))
    course = {"done": 0, "total": 9}
    work._progressed(progress(row, "leaves", 0.2, ready={"n_leaves": 8, "device": "cpu"}, course=course))
    work._ended(name, "killed", None)
    course = {"done": 4, "total": 9}
    work._progressed(progress(row, "leaves", 0.5, ready={"n_leaves": 8, "device": "cpu"}, course=course))
    work._ended(name, *done())
    assert texts(row)[:-1] == [
        "Asked for by ana.",
        "Began on node-3, process 7.",
        "Reading the scene.",
        "Clustering the scene.",
        "9 blocks to compute.",
        "What computed it was stopped (attempt 1 of 3); it goes on from what is written.",
        "Goes on at block 5 of 9.",
    ]
    assert texts(row)[-1].startswith("Complete, after ")
    job = job_of(row)
    assert (job.state, job.progress, job.attempt, job.stage) == ("complete", 1.0, 2, "")
    assert job.finished_at >= job.begun_at >= job.started_at


def test_taken_over_job_says_so(work, engine):
    row = ask(scenario.make_user())
    (folder_of(row).path / "claim.json").write_text(
        json.dumps({"server": "dead", "host": "elsewhere", "pid": 1})
    )

    os.utime(folder_of(row).path / "claim.json", (1, 1))
    work._look()
    assert any("another one goes on with it" in text for text in texts(row))


def test_row_that_another_process_ended_is_settled(work):
    row = ask(scenario.make_user())
    Segmentation.objects.filter(pk=row.pk).update(state="failed", message="The disk is full.")
    work._look()
    job = job_of(row)
    assert (job.state, job.message) == ("failed", "The disk is full.")


def test_row_without_job_gets_one(work, engine, data_dir):
    scene = scenario.make_scene(scenario.make_user("ana"))
    row = Segmentation.objects.create(scene=scene)  # by a command, for a server to come
    work._look()
    assert (job_of(row).owner.username, job_of(row).state) == ("ana", "running")


def test_log_is_bounded(data_dir):
    job = job_of(ask(scenario.make_user()))
    for number in range(jobbook.KEPT_LINES + 30):
        jobbook.note(job.pk, f"line {number}")
    kept = [line.text for line in job.lines.all()]
    assert len(kept) == jobbook.KEPT_LINES
    assert kept[-1] == f"line {jobbook.KEPT_LINES + 29}"


def test_scene_imported_by_a_command_has_no_job(work, data_dir):
    Scene.objects.create(owner=scenario.make_user(), name="cli", source_name="cli.tif")
    work._look()
    assert not Job.objects.exists()


def test_import_has_its_row_too(work, engine, data_dir):
    scene = Scene.objects.create(owner=scenario.make_user(), name="new", source_name="n.tif", size_bytes=10)
    upload = data_dir / "uploads" / f"{scene.pk}-x.tif"
    upload.parent.mkdir()
    upload.write_bytes(b"pixels")
    door.submit_import(scene, upload)
    work._look()
    job = Job.objects.get(kind="import")
    assert (job.state, job.scene, job.owner) == ("running", scene, scene.owner)
    work._progressed({"job": f"import-{scene.pk}", "stage": "importing", "progress": 0.5, "blocks": []})
    job.refresh_from_db()
    assert (job.stage, job.progress) == ("importing", 0.5)
    work._ended(f"import-{scene.pk}", "done", {"outcome": "failed", "message": "The file is truncated."})
    job.refresh_from_db()
    assert (job.state, job.message) == ("failed", "The file is truncated.")
    assert not upload.exists()
    assert not JobFolder(data_dir, f"import-{scene.pk}").path.exists()
