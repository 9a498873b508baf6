"""An upload in parts over a real server that is stopped in the middle and started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from segmentation.testing import write_scene
from tests.browser.test_main_job import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def image(tmp_path) -> Path:
    pixels = np.random.default_rng(3).integers(1, 255, (3, 1500, 1500), dtype=np.uint8)  # 6.8 MB
    return write_scene(tmp_path / "noise.tif", pixels)


@pytest.fixture
def small(tmp_path) -> Path:
    return write_scene(tmp_path / "small.tif", np.full((3, 64, 64), 90, np.uint8))


def test_upload_survives_the_server_and_the_page(page: Page, tmp_path, image, small):
    live = LiveServer(tmp_path, small, UPLOAD_PARTS_ABOVE="2000000", UPLOAD_PART_BYTES="1048576")
    link = live.start()
    sent: list[str] = []
    limit = [3]

    def some(route: Route) -> None:
        if route.request.method != "PATCH":
            route.continue_()
        elif len(sent) < limit[0]:
            sent.append(route.request.url)
            route.continue_()

    try:
        page.goto(link)
        page.goto(f"http://127.0.0.1:{live.port}/projects/")
        page.route("**/api/uploads/*", some)
        page.get_by_test_id("upload-input").set_input_files(image)
        expect(page.get_by_test_id("upload-state")).to_contain_text("46 % of 6.8 MB", timeout=60_000)
        live.stop()
        live.start()
        page.goto(f"http://127.0.0.1:{live.port}/projects/")
        expect(page.get_by_test_id("upload-unfinished")).to_contain_text("46 % of 6.8 MB is here")
        limit[0] = 10**9
        sent.clear()
        page.get_by_test_id("upload-input").set_input_files(image)
        card = page.get_by_test_id("scene-card").filter(has_text="noise")
        expect(card.get_by_test_id("scene-open")).to_be_enabled(timeout=120_000)
        assert len(sent) == 4  # the other three were there
        assert list((tmp_path / "data" / "uploads").iterdir()) == []
    finally:
        live.stop()
