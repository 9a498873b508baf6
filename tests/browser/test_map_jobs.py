"""Jobs on the map page: progress, retry and log of segmentations, and downloads that are prepared."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.map_fixture.driver import PLAIN
from tests.browser.test_map_learning import segmentation

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("CLUSTERNET_SCREENSHOTS", "")


def shot(page, name: str) -> None:
    if SHOTS:
        page.page.screenshot(path=Path(SHOTS) / f"{name}.png")


class Server:
    """What the REST routes of jobs answer, and what was asked of them."""

    def __init__(self, page) -> None:
        self.job: dict[str, Any] | None = None
        self.asked: list[str] = []
        self.refusal = ""
        page.page.route("**/api/jobs**", self._answer)
        page.page.route("**/api/jobs/**", self._answer)
        page.page.route("**/api/projects/1/exports", self._answer)

    def _answer(self, route: Route) -> None:
        request = route.request
        path = request.url.partition("/api/")[2]
        if request.method == "POST":
            self.asked.append(path)
            if self.refusal:
                route.fulfill(status=409, json={"detail": self.refusal})
                return
            if path.endswith("exports"):
                self.job = export(
                    state="queued", place=2, message="It waits for your other jobs: 2 are computing."
                )
            if path.endswith("cancel"):
                self.job = export(state="cancelled")
            route.fulfill(json=self.job or {})
        elif path.endswith("exports"):
            route.fulfill(json=[self.job] if self.job else [])
        else:
            route.fulfill(json={"jobs": [{"id": 77}], "page": 1, "pages": 1, "count": 1, "active": 0})


def export(**changes: Any) -> dict[str, Any]:
    return {
        "id": 5, "kind": "export", "state": "running", "stage": "writing", "progress": 0.4, "message": "", "left_s": 12,
        "place": None, "can_cancel": True, "file": None, "finished_at": None, **changes,
    }  # fmt: skip


def large(page) -> Server:
    """The page of a scene that is too large to be streamed."""
    server = Server(page)
    # Before the page's modules run; an answer in the place of the page's would not be of this machine any more.
    page.page.add_init_script(
        """document.addEventListener("readystatechange", () => {
            const config = document.getElementById("map-config");
            config.textContent = config.textContent.replace(/"prepareFromPx": \\d+/, '"prepareFromPx": 1');
        }, {once: true});"""
    )
    return server


def test_segmentation_that_waits_says_what_for_and_shows_its_bar(map_page) -> None:
    page = map_page(PLAIN)
    message = "Number 2 in the queue. It waits for the job before it."
    page.control("set", {"extra_segmentations": [segmentation(state="queued", message=message)]})
    page.open()
    page.id("segmentations").locator("summary").click()
    row = page.id("segmentation-row").first
    expect(row).to_contain_text(f"Waiting. {message}")
    expect(row.get_by_test_id("segmentation-progress")).to_have_js_property("value", 0)
    expect(row.get_by_test_id("segmentation-log")).to_have_attribute("href", "/jobs/?segmentation=19")
    expect(page.id("progress-text")).to_contain_text("Number 2 in the queue")


def test_segmentation_that_runs_shows_its_bar(map_page) -> None:
    page = map_page(PLAIN)
    page.control("set", {"extra_segmentations": [segmentation(progress=0.5, stage="leaves")]})
    page.open()
    page.id("segmentations").locator("summary").click()
    row = page.id("segmentation-row").first
    expect(row.get_by_test_id("segmentation-progress")).to_have_js_property("value", 0.5)
    expect(row.get_by_test_id("segmentation-cancel")).to_be_visible()
    shot(page, "segmentation-bar")


def test_failed_segmentation_is_begun_again(map_page) -> None:
    page = map_page(PLAIN)
    failed = segmentation(state="failed", message="The server's disk is full.")
    page.control("set", {"extra_segmentations": [failed]})
    server = Server(page)
    page.open()
    page.id("segmentations").locator("summary").click()
    row = page.id("segmentation-row").first
    expect(row).to_contain_text("The server's disk is full.")
    row.get_by_test_id("segmentation-retry").click()
    page.page.wait_for_timeout(300)
    assert server.asked == ["jobs/77/retry"]
    server.refusal = "This job is still being stopped; wait a moment, and begin it again then."
    page.errors.clear()
    row.get_by_test_id("segmentation-retry").click()
    expect(page.id("toast")).to_contain_text("still being stopped")
    page.errors.clear()  # the browser tells of the 409 itself


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_download_of_a_large_map_is_prepared(map_page, scheme) -> None:
    page = map_page(PLAIN, color_scheme=scheme)
    server = large(page)
    page.open()
    expect(page.id("download-geojson")).to_be_hidden()
    shot(page, f"download-none-{scheme}")
    page.id("download-prepare").click()
    expect(page.id("download-course")).to_have_text(
        "Preparing the download. Number 2 in the queue. It waits for your other jobs: 2 are computing."
    )
    server.job = export()
    expect(page.id("download-course")).to_have_text(
        "Preparing the download. Writing the file · 40% · 12 s left"
    )
    shot(page, f"download-running-{scheme}")
    ready = {
        "name": "fields.geojson",
        "url": "/api/jobs/5/file",
        "size_bytes": 48_300_000,
        "expires_at": None,
    }
    server.job = export(state="complete", file=ready, finished_at="2026-05-06T10:00:00+00:00")
    expect(page.id("download-file")).to_have_text("Download GeoJSON (48.3 MB)")
    expect(page.id("download-file")).to_have_attribute("href", "/api/jobs/5/file")
    expect(page.id("download-prepare")).to_have_text("Prepare anew")
    shot(page, f"download-ready-{scheme}")
    assert server.asked == ["projects/1/exports"]


def test_preparing_is_cancelled_and_fails_with_a_reason(map_page) -> None:
    page = map_page(PLAIN)
    server = large(page)
    server.job = export()
    page.open()
    page.id("download-cancel").click()
    expect(page.id("download-prepare")).to_have_text("Prepare the download")
    assert server.asked == ["jobs/5/cancel"]
    server.job = export(state="failed", message="The server's disk is full.")
    page.call("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.id("download-prepared")).to_contain_text("The download failed. The server's disk is full.")
    server.refusal = "The segmentation is still computing (42%); a download would have holes."
    page.id("download-prepare").click()
    expect(page.id("toast")).to_contain_text("would have holes")
    page.errors.clear()  # the browser tells of the 409 itself


def test_small_maps_are_sent_at_once(map_page) -> None:
    page = map_page(PLAIN)
    page.open()
    expect(page.id("download-geojson")).to_be_visible()
    expect(page.id("download-prepared")).to_be_hidden()
    assert json.loads(page.page.locator("#map-config").text_content())["prepareFromPx"] == 25_000_000
