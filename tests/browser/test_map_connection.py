"""The map page over a broken line, in a second browser and on a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.map_fixture.driver import (
    PIXELS,
    PLAIN,
    WORLDS,
    MapPage,
)

pytestmark = pytest.mark.browser


def test_reload_and_second_browser_show_the_same(map_page, map_browser: Browser) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    page.click(300, 300)
    second = MapPage(map_browser.new_page(), page.server, PIXELS).open()
    assert second.table() == page.table()
    page.click(340, 340)
    second.wait(f"clusternet.state.number === {page.call('clusternet.state.number')}")
    assert second.table() == page.table()
    table = page.table()
    page.page.reload()
    page.idle()
    assert page.table() == table
    assert second.errors == []
    second.page.close()


def test_work_goes_on_over_a_broken_line(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    page.control("mute", True)
    x, y = page.on_screen(300, 300)
    page.page.mouse.click(x, y)
    page.wait("clusternet.state.table.includes(1)")  # at once, unconfirmed
    expect(page.id("status-saved")).to_have_text("Saving …")
    page.control("disconnect")
    expect(page.id("status-connection")).to_have_attribute("data-status", "offline")
    expect(page.id("status-saved")).to_have_text("1 change not saved yet")
    page.control("mute", False)
    expect(page.id("status-connection")).to_have_attribute("data-status", "online")
    expect(page.id("status-saved")).to_have_text("All changes saved")
    sent = page.commands("leaves.assign")
    assert len({command["client_id"] for command in sent}) == 1
    assert page.call("clusternet.state.number") == 2


def test_a_dropped_event_is_noticed_and_made_up_for(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.control("drop-events", 1)
    theirs = {"type": "leaves.assign", "client_id": "theirs", "ranges": [[3, 9]], "class": 1}
    page.control("command", theirs)
    page.wait("clusternet.state.table[5] === 1")
    assert page.commands("edits.since") == [{"type": "edits.since", "number": 1}]


def test_leaving_with_unsaved_changes_asks(map_page) -> None:
    page = map_page(PIXELS).open()
    page.control("mute", True)
    page.id("class-add").click()
    expect(page.id("status-saved")).to_have_text("Saving …")
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.page.on("dialog", answer)
    page.page.goto("about:blank")
    assert asked == ["beforeunload"]


def test_a_project_that_is_gone_is_told(map_page) -> None:
    page = map_page(PIXELS).open()
    page.control("disconnect", 4404)
    expect(page.id("status-connection")).to_have_text("No longer open to you")
    expect(page.id("toast").last).to_contain_text("no longer open to you")


def test_on_a_phone_tap_assigns_and_the_panel_is_a_sheet(map_page) -> None:
    page = map_page(PIXELS, has_touch=True, is_mobile=True)
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.open()
    map_box, dock_box = page.id("map").bounding_box(), page.page.locator("#dock").bounding_box()
    assert map_box
    assert dock_box
    assert (map_box["width"], dock_box["width"]) == (390, 390)
    assert dock_box["y"] > 500
    page.go(300, 300, 4)
    page.page.touchscreen.tap(*page.on_screen(300, 300))
    page.wait("clusternet.state.table.includes(1)")
    page.page.locator("#dock-toggle").click()
    opened = page.page.locator("#dock").bounding_box()
    assert opened
    assert opened["height"] > dock_box["height"] + 100
    assert page.page.evaluate("document.documentElement.scrollWidth") == 390
    name = page.id("class-name").bounding_box()
    assert name
    assert name["width"] > 150, "a class's name has the room of its row"
    page.go(300, 300, 4)  # the map has become smaller: everything still meets
    leaf = page.call(
        "(() => { const p = clusternet.pixelToPoint(300, 300); return clusternet.leafAt(p.x, p.y); })()"
    )
    assert leaf == int(WORLDS[PIXELS].leaves[300, 300])


def test_marks_tell_when_imagery_and_overlay_came(map_page) -> None:
    page = map_page(PLAIN).open()
    page.wait("performance.getEntriesByName('clusternet:first-imagery').length")
    assert page.call("performance.getEntriesByName('clusternet:first-overlay').length") == 1


def test_refused_tiles_are_asked_for_again(map_page) -> None:
    page = map_page(PLAIN)
    refused: set[str] = set()

    def once(route: Route) -> None:
        if route.request.url in refused:
            route.fallback()
            return
        refused.add(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "1"})

    page.page.route("**/tiles/**", once)
    page.open()
    page.wait("performance.getEntriesByName('clusternet:first-imagery').length")
    page.wait("!document.querySelector('img.leaflet-tile:not(.leaflet-tile-loaded)')")
    assert refused
    page.errors.clear()  # the browser itself tells of each refusal


def test_unsaved_changes_outlive_a_reload(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    page.control("mute", True)
    page.page.mouse.click(*page.on_screen(300, 300))
    page.wait("clusternet.state.table.includes(1)")
    page.control("disconnect")
    expect(page.id("status-saved")).to_have_text("1 change not saved yet")
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.page.reload()
    page.wait("window.clusternet")
    expect(page.id("toast").first).to_have_text(
        re.compile("1 change that was not saved when this page was closed: sending now")
    )
    page.wait("clusternet.state.table && clusternet.state.table.includes(1)")
    page.control("mute", False)
    page.control("disconnect")
    expect(page.id("status-saved")).to_have_text("All changes saved")
    assert len({command["client_id"] for command in page.commands("leaves.assign")}) == 1
    assert page.call("clusternet.state.number") == 2
    page.page.reload()
    page.idle()
    expect(page.id("toast")).to_have_count(0)


def test_a_page_without_storage_works(map_page) -> None:
    page = map_page(PIXELS)
    page.page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    page.open()
    page.add_class("Water")
    expect(page.id("status-saved")).to_have_text("All changes saved")


def test_who_is_signed_out_is_told_and_loses_nothing(map_page) -> None:
    page = map_page(PIXELS).open()
    page.page.route(
        "**/api/projects/*/members",
        lambda route: route.fulfill(status=401, json={"detail": "Please sign in first."}),
    )
    page.control("disconnect", 4404)
    expect(page.id("status-connection")).to_have_text("Signed out")
    expect(page.id("signed-out")).to_be_visible()
    expect(page.id("sign-in-again")).to_have_attribute("href", "/accounts/login/?next=%2Fprojects%2F3%2F")
    page.id("class-add").click()
    expect(page.id("status-saved")).to_have_text("1 change not saved yet")

    page.page.evaluate("window.dispatchEvent(new Event('focus'))")  # back from signing in
    expect(page.id("status-connection")).to_have_text("Connected")
    expect(page.id("status-saved")).to_have_text("All changes saved")
    expect(page.id("signed-out")).to_be_hidden()
    assert len(page.commands("class.create")) == 1
    page.errors[:] = [text for text in page.errors if "401" not in text]


def test_changes_to_a_project_that_is_gone_are_given_up(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.control("mute", True)
    for _ in range(3):
        page.id("class-add").click()
    expect(page.id("status-saved")).to_have_attribute("data-pending", "3")
    page.control("disconnect", 4404)
    expect(page.id("toast").last).to_contain_text(
        "3 changes that were not saved yet cannot be saved any more"
    )
    expect(page.id("status-saved")).to_have_attribute("data-pending", "0")
