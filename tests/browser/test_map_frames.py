"""What the map page draws in which frame, by its own measures."""

from __future__ import annotations

import pytest

from tests.browser.map_fixture.driver import PIXELS

pytestmark = pytest.mark.browser

# The names of measures in the order in which the work ended, with a mark where each animation frame ends.
NOTE = """() => {
    window.noted = [];
    const measure = performance.measure;
    performance.measure = function (name, ...rest) {
        window.noted.push(name);
        return measure.call(this, name, ...rest);
    };
    const request = window.requestAnimationFrame;
    let frame = 0;
    const count = () => {
        frame += 1;
        window.noted.push("frame");
        if (window.noting) request(count);
    };
    window.noting = true;
    request(count);
}"""


def test_new_colors_are_drawn_in_the_frame_that_makes_them(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    page.page.evaluate(NOTE)
    page.click(300, 300)
    page.page.evaluate("() => (window.noting = false)")
    noted = page.page.evaluate("() => window.noted")
    assert "clusternet:click" in noted
    at = noted.index("clusternet:colors")
    assert noted[at + 1] == "clusternet:draw"
    assert page.errors == []


def test_page_tells_what_blocks_it_holds(map_page) -> None:
    page = map_page(PIXELS).open()
    held = page.page.evaluate("() => clusternet.blocksHeld()")
    assert held["blocks"] >= held["textures"] >= page.page.evaluate("() => clusternet.blocksShown()") > 0
    assert held["bytes"] == held["blocks"] * 514 * 514 * 2
    assert page.page.evaluate("() => performance.getEntriesByType('measure').length") == 0
