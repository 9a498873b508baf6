"""The completed map with the real server: the page shows what the library predicts, and swaps without a blank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from segmentation import open_segmentation
from segmentation.completion import completed_table, prediction_bytes
from segmentation.decoder import Click
from segmentation.testing import synthetic_scene, write_scene
from tests.browser.map_fixture.driver import WATCH_FRAMES
from tests.browser.test_main_job import LiveServer, add_class, idle, on_map, opened, table
from tests.check_geojson import compare

pytestmark = pytest.mark.browser

SIDE = 700
COMPLETED = "() => clusternet.state.completed"


def completed(page: Page) -> np.ndarray:
    return np.array(page.evaluate(COMPLETED), np.uint8)


def test_the_completed_map_is_the_librarys(tmp_path: Path, page: Page) -> None:
    live = LiveServer(
        tmp_path, write_scene(tmp_path / "scene.tif", synthetic_scene(SIDE, SIDE, 3, seed=5)[0])
    )
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.add_init_script(WATCH_FRAMES)
    try:
        opened(page, live.start())
        page.get_by_test_id("progress").wait_for(state="hidden", timeout=120_000)
        idle(page)
        store = open_segmentation(live.store())
        rng = np.random.default_rng(1)
        examples: list[Click] = []
        taken: set[int] = set()
        for number, name in enumerate(("Water", "Forest", "Field"), start=1):
            add_class(page, name)
            for row, col in rng.integers(SIDE // 4, SIDE * 3 // 4, (2, 2)).tolist():
                if store.leaf_at(row, col) in taken:
                    continue  # of two clicks in one leaf the newer one is the example, or the leaf is split
                taken.add(store.leaf_at(row, col))
                before = page.evaluate("() => clusternet.state.number")
                # So large that a rounded mouse position is still in the pixel.
                page.evaluate("([row, col]) => clusternet.goTo(row, col, 6)", [row, col])
                idle(page)
                at = on_map(page, row, col)
                page.mouse.click(at["x"], at["y"])
                idle(page)
                if page.evaluate("() => clusternet.state.number") > before:
                    examples.append(Click(row, col, number))
        page.get_by_test_id("complete").check()
        idle(page)
        prediction = store.classify(examples)
        assert {click.class_id for click in examples} == {1, 2, 3}
        number = page.evaluate("() => clusternet.state.number")
        page.wait_for_function(
            "(number) => clusternet.state.prediction?.number >= number - 1", arg=number, timeout=60_000
        )
        classes, certainty = prediction_bytes(prediction, store.n_leaves)
        np.testing.assert_array_equal(completed(page), completed_table(table(page), classes, certainty, 0.5))
        page.get_by_test_id("threshold").fill("80")
        page.get_by_test_id("threshold").blur()
        page.wait_for_function("() => clusternet.state.number > " + str(number))
        idle(page)
        shown = completed_table(table(page), classes, certainty, 0.8)
        np.testing.assert_array_equal(completed(page), shown)

        # The download is the map that is shown.
        with page.expect_download() as download:
            page.get_by_test_id("download-geojson").click()
        download.value.save_as(tmp_path / "completed.geojson")
        valid = store.valid[:]
        class_map = np.where(valid, np.append(shown, 0)[np.minimum(store.leaves[:], store.n_leaves)], 0)
        compare(
            tmp_path / "completed.geojson", class_map, store.georeference.transform, store.georeference.crs
        )

        # Another segmentation takes over without a blank frame, completed from the same clicks.
        page.get_by_test_id("segmentations").click()
        page.get_by_test_id("segmentation-new").click()
        page.get_by_test_id("segmentation-superpixel").fill("36")
        page.get_by_test_id("segmentation-submit").click()
        page.get_by_test_id("segmentation-offer").wait_for(timeout=120_000)
        page.evaluate("() => (window.framesSeen.length = 0)")
        page.get_by_test_id("segmentation-offer-adopt").click()
        new = open_segmentation(newest_store(live))
        assert new.n_leaves != store.n_leaves
        page.wait_for_function(f"() => clusternet.state.completed?.length === {new.n_leaves}", timeout=60_000)
        idle(page)
        page.wait_for_function("() => clusternet.state.prediction", timeout=60_000)
        expect(page.get_by_test_id("overlay-outdated")).to_be_hidden()
        seen = page.evaluate("() => window.framesSeen")
        assert seen
        assert not [frame for frame in seen if frame.endswith(",0")], "a frame was blank"
        classes, certainty = prediction_bytes(new.classify(examples), new.n_leaves)
        np.testing.assert_array_equal(completed(page), completed_table(table(page), classes, certainty, 0.8))
        assert trouble == []
    finally:
        live.stop()


def newest_store(live: LiveServer) -> Path:
    return max(live.store().parent.glob("*.zarr"), key=lambda path: int(path.stem))
