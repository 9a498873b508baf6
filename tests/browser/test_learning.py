"""Learning with the real server: the first map is the filter bank's, better features come, and nothing is lost on the way."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from segmentation import open_segmentation
from segmentation.learning.network import load_network
from segmentation.testing import synthetic_scene, write_scene
from tests.browser.map_fixture.driver import WATCH_FRAMES
from tests.browser.test_main_job import (
    LiveServer,
    add_class,
    idle,
    on_map,
    opened,
    pixels_of_three_clusters,
    table,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIDE = 600
PATIENCE_MS = 240_000
LEARNING = re.compile(r"Learning better features · \d+%")


def stores(live: LiveServer) -> list[Path]:
    return sorted((live.folder / "data" / "segmentations").glob("*.zarr"), key=lambda path: int(path.stem))


def scene(folder: Path) -> Path:
    return write_scene(folder / "scene.tif", synthetic_scene(SIDE, SIDE, 3, seed=6)[0])


def listen(page: Page) -> list[str]:
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    return trouble


def adopted(page: Page, test_id: str, n_leaves: int) -> np.ndarray:
    """Adopt a segmentation, without a blank frame in the middle of the map until it fills the view; the new table."""
    page.evaluate("() => { window.framesSeen.length = 0; }")
    page.get_by_test_id(test_id).click()
    page.wait_for_function("(n) => clusternet.state.table?.length === n", arg=n_leaves, timeout=PATIENCE_MS)
    idle(page)
    expect(page.get_by_test_id("overlay-outdated")).to_be_hidden()
    frames = page.evaluate("() => window.framesSeen")
    assert frames
    assert [frame for frame in frames if frame.endswith(",0")] == []
    return table(page)


def test_learned_features_come_after_the_first_map_and_keep_what_was_done(tmp_path: Path, page: Page) -> None:
    live = LiveServer(tmp_path, scene(tmp_path), LEARNING="auto", LEARNING_SECONDS="12")
    trouble = listen(page)
    page.add_init_script(WATCH_FRAMES)
    try:
        opened(page, live.start())
        # The first map is the filter bank's; the next segmentation learns, and says how.
        expect(page.get_by_test_id("progress-text")).to_have_text(LEARNING, timeout=PATIENCE_MS)
        first = open_segmentation(stores(live)[0])
        assert first.complete
        assert not (stores(live)[0] / "network.safetensors").exists()
        idle(page)
        assert page.evaluate("() => clusternet.blocksShown()") > 0
        page.get_by_test_id("segmentations").click()
        row = page.get_by_test_id("segmentation-row").first
        expect(row).to_have_text(
            re.compile(r"Learning better features · \d+% · loss \d"), timeout=PATIENCE_MS
        )

        # People go on meanwhile.
        add_class(page, "Water")
        add_class(page, "Forest")
        places = pixels_of_three_clusters(page, (SIDE, SIDE))
        for number, place in zip((1, 2, 2), places, strict=True):
            page.keyboard.press(str(number))
            point = on_map(page, *place)
            page.mouse.click(point["x"], point["y"])
            idle(page)
        before = table(page)
        assert set(np.unique(before)) == {0, 1, 2}

        # It is offered, and taken over without a blank: every frame of the middle of the map holds a color.
        offer = page.get_by_test_id("segmentation-offer")
        offer.wait_for(timeout=PATIENCE_MS)
        expect(offer).to_contain_text("Better features of this scene were learned.")
        learned = open_segmentation(stores(live)[1])
        after = adopted(page, "segmentation-offer-adopt", learned.n_leaves)
        expect(offer).to_be_hidden()
        network = load_network(stores(live)[1] / "network.safetensors")
        assert network.training["steps"] > 0
        old = np.append(before, 0)[np.minimum(first.leaves[:], len(before))]
        new = np.append(after, 0)[np.minimum(learned.leaves[:], len(after))]
        assert (new[old > 0] == old[old > 0]).mean() > 0.6  # by majority of each new leaf
        expect(page.get_by_test_id("class-row")).to_have_count(2)
        expect(row).to_contain_text(f"learned, {network.training['steps']:,} steps")

        # The examples are decoded again, from the new leaves.
        expect(page.get_by_test_id("complete")).to_be_enabled()
        page.get_by_test_id("complete").check()
        more = "(n) => clusternet.state.prediction && clusternet.state.completed.filter(Boolean).length > n"
        page.wait_for_function(more, arg=int((after > 0).sum()), timeout=PATIENCE_MS)
        idle(page)

        # The network is among the user's, and the old segmentation can be brought back.
        page.get_by_test_id("segmentation-new").click()
        page.get_by_test_id("features-network").check()
        expect(page.get_by_test_id("network-facts")).to_contain_text("learned from")
        with page.expect_download() as download:
            page.get_by_test_id("network-download").click()
        download.value.save_as(tmp_path / "kept.safetensors")
        assert load_network(tmp_path / "kept.safetensors").fingerprint == network.fingerprint
        page.get_by_test_id("segmentation-cancel-dialog").click()
        back = adopted(page, "segmentation-adopt", len(before))
        assert (back[before > 0] == before[before > 0]).mean() > 0.6
        expect(offer).to_be_hidden()
        assert trouble == []
    finally:
        live.stop()


def test_a_server_that_stops_while_it_learns_goes_on_later(tmp_path: Path, page: Page) -> None:
    live = LiveServer(tmp_path, scene(tmp_path), LEARNING="auto", LEARNING_SECONDS="60")
    try:
        opened(page, live.start())
        expect(page.get_by_test_id("progress-text")).to_have_text(LEARNING, timeout=PATIENCE_MS)
        # The training is kept now and then; what was kept is gone on with.
        kept = live.folder / "data" / "segmentations" / "2.zarr" / "training.safetensors"
        end = time.monotonic() + PATIENCE_MS / 1000
        while not kept.exists():
            assert time.monotonic() < end, "the training was never kept"
            time.sleep(0.2)
        told = page.get_by_test_id("progress-text").text_content()
        share = int(re.search(r"(\d+)%", told)[1])
        live.stop()
        opened(page, live.start())
        expect(page.get_by_test_id("progress-text")).to_have_text(LEARNING, timeout=PATIENCE_MS)
        again = int(re.search(r"(\d+)%", page.get_by_test_id("progress-text").text_content())[1])
        assert again >= share / 2
        page.get_by_test_id("progress-cancel").click()
        page.get_by_test_id("progress").wait_for(state="hidden", timeout=PATIENCE_MS)
        expect(page.locator("#segmentation-failed")).to_be_hidden()
        # Cancelled is cancelled: the map stays, and nothing is begun again by itself.
        page.reload()
        page.wait_for_function("() => window.clusternet")
        idle(page)
        assert page.evaluate("() => clusternet.blocksShown()") > 0
        expect(page.get_by_test_id("progress")).to_be_hidden()
        page.get_by_test_id("segmentations").click()
        expect(page.get_by_test_id("segmentation-row").first).to_contain_text("cancelled")
    finally:
        live.stop()
