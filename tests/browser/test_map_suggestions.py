"""Where to click next on the map page: the strip, the marks, the keys; and the view that never moves by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PIXELS, PLAIN, ROTATED, WORLDS
from tests.browser.map_fixture.suggestions import PLACES

pytestmark = pytest.mark.browser


def asked(page) -> int:
    return sum(one["path"].endswith("/suggestions") for one in page.commands("rest"))


def opened(page):
    page.id("suggestions-toggle").click()
    expect(page.id("suggestion")).to_have_count(6)
    return page


def pixels(page) -> list[tuple[int, int]]:
    given = page.id("suggestion").evaluate_all("all => all.map(one => one.dataset.pixel)")
    return [tuple(int(part) for part in one.split(",")) for one in given]


def center(page) -> list[float]:
    return page.call("(() => { const p = clusternet.pixelToPoint(500, 500); return [p.x, p.y]; })()")


@pytest.mark.parametrize("number", [PLAIN, ROTATED, PIXELS])
def test_the_strip_and_the_marks_show_the_same_places(map_page, number) -> None:
    page = opened(map_page(number).open())
    assert pixels(page) == list(PLACES[:6])
    marks = page.page.locator(".suggestion-mark")
    expect(marks).to_have_count(6)
    for (row, col), mark in zip(PLACES, marks.all(), strict=False):
        x, y = page.on_screen(row, col)
        box = mark.bounding_box()
        assert (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) == pytest.approx((x, y), abs=2)
    # The pictures hold imagery: the fixture's tiles are opaque and never black.
    page.wait(
        "[...document.querySelectorAll('.suggestion canvas')].every(canvas => {"
        "const [r, g, b, a] = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;"
        "return a === 255 && r > 50 && g > r && b < r; })"
    )


def test_folded_it_asks_nothing_and_shows_nothing(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    assert asked(page) == 0
    opened(page)
    count = asked(page)
    page.id("suggestions-toggle").click()
    expect(page.page.locator(".suggestion-mark")).to_have_count(0)
    page.go(300, 300, 4)
    page.click(300, 300)
    page.wait("clusternet.state.table.includes(1)")
    page.page.wait_for_timeout(600)
    assert asked(page) == count


def test_n_goes_from_one_to_the_next_and_escape_ends_it(map_page) -> None:
    page = map_page(PIXELS).open()
    page.id("map").focus()
    page.page.keyboard.press("n")  # the section unfolds by itself
    page.in_the_middle(*PLACES[0])
    expect(page.id("suggestion").first).to_have_attribute("aria-pressed", "true")
    expect(page.page.locator(".suggestion-mark.active")).to_have_count(1)
    page.page.keyboard.press("n")
    page.in_the_middle(*PLACES[1])
    page.id("suggestion-next").click()
    page.in_the_middle(*PLACES[2])
    expect(page.id("suggestion").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.page.locator('.suggestion[aria-pressed="true"]')).to_have_count(1)
    page.page.keyboard.press("Escape")
    expect(page.page.locator('.suggestion[aria-pressed="true"]')).to_have_count(0)
    expect(page.page.locator(".suggestion-mark.active")).to_have_count(0)
    page.id("suggestion").nth(4).click()
    page.in_the_middle(*PLACES[4])


def test_enter_answers_and_the_next_ones_follow_without_moving_the_view(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.add_class("Forest")
    opened(page)
    page.id("suggestion").first.click()
    page.in_the_middle(*PLACES[0])
    page.idle()
    page.page.keyboard.press("1")
    page.page.keyboard.press("Enter")
    page.wait("clusternet.state.table.includes(1)")
    (command,) = page.commands("leaves.assign")
    assert (command["class"], command["point"]) == (1, list(PLACES[0]))
    before = center(page)
    # Its cluster at the cut may hold other places' leaves, too; the answered place is gone in any case.
    answered = f'[data-pixel="{PLACES[0][0]},{PLACES[0][1]}"]'
    expect(page.page.locator(answered)).to_have_count(0)
    expect(page.page.locator(".suggestion-mark.active")).to_have_count(0)
    assert center(page) == before
    page.page.keyboard.press("Enter")  # there is no active one: nothing to answer
    page.idle()
    assert len(page.commands("leaves.assign")) == 1
    page.page.keyboard.press("n")
    page.in_the_middle(*pixels(page)[0])


def test_a_click_on_the_mark_reaches_the_cluster_below(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    opened(page)
    page.id("suggestion").nth(1).click()
    page.in_the_middle(*PLACES[1])
    page.idle()
    page.click(*PLACES[1])
    page.wait("clusternet.state.table.includes(1)")
    (command,) = page.commands("leaves.assign")
    assert command["point"] == list(PLACES[1])
    assert page.table()[WORLDS[PIXELS].leaves[PLACES[1]]] == 1


def test_the_likely_class_is_shown_in_its_color(map_page) -> None:
    page = map_page(PIXELS).open()
    opened(page)
    expect(page.id("suggestion").first).to_contain_text("new")
    page.add_class("Water")
    first = page.id("suggestion").first
    expect(first).to_contain_text("41%")
    expect(first).to_have_attribute("title", "likely Water, 41% sure; about 400 px")
    color = page.call("clusternet.state.classes[0].color")
    expect(first.locator(".swatch")).to_have_css(
        "background-color", f"rgb({', '.join(str(v) for v in bytes.fromhex(color[1:]))})"
    )


def test_others_edits_bring_new_places_and_leave_the_view_alone(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    opened(page)
    page.go(300, 300, 2)
    before = center(page)
    leaf = int(WORLDS[PIXELS].leaves[PLACES[2]])
    page.control(
        "command",
        {"type": "leaves.assign", "client_id": "other", "segmentation": 30, "version": 0, "ranges": [[leaf, leaf + 1]], "class": 1},
    )  # fmt: skip
    expect(page.page.locator(f'[data-pixel="{PLACES[2][0]},{PLACES[2][1]}"]')).to_have_count(0)
    assert PLACES[6] in pixels(page)
    assert center(page) == before


def test_what_the_server_says_is_shown_and_asked_again(map_page) -> None:
    page = map_page(PIXELS)
    page.control("set", {"suggestions_error": "The project has no clusters yet; wait a moment."})
    page.open()
    page.id("suggestions-toggle").click()
    expect(page.page.locator("#suggestions-message")).to_have_text(
        "The project has no clusters yet; wait a moment."
    )
    expect(page.id("suggestion-next")).to_be_disabled()
    page.control("set", {"suggestions_error": ""})
    page.add_class("Water")
    expect(page.id("suggestion")).to_have_count(6)
    expect(page.page.locator("#suggestions-message")).to_be_hidden()
    page.errors[:] = [error for error in page.errors if "409" not in error]


def test_where_all_is_decided_it_says_so(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.control(
        "command",
        {"type": "leaves.assign", "client_id": "all", "segmentation": 30, "version": 0, "ranges": [[0, 256]], "class": 1},
    )  # fmt: skip
    page.id("suggestions-toggle").click()
    expect(page.page.locator("#suggestions-message")).to_have_text("Nothing uncertain is left to ask about.")
    expect(page.id("suggestions")).to_be_hidden()
