"""Drawing by hand with the real server, seen by two pages: pixels, areas and the download against one NumPy map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, WebSocket, expect
from scipy import ndimage

from segmentation import open_segmentation
from segmentation.testing import synthetic_scene, write_scene
from tests.browser.test_main_job import LiveServer, add_class, beside, idle, on_map, opened, two_pages
from tests.check_geojson import compare
from tests.segmentation.test_drawing import inside

pytestmark = pytest.mark.browser

SIDE = 640  # four blocks
AT = """(pixels) => pixels.map(([row, col]) => {
    const { x, y } = clusternet.pixelToPoint(row, col);
    return clusternet.classAt(x, y).class;
})"""


def drag(page: Page, *places: tuple[int, int]) -> None:
    points = [on_map(page, *place) for place in places]
    page.mouse.move(points[0]["x"], points[0]["y"])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(point["x"], point["y"], steps=12)
    page.mouse.up()
    idle(page)


def class_map(commands: list[dict[str, Any]], leaves: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Of what was sent, by the rules of docs/protocol.md."""
    classes = np.append(table, np.zeros(2**16 - len(table), np.uint8))[leaves]
    values = np.zeros(leaves.shape, np.uint8)
    for command in commands:
        if command.get("polygons"):
            mask = inside(command["polygons"], leaves.shape)
        else:
            row, col = command["region"]["point"]
            named = np.zeros(2**16, bool)
            for low, high in command["region"]["ranges"]:
                named[low:high] = True
            pieces = ndimage.label(named[leaves])[0]
            mask = pieces == pieces[row, col]
        values[mask] = command["class"] or 0
    return np.where((values > 0) & (leaves < 65535), values, classes)


def sees(page: Page, expected: np.ndarray, step: int) -> None:
    """A page shows the classes of these pixels, wherever it looks."""
    places = [[row, col] for row in range(step // 2, SIDE, step) for col in range(step // 2, SIDE, step)]
    for (row, col), shown in zip(places, page.evaluate(AT, places), strict=True):
        assert shown == expected[row, col], (row, col)


def shares(page: Page) -> list[str]:
    rows = page.get_by_test_id("class-row")
    return [rows.nth(n).get_by_test_id("class-share").text_content() or "" for n in range(rows.count())]


def test_what_is_drawn_is_drawn_for_everybody(tmp_path: Path, page: Page) -> None:
    live = LiveServer(
        tmp_path, write_scene(tmp_path / "scene.tif", synthetic_scene(SIDE, SIDE, 3, seed=8)[0])
    )
    trouble: list[str] = []
    sent: list[dict[str, Any]] = []

    def listen(connection: WebSocket) -> None:
        connection.on("framesent", lambda text: isinstance(text, str) and sent.append(json.loads(text)))

    page.on("websocket", listen)
    try:
        second = two_pages(page, live.start(), trouble, 1100, 760)
        for each in (page, second):
            # One screen pixel a pixel of the scene, all of it in view.
            each.evaluate("() => clusternet.goTo(320, 320, 1)")
            idle(each)
        store = open_segmentation(live.store())
        leaves = np.asarray(store.leaves[:])
        add_class(page, "Water")
        add_class(page, "Forest")

        page.keyboard.press("1")
        spot = on_map(page, 100, 100)
        page.mouse.click(spot["x"], spot["y"])
        idle(page)
        # A lasso over the corner of all four blocks, that crosses itself; a rectangle of the other class over it.
        page.keyboard.press("l")
        drag(page, (430, 430), (580, 470), (600, 600), (470, 590), (440, 500), (560, 440), (520, 560))
        page.keyboard.press("2")
        page.keyboard.press("r")
        drag(page, (480, 540), (530, 620))
        page.keyboard.press("p")
        patch = on_map(page, 220, 420)
        page.mouse.click(patch["x"], patch["y"])
        idle(page)
        page.keyboard.down("Shift")
        page.keyboard.press("r")
        page.keyboard.up("Shift")
        page.keyboard.press("x")
        drag(page, (500, 500), (520, 580))
        drawn = [command for command in sent if command["type"] == "override.add"]
        assert [command["class"] for command in drawn] == [1, 2, 2, None]
        table = np.array(page.evaluate("() => clusternet.state.table"), np.uint8)
        expected = class_map(drawn, leaves, table)
        assert len(np.unique(expected)) == 3

        sees(page, expected, 31)
        second.wait_for_function(
            "(number) => clusternet.state.number === number",
            arg=page.evaluate("() => clusternet.state.number"),
        )
        idle(second)
        sees(second, expected, 53)
        held = expected[leaves < 65535]
        for each in (page, second):
            for number, share in enumerate(shares(each), 1):
                row = each.get_by_test_id("class-row").nth(number - 1)
                expect(row.get_by_test_id("class-share")).to_have_text(f"{(held == number).mean():.1%}")
                assert share

        with page.expect_download() as download:
            page.get_by_test_id("download-geojson").click()
        download.value.save_as(tmp_path / "drawn.geojson")
        compare(tmp_path / "drawn.geojson", expected, store.georeference.transform, store.georeference.crs)

        # Undo of the hole, in the one page; a page that comes late sees the same.
        page.get_by_test_id("undo").click()
        idle(page)
        expected = class_map(drawn[:-1], leaves, table)
        late = beside(page)
        late.set_viewport_size({"width": 1100, "height": 760})
        opened(late, page.url)
        late.evaluate("() => clusternet.goTo(320, 320, 1)")
        idle(late)
        sees(late, expected, 53)
        sees(page, expected, 53)
        assert trouble == []
    finally:
        live.stop()
