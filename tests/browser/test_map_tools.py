"""The map page under the pointer and the keys: click, paint, hover, slider."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import (
    PIXELS,
    PLAIN,
    WORLDS,
    cluster_of,
    tree,
)

pytestmark = pytest.mark.browser


def test_first_click_makes_a_class_and_assigns(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    page.click(300, 300)
    page.wait("clusternet.state.table.includes(1)")
    assert page.call("clusternet.state.classes").__len__() == 1
    expect(page.id("class-name")).to_have_value("Class 1")
    assign = page.commands("leaves.assign")
    assert len(assign) == 1
    assert assign[0]["point"] == [300, 300]
    low, high = tree()[1:3]
    node = cluster_of(WORLDS[PIXELS].leaves[300, 300], 40)
    assert assign[0]["ranges"] == [[int(low[node]), int(high[node])]]


def test_click_shift_click_alt_click_and_undo(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.add_class("Forest")
    page.go(300, 300, 4)
    page.click(300, 300)  # Forest is active: it was made last
    forest = page.table()
    assert set(forest) == {0, 2}
    page.page.keyboard.press("1")
    page.click(340, 340)
    both = page.table()
    assert set(both) == {0, 1, 2}
    page.click(300, 300, "Alt")
    expect(page.page.locator(".class-row.active")).to_have_attribute("data-class", "2")
    assert page.table() == both
    page.click(340, 340, "Shift")
    assert page.table() == forest
    page.page.keyboard.press("Control+z")
    page.wait("clusternet.state.table.includes(1)")
    page.page.mouse.click(*page.on_screen(340, 340), button="right")  # what a long press is on touch screens
    page.idle()
    assert page.table() == forest
    page.page.keyboard.press("Control+z")
    page.wait("clusternet.state.table.includes(1)")
    assert page.table() == both
    page.page.keyboard.press("Control+Shift+Z")
    page.wait("!clusternet.state.table.includes(1)")
    page.id("undo").click()
    page.wait("clusternet.state.table.includes(1)")
    expect(page.id("redo")).to_be_enabled()


def test_painting_assigns_every_cluster_on_the_way_as_one_edit(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(256)
    page.add_class("Road")
    page.go(300, 300, 4)
    page.id("tool-paint").click()
    start, end = page.on_screen(310, 250), page.on_screen(310, 350)
    page.page.mouse.move(*start)
    page.page.mouse.down()
    page.page.mouse.move((start[0] + end[0]) / 2, start[1], steps=4)
    expect(page.page.locator(".paint-trail.visible")).to_have_count(1)
    page.page.mouse.move(*end, steps=4)
    page.page.mouse.up()
    page.idle()
    crossed = set(WORLDS[PIXELS].leaves[310, 250:351].tolist())
    assert {leaf for leaf, number in enumerate(page.table()) if number} == crossed
    assert len(page.commands("leaves.assign")) == 1
    assert page.on_screen(310, 250) == start, "the map must not move while painting"
    page.page.keyboard.press("b")
    page.page.mouse.move(*start)
    page.page.mouse.down()
    page.page.mouse.move(start[0] + 60, start[1] + 40, steps=4)
    page.page.mouse.up()
    # With the hand tool a drag moves the map.
    page.wait(f"clusternet.pixelToPoint(310, 250).x > {start[0] + 40}")
    assert len(page.commands("leaves.assign")) == 1


def test_escape_breaks_a_stroke_off(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Road")
    page.go(300, 300, 4)
    start = page.on_screen(300, 250)
    page.page.keyboard.down("Control")
    page.page.mouse.move(*start)
    page.page.mouse.down()
    page.page.mouse.move(start[0] + 200, start[1], steps=5)
    assert set(page.table()) == {0, 1}
    page.page.keyboard.press("Escape")
    page.page.mouse.up()
    page.page.keyboard.up("Control")
    page.idle()
    assert set(page.table()) == {0}
    assert page.commands("leaves.assign") == []


def test_hover_lights_up_the_cluster_and_tells_about_it(map_page) -> None:
    page = map_page(PLAIN).open()
    page.go(300, 300, 4)
    page.page.mouse.move(*page.on_screen(300, 300))
    expect(page.id("hover-box")).to_be_visible()
    low, high = tree()[1:3]
    node = cluster_of(WORLDS[PLAIN].leaves[300, 300], 40)
    counts = WORLDS[PLAIN].counts()
    share = counts[low[node] : high[node]].sum() / counts.sum()
    expect(page.id("hover-area")).to_contain_text(f"{share * 100:.1f}%")
    expect(page.id("hover-area")).to_contain_text("ha")
    expect(page.id("hover-class")).to_have_text("No class")
    expect(page.id("hover-spectrum").locator("polyline.of-cluster")).to_have_count(1)
    expect(page.id("coordinates")).to_contain_text("row 300, col 300")
    # The light is on the screen, not in the color that tests read.
    assert page.color(300, 300)[:3] == tree()[3][node].tolist()
    page.page.mouse.move(1100, 400)  # over the panel
    expect(page.id("hover-box")).to_be_hidden()


def test_granularity_is_instant_and_asks_nothing(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    requests: list[str] = []
    page.page.on("request", lambda request: requests.append(request.url))
    before = len(page.commands("blocks.want"))
    page.cut(4)
    node = page.call(
        "(() => { const p = clusternet.pixelToPoint(300, 300); return clusternet.clusterAt(p.x, p.y); })()"
    )
    assert node == cluster_of(WORLDS[PIXELS].leaves[300, 300], 4)
    assert page.color(300, 300)[:3] == tree()[3][node].tolist()
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("]")
    expect(page.id("granularity-value")).to_have_text("5")
    page.page.keyboard.press("[")
    expect(page.id("granularity-value")).to_have_text("4")
    assert requests == []
    assert len(page.commands("blocks.want")) == before


def test_peek_hides_the_overlay_while_held(map_page) -> None:
    page = map_page(PIXELS).open()
    canvas = page.page.locator(".cluster-canvas")
    page.id("opacity").fill("55")
    expect(canvas).to_have_css("opacity", "0.55")
    page.id("map").focus()
    page.page.keyboard.down(" ")
    expect(canvas).to_have_css("opacity", "0")
    page.page.keyboard.up(" ")
    expect(canvas).to_have_css("opacity", "0.55")
    page.id("peek").hover()
    page.page.mouse.down()
    expect(canvas).to_have_css("opacity", "0")
    page.page.mouse.up()
    expect(canvas).to_have_css("opacity", "0.55")
