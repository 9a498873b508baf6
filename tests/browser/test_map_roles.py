"""The map page of a viewer: everything shows, what would change the project rests and says why."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

MEMBERS = [
    {"id": 1, "name": "ana", "color": "#2f6f9f", "role": "owner"},
    {"id": 2, "name": "tester", "color": "#7a3f9f", "role": "viewer"},
]
REASON = "You can look at this project; ask ana to make you an editor."
CHANGES = (
    "tool-paint",
    "tool-stroke",
    "draw-open",
    "split-open",
    "undo",
    "complete",
    "class-add",
    "segmentation-new",
)


@pytest.fixture
def viewer(map_page):
    page = map_page()
    page.control("command", {"type": "class.create", "client_id": "a", "name": "Water", "color": "#0000ff"})
    page.control("set", {"role": "viewer", "members": MEMBERS})
    return page.open()


def test_viewer_sees_and_changes_nothing(viewer):
    expect(viewer.id("viewer-notice")).to_have_text(REASON)
    for name in CHANGES:
        expect(viewer.id(name)).to_be_disabled()
        expect(viewer.id(name)).to_have_attribute("title", REASON)
    for name in ("class-name", "class-color", "class-delete"):
        expect(viewer.id(name).first).to_be_disabled()
    viewer.id("share-open").click()
    expect(viewer.id("member")).to_have_count(2)
    expect(viewer.id("invite-name")).to_be_hidden()
    viewer.id("sharing-close").click()
    for name in ("tool-pan", "granularity", "mode-classes", "peek", "zoom-in", "share-open", "goto"):
        expect(viewer.id(name)).to_be_enabled()
    viewer.page.mouse.click(600, 400)
    viewer.page.keyboard.press("Control+z")
    viewer.page.keyboard.press("c")
    expect(viewer.id("toast").first).to_contain_text(REASON)
    expect(viewer.id("status-saved")).to_have_text("All changes saved")
    viewer.idle()
    kinds = ("leaves.assign", "edit.undo", "completion.set", "class.create", "cluster.split")
    assert [kind for kind in kinds if viewer.commands(kind)] == [
        "class.create"
    ]  # the one before it was opened


def test_viewer_sees_what_others_do(viewer):
    viewer.control("command", {"type": "class.create", "client_id": "b", "name": "Soil", "color": "#884400"})
    expect(viewer.id("class-row")).to_have_count(2)
    expect(viewer.id("class-name").nth(1)).to_be_disabled()  # made anew, and at rest at once


def test_new_role_takes_effect_at_once(viewer):
    viewer.control("set", {"role": "editor"})
    viewer.control("disconnect")
    expect(viewer.id("viewer-notice")).to_be_hidden()
    for name in ("tool-paint", "complete", "class-add", "class-name"):
        expect(viewer.id(name).first).to_be_enabled()
    expect(viewer.id("tool-paint")).not_to_have_attribute("title", REASON)
    expect(viewer.id("undo")).to_be_enabled()
    expect(viewer.id("redo")).to_be_disabled()
    viewer.id("class-add").click()
    viewer.control("set", {"role": "viewer"})
    viewer.control("disconnect")
    expect(viewer.id("tool-paint")).to_be_disabled()
    expect(viewer.id("viewer-notice")).to_have_text(REASON)


def test_others_who_come_are_named_in_the_reason(viewer):
    owners = [{**MEMBERS[0], "name": name} for name in ("ana", "boris", "carla")]
    viewer.control("event", {"type": "members.changed", "members": [*owners, MEMBERS[1]]})
    expect(viewer.id("viewer-notice")).to_have_text(
        "You can look at this project; ask ana, boris or another owner to make you an editor."
    )


def test_who_was_removed_changes_nothing_more(map_page):
    page = map_page().open()
    page.control("disconnect", 4404)
    expect(page.id("status-connection")).to_have_text("No longer open to you")
    expect(page.id("viewer-notice")).to_contain_text("no longer open to you")
    expect(page.id("class-add")).to_be_disabled()
    page.page.mouse.click(600, 400)
    expect(page.id("status-saved")).to_have_text("All changes saved")


def test_owner_invites_from_the_map(map_page):
    page = map_page().open()
    page.id("share-open").click()
    expect(page.id("member")).to_have_count(1)
    boxes = [page.id(name).bounding_box() for name in ("invite-name", "invite-role", "invite-submit")]
    middles = {round(box["y"] + box["height"] / 2) for box in boxes if box}
    assert len(middles) == 1, "they stand beside each other, as on the projects page"


def test_editors_rest_nothing(map_page):
    page = map_page()
    page.control("set", {"role": "editor", "members": MEMBERS})
    page.open()
    expect(page.id("viewer-notice")).to_be_hidden()
    expect(page.id("tool-paint")).to_be_enabled()
    assert page.call("document.body.classList.contains('is-viewer')") is False
