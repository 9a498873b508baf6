"""REST: jobs listed, cancelled, begun again; downloads that are prepared."""

import json
import os

import pytest
from django.test import Client

from tests.webapp import scenario
from tests.webapp.jobs.test_runner import NotingEngine, done
from tests.webapp.rest.test_exports import content_of
from webapp import actions, storage
from webapp.editing import example_actions, overriding
from webapp.jobs import door, exporting, jobbook, tasks
from webapp.jobs.jobfiles import JobFolder, export_job, import_job, segmentation_job
from webapp.jobs.runner import Runner
from webapp.models import Job, Project, Scene, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)


class Caller:
    """A user, and what they call."""

    def __init__(self, user):
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def __call__(self, method, path, status=200):
        response = getattr(self.client, method)(f"/api/{path}")
        assert response.status_code == status, response.content
        return response.json() if response.content else None


@pytest.fixture
def project(data_dir) -> Project:
    project = scenario.make_project(scenario.make_user("ana"), n_leaves=4)
    actions.create_class(project.owner, project.pk, "", name="Water", color="#0072b2")
    actions.assign_leaves(
        project.owner,
        project.pk,
        "",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(0, 1)],
        class_number=1,
    )
    return project


@pytest.fixture
def ana(project):
    return Caller(project.owner)


@pytest.fixture
def vera(project):
    return Caller(scenario.join(project, scenario.make_user("vera"), "viewer"))


@pytest.fixture
def staff(db):
    user = scenario.make_user("root")
    user.is_staff = True
    user.save()
    return Caller(user)


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
def waiting(project) -> Job:
    row = Segmentation.objects.create(scene=project.scene, created_by=project.owner)
    door.submit_segmentation(row)
    return Job.objects.get(segmentation=row)


class Worker:
    """What a task asks of the worker that it runs on."""

    def __init__(self):
        self.events = []

    def log_event(self, topic, message):
        self.events.append(message)


@pytest.fixture
def worker(monkeypatch):
    worker = Worker()
    monkeypatch.setattr(tasks, "get_worker", lambda: worker)
    return worker


def run_last(work, engine):
    """Do what was submitted last, as a worker does."""
    job, _, task, args = engine.submitted[-1]
    result = task(*args)
    work._ended(job, "done", result)
    return result


def lines_of(caller, job):
    return [line["text"] for line in caller("get", f"jobs/{job}/log")["lines"]]


# ---------------------------------------------------------------------------------------------------- lists


def test_jobs_are_listed_newest_first_by_state_kind_and_page(ana, project, waiting):
    second = Segmentation.objects.create(scene=project.scene, parameters={"mode": "best"})
    door.submit_segmentation(second)
    door.cancel(second)
    listed = ana("get", "jobs")
    assert [(job["kind"], job["state"]) for job in listed["jobs"]] == [
        ("learn", "cancelled"),
        ("segment", "queued"),
    ]
    assert (listed["count"], listed["active"], listed["page"], listed["pages"]) == (2, 1, 1, 1)
    job = listed["jobs"][1]
    assert job["scene"] == {"id": project.scene_id, "name": "field"}
    assert job["project"] == {"id": project.pk, "name": "Fields", "url": f"/projects/{project.pk}/"}
    assert job["owner"]["name"] == "ana"
    assert (job["can_cancel"], job["can_retry"]) == (True, False)
    assert [one["id"] for one in ana("get", "jobs?state=active")["jobs"]] == [waiting.pk]
    assert [one["id"] for one in ana("get", "jobs?kind=segment")["jobs"]] == [waiting.pk]
    assert [one["id"] for one in ana("get", f"jobs?segmentation={waiting.segmentation_id}")["jobs"]] == [
        waiting.pk
    ]
    paged = ana("get", "jobs?per_page=1&page=2")
    assert ([one["id"] for one in paged["jobs"]], paged["pages"]) == ([waiting.pk], 2)


@pytest.mark.parametrize("query", ["state=lost", "kind=dance", "page=0", "per_page=1000", "scene=x"])
def test_query_that_makes_no_sense_is_refused(ana, query):
    assert ana("get", f"jobs?{query}", 422)["detail"].endswith(".")


def test_members_see_jobs_strangers_do_not_and_staff_sees_all(vera, staff, waiting):
    seen = vera("get", "jobs")["jobs"]
    assert [job["id"] for job in seen] == [waiting.pk]
    assert (seen[0]["can_cancel"], seen[0]["can_retry"]) == (False, False)
    assert vera("get", "jobs?mine=1")["jobs"] == []
    stranger = Caller(scenario.make_user())
    assert stranger("get", "jobs")["jobs"] == []
    assert "no job" in stranger("get", f"jobs/{waiting.pk}", 404)["detail"]
    assert [job["id"] for job in staff("get", "jobs")["jobs"]] == [waiting.pk]
    assert staff("get", "jobs")["jobs"][0]["project"] is None  # it is none of theirs
    assert staff("post", f"jobs/{waiting.pk}/cancel")["state"] == "cancelled"


def test_waiting_is_told_to_each_in_their_words(ana, vera, waiting):
    jobbook.wait(waiting, 2, "It waits for ana's other jobs: 2 are computing.")
    assert ana("get", f"jobs/{waiting.pk}")["message"] == "It waits for your other jobs: 2 are computing."
    assert vera("get", f"jobs/{waiting.pk}")["message"].startswith("It waits for ana's")
    assert vera("get", f"jobs/{waiting.pk}")["place"] == 2


# ---------------------------------------------------------------------------------------------------- segmentations


def test_cancelled_segmentation_is_begun_again_as_the_same_job(ana, vera, waiting, work, engine):
    name = segmentation_job(waiting.segmentation_id)
    work._look()
    assert ana("post", f"jobs/{waiting.pk}/cancel")["state"] == "cancelled"
    assert "nothing to cancel" in ana("post", f"jobs/{waiting.pk}/cancel", 409)["detail"]
    assert "still being stopped" in ana("post", f"jobs/{waiting.pk}/retry", 409)["detail"]
    work._ended(name, "done", {"outcome": "cancelled"})
    assert "job of ana" in vera("post", f"jobs/{waiting.pk}/retry", 403)["detail"]
    again = ana("post", f"jobs/{waiting.pk}/retry")
    assert (again["state"], again["finished_at"], again["can_cancel"]) == ("queued", None, True)
    assert waiting.segmentation.__class__.objects.get(pk=waiting.segmentation_id).state == "queued"
    work._look()
    # Under another key: the cluster may remember what became of the first.
    assert [(job, number) for job, number, *_ in engine.submitted] == [(name, 0), (name, 1)]
    work._ended(name, *done())
    ended = ana("get", f"jobs/{waiting.pk}")
    assert (ended["state"], ended["progress"], ended["attempt"]) == ("complete", 1.0, 2)
    assert lines_of(ana, waiting.pk)[:4] == [
        "Asked for by ana.",
        "Cancelled by ana.",
        "Begun again by ana.",
        lines_of(ana, waiting.pk)[3],
    ]
    refused = ana("post", f"jobs/{waiting.pk}/retry", 409)["detail"]
    assert "only one that failed or was cancelled" in refused


def test_begun_again_segmentation_is_adopted_as_the_first_was(ana, work, engine):
    scene = scenario.make_scene(ana.user)
    project = Project.objects.create(owner=ana.user, scene=scene, name="map")
    door.project_created(project)
    row = scene.segmentations.get()
    work._look()
    failed = {"outcome": "failed", "message": "The server's disk is full."}
    work._ended(segmentation_job(row.pk), "done", failed)
    job = Job.objects.get(segmentation=row)
    assert ana("get", f"jobs/{job.pk}")["message"] == "The server's disk is full."
    ana("post", f"jobs/{job.pk}/retry")
    work._look()
    work._ended(segmentation_job(row.pk), *done())
    project.refresh_from_db()
    assert project.segmentation == row


def test_no_room_no_retry(ana, waiting, settings):
    door.cancel(waiting.segmentation)
    settings.QUOTA_BYTES = 1
    assert "delete a scene" in ana("post", f"jobs/{waiting.pk}/retry", 507)["detail"]


# ---------------------------------------------------------------------------------------------------- imports


@pytest.fixture
def received(ana, data_dir) -> Scene:
    scene = Scene.objects.create(owner=ana.user, name="new", source_name="new.tif", size_bytes=6)
    upload = data_dir / "uploads" / f"{scene.pk}-x.tif"
    upload.parent.mkdir()
    upload.write_bytes(b"pixels")
    door.submit_import(scene, upload)
    return scene


def test_cancelled_import_keeps_its_file_for_another_try(ana, received, work, engine, data_dir):
    job = Job.objects.get(scene=received)
    work._look()
    assert ana("post", f"jobs/{job.pk}/cancel")["state"] == "cancelled"
    assert JobFolder(data_dir, import_job(received.pk)).is_cancelled()
    received.refresh_from_db()
    assert (received.state, received.message) == ("failed", "The import was cancelled.")
    assert received.size_bytes == 6  # the file still counts
    work._look()
    work._ended(import_job(received.pk), "done", {"outcome": "cancelled"})
    (upload,) = (data_dir / "uploads").iterdir()
    assert ana("get", f"jobs/{job.pk}")["can_retry"]
    ana("post", f"jobs/{job.pk}/retry")
    work._look()
    assert engine.submitted[-1][3][2] == str(upload)
    info = {"width": 7, "height": 5, "n_bands": 3, "remarks": []}
    work._ended(import_job(received.pk), "done", {"outcome": "finished", "info": info, "size_bytes": 9})
    received.refresh_from_db()
    assert (received.state, received.size_bytes) == ("ready", 9)
    assert list((data_dir / "uploads").iterdir()) == []


def test_import_of_a_bad_file_is_not_begun_again(ana, received, work):
    job = Job.objects.get(scene=received)
    work._look()
    work._ended(import_job(received.pk), "done", {"outcome": "failed", "message": "The file is truncated."})
    assert not ana("get", f"jobs/{job.pk}")["can_retry"]
    assert "send it again" in ana("post", f"jobs/{job.pk}/retry", 409)["detail"]


def test_import_that_broke_for_lack_of_memory_is(ana, received, work):
    work._look()
    failed = {"outcome": "failed", "message": "The server ran out of memory.", "traceback": "..."}
    work._ended(import_job(received.pk), "done", failed)
    assert ana("get", f"jobs/{Job.objects.get(scene=received).pk}")["can_retry"]


def test_file_of_a_failed_import_goes_with_its_scene(ana, received, work, data_dir):
    job = Job.objects.get(scene=received)
    ana("post", f"jobs/{job.pk}/cancel")
    assert list((data_dir / "uploads").iterdir()) != []
    ana("delete", f"scenes/{received.pk}", 204)
    assert list((data_dir / "uploads").iterdir()) == []
    assert not Job.objects.filter(pk=job.pk).exists()


# ---------------------------------------------------------------------------------------------------- downloads


def ask(caller, project, status=202):
    return caller("post", f"projects/{project.pk}/exports", status)


def test_download_is_prepared_and_fetched_by_members(ana, vera, project, work, engine, worker):
    asked = ask(ana, project)
    assert (asked["kind"], asked["state"], asked["file"]) == ("export", "queued", None)
    assert "no file" in ana("get", f"jobs/{asked['id']}/file", 409)["detail"]
    work._look()
    result = run_last(work, engine)
    ready = vera("get", f"projects/{project.pk}/exports")[0]
    assert (ready["state"], ready["file"]["name"]) == ("complete", "fields.geojson")
    assert ready["file"]["size_bytes"] == result["size_bytes"] > 100
    response = vera.client.get(ready["file"]["url"])
    assert response["Content-Disposition"] == 'attachment; filename="fields.geojson"'
    assert response["Content-Type"] == "application/geo+json"
    prepared = b"".join(response.streaming_content)
    streamed = content_of(ana.client.get(f"/api/projects/{project.pk}/export.geojson"))
    assert prepared == streamed
    assert json.loads(prepared)["features"][0]["properties"]["class"] == "Water"
    stages = {event["stage"] for event in worker.events if "stage" in event}
    assert stages == {"writing"}
    assert "kept for 24 hours" in lines_of(ana, asked["id"])[-1]


def test_download_holds_the_map_as_it_was_asked_for(ana, project, work, engine, worker):
    asked = ask(ana, project)
    actions.delete_class(project.owner, project.pk, "", class_number=1)
    work._look()
    run_last(work, engine)
    response = ana.client.get(f"/api/jobs/{asked['id']}/file")
    assert len(json.loads(b"".join(response.streaming_content))["features"]) == 1


def test_downloads_with_drawings_splits_and_completion_are_those_streamed(ana, project, work, engine, worker):
    example_actions.set_completion(project.owner, project.pk, "", on=True, threshold=0.0)
    actions.create_class(project.owner, project.pk, "", name="Soil", color="#e69f00")

    ring = [[10.0, 10.0], [10.0, 60.0], [60.0, 60.0], [60.0, 10.0]]
    overriding.add_override(project.owner, project.pk, "", class_number=2, polygons=[[ring]], region=None)
    asked = ask(ana, project)
    work._look()
    run_last(work, engine)
    prepared = b"".join(ana.client.get(f"/api/jobs/{asked['id']}/file").streaming_content)
    streamed = content_of(ana.client.get(f"/api/projects/{project.pk}/export.geojson"))
    assert prepared == streamed
    assert b'"Soil"' in prepared


def test_the_same_download_is_not_prepared_twice_at_once(ana, vera, project):
    ask(ana, project)
    assert "being prepared already" in ask(ana, project, 409)["detail"]
    ask(vera, project)


def test_download_of_a_map_with_holes_is_refused(ana, project):
    Segmentation.objects.update(state="running")
    assert "would have holes" in ask(ana, project, 409)["detail"]


def test_download_larger_than_the_quota_fails_and_leaves_nothing(
    ana, project, work, engine, worker, settings, data_dir, monkeypatch
):
    ask(ana, project)
    monkeypatch.setattr(exporting, "LEAST_BYTES", 0)
    settings.QUOTA_BYTES = 50
    work._look()
    run_last(work, engine)
    failed = ana("get", f"projects/{project.pk}/exports")[0]
    assert failed["state"] == "failed"
    assert "storage that you have left" in failed["message"]
    assert list((data_dir / "exports").iterdir()) == []
    settings.QUOTA_BYTES = 10**9
    again = ana("post", f"jobs/{failed['id']}/retry")
    assert again["state"] == "queued"
    work._look()
    run_last(work, engine)
    assert ana("get", f"jobs/{failed['id']}")["state"] == "complete"
    assert ana("get", "storage")["used_bytes"] >= ana("get", f"jobs/{failed['id']}")["file"]["size_bytes"]


def test_cancelled_download_leaves_nothing(ana, project, work, engine, worker, data_dir):
    asked = ask(ana, project)
    folder = JobFolder(data_dir, export_job(asked["id"]))
    work._look()
    assert ana("post", f"jobs/{asked['id']}/cancel")["state"] == "cancelled"
    assert run_last(work, engine) == {"outcome": "cancelled"}
    assert not folder.path.exists()
    assert not (data_dir / "exports").exists() or list((data_dir / "exports").iterdir()) == []
    assert ana("get", f"jobs/{asked['id']}")["file"] is None


def test_cancel_that_comes_too_late_for_the_file_still_counts(ana, project, work, engine, worker, data_dir):
    asked = ask(ana, project)
    work._look()
    job, _, task, args = engine.submitted[-1]
    result = task(*args)
    ana("post", f"jobs/{asked['id']}/cancel")
    work._ended(job, "done", result)
    assert ana("get", f"jobs/{asked['id']}")["state"] == "cancelled"
    assert list((data_dir / "exports").iterdir()) == []


def test_order_that_the_disk_lost_fails_with_a_sentence(ana, project, work, engine, worker, data_dir):
    asked = ask(ana, project)
    (JobFolder(data_dir, export_job(asked["id"])).path / "order.json").unlink()
    work._look()
    run_last(work, engine)
    assert "prepare it again" in ana("get", f"jobs/{asked['id']}")["message"]


def test_killed_worker_is_survived(ana, project, work, engine, worker):
    asked = ask(ana, project)
    work._look()
    work._ended(export_job(asked["id"]), "killed", None)
    assert [number for _, number, *_ in engine.submitted] == [0, 1]
    run_last(work, engine)
    assert ana("get", f"jobs/{asked['id']}")["state"] == "complete"


def test_download_goes_after_a_day_with_its_file(ana, project, work, engine, worker, data_dir):
    asked = ask(ana, project)
    work._look()
    run_last(work, engine)
    (file,) = (data_dir / "exports").iterdir()
    job = Job.objects.get(pk=asked["id"])
    exporting.remove_expired()
    assert file.exists()
    Job.objects.update(finished_at=job.finished_at - (job.expires_at - job.finished_at))
    work._look()
    assert not file.exists()
    ana("get", f"jobs/{asked['id']}", 404)


def test_oldest_download_makes_room_for_a_newer_one(ana, project, work, engine, worker, data_dir):
    first = ask(ana, project)["id"]
    for _ in range(exporting.MOST_KEPT):
        work._look()
        run_last(work, engine)
        ask(ana, project)
    assert len(ana("get", f"projects/{project.pk}/exports")) == exporting.MOST_KEPT
    ana("get", f"jobs/{first}", 404)
    assert not (data_dir / "exports" / f"{first}.geojson").exists()


def test_too_many_downloads_in_the_making_are_refused(ana, project):
    for number in range(exporting.MOST_KEPT):
        ask(Caller(scenario.join(project, scenario.make_user(f"m{number}"), "viewer")), project)
    assert "wait for one" in ask(ana, project, 429)["detail"]


def test_downloads_go_with_their_project_and_the_sweep_finds_what_is_left(
    ana, project, work, engine, worker, data_dir
):
    ask(ana, project)
    work._look()
    run_last(work, engine)
    stray = data_dir / "exports" / "999.geojson"
    stray.write_text("{}")

    os.utime(stray, (1, 1))
    assert [orphan.path for orphan in storage.find_orphans()] == [stray]
    ana("delete", f"projects/{project.pk}", 204)
    assert [path.name for path in (data_dir / "exports").iterdir()] == ["999.geojson"]


def test_file_that_is_gone_is_told(ana, project, work, engine, worker, data_dir):
    asked = ask(ana, project)
    work._look()
    run_last(work, engine)
    (data_dir / "exports" / f"{asked['id']}.geojson").unlink()
    assert "prepare the download again" in ana("get", f"jobs/{asked['id']}/file", 409)["detail"]


def test_project_deleted_while_its_download_is_written_leaves_nothing(
    ana, project, work, engine, worker, data_dir
):
    asked = ask(ana, project)
    work._look()
    job, _, task, args = engine.submitted[-1]
    ana("delete", f"projects/{project.pk}", 204)
    work._look()
    assert JobFolder(data_dir, job).is_cancelled()
    work._ended(job, "done", task(*args))
    assert not JobFolder(data_dir, job).path.exists()
    assert not (data_dir / "exports" / f"{asked['id']}.geojson").exists()
