"""The completed map: the decoder's table on the page, its settings, and the swap of segmentations."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.map_fixture.completion import predict
from tests.browser.map_fixture.driver import PIXELS, WATCH_FRAMES, WORLDS, MapPage, hex_rgba

pytestmark = pytest.mark.browser

CLICKS = {"Water": (300, 300), "Forest": (430, 520)}
# In model/completion.js; the shader mixes them.
RAMP = np.array([[0.93, 0.36, 0.05, 0.95], [0.98, 0.83, 0.55, 0.85], [0.11, 0.4, 0.67, 0.75]])


def leaf_at(row: int, col: int) -> int:
    return int(WORLDS[PIXELS].leaves[row, col])


def clicked(map_page: Any) -> MapPage:
    """A page on which clusters of two classes were clicked, so that the rest is predicted."""
    page = map_page(PIXELS).open()
    for name, (row, col) in CLICKS.items():
        page.add_class(name)
        page.go(row, col, 4)
        page.click(row, col)
    page.wait("clusternet.state.prediction")
    return page


def expected() -> tuple[np.ndarray, np.ndarray]:
    """Predicted class and certainty of every leaf after these clicks."""
    return predict({leaf_at(*at): number + 1 for number, at in enumerate(CLICKS.values())})


def somewhere(wanted: np.ndarray) -> tuple[int, int]:
    """The middle of a cell near the middle of the scene whose leaf is wanted."""
    cells = [(row, col) for row in range(490, 610, 20) for col in range(490, 890, 20)]
    return next(cell for cell in cells if wanted[leaf_at(*cell)])


def class_at(page: MapPage, row: int, col: int) -> dict[str, Any]:
    return page.call(
        "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.classAt(p.x, p.y); }",
        [row, col],
    )


def test_the_switch_completes_the_map_for_everybody(map_page, map_browser: Browser) -> None:
    page = clicked(map_page)
    second = MapPage(map_browser.new_page(), page.server, PIXELS).open()
    classes, certainty = expected()
    table = np.array(page.table())
    row, col = somewhere((table == 0) & (certainty > 160))
    likely = int(classes[leaf_at(row, col)])
    page.go(row, col, 4)
    own = page.color(row, col)
    assert class_at(page, row, col)["source"] is None
    page.id("complete").check()
    page.idle()
    colors = page.call("clusternet.state.classes.map((label) => label.color)")
    assert page.color(row, col) == hex_rgba(colors[likely - 1]) != own
    known = class_at(page, row, col)
    assert known == {
        "class": likely,
        "source": "predicted",
        "certainty": pytest.approx(certainty[leaf_at(row, col)] / 255),
    }
    assert class_at(page, *CLICKS["Water"])["source"] in ("assigned", None)
    # Every leaf, by the rule: its own class, else the decoder's from the threshold on, else none.
    whole = np.where(table > 0, table, np.where(certainty / 255 >= 0.5, classes, 0))
    assert page.call("clusternet.state.completed") == whole.tolist()
    second.wait("clusternet.state.completion.on")
    assert second.call("clusternet.state.completed") == whole.tolist()
    expect(second.id("complete")).to_be_checked()
    # A browser that comes later gets the table too, and undo takes the switch back.
    second.page.reload()
    second.idle()
    second.wait("clusternet.state.prediction")
    assert second.call("clusternet.state.completed") == whole.tolist()
    page.page.keyboard.press("Control+z")
    second.wait("!clusternet.state.completion.on")
    assert second.call("clusternet.state.completed") == table.tolist()
    assert second.errors == []
    second.page.close()


def test_finer_clusters_are_proposed_where_the_rest_is_predicted(map_page) -> None:
    page = clicked(map_page)
    expect(page.id("finer-clusters")).to_be_hidden()
    page.id("complete").check()
    page.id("finer-clusters").click()
    assert page.call("clusternet.state.cut") == 200
    expect(page.id("finer-clusters")).to_be_hidden()
    page.id("granularity").fill("0")
    expect(page.id("finer-clusters")).to_be_visible()
    page.id("complete").uncheck()
    expect(page.id("finer-clusters")).to_be_hidden()


def test_areas_count_what_is_predicted(map_page) -> None:
    page = clicked(map_page)
    classes, certainty = expected()
    pixels = WORLDS[PIXELS].counts()
    table = np.array(page.table())
    before = page.id("unlabelled-share").text_content()
    expect(page.id("class-predicted").first).to_be_hidden()
    page.id("complete").check()
    shown = np.where(table > 0, table, np.where(certainty / 255 >= 0.5, classes, 0))
    for number in (1, 2):
        row = page.page.locator(f"[data-testid=class-row][data-class='{number}']")
        total, predicted = pixels[shown == number].sum(), pixels[(shown == number) & (table == 0)].sum()
        expect(row.get_by_test_id("class-area")).to_have_text(f"{total:,.0f} px")
        expect(row.get_by_test_id("class-predicted")).to_have_text(f"of which {predicted:,.0f} px predicted")
    open_share = pixels[shown == 0].sum() / pixels.sum()
    expect(page.id("unlabelled-share")).to_have_text(f"{open_share:.1%}")
    assert page.id("unlabelled-share").text_content() != before
    expect(page.id("completion")).to_contain_text(f"{open_share:.1%} stays open")


def test_the_threshold_recolors_at_once_and_is_sent_when_let_go(map_page) -> None:
    page = clicked(map_page)
    _, certainty = expected()
    table = np.array(page.table())
    page.id("complete").check()
    row, col = somewhere((table == 0) & (certainty > 140) & (certainty < 190))
    page.go(row, col, 4)
    shown = page.color(row, col)
    sent = len(page.commands("completion.set"))
    page.call(
        """() => {
            const slider = document.querySelector('[data-testid=threshold]');
            slider.value = 90;
            slider.dispatchEvent(new Event('input'));
        }"""
    )
    expect(page.id("threshold-value")).to_have_text("90%")
    assert page.color(row, col) != shown
    assert class_at(page, row, col)["source"] is None
    assert len(page.commands("completion.set")) == sent, "a hand is still on the slider"
    # Somebody else's setting does not pull the thumb out of the hand.
    page.control("command", {"type": "completion.set", "client_id": "other", "on": True, "threshold": 0.25})
    page.wait("clusternet.state.number === 6")
    expect(page.id("threshold")).to_have_value("90")
    page.call("document.querySelector('[data-testid=threshold]').dispatchEvent(new Event('change'))")
    page.wait("clusternet.state.number === 7")
    page.idle()
    [*_, last] = page.commands("completion.set")
    assert (last["on"], last["threshold"]) == (True, 0.9)
    page.control("command", {"type": "completion.set", "client_id": "more", "on": True, "threshold": 0.25})
    expect(page.id("threshold")).to_have_value("25")
    assert page.color(row, col) == shown


def test_the_certainty_overlay_shows_the_ramp(map_page) -> None:
    page = map_page(PIXELS).open()
    page.id("mode-certainty").click()
    expect(page.id("certainty-legend")).to_be_visible()
    expect(page.id("certainty-legend")).to_contain_text("Nothing is predicted yet")
    page.go(500, 500, 4)
    assert page.color(500, 500) == [0, 0, 0, 0]
    page.id("mode-clusters").click()
    expect(page.id("certainty-legend")).to_be_hidden()
    for name, (row, col) in CLICKS.items():
        page.add_class(name)
        page.go(row, col, 4)
        page.click(row, col)
    page.wait("clusternet.state.prediction")
    page.id("mode-certainty").click()
    expect(page.id("certainty-legend")).not_to_contain_text("Nothing is predicted yet")
    _, certainty = expected()
    certainty = np.where(np.array(page.table()) > 0, 255, certainty)
    for low, high in ((0, 20), (70, 110), (140, 190), (255, 256)):
        row, col = somewhere((certainty >= low) & (certainty < high))
        page.go(row, col, 4)
        at = certainty[leaf_at(row, col)] / 255
        ramp = np.array([np.interp(at, [0, 0.5, 1], channel) for channel in RAMP.T])
        premultiplied = np.append(ramp[:3] * ramp[3], ramp[3]) * 255
        assert np.abs(np.array(page.color(row, col)) - premultiplied).max() <= 1, at


def test_stripes_mark_what_is_predicted(map_page) -> None:
    page = clicked(map_page)
    _, certainty = expected()
    table = np.array(page.table())
    page.id("opacity").fill("100")
    page.id("complete").check()
    page.idle()

    def spread(row: int, col: int) -> float:
        """How much the drawn colors differ inside one cell."""
        page.go(row, col, 4)
        page.page.mouse.move(2, 2)  # nothing is hovered
        page.call("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        x, y = page.on_screen(row, col)
        clip = {"x": x - 16, "y": y - 16, "width": 32, "height": 32}
        pixels = np.asarray(Image.open(io.BytesIO(page.page.screenshot(clip=clip))).convert("RGB"), float)
        return float(pixels.std(axis=(0, 1)).max())

    assert spread(*somewhere((table == 0) & (certainty > 160))) > 8
    assert spread(*somewhere(table > 0)) < 1
    assert spread(*somewhere((table == 0) & (certainty < 100))) < 1


def test_the_hover_box_tells_certainties(map_page) -> None:
    page = clicked(map_page)
    classes, certainty = expected()
    table = np.array(page.table())
    row, col = somewhere((table == 0) & (certainty > 160))
    page.go(row, col, 4)
    page.page.mouse.move(*page.on_screen(row, col))
    expect(page.id("hover-box")).to_be_visible()
    expect(page.id("hover-certainty")).to_be_hidden()
    page.page.keyboard.press("c")
    name = list(CLICKS)[classes[leaf_at(row, col)] - 1]
    share = round(certainty[leaf_at(row, col)] / 255 * 100)
    expect(page.id("hover-certainty")).to_contain_text(f"Here: {name}, predicted {share}%")
    bars = page.id("hover-certainty").locator(".certainty-bars li")
    expect(bars).to_have_count(2)
    expect(bars.first).to_contain_text(re.compile(rf"{name}\d+%"))
    row, col = somewhere(table > 0)
    page.go(row, col, 4)
    page.page.mouse.move(*page.on_screen(row, col))
    expect(page.id("hover-certainty")).to_contain_text("assigned")


def test_alt_click_picks_the_predicted_class_and_a_click_assigns_over_it(map_page) -> None:
    page = clicked(map_page)
    classes, certainty = expected()
    row, col = somewhere((np.array(page.table()) == 0) & (certainty > 160) & (classes == 1))
    page.id("complete").check()
    page.go(row, col, 4)
    page.click(row, col, "Alt")
    expect(page.page.locator("#active-class")).to_have_text("Water")
    page.page.locator("[data-testid=class-row][data-class='2']").get_by_test_id("class-select").click()
    page.click(row, col)
    assert class_at(page, row, col) == {"class": 2, "source": "assigned", "certainty": 1}


def test_stale_and_damaged_tables_change_nothing(map_page) -> None:
    page = clicked(map_page)
    page.id("complete").check()
    page.idle()
    before = page.call("clusternet.state.completed")
    number = page.call("clusternet.state.prediction.number")
    table = {"segmentation": 30, "number": number - 1, "class": 1, "certainty": 255}
    page.control("prediction", table)  # older than what is here
    page.control("bytes", "434e4454" + "02000000" + "00" * 24)
    expect(page.id("toast").last).to_contain_text(
        "Decoder table format 2 is newer than this page; reload it."
    )
    assert page.call("clusternet.state.completed") == before
    page.control("prediction", table | {"segmentation": 77, "number": number})  # of other leaves
    page.wait("clusternet.state.prediction === null")
    assert set(page.call("clusternet.state.completed")) <= set(page.table())
    page.control("prediction", table | {"number": number + 1})
    page.wait("clusternet.state.prediction")
    assert set(page.call("clusternet.state.completed")) <= {1, 2}
    assert 0 not in page.call("clusternet.state.completed")
    page.errors = [error for error in page.errors if "format 2" not in error]


def test_a_failure_of_the_decoder_is_told(map_page) -> None:
    page = clicked(map_page)
    page.id("complete").check()
    page.idle()
    before = page.call("clusternet.state.completed")
    page.control(
        "event", {"type": "completion.failed", "number": 6, "message": "The segmentation's files are gone."}
    )
    expect(page.id("toast").last).to_contain_text(
        "The map could not be completed. The segmentation's files are gone."
    )
    assert page.call("clusternet.state.completed") == before


def test_segmentations_are_swapped_without_a_blank(map_page) -> None:
    page = map_page(PIXELS)
    page.control("set", {"successor": True, "offered": 31})
    page.page.add_init_script(WATCH_FRAMES)
    page.open()
    page.go(512, 640, 2)
    page.page.mouse.move(2, 2)
    old = page.color(512, 640)
    page.call("window.framesSeen.length = 0")
    page.control("hold-blocks", True)
    page.id("segmentation-offer-adopt").click()
    expect(page.id("overlay-outdated")).to_contain_text("until then you see the old one")
    expect(page.page.locator(".cluster-canvas")).to_have_class(re.compile("outdated"))
    page.wait("clusternet.state.number === 1")
    assert page.call("clusternet.state.table") == [0] * 256
    # The old overlay follows the map, though its leaves are no more to be clicked.
    page.call("clusternet.goTo(512, 640, 3)")
    page.wait("clusternet.colorAt(clusternet.pixelToPoint(512, 640).x, 250)[3] === 255")
    point = page.point(512, 640)
    assert page.call("({ x, y }) => clusternet.leafAt(x, y)", point) is None
    page.control("hold-blocks", False)
    page.idle()
    expect(page.id("overlay-outdated")).to_be_hidden()
    new = page.color(512, 640)
    assert new != old
    seen = page.call("window.framesSeen")
    assert len(seen) > 3
    assert set(seen) == {",".join(map(str, color)) for color in (old, new)}, "no frame was blank or mixed"
    assert seen == sorted(seen, key=lambda frame: frame == seen[-1]), "one swap, once"
    # Undo brings the old one back, again without a blank.
    page.call("window.framesSeen.length = 0")
    page.page.keyboard.press("Control+z")
    page.wait("clusternet.state.number === 2")
    page.idle()
    assert page.color(512, 640) == old
    assert not [frame for frame in page.call("window.framesSeen") if frame.endswith(",0")]


def test_another_segmentation_gets_its_own_prediction(map_page) -> None:
    page = map_page(PIXELS)
    page.control("set", {"successor": True, "offered": 31})
    page.open()
    for name, (row, col) in CLICKS.items():
        page.add_class(name)
        page.go(row, col, 4)
        page.click(row, col)
    page.id("complete").check()
    page.idle()
    before = page.call("clusternet.state.completed")
    page.id("segmentation-offer-adopt").click()
    page.wait("clusternet.state.prediction && clusternet.state.number === 6")
    page.idle()
    assert page.call("clusternet.state.completion") == {"on": True, "threshold": 0.5}
    assert page.call("clusternet.state.prediction.number") == 6
    assert page.call("clusternet.state.completed") != before
