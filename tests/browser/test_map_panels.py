"""The panels of the map page: classes, imagery, places, area of interest, segmentations, help."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import (
    PIXELS,
    PLAIN,
    WORLDS,
)

pytestmark = pytest.mark.browser


def test_classes_are_edited_in_place(map_page) -> None:
    page = map_page(PLAIN).open()
    for name in ("Water", "Forest", "Field"):
        page.add_class(name)
    row = page.page.locator("[data-testid=class-row][data-class='2']")
    row.get_by_test_id("class-name").fill("Wood")
    row.get_by_test_id("class-name").press("Enter")
    page.wait("clusternet.state.classes.some((label) => label.name === 'Wood')")
    row.get_by_test_id("class-color").fill("#123456")
    page.wait("clusternet.state.classes.some((label) => label.color === '#123456')")
    row.hover()
    row.get_by_test_id("class-up").click()
    page.idle()
    assert [label["name"] for label in page.call("clusternet.state.classes")] == ["Wood", "Water", "Field"]
    rows = page.id("class-row")
    expect(rows.nth(0)).to_have_attribute("data-class", "2")
    rows.nth(2).locator(".grip").drag_to(rows.nth(0))
    page.wait("clusternet.state.classes[0].name === 'Field'")
    # Without assignments a class goes at once; with some the page asks.
    rows.nth(0).hover()
    rows.nth(0).get_by_test_id("class-delete").click()
    page.wait("clusternet.state.classes.length === 2")
    page.go(300, 300, 4)
    row.get_by_test_id("class-select").click()
    page.click(300, 300)
    expect(row.get_by_test_id("class-area")).to_contain_text("ha")
    expect(row.get_by_test_id("class-share")).to_contain_text("%")
    row.hover()
    row.get_by_test_id("class-delete").click()
    expect(page.page.locator("#confirm-dialog")).to_contain_text("Wood")
    page.id("dialog-cancel").click()
    assert len(page.commands("class.delete")) == 1
    row.get_by_test_id("class-delete").click()
    page.id("dialog-confirm").click()
    page.wait("clusternet.state.classes.length === 1")
    expect(page.id("unlabelled-share")).to_have_text("100.0%")


def test_a_wrong_class_name_is_told_and_taken_back(map_page) -> None:
    page = map_page(PLAIN).open()
    page.add_class("Water")
    page.id("class-add-name").fill("water")
    page.id("class-add").click()
    expect(page.id("toast").last).to_contain_text('There is a class "Water" already')
    page.id("class-name").fill("   ")
    page.id("class-name").press("Enter")
    expect(page.id("toast").last).to_contain_text("needs a name")
    expect(page.id("class-name")).to_have_value("Water")
    page.id("class-add-name").fill("refuse me")
    page.id("class-add").click()
    expect(page.id("toast").last).to_contain_text("is refused, for the test")
    expect(page.id("class-row")).to_have_count(1)


def test_imagery_presets_bands_and_stretch_make_the_tiles_query(map_page) -> None:
    page = map_page(PLAIN).open()
    page.id("imagery").locator("summary").click()
    tiles = page.page.locator(".leaflet-tile-pane img.leaflet-tile")

    def expect_query(pattern: str) -> None:
        expect(tiles.last).to_have_attribute("src", re.compile(pattern))

    expect_query(r"bands=1,2,3&stretch=200%2C2600%3B300%2C2400%3B250%2C2200")
    page.id("imagery-preset").select_option("false-color")
    expect_query(r"bands=4,1,2&stretch=400%2C4200")
    page.id("imagery-blue").select_option("3")
    expect_query(r"bands=4,1,3")
    expect(page.id("imagery-preset")).to_have_value("custom")
    page.id("imagery-index").select_option("ndvi")
    expect_query(r"index=ndvi&index_bands=4,1")
    page.id("imagery-index").select_option("")
    page.page.locator("#imagery-stretch-unit").select_option("value")
    page.id("imagery-stretch-low").fill("100")
    page.id("imagery-stretch-low").press("Tab")
    page.id("imagery-stretch-high").fill("900")
    page.id("imagery-stretch-high").press("Tab")
    expect_query(r"stretch=100%2C900%3B100%2C900")
    page.id("imagery-stretch-high").fill("50")
    page.id("imagery-stretch-high").press("Tab")
    expect(page.page.locator("#imagery-stretch-error")).to_contain_text("from 100 to 50 is empty")
    page.id("imagery-opacity").fill("30")
    expect(page.page.locator(".leaflet-tile-pane .leaflet-layer").last).to_have_css("opacity", "0.3")


def test_go_to_coordinates_and_zoom(map_page) -> None:
    page = map_page(PLAIN).open()
    lon, lat = WORLDS[PLAIN].lonlat(np.array(700.5), np.array(900.5))
    page.id("goto").click()
    page.id("goto-input").fill("nowhere")
    page.id("goto-input").press("Enter")
    expect(page.page.locator("#goto-error")).to_contain_text('"nowhere" is not a place')
    page.id("goto-input").fill(f"{lat:.7f}, {lon:.7f}")
    page.id("goto-input").press("Enter")
    page.in_the_middle(700, 900)
    assert page.point(0, 0)["x"] < 0
    page.id("zoom-fit").click()
    page.in_the_middle(550, 650)
    corner = page.point(0, 0)
    assert corner["x"] > 0
    assert corner["y"] > 0


def test_go_to_a_pixel_of_a_scene_without_crs(map_page) -> None:
    page = map_page(PIXELS).open()
    page.page.keyboard.press("g")
    page.id("goto-input").fill("5000, 1")
    page.id("goto-input").press("Enter")
    expect(page.page.locator("#goto-error")).to_contain_text(
        "outside the image of 1100 rows and 1300 columns"
    )
    page.id("goto-input").fill("800, 200")
    page.id("goto-input").press("Enter")
    page.in_the_middle(800, 200)
    expect(page.page.locator(".leaflet-control-scale-line")).to_contain_text("px")


def test_area_of_interest_is_drawn_uploaded_and_cleared(map_page, tmp_path: Path) -> None:
    page = map_page(PLAIN).open()
    page.page.locator("#area summary").click()
    page.id("aoi-draw").click()
    corners = [(200, 200), (200, 900), (800, 900)]
    for corner in [*corners, corners[0]]:
        page.page.mouse.click(*page.on_screen(*corner))
        page.page.wait_for_timeout(350)  # Leaflet.draw takes two quick clicks for one
    page.wait("document.querySelector('[data-testid=aoi-clear]:not([disabled])')")
    [drawn] = page.commands("aoi.set")
    ring = np.array(drawn["geometry"]["coordinates"][0])
    expected = np.array(WORLDS[PLAIN].lonlat(*np.array([(*corner,) for corner in corners]).T + 0.5))
    assert np.abs(ring[:3] - expected).max() < 5e-4
    assert ring[0].tolist() == ring[-1].tolist()
    assert page.commands("leaves.assign") == []
    assert page.commands("class.create") == []
    expect(page.page.locator("path.area-outside")).to_have_count(1)
    page.id("aoi-clear").click()
    expect(page.page.locator("path.area-outside")).to_have_count(0)
    file = tmp_path / "area.geojson"
    file.write_text(json.dumps({"type": "Point", "coordinates": [1, 2]}))
    page.id("aoi-upload").set_input_files(file)
    expect(page.id("toast").last).to_contain_text("area.geojson: The file holds no polygon")
    file.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": drawn["geometry"]}))
    page.id("aoi-upload").set_input_files(file)
    expect(page.page.locator("path.area-outside")).to_have_count(1)
    assert page.commands("aoi.set")[-1]["geometry"] == drawn["geometry"]


def test_escape_stops_drawing_an_area(map_page) -> None:
    page = map_page(PLAIN).open()
    page.page.locator("#area summary").click()
    page.id("aoi-draw").click()
    expect(page.id("aoi-draw")).to_have_text("Stop drawing")
    page.id("map").focus()
    page.page.keyboard.press("Escape")
    expect(page.id("aoi-draw")).to_have_text("Draw")
    page.page.wait_for_timeout(50)
    page.go(300, 300, 4)
    page.click(300, 300)
    page.wait("clusternet.state.table.includes(1)")


def test_segmentations_are_started_offered_adopted_and_deleted(map_page) -> None:
    page = map_page(PLAIN)
    other = {
        "id": 99,
        "scene": 1,
        "state": "complete",
        "stage": "",
        "progress": 1,
        "message": "",
        "size_bytes": 1,
        "device": "cuda",
        "n_leaves": 1234,
        "parameters": {"bands": [1, 4]},
        "version": 0,
        "tree_ready": True,
        "created_at": "2025-05-06T10:00:00+00:00",
    }
    page.control("set", {"extra_segmentations": [other], "offered": 99})
    page.open()
    expect(page.id("segmentation-offer")).to_be_visible()
    page.id("segmentations").locator("summary").click()
    expect(page.id("segmentation-row")).to_have_count(2)
    expect(page.id("segmentation-row").first).to_contain_text("1,234 leaves · bands 1, 4 · GPU")
    page.id("segmentation-new").click()
    dialog = page.id("segmentation-dialog")
    page.id("segmentation-superpixel").fill("7")
    page.id("segmentation-submit").click()
    expect(dialog.locator("#segmentation-error")).to_contain_text("whole number from 10 to 40")
    page.id("segmentation-superpixel").fill("16")
    page.id("segmentation-leaves").fill("500")
    page.id("segmentation-bands").get_by_role("checkbox").first.uncheck()
    page.id("segmentation-submit").click()
    expect(dialog).to_be_hidden()
    [started] = page.commands("rest")
    assert started["body"] == {
        "bands": [2, 3, 4],
        "superpixel_px": 16,
        "n_leaves": 500,
        "seed": 0,
        "aoi": None,
        "mode": "fast",
        "train_seconds": None,
        "network": None,
    }
    page.id("segmentation-adopt").click()
    page.idle()
    assert page.commands("segmentation.adopt")[0]["segmentation"] == 99
    expect(page.id("segmentation-offer")).to_be_hidden()
    page.id("segmentation-delete").last.click()
    page.id("dialog-confirm").click()
    expect(page.id("toast").last).to_contain_text("A project shows this segmentation.")
    page.errors = [error for error in page.errors if "409" not in error]


def test_help_lists_the_keys(map_page) -> None:
    page = map_page(PLAIN).open()
    page.page.keyboard.press("?")
    expect(page.id("help-dialog")).to_be_visible()
    for words in ("take the class back", "undo", "peek at the imagery", "coarser, finer"):
        expect(page.id("help-dialog")).to_contain_text(words)
    page.page.keyboard.press("Escape")
    expect(page.id("help-dialog")).to_be_hidden()
    page.id("help").click()
    expect(page.id("help-dialog")).to_be_visible()
