"""Large files and images by their address, on the projects page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from tests.web_server import Web, running_web
from webapp.accounts import make_sign_in_path
from webapp.jobs import door
from webapp.models import Scene, Upload
from webapp.storage import uploads_folder

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PART = 100_000
CONTENT = np.random.default_rng(5).bytes(1_050_000)  # eleven parts


@pytest.fixture
def imports(monkeypatch) -> list[tuple[Scene, Path]]:
    """What was handed to the job engine, which does not run here."""
    calls: list[tuple[Scene, Path]] = []
    monkeypatch.setattr(door, "submit_import", lambda scene, path: calls.append((scene, path)))
    monkeypatch.setattr(door, "submit_link", lambda scene, source: calls.append((scene, source)))
    return calls


@pytest.fixture
def web() -> Iterator[Web]:
    with running_web() as server:
        yield server


@pytest.fixture
def person(db) -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def projects_page(page: Page, live_server, person, imports, settings):
    settings.UPLOAD_PART_BYTES = PART
    settings.UPLOAD_PARTS_ABOVE = 200_000
    settings.IMAGERY_HOSTS = ["127.0.0.1"]
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(live_server.url + make_sign_in_path(person, "/projects/"))
    expect(page.get_by_test_id("upload-drop")).to_be_visible()
    yield page
    # A refused request is written to the console by the browser itself.
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "big.tif"
    path.write_bytes(CONTENT)
    return path


class Gate:
    """Lets so many parts through and holds the others; counts those that the server took."""

    def __init__(self, page: Page, passes: int = 10**9) -> None:
        self.passes, self.taken, self.held = passes, 0, []
        self._page = page
        page.route("**/api/uploads/*", self._decide)

    def _decide(self, route: Route) -> None:
        if route.request.method != "PATCH":
            route.continue_()
        elif self.passes > 0:
            self.passes -= 1
            self.taken += 1
            route.continue_()
        else:
            self.held.append(route)

    def open(self) -> None:
        self.passes = 10**9
        for route in self.held:
            self.taken += 1
            route.continue_()
        self.held = []


def choose(page: Page, file: Path) -> None:
    page.get_by_test_id("upload-input").set_input_files(file)


def test_large_file_arrives_in_parts(projects_page, imports, file):
    gate = Gate(projects_page)
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(1)
    expect(projects_page.get_by_test_id("upload-item")).to_have_count(0)
    [(scene, path)] = imports
    assert (scene.name, path.read_bytes()) == ("big", CONTENT)
    assert gate.taken == 11
    assert list(uploads_folder().iterdir()) == [path]


def test_upload_goes_on_after_a_reload(projects_page, imports, file):
    gate = Gate(projects_page, passes=5)
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("upload-state")).to_contain_text("47 % of 1.1 MB")
    projects_page.reload()
    left = projects_page.get_by_test_id("upload-unfinished")
    expect(left).to_contain_text("big.tif")
    expect(left).to_contain_text("47 % of 1.1 MB is here")
    gate.held, gate.taken = [], 0
    gate.open()
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(1)
    expect(left).to_have_count(0)
    [(_, path)] = imports
    assert path.read_bytes() == CONTENT
    assert gate.taken == 6  # the others were there


def test_upload_is_paused_and_goes_on(projects_page, imports, file):
    gate = Gate(projects_page, passes=4)
    choose(projects_page, file)
    state = projects_page.get_by_test_id("upload-state")
    expect(state).to_contain_text("38 % of")
    projects_page.get_by_role("button", name="Pause big.tif").click()
    expect(state).to_contain_text("paused")
    gate.held = []
    gate.open()
    assert Upload.objects.filter(offset__gt=0).count() == 4
    projects_page.get_by_role("button", name="Go on with big.tif").click()
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(1)
    [(_, path)] = imports
    assert path.read_bytes() == CONTENT


def test_cancelled_upload_in_parts_leaves_nothing(projects_page, file):
    Gate(projects_page, passes=4)
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("upload-state")).to_contain_text("38 % of")
    with projects_page.expect_response(lambda response: response.request.method == "DELETE"):
        projects_page.get_by_test_id("upload-cancel").click()
    expect(projects_page.get_by_test_id("upload-item")).to_have_count(0)
    assert not Upload.objects.exists()
    assert list(uploads_folder().iterdir()) == []
    projects_page.unroute_all(behavior="ignoreErrors")


def test_half_uploads_can_be_discarded(projects_page, file):
    gate = Gate(projects_page, passes=3)
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("upload-state")).to_contain_text("28 % of")
    projects_page.reload()
    gate.held = []
    projects_page.get_by_test_id("upload-discard").click()
    expect(projects_page.get_by_test_id("upload-unfinished")).to_have_count(0)
    assert not Upload.objects.exists()


def test_part_that_fails_is_sent_again(projects_page, imports, file):
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        if route.request.method == "PATCH" and len(failed) < 2:
            failed.append(route.request.url)
            if len(failed) == 1:
                route.abort("connectionreset")
            else:
                route.fulfill(status=503, json={"detail": "Not now."})
        else:
            route.continue_()

    projects_page.route("**/api/uploads/*", fail_once)
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(1)
    assert len(failed) == 2
    [(_, path)] = imports
    assert path.read_bytes() == CONTENT


def test_upload_over_the_quota_is_told(projects_page, file, settings):
    settings.QUOTA_BYTES = 500_000
    choose(projects_page, file)
    expect(projects_page.get_by_test_id("upload-error")).to_contain_text(
        "big.tif: You have used 0 bytes of your 500 KB"
    )
    assert not Upload.objects.exists()


def test_image_is_added_by_its_address(projects_page, imports, web):
    web.files["fields.tif"] = b"II*\0" + bytes(1000)
    projects_page.get_by_test_id("scene-link").click()
    url = projects_page.get_by_test_id("scene-link-url")
    error = projects_page.get_by_test_id("scene-link-error")
    url.fill("https://elsewhere.example/a.tif")
    projects_page.get_by_test_id("scene-link-submit").click()
    expect(error).to_contain_text("Images may not be read from elsewhere.example here")
    url.fill(f"{web.url}/plain/none.tif")
    projects_page.get_by_test_id("scene-link-submit").click()
    expect(error).to_contain_text("There is no file at")
    url.fill(f"{web.url}/plain/fields.tif")
    projects_page.get_by_test_id("scene-link-name").fill("Far fields")
    projects_page.get_by_test_id("scene-link-submit").click()
    expect(projects_page.get_by_test_id("scene-card")).to_contain_text("Far fields")
    expect(url).to_be_hidden()
    [(_, source)] = imports
    assert source["copy"] is None


def test_no_address_is_asked_for_where_none_may_be_read(projects_page, settings):
    settings.IMAGERY_HOSTS = []
    projects_page.reload()
    expect(projects_page.get_by_test_id("upload-drop")).to_be_visible()
    expect(projects_page.get_by_test_id("scene-link")).to_have_count(0)
