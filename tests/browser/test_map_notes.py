"""Notes pinned to places of the map."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import MapPage

pytestmark = pytest.mark.browser

HERE = (300, 300)


@pytest.fixture
def page(map_page) -> MapPage:
    return map_page().open()


def pin(page: MapPage, text: str, place: tuple[int, int] = HERE) -> None:
    page.id("tool-comment").click()
    page.page.mouse.click(*page.on_screen(*place))
    page.id("comment-text").fill(text)
    page.id("comment-send").click()
    expect(page.id("comment-item")).to_have_count(1)


def test_note_is_pinned_answered_changed_and_deleted(page):
    pin(page, "Is this <b>water</b>?")
    expect(page.id("comment-pin")).to_have_count(1)
    expect(page.id("comment-item")).to_contain_text("Is this <b>water</b>?")  # as text
    expect(page.id("comment-text")).to_have_value("")
    page.id("comment-text").fill("I think so")
    page.id("comment-send").click()
    expect(page.id("comment-item")).to_have_count(2)
    expect(page.id("comment-pin")).to_have_text("2")
    page.id("comment-edit").last.click()
    page.id("comment-edit-text").fill("Yes, it is")
    page.id("comment-edit-save").click()
    expect(page.id("comment-item").last).to_contain_text("Yes, it is")
    expect(page.id("comment-item").last).to_contain_text("edited")
    page.id("comment-delete").first.click()
    page.id("dialog-confirm").first.click()
    expect(page.id("comment-pin")).to_have_count(0)
    expect(page.id("comment-box")).to_have_count(0)


def test_pinning_classifies_nothing_and_is_left_with_escape(page):
    page.add_class("Water")
    pin(page, "Here")
    assert page.commands("leaves.assign") == []
    page.page.keyboard.press("Escape")
    expect(page.id("comment-box")).to_have_count(0)
    page.page.keyboard.press("o")
    expect(page.id("tool-comment")).to_have_attribute("aria-pressed", "true")
    page.page.keyboard.press("Escape")
    expect(page.id("tool-comment")).to_have_attribute("aria-pressed", "false")
    page.click(*HERE)
    assert len(page.commands("leaves.assign")) == 1


def test_pin_stays_at_its_place(page):
    pin(page, "Here")
    page.page.keyboard.press("Escape")
    for size in (1, 4):
        page.go(*HERE, size)
        page.wait("document.querySelector('[data-testid=comment-pin]') !== null")
        box = page.id("comment-pin").bounding_box()
        x, y = page.on_screen(*HERE)
        assert box
        assert abs(box["x"] + box["width"] / 2 - x) < 3 + size
        assert abs(box["y"] + box["height"] - y) < 3 + size


def test_notes_of_others_come_live_and_keep_what_is_being_written(page):
    pin(page, "Here")
    page.id("comment-text").fill("half a sen")
    page.control("note", {"parent": 1, "row": 0, "col": 0, "text": "From boris"})
    expect(page.id("comment-item")).to_have_count(2)
    expect(page.id("comment-item").last).to_contain_text("boris")
    expect(page.id("comment-text")).to_have_value("half a sen")
    expect(page.id("comment-text")).to_be_focused()


def test_settled_threads_are_hidden_until_asked_for(page):
    page.id("comments-open").click()
    pin(page, "Here")
    page.id("comment-resolve").click()
    expect(page.id("comment-box")).to_contain_text("Settled by you")
    page.page.keyboard.press("Escape")
    expect(page.id("comment-row")).to_have_count(0)
    expect(page.id("comment-pin")).to_have_count(0)
    page.id("comments-resolved").check()
    expect(page.id("comment-row")).to_have_count(1)
    page.id("comment-row").click()
    page.id("comment-resolve").click()
    page.id("comments-resolved").uncheck()
    expect(page.id("comment-row")).to_have_count(1)


def test_list_takes_to_the_place(page):
    page.control("note", {"row": 700, "col": 1200, "text": "Look"})
    page.id("comments-open").click()
    expect(page.id("comment-row")).to_contain_text("Look")
    page.go(200, 200, 4)
    page.id("comment-row").click()
    expect(page.id("comment-box")).to_contain_text("Look")
    page.wait(
        "(() => { const p = clusternet.pixelToPoint(700, 1200); const b = document.querySelector('[data-testid=map]')"
        ".getBoundingClientRect(); return p.x > 0 && p.y > 0 && p.x < b.width && p.y < b.height; })()"
    )


def test_note_that_is_refused_stays_where_it_was_written(page):
    page.id("tool-comment").click()
    page.page.mouse.click(*page.on_screen(*HERE))
    page.id("comment-text").fill("   ")
    page.id("comment-send").click()
    expect(page.id("comment-box")).to_contain_text("A note needs some text.")
    expect(page.id("comment-text")).to_have_value("   ")
    page.errors.clear()  # the browser's own note on the status 400


def test_place_outside_the_scene_is_refused(page):
    page.go(0, 0, 1)
    page.id("tool-comment").click()
    x, y = page.on_screen(-40, -40)
    page.page.mouse.click(x, y)
    expect(page.id("toast").last).to_contain_text("outside the scene")
    expect(page.id("tool-comment")).to_have_attribute("aria-pressed", "true")
