"""The map page while features are learned: progress, offer, list, and the dialog's choice of features."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PLAIN

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("CLUSTERNET_SCREENSHOTS", "")


def segmentation(**changes: Any) -> dict[str, Any]:
    parameters = {"mode": "best", "train_seconds": 60, "network": None, "bands": None, "aoi": None}
    return {
        "id": 19, "scene": 1, "state": "running", "stage": "reading", "progress": 0.1, "message": "", "size_bytes": 1,
        "device": "cpu", "n_leaves": 0, "parameters": parameters, "version": 0, "tree_ready": False,
        "created_at": "2025-05-06T10:00:00+00:00", "automatic": True, "learned": None, **changes,
    }  # fmt: skip


def progress(**changes: Any) -> dict[str, Any]:
    training = {
        "step": 40,
        "steps": 100,
        "round": 1,
        "rounds": 3,
        "loss": 2.14,
        "balance": 0.93,
        "left_s": 30.2,
    }
    return {
        "type": "segmentation.progress", "segmentation": 19, "state": "running", "stage": "learning", "progress": 0.3,
        "message": "", "left_s": None, "training": training | changes,
    }  # fmt: skip


def shot(page, name: str) -> None:
    if SHOTS:
        page.page.screenshot(path=Path(SHOTS) / f"{name}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_learning_is_shown_aside_and_can_be_cancelled(map_page, scheme) -> None:
    page = map_page(PLAIN, color_scheme=scheme)
    page.control("set", {"extra_segmentations": [segmentation()]})
    page.open()
    page.control("event", progress())
    expect(page.id("progress-text")).to_contain_text("Learning")
    shot(page, f"learning-{scheme}")
    page.id("segmentations").locator("summary").click()
    expect(page.id("progress-text")).to_have_text("Learning better features · 30% · loss 2.1 · 30 s left")
    expect(page.id("progress")).to_contain_text("you can go on")
    expect(page.id("segmentation-row").first).to_contain_text(
        "Learning better features · 30% · loss 2.1 · balance 93% · 30 s left"
    )
    expect(page.id("segmentation-row").last).to_contain_text("shown")
    page.id("segmentation-new").scroll_into_view_if_needed()
    shot(page, f"learning-list-{scheme}")
    page.control("event", progress(loss=None, balance=None, left_s=None))
    expect(page.id("progress-text")).to_have_text("Learning better features · 30%")
    page.id("progress-cancel").click()
    page.wait("!document.querySelector('[data-testid=progress-cancel]').disabled")
    assert page.commands("rest")[-1]["path"] == "/api/segmentations/19/cancel"


def test_a_map_that_somebody_waits_for_is_shown_before_learning(map_page) -> None:
    page = map_page(PLAIN)
    fast = segmentation(id=18, parameters={"mode": "fast"}, stage="leaves", progress=0.5, automatic=False)
    page.control("set", {"extra_segmentations": [segmentation(state="queued"), fast]})
    page.open()
    expect(page.id("progress-text")).to_have_text("Clustering the scene · 50%")
    expect(page.page.locator("#progress-hint")).to_be_hidden()


def test_learned_features_are_offered_with_what_is_kept(map_page) -> None:
    page = map_page(PLAIN)
    done = segmentation(state="complete", n_leaves=1234, learned={"steps": 600})
    general = segmentation(id=17, state="complete", n_leaves=99, learned={"steps": 0})
    named = segmentation(
        id=16, state="complete", n_leaves=99, learned={"steps": 0}, parameters={"network": 7, "network_name": "Town"}
    )  # fmt: skip
    page.control("set", {"extra_segmentations": [done, general, named], "offered": 19})
    page.open()
    expect(page.id("segmentation-offer")).to_contain_text(
        "Better features of this scene were learned. Your classes, clicks and examples are kept."
    )
    shot(page, "learning-offer")
    page.id("segmentations").locator("summary").click()
    rows = page.id("segmentation-row")
    expect(rows.nth(0)).to_contain_text("learned, 600 steps · 1,234 leaves")
    expect(rows.nth(1)).to_contain_text("general network · 99 leaves")
    expect(rows.nth(2)).to_contain_text("Town · 99 leaves")


def test_failed_learning_leaves_the_page_as_it_is(map_page) -> None:
    page = map_page(PLAIN)
    page.control(
        "set", {"extra_segmentations": [segmentation(state="failed", message="Too few superpixels.")]}
    )
    page.open()
    expect(page.id("progress")).to_be_hidden()
    expect(page.page.locator("#segmentation-failed")).to_be_hidden()
    page.id("segmentations").locator("summary").click()
    expect(page.id("segmentation-row").first).to_contain_text("failed. Too few superpixels.")


def asked(page) -> dict[str, Any]:
    page.id("segmentation-submit").click()
    expect(page.id("segmentation-dialog")).to_be_hidden()
    body = page.commands("rest")[-1]["body"]
    return {name: body[name] for name in ("mode", "train_seconds", "network")}


def opened_dialog(page) -> None:
    page.id("segmentation-new").click()
    expect(page.id("segmentation-dialog")).to_be_visible()


def test_dialog_asks_for_features(map_page) -> None:
    page = map_page(PLAIN).open()
    page.id("segmentations").locator("summary").click()
    opened_dialog(page)
    expect(page.id("learn-seconds")).to_be_hidden()
    assert asked(page) == {"mode": "fast", "train_seconds": None, "network": None}
    opened_dialog(page)
    page.id("features-learn").check()
    page.id("learn-seconds").fill("0")
    page.id("segmentation-submit").click()
    expect(page.page.locator("#segmentation-error")).to_have_text(
        "The training must last 1 to 3600 seconds, or nothing for automatic."
    )
    page.id("learn-seconds").fill("20")
    assert asked(page) == {"mode": "best", "train_seconds": 20, "network": None}
    opened_dialog(page)
    expect(page.id("features-bank")).to_be_checked()
    page.id("features-learn").check()
    assert asked(page) == {"mode": "best", "train_seconds": None, "network": None}
    opened_dialog(page)
    page.id("features-network").check()
    expect(page.id("network-facts")).to_have_text(
        "learned from Town · 1,234 steps · 4 bands · B1, B2, B3, B4 · 520 kB"
    )
    expect(page.id("network-select").locator("option", has_text="Single (1 band)")).to_be_disabled()
    assert asked(page) == {"mode": "fast", "train_seconds": None, "network": 7}
    opened_dialog(page)
    page.id("features-network").check()
    page.id("network-further").check()
    page.id("learn-seconds").fill("5")
    shot(page, "learning-dialog")
    assert asked(page) == {"mode": "best", "train_seconds": 5, "network": 7}
    opened_dialog(page)
    page.id("features-network").check()
    page.id("network-select").select_option("general")
    expect(page.id("network-rename")).to_be_disabled()
    assert asked(page) == {"mode": "best", "train_seconds": 0, "network": None}
    opened_dialog(page)
    page.id("features-network").check()
    for box in page.id("segmentation-bands").get_by_role("checkbox").all()[1:]:
        box.uncheck()
    expect(page.id("network-select")).to_have_value("8")
    page.id("segmentation-bands").get_by_role("checkbox").nth(1).check()
    page.id("segmentation-submit").click()
    expect(page.page.locator("#segmentation-error")).to_contain_text("No network is chosen")


def test_networks_are_renamed_deleted_downloaded_and_uploaded(map_page, tmp_path: Path) -> None:
    page = map_page(PLAIN, color_scheme="dark").open()
    page.id("segmentations").locator("summary").click()
    opened_dialog(page)
    page.id("features-network").check()
    select = page.id("network-select")
    expect(select).to_have_value("7")
    shot(page, "learning-networks")
    page.id("network-rename").click()
    page.id("dialog-input").fill("Roofs")
    page.id("dialog-input").press("Enter")
    expect(select.locator("option:checked")).to_have_text("Roofs")
    with page.page.expect_download() as download:
        page.id("network-download").click()
    assert Path(download.value.path()).read_bytes() == b"weights"
    file = tmp_path / "Mine.safetensors"
    file.write_bytes(b"no weights")
    page.id("network-upload").set_input_files(file)
    expect(page.page.locator("#segmentation-error")).to_have_text("That is no network.")
    file.write_bytes(b"weights")
    page.id("network-upload").set_input_files(file)
    expect(select.locator("option:checked")).to_have_text("Mine")
    expect(page.id("network-facts")).to_contain_text("uploaded")
    page.id("network-delete").click()
    page.page.locator("#confirm-dialog").get_by_test_id("dialog-confirm").click()
    expect(select.locator("option", has_text="Mine")).to_have_count(0)
    page.errors = [error for error in page.errors if "400" not in error]
