"""Jobs from their rows to the engine and back, with an engine that only takes notes."""

import json
import os
import time
from pathlib import Path

import pytest
from django.db import OperationalError

from tests.webapp import scenario
from webapp.editing.snapshots import load_state
from webapp.jobs import door, runner, tasks
from webapp.jobs.capacity import Capacity
from webapp.jobs.engine import THREADS
from webapp.jobs.jobfiles import JobFolder, import_job, segmentation_job
from webapp.jobs.runner import MAX_ATTEMPTS, Runner
from webapp.live import broadcast
from webapp.models import Project, Scene, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

INFO = {"width": 700, "height": 500, "n_bands": 3, "bounds": None, "remarks": ["Alpha was used as mask."]}


class NotingEngine:
    def __init__(self):
        self.submitted = []
        self.is_alive = True
        self.room = Capacity(1, THREADS)

    def capacity(self):
        return self.room

    def submit(self, job, attempt, task, *args, slot=""):
        self.submitted.append((job, attempt, task, args))

    def close(self):
        self.is_alive = False


@pytest.fixture
def engine():
    return NotingEngine()


@pytest.fixture
def work(data_dir, engine) -> Runner:
    """A runner whose thread does not run: the test turns it by hand."""
    work = Runner(door.project_created)
    work._engine = engine
    return work


@pytest.fixture
def told(monkeypatch):
    sent = []
    monkeypatch.setattr(broadcast, "send", lambda group, kind, **fields: sent.append((group, kind, fields)))
    return sent


@pytest.fixture
def queued(data_dir) -> Segmentation:
    scene = scenario.make_scene(scenario.make_user())
    segmentation = Segmentation.objects.create(
        scene=scene, parameters={"seed": 3, "bands": None, "aoi": None}
    )
    door.submit_segmentation(segmentation)
    return segmentation


@pytest.fixture
def received(data_dir) -> Scene:
    """A scene whose file was received."""
    scene = Scene.objects.create(owner=scenario.make_user(), name="new", source_name="new.tif", size_bytes=10)
    upload = data_dir / "uploads" / f"{scene.pk}-x.tif"
    upload.parent.mkdir()
    upload.write_bytes(b"pixels")
    door.submit_import(scene, upload)
    return scene


def progress(row, stage="leaves", share=0.5, blocks=(), **more):
    return {
        "job": segmentation_job(row.pk),
        "stage": stage,
        "progress": share,
        "blocks": list(blocks),
        **more,
    }


def done(**result):
    return "done", {"outcome": "finished", "n_leaves": 8, "device": "cpu", "size_bytes": 1234, **result}


def folder_of(row) -> JobFolder:
    return JobFolder(row.store_path.parents[1], segmentation_job(row.pk))


def state_of(row) -> str:
    row.refresh_from_db()
    return row.state


# ---------------------------------------------------------------------------------------------------- segmentations


def test_queued_segmentation_is_submitted_once(work, engine, queued):
    work._look()
    work._look()
    (job, attempt, task, args) = engine.submitted.pop()
    assert engine.submitted == []
    assert (job, attempt, task) == (segmentation_job(queued.pk), 0, tasks.run_segment)
    data_dir, name, image, store, parameters, size = args
    assert (name, image, store) == (job, str(queued.scene.cog_path), str(queued.store_path))
    assert Path(data_dir) == queued.store_path.parents[1]
    assert parameters == {"mode": "fast", "seed": 3}
    assert size == (700, 1100)
    assert state_of(queued) == "running"
    assert queued.started_at is not None


def test_row_without_folder_is_submitted_too(work, engine, data_dir):
    Segmentation.objects.create(
        scene=scenario.make_scene(scenario.make_user())
    )  # by a command, for a server to come
    work._look()
    assert len(engine.submitted) == 1


def test_progress_reaches_row_and_sockets(work, queued, told):
    work._look()
    told.clear()
    work._progressed(progress(queued, "codebook", 0.15))
    queued.refresh_from_db()
    assert (queued.stage, queued.progress, queued.n_leaves) == ("codebook", 0.15, 0)
    group, kind, fields = told[0]
    assert (group, kind) == (f"scene.{queued.scene_id}", "segmentation.grew")
    assert fields["progress"]["stage"] == "codebook"
    assert fields["blocks"] == []


def test_progress_that_came_too_fast_for_the_row_is_written_later(work, queued):
    work._look()
    for share in (0.2, 0.3, 0.4):
        work._progressed(progress(queued, share=share))
    queued.refresh_from_db()
    assert queued.progress == 0.2
    work._progressed(progress(queued, "overviews", share=0.9))
    queued.refresh_from_db()
    assert queued.progress == 0.9  # another stage is worth a write
    work._progressed(progress(queued, "overviews", share=0.95))
    work._look()
    queued.refresh_from_db()
    assert queued.progress == 0.95


def test_fixed_codebook_is_adopted_by_projects_that_wait(work, queued, told):
    project = Project.objects.create(owner=queued.scene.owner, scene=queued.scene, name="map")
    work._look()
    work._progressed(progress(queued, "leaves", 0.2, ready={"n_leaves": 8, "device": "cpu"}))
    project.refresh_from_db()
    queued.refresh_from_db()
    assert (queued.n_leaves, queued.device) == (8, "cpu")
    assert project.segmentation == queued
    assert len(load_state(project).table) == 8
    assert (f"scene.{queued.scene_id}", "segmentations.listed") in [(group, kind) for group, kind, _ in told]


def test_blocks_are_told_with_the_time_left(work, queued, told, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])
    work._look()
    work._progressed(progress(queued, share=0.2, blocks=[[0, 0]]))
    clock[0] = 110.0
    told.clear()
    work._progressed(progress(queued, share=0.4, blocks=[[0, 1], [0, 2]]))
    (grew,) = [fields for _, kind, fields in told if kind == "segmentation.grew"]
    assert grew["blocks"] == [[0, 1], [0, 2]]
    assert grew["progress"]["left_s"] == 30.0  # a fifth took 10 s, three fifths are left
    assert [fields for _, kind, fields in told if kind == "statistics.grew"] == [{"segmentation": queued.pk}]


def test_finished_segmentation_is_complete_and_its_folder_gone(work, queued, told):
    project = Project.objects.create(owner=queued.scene.owner, scene=queued.scene, name="map")
    work._look()
    work._ended(segmentation_job(queued.pk), *done())
    assert state_of(queued) == "complete"
    assert (queued.progress, queued.n_leaves, queued.size_bytes) == (1.0, 8, 1234)
    assert queued.finished_at is not None
    assert not folder_of(queued).path.exists()
    project.refresh_from_db()
    assert project.segmentation == queued  # though the hint that its codebook was fixed got lost
    assert {kind for _, kind, _ in told} >= {"segmentation.grew", "segmentations.listed", "statistics.grew"}


def test_failed_segmentation_tells_why_and_leaves_nothing(work, queued):
    project = Project.objects.create(owner=queued.scene.owner, scene=queued.scene, name="map")
    work._look()
    work._progressed(progress(queued, ready={"n_leaves": 8, "device": "cpu"}))
    queued.store_path.mkdir(parents=True)
    work._ended(segmentation_job(queued.pk), "done", {"outcome": "failed", "message": "No pixel holds data."})
    assert (state_of(queued), queued.message, queued.n_leaves) == ("failed", "No pixel holds data.", 0)
    assert not queued.store_path.exists()
    assert not folder_of(queued).path.exists()
    project.refresh_from_db()
    assert project.segmentation is None


def test_unforeseen_failure_is_logged(work, queued, caplog):
    work._look()
    result = {"outcome": "failed", "message": "It failed.", "traceback": "Traceback: ZeroDivisionError"}
    work._ended(segmentation_job(queued.pk), "done", result)
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in Segmentation.objects.get(pk=queued.pk).message


@pytest.mark.parametrize("status", ["killed", "lost"])
def test_killed_worker_is_retried_and_then_given_up(work, engine, queued, status):
    job = segmentation_job(queued.pk)
    work._look()
    for attempt in range(1, MAX_ATTEMPTS):
        work._ended(job, status, None)
        assert engine.submitted[-1][:2] == (job, attempt)
        assert state_of(queued) == "running"
        assert f"attempt {attempt + 1} of 3" in queued.message
    work._ended(job, status, None)
    assert state_of(queued) == "failed"
    assert "stopped 3 times, most likely for lack of memory" in queued.message
    assert len(engine.submitted) == MAX_ATTEMPTS


def test_running_segmentation_of_a_dead_server_is_resumed(work, engine, queued):
    Segmentation.objects.filter(pk=queued.pk).update(state="running", progress=0.4)
    claim = folder_of(queued).path / "claim.json"
    claim.write_text(json.dumps({"server": "dead", "host": "elsewhere", "pid": 1}))
    work._look()
    assert engine.submitted == []  # it may be alive
    long_ago = time.time() - 1000
    os.utime(claim, (long_ago, long_ago))
    work._look()
    assert engine.submitted[0][:2] == (segmentation_job(queued.pk), 1)


def test_server_that_stops_leaves_its_jobs_to_the_next(work, engine, queued, data_dir):
    work._look()
    work._stop_engine()
    assert state_of(queued) == "running"
    following = Runner(door.project_created)
    following._engine = NotingEngine()
    following._look()
    assert following._engine.submitted[0][:2] == (segmentation_job(queued.pk), 0)


def test_job_that_kills_every_server_is_given_up(work, engine, queued):
    folder_of(queued).describe(attempts=MAX_ATTEMPTS)
    work._look()
    assert engine.submitted == []
    assert state_of(queued) == "failed"


def test_cancel_while_it_runs_clears_up_when_the_task_ends(work, queued):
    project = Project.objects.create(owner=queued.scene.owner, scene=queued.scene, name="map")
    work._look()
    work._progressed(progress(queued, ready={"n_leaves": 8, "device": "cpu"}))
    queued.store_path.mkdir(parents=True)
    assert door.cancel(queued)
    assert state_of(queued) == "cancelled"
    assert folder_of(queued).is_cancelled()
    assert queued.store_path.exists()  # still being written to
    project.refresh_from_db()
    assert project.segmentation is None
    work._progressed(progress(queued, share=0.6))
    assert state_of(queued) == "cancelled"
    work._ended(segmentation_job(queued.pk), "done", {"outcome": "cancelled"})
    assert state_of(queued) == "cancelled"
    assert not queued.store_path.exists()
    assert not folder_of(queued).path.exists()
    assert not door.cancel(queued)


def test_cancel_that_comes_too_late_for_the_task_still_counts(work, queued):
    work._look()
    door.cancel(queued)
    queued.store_path.mkdir(parents=True)
    work._ended(segmentation_job(queued.pk), *done())
    assert state_of(queued) == "cancelled"
    assert not queued.store_path.exists()


def test_cancel_of_a_waiting_one_leaves_nothing(queued):
    assert door.cancel(queued)
    assert state_of(queued) == "cancelled"
    assert not folder_of(queued).path.exists()


def test_deleted_segmentation_is_stopped_and_its_store_removed(work, queued):
    work._look()
    folder, store, job = folder_of(queued), queued.store_path, segmentation_job(queued.pk)
    store.mkdir(parents=True)
    queued.delete()
    work._look()
    assert folder.is_cancelled()
    work._ended(job, "done", {"outcome": "cancelled"})
    assert not store.exists()
    assert not folder.path.exists()


def test_leftovers_of_jobs_that_nobody_wants_are_swept(work, queued):
    folder, store = folder_of(queued), queued.store_path
    store.mkdir(parents=True)
    queued.delete()
    work._look()
    assert store.exists()  # its row may be on the way
    long_ago = time.time() - 1000
    os.utime(folder.path, (long_ago, long_ago))
    work._look()
    assert not store.exists()
    assert not folder.path.exists()


def test_looks_are_taken_between_events_that_never_cease(work, engine, queued, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])
    work._inbox.put(("event", {"job": "segmentation-999"}))
    work._turn()
    assert len(engine.submitted) == 1
    Segmentation.objects.create(scene=queued.scene, parameters={"mode": "best"})  # by another process
    for _ in range(9):
        work._inbox.put(("event", {"job": "segmentation-999"}))
        work._turn()
        clock[0] += runner.POLL_S / 4
    assert len(engine.submitted) == 2


def test_job_that_cannot_be_begun_fails_and_the_next_is_begun(work, engine, queued, caplog):
    queued.scene.info = {}  # nonsense from outside
    queued.scene.save()
    healthy = Segmentation.objects.create(scene=scenario.make_scene(scenario.make_user()))
    work._look()
    assert (state_of(queued), queued.message) == ("failed", tasks.UNFORESEEN)
    assert "could not be carried on" in caplog.text
    assert [job for job, *_ in engine.submitted] == [segmentation_job(healthy.pk)]


def test_job_whose_end_cannot_be_written_fails(work, queued, caplog):
    work._look()
    work._ended(segmentation_job(queued.pk), "done", {"outcome": "finished"})  # a worker of another version
    assert (state_of(queued), queued.message) == ("failed", tasks.UNFORESEEN)


def test_end_that_the_database_did_not_take_is_written_later(work, queued, monkeypatch):
    from webapp.jobs import jobrows

    work._look()
    finish = jobrows.finish_segmentation

    def locked(*args):
        monkeypatch.setattr(jobrows, "finish_segmentation", finish)
        raise OperationalError("database is locked")

    monkeypatch.setattr(jobrows, "finish_segmentation", locked)
    monkeypatch.setattr(work._stopping, "wait", lambda seconds: None)
    work._inbox.put(("ended", (segmentation_job(queued.pk), *done())))
    work._turn()
    assert state_of(queued) == "running"
    work._turn()
    assert state_of(queued) == "complete"


def test_event_of_an_unknown_job_is_passed_over(work, queued, told):
    told.clear()
    work._progressed(progress(queued))  # not begun here
    work._ended("segmentation-999", *done())
    assert told == []


# ---------------------------------------------------------------------------------------------------- imports


def test_received_file_is_imported(work, engine, received, settings):
    work._look()
    (job, attempt, task, args) = engine.submitted.pop()
    assert (job, attempt, task) == (import_job(received.pk), 0, tasks.run_ingest)
    assert args[2].endswith("-x.tif")
    assert args[3] == str(received.folder)
    assert args[4] == {
        "max_file_bytes": settings.MAX_UPLOAD_BYTES,
        "max_pixels": settings.MAX_PIXELS,
        "max_bands": settings.MAX_BANDS,
    }
    work._progressed({"job": job, "stage": "importing", "progress": 0.5, "blocks": []})
    received.refresh_from_db()
    assert received.progress == 0.5
    work._ended(job, "done", {"outcome": "finished", "info": INFO, "size_bytes": 99})
    received.refresh_from_db()
    assert (received.state, received.info, received.size_bytes) == ("ready", INFO, 99)
    assert received.message == "Alpha was used as mask."
    assert not Path(args[2]).exists()
    assert not JobFolder(args[0], job).path.exists()


def test_image_at_a_url_is_imported_from_there(work, engine, received, settings):
    linked = Scene.objects.create(owner=received.owner, name="far", source_name="far.tif")
    source = {
        "url": "https://a.org/far.tif",
        "size": 9,
        "etag": "1",
        "copy": None,
        "hosts": ["a.org"],
        "buckets": [],
    }
    door.submit_link(linked, source)
    work._look()
    [(_, _, task, args)] = [one for one in engine.submitted if one[0] == import_job(linked.pk)]
    assert task == tasks.run_ingest
    assert args[2] == source
    info = {**INFO, "source": {"url": source["url"], "size": 9, "etag": "1", "in_place": True}}
    work._ended(import_job(linked.pk), "done", {"outcome": "finished", "info": info, "size_bytes": 5})
    linked.refresh_from_db()
    assert (linked.state, linked.info["source"]["in_place"]) == ("ready", True)
    assert not JobFolder(args[0], import_job(linked.pk)).path.exists()


def test_import_that_fails_tells_why_and_leaves_nothing(work, received, data_dir):
    work._look()
    received.folder.mkdir(parents=True)
    work._ended(import_job(received.pk), "done", {"outcome": "failed", "message": "The file is truncated."})
    received.refresh_from_db()
    assert (received.state, received.message, received.size_bytes) == ("failed", "The file is truncated.", 0)
    assert not received.folder.exists()
    assert list((data_dir / "uploads").iterdir()) == []


def test_file_of_somebody_else_is_kept(work, received, data_dir):
    source = data_dir / "mine.tif"
    source.write_bytes(b"pixels")
    door.submit_import(received, source, remove_source=False)
    work._look()
    work._ended(import_job(received.pk), "done", {"outcome": "failed", "message": "No."})
    assert source.exists()


def test_scene_deleted_during_its_import_leaves_nothing(work, received, data_dir):
    work._look()
    door.cancel_import(received)
    folder = received.folder
    folder.mkdir(parents=True)
    job = import_job(received.pk)
    received.delete()
    work._ended(job, "done", {"outcome": "finished", "info": INFO, "size_bytes": 99})
    assert not folder.exists()
    assert list((data_dir / "uploads").iterdir()) == []


def test_scene_imported_by_a_command_is_left_to_it(work, engine, data_dir):
    Scene.objects.create(owner=scenario.make_user(), name="cli", source_name="cli.tif")
    work._look()
    assert engine.submitted == []


# ---------------------------------------------------------------------------------------------------- projects


def test_new_project_adopts_the_newest_complete_segmentation(data_dir):
    scene = scenario.make_scene(scenario.make_user())
    scenario.make_segmentation(scene)
    newer = scenario.make_segmentation(scene, n_leaves=5)
    scenario.make_segmentation(scene, state="running")
    project = Project.objects.create(owner=scene.owner, scene=scene, name="map")
    door.project_created(project)
    project.refresh_from_db()
    assert project.segmentation == newer


def test_new_project_joins_a_segmentation_that_has_its_codebook(data_dir):
    scene = scenario.make_scene(scenario.make_user())
    running = scenario.make_segmentation(scene, state="running")
    project = Project.objects.create(owner=scene.owner, scene=scene, name="map")
    door.project_created(project)
    project.refresh_from_db()
    assert project.segmentation == running


def test_new_project_waits_for_a_segmentation_without_codebook(data_dir):
    scene = scenario.make_scene(scenario.make_user())
    Segmentation.objects.create(scene=scene)
    project = Project.objects.create(owner=scene.owner, scene=scene, name="map")
    door.project_created(project)
    assert scene.segmentations.count() == 1


def test_first_project_starts_the_first_segmentation(work, engine, data_dir):
    scene = scenario.make_scene(scenario.make_user())
    for name in ("one", "two"):
        door.project_created(Project.objects.create(owner=scene.owner, scene=scene, name=name))
    assert scene.segmentations.get().state == "queued"
    work._look()
    assert len(engine.submitted) == 1


def test_project_that_was_missed_is_given_its_segmentation(work, data_dir):
    scene = scenario.make_scene(scenario.make_user())
    complete = scenario.make_segmentation(scene)
    project = Project.objects.create(owner=scene.owner, scene=scene, name="map")
    work._look()
    project.refresh_from_db()
    assert project.segmentation == complete
