"""Drawing by hand on the map page: lasso, rectangle, connected patch, eraser; every mode's pixels, areas, keyboard, touch."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PIXELS, PLAIN, ROTATED, WORLDS, hex_rgba
from tests.browser.map_fixture.overrides import mask_of

pytestmark = pytest.mark.browser


def color_of(page, index=0):
    return hex_rgba(page.id("class-row").nth(index).get_by_test_id("class-color").input_value())


def class_at(page, row, col):
    return page.call(
        "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.classAt(p.x, p.y); }",
        [row, col],
    )


def drag(page, *places, steps=6):
    """Press at the first pixel, move over the others, let go."""
    points = [page.on_screen(*place) for place in places]
    page.page.mouse.move(*points[0])
    page.page.mouse.down()
    for point in points[1:]:
        page.page.mouse.move(*point, steps=steps)
    page.page.mouse.up()
    page.idle()


def drawn(page):
    """The last override.add as a mask of the scene."""
    return mask_of(WORLDS[page.number], page.commands("override.add")[-1])


@pytest.fixture(params=[PLAIN, ROTATED, PIXELS])
def page(request, map_page):
    one = map_page(request.param).open()
    one.add_class("Water")
    one.go(300, 300, 2)
    return one


@pytest.fixture
def plain(map_page):
    one = map_page().open()
    one.add_class("Water")
    one.go(300, 300, 2)
    return one


def test_a_rectangle_gives_its_pixels_the_class(page):
    page.page.keyboard.press("r")
    drag(page, (280, 270), (330, 340))
    command = page.commands("override.add")[-1]
    assert command["class"] == 1
    mask = drawn(page)
    assert mask.any()
    for row, col in [(300, 300), (305, 310)]:
        assert mask[row, col]
        assert class_at(page, row, col) == {"class": 1, "source": "override", "certainty": 1}
        assert page.color(row, col) == color_of(page)
    assert class_at(page, 200, 200)["source"] is None


def test_every_pixel_in_view_is_as_the_server_drew_it(plain):
    plain.page.keyboard.press("l")
    drag(plain, (270, 260), (280, 340), (330, 350), (320, 280), (275, 262))
    mask = drawn(plain)
    own = color_of(plain)
    rows, cols = np.mgrid[262:338:7, 252:360:7]
    pixels = np.column_stack([rows.ravel(), cols.ravel()]).tolist()
    known = plain.call(
        """(pixels) => pixels.map(([row, col]) => {
            const { x, y } = clusternet.pixelToPoint(row, col);
            return clusternet.classAt(x, y).source;
        })""",
        pixels,
    )
    for (row, col), color, source in zip(pixels, plain.colors(pixels), known, strict=True):
        assert (color == own) == bool(mask[row, col]), (row, col)
        assert (source == "override") == bool(mask[row, col]), (row, col)


def test_drawing_shows_in_every_mode_and_at_every_zoom(plain):
    plain.page.keyboard.press("r")
    drag(plain, (260, 250), (340, 350))
    own = color_of(plain)
    plain.id("mode-classes").click()
    assert plain.color(300, 300) == own
    assert plain.color(220, 220) == [0, 0, 0, 0]
    plain.id("mode-certainty").click()
    sure = plain.color(300, 300)
    assert sure[3] > 0
    assert plain.color(220, 220) == [0, 0, 0, 0]
    plain.id("mode-outlines").click()
    plain.go(300, 300, 1)  # an outline is wider than a pixel
    # None inside, though leaves change at every 20th pixel; one around it, in the color of the class.
    assert {tuple(color) for color in plain.colors([[310, col] for col in range(290, 330)])} == {(0, 0, 0, 0)}
    last = int(np.flatnonzero(drawn(plain)[310])[-1])
    assert plain.color(310, last) == own
    assert plain.color(310, last + 1)[3] == 255
    plain.id("mode-clusters").click()
    for size in (0.3, 1, 4):
        plain.go(300, 300, size)
        assert plain.color(300, 300) == own, size


def test_a_patch_is_the_connected_part_of_a_cluster(plain):
    plain.cut(20)
    plain.page.keyboard.press("p")
    leaf = int(WORLDS[PLAIN].leaves[300, 300])
    plain.click(300, 300)
    mask = drawn(plain)
    assert mask[300, 300]
    inside = WORLDS[PLAIN].leaves == leaf
    assert not mask[inside].all()  # the same leaf elsewhere is another patch
    for row, col in [(300, 300), tuple(np.argwhere(inside & ~mask)[0].tolist())]:
        plain.go(row, col, 2)
        known = class_at(plain, row, col)
        assert (known["source"] == "override") == bool(mask[row, col])
    assert set(plain.table()) == {0}


def test_shift_and_the_eraser_take_what_was_drawn_and_undo_brings_it_back(plain):
    plain.page.keyboard.press("r")
    drag(plain, (270, 260), (330, 340))
    plain.page.keyboard.down("Shift")
    drag(plain, (280, 280), (300, 300))
    plain.page.keyboard.up("Shift")
    assert plain.commands("override.add")[-1]["class"] is None
    assert class_at(plain, 290, 290)["source"] is None
    assert class_at(plain, 320, 290)["source"] == "override"
    plain.page.keyboard.press("x")
    expect(plain.id("draw-erase")).to_have_attribute("aria-pressed", "true")
    drag(plain, (310, 270), (328, 300))
    assert class_at(plain, 320, 290)["source"] is None
    for _ in range(2):
        plain.id("undo").click()
        plain.idle()
    for row in (290, 320):
        assert class_at(plain, row, 290)["source"] == "override"
        assert plain.color(row, 290) == color_of(plain)


def test_escape_breaks_a_shape_off_and_then_leaves_the_tool(plain):
    plain.page.keyboard.press("l")
    expect(plain.id("draw-open")).to_have_attribute("aria-pressed", "true")
    x, y = plain.on_screen(300, 300)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x + 60, y + 40, steps=5)
    assert plain.call("document.querySelector('.draft').getAttribute('d')") != ""
    plain.page.keyboard.press("Escape")
    assert plain.call("document.querySelector('.draft').getAttribute('d')") == ""
    plain.page.mouse.up()
    plain.idle()
    assert plain.commands("override.add") == []
    assert plain.id("draw-lasso").is_visible()
    plain.page.keyboard.press("Escape")
    expect(plain.id("draw-lasso")).to_be_hidden()
    expect(plain.id("tool-pan")).to_have_attribute("aria-pressed", "true")


def test_a_shape_outside_of_the_scene_is_told(plain):
    plain.go(-40, -40, 2)
    plain.page.keyboard.press("r")
    x, y = plain.on_screen(-60, -60)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x + 40, y + 40)
    plain.page.mouse.up()
    expect(plain.id("toast")).to_contain_text("The shape lies outside the scene")
    assert plain.commands("override.add") == []


def test_a_press_without_a_move_draws_nothing_and_assigns_nothing(plain):
    plain.page.keyboard.press("l")
    plain.click(300, 300)
    assert plain.commands("override.add") == []
    assert plain.commands("leaves.assign") == []


def test_the_shape_stays_until_the_pixels_are_there(plain):
    plain.control("mute", True)
    plain.page.keyboard.press("r")
    points = [plain.on_screen(*place) for place in ((280, 270), (330, 340))]
    plain.page.mouse.move(*points[0])
    plain.page.mouse.down()
    plain.page.mouse.move(*points[1], steps=4)
    plain.page.mouse.up()
    expect(plain.page.locator(".draft.waiting")).to_have_count(1)
    plain.control("mute", False)
    plain.control("disconnect")  # it is sent once more when the line is back
    plain.wait("!document.querySelector('.draft.waiting')")
    plain.idle()
    assert class_at(plain, 300, 300)["source"] == "override"


def test_a_refused_shape_goes_with_its_reason(plain):
    plain.page.keyboard.press("r")
    plain.control("mute", True)
    points = [plain.on_screen(*place) for place in ((280, 270), (330, 340))]
    plain.page.mouse.move(*points[0])
    plain.page.mouse.down()
    plain.page.mouse.move(*points[1], steps=4)
    plain.page.mouse.up()
    expect(plain.page.locator(".draft.waiting")).to_have_count(1)
    sent = plain.commands("override.add")[-1]["client_id"]
    refused = {"client_id": sent, "code": "limit", "message": "The server is busy with what others draw."}
    plain.control("event", {"type": "command.rejected", **refused})
    expect(plain.id("toast")).to_contain_text("busy with what others draw")
    expect(plain.page.locator(".draft.waiting")).to_have_count(0)
    assert class_at(plain, 300, 300)["source"] is None


def test_a_large_shape_tells_how_far_it_is(plain):
    plain.page.keyboard.press("r")
    plain.control("mute", True)
    points = [plain.on_screen(*place) for place in ((280, 270), (330, 340))]
    plain.page.mouse.move(*points[0])
    plain.page.mouse.down()
    plain.page.mouse.move(*points[1], steps=4)
    plain.page.mouse.up()
    notice = plain.page.locator("#draw-notice")
    expect(notice).to_have_text("Drawing …")
    sent = plain.commands("override.add")[-1]["client_id"]
    plain.control("event", {"type": "override.progress", "client_id": sent, "progress": 0.42})
    expect(notice).to_have_text("Drawing … 42%")
    plain.control("event", {"type": "override.progress", "client_id": "another", "progress": 0.9})
    plain.control("mute", False)
    plain.control("disconnect")
    plain.idle()
    expect(notice).to_be_hidden()


def test_others_drawings_come_by_themselves(plain):
    ring = [[280, 270], [280, 340], [330, 340], [330, 270]]
    plain.control(
        "command", {"type": "override.add", "class": 1, "polygons": [[ring]], "client_id": "somebody"}
    )
    plain.wait("clusternet.state.number === 2")
    plain.idle()
    assert plain.color(300, 300) == color_of(plain)
    plain.control("command", {"type": "edit.undo", "client_id": "somebody2"})
    plain.wait("clusternet.state.number === 3")
    plain.idle()
    assert plain.color(300, 300) != color_of(plain)


def test_areas_are_those_of_the_pixels(plain):
    world = WORLDS[PLAIN]
    plain.page.keyboard.press("r")
    drag(plain, (260, 250), (340, 350))
    mask = drawn(plain) & (world.leaves < 65535)
    total = (world.leaves < 65535).sum()
    share = plain.id("class-row").first.get_by_test_id("class-share")
    expect(share).to_have_text(f"{mask.sum() / total:.1%}")
    expect(plain.id("unlabelled-share")).to_have_text(f"{1 - mask.sum() / total:.1%}")
    area = plain.id("class-row").first.get_by_test_id("class-area").text_content()
    assert float(area.split()[0]) == pytest.approx(mask.sum() * 100 / 1e4, rel=0.01)
    # Its cluster gets the class too: what was drawn counts once.
    plain.page.keyboard.press("Escape")
    plain.click(300, 300)
    both = mask | np.isin(world.leaves, np.flatnonzero(plain.table()))
    expect(share).to_have_text(f"{both.sum() / total:.1%}")


def test_the_hover_box_says_what_was_drawn_by_hand(plain):
    plain.page.keyboard.press("r")
    drag(plain, (280, 270), (330, 340))
    plain.page.keyboard.press("Escape")
    plain.page.mouse.move(*plain.on_screen(300, 300))
    expect(plain.id("hover-drawn")).to_have_text("Here: Water, drawn by hand")
    expect(plain.id("hover-class")).to_have_text("No class")
    plain.page.mouse.move(*plain.on_screen(300, 360))
    expect(plain.id("hover-drawn")).to_be_hidden()


def test_a_deleted_class_hides_what_was_drawn(plain):
    plain.page.keyboard.press("r")
    drag(plain, (280, 270), (330, 340))
    plain.page.keyboard.press("Escape")
    expect(plain.id("class-row").first.get_by_test_id("class-share")).not_to_have_text("0.0%")
    plain.id("class-row").first.hover()
    plain.id("class-delete").first.click()
    plain.id("dialog-confirm").click()  # asked, as there is work to lose
    plain.idle()
    assert class_at(plain, 300, 300) == {"class": 0, "source": None, "certainty": 0}
    plain.id("undo").click()
    plain.idle()
    assert class_at(plain, 300, 300)["class"] == 1


def test_while_it_computes_patches_are_refused_with_a_sentence(plain):
    plain.control("set", {"segmentation_state": "running"})
    plain.control("disconnect")
    plain.wait("document.querySelector('[data-testid=progress]').hidden === false")
    plain.idle()
    plain.page.keyboard.press("p")
    plain.click(300, 300)
    expect(plain.id("toast")).to_contain_text("once the segmentation is complete")
    assert plain.commands("override.add") == []


def test_drawing_by_touch(map_page):
    page = map_page(has_touch=True).open()
    page.add_class("Water")
    page.go(300, 300, 2)
    page.id("draw-open").tap()
    page.id("draw-rectangle").tap()
    x, y = page.on_screen(280, 270)
    send = page.page.context.new_cdp_session(page.page).send
    send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 6):
        moved = {"x": x + 20 * step, "y": y + 14 * step}
        send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait("clusternet.state.number === 2")
    page.idle()
    assert class_at(page, 300, 300)["source"] == "override"


def test_a_block_that_cannot_be_fetched_is_told_and_tried_again(plain):
    plain.control("set", {"overrides_error": "What was drawn cannot be read."})
    plain.page.keyboard.press("r")
    points = [plain.on_screen(*place) for place in ((280, 270), (330, 340))]
    plain.page.mouse.move(*points[0])
    plain.page.mouse.down()
    plain.page.mouse.move(*points[1], steps=4)
    plain.page.mouse.up()
    expect(plain.id("toast")).to_contain_text("What was drawn cannot be read.")
    plain.control("set", {"overrides_error": ""})
    plain.idle()
    assert class_at(plain, 300, 300)["source"] == "override"
    plain.errors = [error for error in plain.errors if "409" not in error]


# ---------------------------------------------------------------------------------------------------- classes


def three_classes(page):
    for name in ("Water", "Soil", "Wood"):
        page.add_class(name)
    page.go(300, 300, 2)


def names(page):
    rows = page.id("class-row")
    return [rows.nth(index).get_by_test_id("class-name").input_value() for index in range(rows.count())]


def test_merging_a_class_into_another(map_page):
    page = map_page().open()
    three_classes(page)
    page.page.keyboard.press("1")
    page.click(300, 300)
    page.page.keyboard.press("r")
    drag(page, (320, 320), (360, 380))
    page.page.keyboard.press("Escape")
    page.id("class-row").first.hover()
    page.id("class-merge").first.click()
    expect(page.id("merge-dialog")).to_contain_text("Merge “Water” into")
    page.id("merge-target").select_option("Wood")
    page.id("merge-submit").click()
    page.idle()
    assert names(page) == ["Soil", "Wood"]
    assert page.commands("class.merge")[-1]["sources"] == [1]
    assert class_at(page, 300, 300)["class"] == 3
    assert class_at(page, 340, 350) == {"class": 3, "source": "override", "certainty": 1}
    assert page.color(340, 350) == color_of(page, 1)
    page.id("undo").click()
    page.idle()
    assert names(page) == ["Water", "Soil", "Wood"]
    assert class_at(page, 340, 350)["class"] == 1


def test_merging_can_be_cancelled(map_page):
    page = map_page().open()
    three_classes(page)
    page.id("class-row").first.hover()
    page.id("class-merge").first.click()
    page.id("merge-cancel").click()
    expect(page.id("merge-dialog")).to_be_hidden()
    assert page.commands("class.merge") == []
    assert names(page) == ["Water", "Soil", "Wood"]


def test_one_class_alone_cannot_be_merged(plain):
    plain.id("class-row").first.hover()
    expect(plain.id("class-merge")).to_be_disabled()


def test_classes_are_reordered_by_keyboard(map_page):
    page = map_page().open()
    three_classes(page)
    down = page.id("class-row").first.get_by_test_id("class-down")
    down.focus()
    page.page.keyboard.press("Enter")
    page.idle()
    assert names(page) == ["Soil", "Water", "Wood"]
    # The row that moved keeps the focus, so that it can be moved on.
    page.page.keyboard.press("Enter")
    page.idle()
    assert names(page) == ["Soil", "Wood", "Water"]
    assert page.commands("class.reorder")[-1]["order"] == [2, 3, 1]


def test_classes_are_reordered_by_dragging(map_page):
    page = map_page().open()
    three_classes(page)
    first = page.id("class-row").first
    first.hover()
    grip = first.locator(".grip").bounding_box()
    last = page.id("class-row").nth(2).bounding_box()
    page.page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.page.mouse.down()
    page.page.mouse.move(last["x"] + 40, last["y"] + 10, steps=8)
    page.page.mouse.up()
    page.idle()
    assert names(page) == ["Soil", "Wood", "Water"]
