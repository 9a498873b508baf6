"""Examples on the map page: strokes, showing and removing, import and export, legends, the filter of classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PIXELS, PLAIN, MapPage

pytestmark = pytest.mark.browser

# The color of what is drawn over the clusters at a pixel of the scene.
DRAWN_AT = """([row, col]) => {
    const canvas = document.querySelector(".leaflet-examples-pane canvas");
    if (!canvas) return null;
    const map = document.querySelector("[data-testid=map]").getBoundingClientRect();
    const box = canvas.getBoundingClientRect();
    const { x, y } = clusternet.pixelToPoint(row, col);
    const ratio = canvas.width / box.width;
    const at = [x + map.left - box.left, y + map.top - box.top].map((v) => Math.round(v * ratio));
    return Array.from(canvas.getContext("2d").getImageData(...at, 1, 1).data);
}"""


def opened(map_page, number: int = PIXELS) -> MapPage:
    page = map_page(number).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    return page


def drag(page: MapPage, *places: tuple[int, int], release: bool = True) -> None:
    first, *rest = [page.on_screen(*place) for place in places]
    page.page.mouse.move(*first)
    page.page.mouse.down()
    for point in rest:
        page.page.mouse.move(*point, steps=4)
    if release:
        page.page.mouse.up()
        page.idle()


def color_of(page: MapPage, name: str) -> list[int]:
    classes = page.call("clusternet.state.classes")
    [color] = [label["color"] for label in classes if label["name"] == name]
    return [*bytes.fromhex(color[1:]), 255]


def wait_drawn(page: MapPage, row: int, col: int, rgba: list[int]) -> None:
    drawn = f"({DRAWN_AT})([{row}, {col}])"
    page.wait(f"JSON.stringify({drawn}) === {json.dumps(json.dumps(rgba, separators=(',', ':')))}")


def write(folder: Path, *features: dict, name: str = "training.geojson") -> Path:
    file = folder / name
    file.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return file


def feature(geometry: dict | None, **properties) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def point(x: float, y: float, **properties) -> dict:
    return feature({"type": "Point", "coordinates": [x, y]}, **properties)


SQUARE = {"type": "Polygon", "coordinates": [[[250, 250], [350, 250], [350, 350], [250, 350], [250, 250]]]}


# ---------------------------------------------------------------------------------------------------- strokes


def test_a_stroke_is_an_example_of_the_active_class_and_assigns_nothing(map_page) -> None:
    page = opened(map_page)
    page.id("tool-stroke").click()
    start = page.on_screen(300, 250)
    drag(page, (300, 250), (300, 350), (330, 350))
    [command] = page.commands("examples.add")
    [example] = command["examples"]
    assert (example["class"], example["against"]) == (1, False)
    points = np.array(example["points"])
    assert len(points) <= 200
    assert points[0].tolist() == [300, 250]
    assert points[-1].tolist() == [330, 350]
    assert (np.abs(np.diff(points, axis=0)).max(axis=1) <= 2).all()
    assert ((points[:, 0] == 300) | (points[:, 1] >= 348)).all()
    assert page.commands("leaves.assign") == []
    assert page.on_screen(300, 250) == start, "the map must not move while drawing"
    # Drawing shows what is drawn.
    wait_drawn(page, 300, 300, color_of(page, "Water"))


def test_a_stroke_against_a_class_is_told_apart(map_page) -> None:
    page = opened(map_page)
    page.id("tool-stroke-against").click()
    drag(page, (300, 250), (300, 350), release=False)
    expect(page.page.locator(".stroke-trail.visible polyline.against")).to_have_count(1)
    page.page.mouse.up()
    page.idle()
    assert page.commands("examples.add")[0]["examples"][0]["against"] is True
    page.id("examples-open").click()
    expect(page.id("example-row")).to_contain_text("\u2212101")


def test_the_first_stroke_makes_a_class_and_a_tap_is_one_pixel(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    page.id("tool-stroke-against").click()
    page.click(300, 300)
    expect(page.id("toast").last).to_contain_text("There is no class yet")
    page.id("tool-stroke").click()
    page.click(300, 300)
    page.wait("clusternet.state.classes.length === 1")
    page.idle()
    [command] = page.commands("examples.add")
    assert command["examples"] == [{"class": 1, "against": False, "points": [[300, 300]]}]


def test_escape_breaks_a_stroke_off_and_outside_is_told(map_page) -> None:
    page = opened(map_page)
    page.page.keyboard.press("e")
    expect(page.id("tool-stroke")).to_have_attribute("aria-pressed", "true")
    drag(page, (300, 250), (300, 350), release=False)
    page.page.keyboard.press("Escape")
    page.page.mouse.up()
    page.idle()
    assert page.commands("examples.add") == []
    expect(page.id("tool-stroke")).to_have_attribute("aria-pressed", "true")
    page.page.keyboard.press("Shift+E")
    expect(page.id("tool-stroke-against")).to_have_attribute("aria-pressed", "true")
    page.go(-60, 300, 4)
    drag(page, (-40, 280), (-40, 320))
    expect(page.id("toast").last).to_contain_text("lies outside the scene")
    assert page.commands("examples.add") == []
    page.page.keyboard.press("Shift+E")
    expect(page.id("tool-pan")).to_have_attribute("aria-pressed", "true")


def test_right_click_with_the_stroke_tool_takes_no_class_back(map_page) -> None:
    page = opened(map_page)
    page.click(300, 300)
    table = page.table()
    page.id("tool-stroke").click()
    page.page.mouse.click(*page.on_screen(300, 300), button="right")
    page.idle()
    assert page.table() == table
    assert page.commands("leaves.unassign") == []


# ---------------------------------------------------------------------------------------------------- shown


def test_examples_are_shown_selected_removed_and_brought_back(map_page) -> None:
    page = opened(map_page)
    page.click(280, 280)
    page.id("examples-open").click()
    expect(page.id("example-row")).to_contain_text("Water")
    expect(page.id("example-row")).to_contain_text("1 px")
    expect(page.page.locator(".leaflet-examples-pane canvas")).to_have_count(0)
    page.id("examples-show").check()
    wait_drawn(page, 280, 280, color_of(page, "Water"))
    table = page.table()
    page.click(280, 280)
    expect(page.id("example-box")).to_contain_text("A click")
    assert page.table() == table
    page.id("example-remove").click()
    page.idle()
    [removed] = page.commands("examples.remove")
    assert removed["targets"] == [2]
    expect(page.id("example-row")).to_have_count(0)
    assert page.table() == table, "what the click assigned stays"
    page.page.keyboard.press("Control+z")
    expect(page.id("example-row")).to_have_count(1)
    wait_drawn(page, 280, 280, color_of(page, "Water"))
    page.click(280, 280)
    page.page.keyboard.press("Delete")
    expect(page.id("example-row")).to_have_count(0)


def test_escape_and_clicks_elsewhere_end_the_selection(map_page) -> None:
    page = opened(map_page)
    page.id("tool-stroke").click()
    drag(page, (300, 250), (300, 350))
    page.id("tool-pan").click()
    page.wait("document.querySelector('.leaflet-examples-pane canvas')")
    page.click(300, 320)
    expect(page.id("example-box")).to_contain_text("A stroke, 101 px")
    page.page.keyboard.press("Escape")
    expect(page.id("example-box")).to_have_count(0)
    page.click(300, 320)
    page.click(340, 300)
    expect(page.id("example-box")).to_have_count(0)
    assert len(page.commands("leaves.assign")) == 1


def test_edits_of_others_and_deleted_classes_change_the_list(map_page) -> None:
    page = opened(map_page, PLAIN)
    page.id("examples-open").click()
    expect(page.page.locator("#examples-empty")).to_be_visible()
    theirs = {"class": 1, "against": False, "points": [[9, 9], [9, 10]]}
    page.control("command", {"type": "examples.add", "client_id": "other", "examples": [theirs]})
    expect(page.id("example-row")).to_contain_text("2 px")
    expect(page.page.locator("#examples-empty")).to_be_hidden()
    page.control("command", {"type": "class.delete", "client_id": "gone", "class": 1})
    expect(page.id("example-row")).to_have_count(0)


def test_nothing_is_fetched_while_nobody_looks(map_page) -> None:
    page = opened(map_page)
    asked: list[str] = []
    page.page.on("request", lambda request: "/examples" in request.url and asked.append(request.url))
    page.click(280, 280)
    page.click(320, 320)
    assert asked == []
    page.id("examples-open").click()
    expect(page.id("example-row")).to_be_visible()
    assert len(asked) == 1


# ---------------------------------------------------------------------------------------------------- import


def test_an_import_tells_what_it_holds_before_it_is_done(map_page, tmp_path) -> None:
    page = opened(map_page)
    page.id("examples-open").click()
    page.id("examples-show").check()
    file = write(
        tmp_path,
        point(300.5, 310.5, what="water"),
        point(5000, 1, what="water"),
        point(1, 1),
        feature(None, what="Sand"),
        feature(SQUARE, what="Sand", zone=4),
    )
    page.id("examples-import").set_input_files(file)
    expect(page.id("import-dialog")).to_contain_text("training.geojson")
    expect(page.id("import-error")).to_contain_text("No property is called like a class")
    expect(page.id("import-submit")).to_be_disabled()
    page.id("import-field").select_option("zone")
    expect(page.id("import-class")).to_have_count(1)
    page.id("import-field").select_option("what")
    rows = page.id("import-class")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("1 feature, 1 px")
    expect(rows.nth(0)).not_to_contain_text("new")
    expect(rows.nth(1)).to_contain_text("new")
    remarks = page.id("import-remarks")
    expect(remarks).to_contain_text(
        "1 feature outside the scene, 1 feature without a class, 1 feature without a geometry"
    )
    expect(remarks).to_contain_text("at most 25 pixels spread over its inside")
    assert page.commands("examples.add") == []
    expect(page.id("import-submit")).to_have_text("Import 26 px")
    page.id("import-submit").click()
    expect(page.id("import-dialog")).to_be_hidden()
    expect(page.id("toast").last).to_contain_text("Imported 26 px of 2 classes")
    expect(page.id("example-row")).to_have_count(2)
    wait_drawn(page, 310, 300, color_of(page, "Water"))
    page.page.keyboard.press("Control+z")
    expect(page.id("example-row")).to_have_count(0)
    expect(page.id("class-row")).to_have_count(1)


def test_an_import_is_removed_as_a_whole(map_page, tmp_path) -> None:
    page = opened(map_page)
    page.id("examples-open").click()
    page.id("examples-show").check()
    file = write(tmp_path, point(380.5, 300.5, label="Water"), feature(SQUARE, label="Sand"))
    page.id("examples-import").set_input_files(file)
    page.id("import-submit").click()
    wait_drawn(page, 300, 380, color_of(page, "Water"))
    page.click(300, 380)
    expect(page.id("example-remove")).to_have_text("Remove the whole import (26 px)")
    page.id("example-remove").click()
    expect(page.id("example-row")).to_have_count(0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("nonsense", "The file is not JSON"),
        ('{"type": "Point", "coordinates": [1, 1]}', "bare geometries do not do"),
        (json.dumps({"type": "FeatureCollection", "features": [point(1, 1)]}), "no property with text or a number"),
        (json.dumps({"type": "FeatureCollection", "features": [point(-1, 1, label="a")]}), "None of the 1 feature"),
        (" " * (8 * 2**20 + 1), "The file has 9 MiB; at most 8 are read"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_imported_are_told_in_the_dialog(map_page, tmp_path, content, sentence) -> None:
    page = opened(map_page)
    page.id("examples-open").click()
    file = tmp_path / "odd.geojson"
    file.write_text(content)
    page.id("examples-import").set_input_files(file)
    expect(page.id("import-error")).to_contain_text(sentence)
    expect(page.id("import-submit")).to_be_disabled()
    page.id("import-cancel").click()
    expect(page.id("import-dialog")).to_be_hidden()
    page.errors = [error for error in page.errors if "400" not in error]


def test_export_waits_until_there_is_something(map_page) -> None:
    page = opened(map_page)
    page.id("examples-open").click()
    expect(page.id("examples-export")).to_have_attribute("aria-disabled", "")
    page.click(280, 280)
    expect(page.id("examples-export")).not_to_have_attribute("aria-disabled", "")
    with page.page.expect_download() as download:
        page.id("examples-export").click()
    assert download.value.url.endswith(f"/api/projects/{PIXELS}/examples.geojson")


# ---------------------------------------------------------------------------------------------------- legends


def test_a_preset_legend_adds_the_classes_that_are_missing(map_page) -> None:
    page = opened(map_page)
    page.add_class("Cropland")
    page.id("legend-open").click()
    expect(page.id("legend-classes").locator("li")).to_have_count(11)
    expect(page.id("legend-classes").locator("li.known")).to_have_text("Cropland40")
    expect(page.id("legend-dialog")).to_contain_text("10.5281/zenodo.7254221")
    page.id("legend-preset").select_option("corine-level-3")
    expect(page.id("legend-load")).to_have_text("Add 44 classes")
    page.id("legend-preset").select_option("worldcover-2021")
    page.id("legend-load").click()
    expect(page.id("class-row")).to_have_count(12)
    [command] = page.commands("legend.load")
    assert command["preset"] == "worldcover-2021"
    page.id("legend-open").click()
    expect(page.id("legend-error")).to_have_text("The project has all of these classes already.")
    expect(page.id("legend-load")).to_be_disabled()
    page.id("legend-cancel").click()
    page.page.keyboard.press("Control+z")
    expect(page.id("class-row")).to_have_count(2)


def test_ones_own_legend_is_saved_and_loaded_from_its_file(map_page, tmp_path) -> None:
    page = opened(map_page)
    page.add_class("Été")
    page.id("legend-open").click()
    with page.page.expect_download() as download:
        page.id("legend-save").click()
    assert download.value.suggested_filename == "Fixture-project-legend.json"
    saved = tmp_path / "legend.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text())["classes"] == {"1": "Water", "2": "Été"}
    page.id("legend-preset").select_option("file")
    expect(page.id("legend-load")).to_be_disabled()
    odd = tmp_path / "odd.json"
    odd.write_text('{"classes": {"1": "Sand"}, "colors": {"1": "yellow"}}')
    page.id("legend-file").set_input_files(odd)
    expect(page.id("legend-error")).to_contain_text("“Sand” has the color “yellow”; write colors as #rrggbb")
    odd.write_text('{"classes": {"1": "Sand", "2": "WATER"}, "colors": {"1": "#FFEE00"}}')
    page.id("legend-file").set_input_files(odd)
    expect(page.id("legend-load")).to_have_text("Add 1 class")
    page.id("legend-load").click()
    expect(page.id("class-row")).to_have_count(3)
    [command] = page.commands("legend.load")
    assert command["classes"][0] == ["Sand", "#ffee00"]


def test_many_classes_are_filtered_by_name(map_page) -> None:
    page = opened(map_page)
    expect(page.id("class-filter")).to_be_hidden()
    page.id("legend-open").click()
    page.id("legend-preset").select_option("corine-level-3")
    page.id("legend-load").click()
    expect(page.id("class-row")).to_have_count(45)
    page.id("class-filter").fill("FOREST")
    shown = page.page.locator("[data-testid=class-row]:not([hidden]) input.class-name")
    expect(shown).to_have_count(4)
    assert [one.input_value() for one in shown.all()] == [
        "Agro-forestry areas", "Broad-leaved forest", "Coniferous forest", "Mixed forest"
    ]  # fmt: skip
    page.id("class-filter").fill("moon")
    expect(page.page.locator("#class-filter-none")).to_have_text("No class is called “moon”.")
    page.id("class-filter").press("Escape")
    expect(shown).to_have_count(45)
