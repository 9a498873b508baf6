"""The projects page in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from PIL import Image
from playwright.sync_api import Page, expect

from webapp.accounts import make_sign_in_path
from webapp.jobs import door
from webapp.models import Project, Scene
from webapp.storage import uploads_folder

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def imports(monkeypatch) -> list[tuple[Scene, Path]]:
    """What was handed to the job engine, which does not run here."""
    calls: list[tuple[Scene, Path]] = []
    monkeypatch.setattr(door, "submit_import", lambda scene, path: calls.append((scene, path)))
    monkeypatch.setattr(door, "project_created", lambda project: None)
    return calls


@pytest.fixture
def person(db) -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def projects_page(page: Page, live_server, person, imports):
    """The page, signed in with a one-time link; anything on its console is an error."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(live_server.url + make_sign_in_path(person, "/projects/"))
    expect(page.get_by_test_id("upload-drop")).to_be_visible()
    yield page
    # A refused request is written to the console by the browser itself.
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


def add_scene(owner: User, name: str, state: str = "ready", **fields) -> Scene:
    info = {"width": 300, "height": 200, "n_bands": 3, "gsd_m": 10} if state == "ready" else {}
    scene = Scene.objects.create(
        owner=owner, name=name, source_name=f"{name}.tif", state=state, info=info, **fields
    )
    if state == "ready":
        finish(scene)
    return scene


def finish(scene: Scene) -> None:
    scene.folder.mkdir(parents=True)
    Image.fromarray(np.full((90, 160, 3), 90, np.uint8)).save(scene.thumbnail_path, "WEBP")
    info = {"width": 300, "height": 200, "n_bands": 3, "gsd_m": 10}
    Scene.objects.filter(pk=scene.pk).update(state="ready", info=info, size_bytes=2_000_000, progress=1)


def test_first_visit_shows_the_way(projects_page):
    expect(projects_page.get_by_role("heading", name="Your first map is three steps away")).to_be_visible()
    expect(projects_page.get_by_test_id("project-new")).to_be_disabled()
    expect(projects_page.get_by_test_id("nav-user")).to_contain_text("ana")


def test_upload_goes_from_file_to_ready_scene(projects_page, imports, tmp_path):
    files = [tmp_path / "north.tif", tmp_path / "<b>south.png"]
    for file in files:
        file.write_bytes(b"x" * 300_000)
    projects_page.get_by_test_id("upload-input").set_input_files(files)
    cards = projects_page.get_by_test_id("scene-card")
    expect(cards).to_have_count(2)
    expect(projects_page.get_by_test_id("upload-item")).to_have_count(0)
    expect(cards.filter(has_text="<b>south").get_by_test_id("scene-state")).to_have_text("Importing 0 %")
    assert [path.stat().st_size for _, path in imports] == [300_000, 300_000]
    finish(Scene.objects.get(name="north"))
    expect(cards.filter(has_text="north").get_by_test_id("scene-state")).to_have_text("Ready")
    expect(projects_page.get_by_test_id("toast")).to_contain_text("north is ready.")
    expect(projects_page.get_by_test_id("project-new")).to_be_enabled()
    Scene.objects.filter(name="<b>south").update(
        state="failed", message="The file is cut short; send it again."
    )
    expect(cards.filter(has_text="south").get_by_test_id("upload-error")).to_have_text(
        "The file is cut short; send it again."
    )


def test_files_can_be_dropped_anywhere(projects_page):
    transfer = projects_page.evaluate_handle(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["x".repeat(1000)], "dropped.jp2"));
            return transfer;
        }"""
    )
    projects_page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(projects_page.get_by_test_id("upload-drop")).to_have_class(re.compile("over"))
    projects_page.dispatch_event("h1", "drop", {"dataTransfer": transfer})
    expect(projects_page.get_by_test_id("upload-drop")).not_to_have_class(re.compile("over"))
    expect(projects_page.get_by_test_id("scene-card")).to_contain_text("dropped")


def test_upload_errors_name_the_file(projects_page, tmp_path, settings):
    settings.QUOTA_BYTES = 1000
    for name, content in (("notes.txt", b"x"), ("empty.tif", b""), ("large.tif", b"x" * 5000)):
        (tmp_path / name).write_bytes(content)
        projects_page.get_by_test_id("upload-input").set_input_files(tmp_path / name)
    errors = projects_page.get_by_test_id("upload-error")
    expect(errors).to_have_count(3)
    expect(errors.nth(0)).to_contain_text("notes.txt: This is not an image we read")
    expect(errors.nth(1)).to_contain_text("empty.tif: The file is empty")
    expect(errors.nth(2)).to_contain_text("large.tif: You have used 0 bytes of your 1 KB")
    projects_page.get_by_test_id("upload-cancel").first.click()
    expect(errors).to_have_count(2)
    assert not Scene.objects.exists()


def test_cancelled_upload_leaves_nothing(projects_page, tmp_path):
    projects_page.route(
        "**/api/scenes", lambda route: None if route.request.method == "POST" else route.continue_()
    )
    for name in ("held.tif", "waiting.tif"):
        (tmp_path / name).write_bytes(b"x" * 1000)
        projects_page.get_by_test_id("upload-input").set_input_files(tmp_path / name)
    items = projects_page.get_by_test_id("upload-item")
    expect(items).to_have_count(2)
    expect(items.nth(0).get_by_test_id("upload-progress")).to_be_visible()
    items.nth(1).get_by_test_id("upload-cancel").click()
    items.nth(0).get_by_test_id("upload-cancel").click()
    expect(items).to_have_count(0)
    assert not Scene.objects.exists()
    assert list(uploads_folder().iterdir()) == []
    projects_page.unroute_all(behavior="ignoreErrors")


def test_scene_opens_as_a_project(projects_page, person):
    scene = add_scene(person, "delta")
    projects_page.reload()
    # The map page is not what is tested here.
    projects_page.route("**/projects/*/", lambda route: route.fulfill(body="the map"))
    projects_page.get_by_test_id("scene-open").click()
    projects_page.wait_for_url("**/projects/*/")
    assert Project.objects.get().scene == scene
    assert Project.objects.get().name == "delta"


def test_new_project_dialog(projects_page, person):
    add_scene(person, "delta")
    scene = add_scene(person, "coast")
    projects_page.reload()
    projects_page.route("**/projects/*/", lambda route: route.fulfill(body="the map"))
    projects_page.get_by_test_id("project-new").click()
    projects_page.get_by_test_id("dialog-cancel").click()
    assert not Project.objects.exists()
    projects_page.get_by_test_id("project-new").click()
    projects_page.get_by_test_id("project-new-scene").select_option(label="coast")
    expect(projects_page.get_by_test_id("project-new-name")).to_have_value("coast")
    projects_page.get_by_test_id("project-new-name").fill("Coast in spring")
    projects_page.get_by_test_id("project-new-submit").click()
    projects_page.wait_for_url("**/projects/*/")
    project = Project.objects.get()
    assert (project.name, project.scene) == ("Coast in spring", scene)


def test_project_is_renamed_duplicated_and_deleted(projects_page, person):
    scene = add_scene(person, "delta")
    other = User.objects.create_user("boris")
    Project.objects.create(owner=person, scene=scene, name="map", updated_by=other)
    Project.objects.update(updated_at=timezone.now() - timezone.timedelta(hours=2))
    projects_page.reload()
    cards = projects_page.get_by_test_id("project-card")
    expect(cards).to_contain_text("Edited 2 hours ago by boris")
    expect(cards.locator("img")).to_have_js_property("naturalWidth", 160)
    assert (
        cards.get_by_test_id("project-open").get_attribute("href") == f"/projects/{Project.objects.get().pk}/"
    )

    cards.get_by_test_id("project-rename").click()
    name = projects_page.get_by_test_id("dialog-input")
    expect(name).to_have_value("map")
    expect(name).to_be_focused()
    name.fill("wetlands")
    name.press("Enter")
    expect(cards.get_by_test_id("project-open")).to_have_text("wetlands")
    expect(cards).to_contain_text("Edited just now by ana")
    expect(cards.get_by_test_id("project-rename")).to_be_focused()

    cards.get_by_test_id("project-duplicate").click()
    expect(cards).to_have_count(2)
    expect(cards.first.get_by_test_id("project-open")).to_have_text("wetlands (copy)")

    cards.first.get_by_test_id("project-delete").click()
    projects_page.keyboard.press("Escape")
    expect(cards).to_have_count(2)
    cards.first.get_by_test_id("project-delete").click()
    projects_page.get_by_test_id("dialog-confirm").click()
    expect(cards).to_have_count(1)
    assert Project.objects.get().name == "wetlands"


def test_deleting_a_scene_names_the_projects_that_go_with_it(projects_page, person):
    scene = add_scene(person, "delta")
    for name in ("wetlands", "dunes"):
        Project.objects.create(owner=person, scene=scene, name=name)
    projects_page.reload()
    projects_page.get_by_test_id("scene-delete").click()
    dialog = projects_page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_text(["dunes", "wetlands"])
    projects_page.get_by_test_id("dialog-confirm").click()
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(0)
    expect(projects_page.get_by_test_id("project-card")).to_have_count(0)
    assert not Scene.objects.exists()
    assert not scene.folder.exists()


def test_errors_of_the_server_are_told(projects_page, person):
    add_scene(person, "delta")
    projects_page.reload()
    expect(projects_page.get_by_test_id("scene-open")).to_be_visible()
    Scene.objects.all().delete()
    projects_page.get_by_test_id("scene-open").click()
    expect(projects_page.get_by_test_id("toast")).to_contain_text("There is no scene")


def test_sign_out(projects_page):
    projects_page.get_by_test_id("sign-out").click()
    projects_page.wait_for_url("**/accounts/login/")
    projects_page.get_by_test_id("login-username").fill("ana")
    projects_page.get_by_test_id("login-password").fill("wrong")
    projects_page.get_by_test_id("login-submit").click()
    expect(projects_page.get_by_test_id("login-error")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_page_fits_its_window(projects_page, person, scheme, width):
    add_scene(person, "a_scene_with_a_very_long_name_that_nobody_wants_to_read_to_its_end_" * 2)
    add_scene(person, "failed", "failed", message="x" * 300)
    projects_page.emulate_media(color_scheme=scheme)
    projects_page.set_viewport_size({"width": width, "height": 800})
    projects_page.reload()
    expect(projects_page.get_by_test_id("scene-card")).to_have_count(2)
    assert projects_page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for button in projects_page.locator("button").all():
        assert button.evaluate("b => (b.textContent.trim() || b.getAttribute('aria-label') || '') !== ''")
