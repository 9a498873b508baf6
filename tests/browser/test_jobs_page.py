"""The jobs page in a real browser."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.webapp import scenario
from webapp.accounts import make_sign_in_path
from webapp.jobs import door, jobbook
from webapp.jobs.jobfiles import segmentation_job
from webapp.live import broadcast
from webapp.models import Job, Project, Segmentation

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch) -> None:
    """Nobody listens; and the browser's own event loop runs in this thread."""
    monkeypatch.setattr(broadcast, "send", lambda group, kind, **fields: None)


@pytest.fixture
def person(db) -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def project(person) -> Project:
    return Project.objects.create(owner=person, scene=scenario.make_scene(person), name="Fields")


@pytest.fixture
def visit(page: Page, live_server, person):
    """Open a page as ana; anything on its console is an error."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))

    def go(path: str) -> Page:
        page.goto(live_server.url + make_sign_in_path(person, path))
        return page

    yield go
    # A refused request is written to the console by the browser itself.
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


def ask(project: Project) -> Job:
    row = Segmentation.objects.create(scene=project.scene, created_by=project.owner)
    door.submit_segmentation(row)
    return Job.objects.get(segmentation=row)


def name_of(job: Job) -> str:
    return segmentation_job(job.segmentation_id)


def begin(job: Job) -> None:
    jobbook.began(name_of(job))
    Segmentation.objects.filter(pk=job.segmentation_id).update(state="running")


def test_projects_page_leads_to_the_jobs(visit):
    page = visit("/projects/")
    page.get_by_test_id("nav-jobs").click()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    expect(page.locator("#jobs-empty")).to_contain_text("Nothing yet")


def test_job_is_followed_from_the_queue_to_its_end(visit, project):
    job = ask(project)
    jobbook.wait(job, 3, "It waits for ana's other jobs: 2 are computing.")
    page = visit("/jobs/")
    row = page.get_by_test_id("job-row")
    expect(row.get_by_test_id("job-state")).to_have_text("Waiting")
    expect(row.get_by_test_id("job-course")).to_have_text(
        "Number 3 in the queue. It waits for your other jobs: 2 are computing."
    )
    row.get_by_test_id("job-log-toggle").click()
    expect(row.get_by_test_id("job-line")).to_have_count(1)
    begin(job)
    jobbook.progressed(name_of(job), "leaves", 0.42, 190.0)
    # Without a reload.
    expect(row.get_by_test_id("job-course")).to_have_text("Clustering the scene · 42% · 3 min left")
    expect(row.get_by_test_id("job-progress")).to_have_js_property("value", 0.42)
    expect(row.get_by_test_id("job-line")).to_have_count(2)
    jobbook.end(name_of(job), "complete")
    expect(row.get_by_test_id("job-state")).to_have_text("Complete")
    expect(row.get_by_test_id("job-progress")).to_have_count(0)
    expect(row.get_by_test_id("job-line").last).to_contain_text("Complete, after")
    row.get_by_test_id("job-log-toggle").click()
    expect(row.get_by_test_id("job-line")).to_have_count(0)


def test_page_asks_only_while_something_runs(visit, project):
    job = ask(project)
    begin(job)
    page = visit("/jobs/")
    asked: list[str] = []
    page.on("request", lambda request: "/api/jobs" in request.url and asked.append(request.url))
    with page.expect_response("**/api/jobs*"):
        jobbook.end(name_of(job), "complete")
    expect(page.get_by_test_id("job-state")).to_have_text("Complete")
    asked.clear()
    page.wait_for_timeout(5000)
    assert asked == []


def test_cancel_and_try_again(visit, project):
    job = ask(project)
    page = visit("/jobs/")
    page.get_by_test_id("job-cancel").click()
    expect(page.get_by_test_id("job-state")).to_have_text("Cancelled")
    assert Segmentation.objects.get().state == "cancelled"
    page.get_by_test_id("job-retry").click()
    expect(page.get_by_test_id("job-state")).to_have_text("Waiting")
    assert Segmentation.objects.get().state == "queued"
    page.get_by_test_id("job-log-toggle").click()
    expect(page.get_by_test_id("job-line").nth(1)).to_contain_text("Cancelled by ana.")
    expect(page.get_by_test_id("job-line").nth(2)).to_contain_text("Begun again by ana.")
    assert job.lines.count() == 3


def test_refusal_is_told(visit, project):
    job = ask(project)
    page = visit("/jobs/")
    expect(page.get_by_test_id("job-cancel")).to_be_visible()
    jobbook.end(name_of(job), "complete")
    Segmentation.objects.update(state="complete")
    page.get_by_test_id("job-cancel").click()
    expect(page.get_by_test_id("toast")).to_contain_text("nothing to cancel")


def test_failure_says_why_and_whose_scene_it_is(visit, project):
    job = ask(project)
    door.jobrows.fail_segmentation(job.segmentation_id, "The server's disk is full.")
    page = visit("/jobs/")
    expect(page.get_by_test_id("job-message")).to_have_text("The server's disk is full.")
    expect(page.get_by_test_id("job-open")).to_have_attribute("href", f"/projects/{project.pk}/")


def test_filters_are_in_the_address_and_pages_turn(visit, project):
    for _ in range(22):
        jobbook.end(name_of(ask(project)), "complete")
    Segmentation.objects.update(state="complete")
    waiting = ask(project)
    page = visit("/jobs/")
    rows = page.get_by_test_id("job-row")
    expect(rows).to_have_count(20)
    page.get_by_test_id("jobs-older").click()
    expect(rows).to_have_count(3)
    expect(page.locator("#jobs-page")).to_have_text("Page 2 of 2")
    page.get_by_test_id("jobs-state").select_option("active")
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-job", str(waiting.pk))
    assert page.url.endswith("/jobs/?state=active")
    page.reload()
    expect(page.get_by_test_id("jobs-state")).to_have_value("active")
    expect(rows).to_have_count(1)
    page.go_back()
    expect(rows).to_have_count(3)
    page.get_by_test_id("jobs-newer").click()
    expect(rows).to_have_count(20)
    page.get_by_test_id("jobs-kind").select_option("export")
    expect(page.locator("#jobs-empty")).to_have_text("No job is like that.")
    page.get_by_test_id("jobs-mine").check()
    assert page.url.endswith("/jobs/?kind=export&mine=1")


def test_link_to_one_segmentation_unfolds_its_log(visit, project):
    ask(project)
    job = ask(project)
    page = visit(f"/jobs/?segmentation={job.segmentation_id}")
    expect(page.get_by_test_id("job-row")).to_have_count(1)
    expect(page.get_by_test_id("job-log")).to_be_visible()
    page.get_by_test_id("jobs-all").click()
    expect(page.get_by_test_id("job-row")).to_have_count(2)


def test_prepared_download_is_fetched(visit, project, person):
    job = Job.objects.create(
        kind="export",
        owner=person,
        project=project,
        state="complete",
        file_name="fields.geojson",
        size_bytes=2,
    )
    job.file_path.parent.mkdir()
    job.file_path.write_text("{}")
    page = visit("/jobs/")
    with page.expect_download() as download:
        page.get_by_test_id("job-download").click()
    assert download.value.suggested_filename == "fields.geojson"


def test_administrators_see_the_jobs_of_all(visit, person):
    person.is_staff = True
    person.save()
    other = scenario.make_user("boris")
    ask(Project.objects.create(owner=other, scene=scenario.make_scene(other), name="Theirs"))
    page = visit("/jobs/")
    expect(page.get_by_test_id("job-row")).to_contain_text("by boris")
    page.get_by_test_id("jobs-mine").check()
    expect(page.get_by_test_id("job-row")).to_have_count(0)
