"""Splits of single leaves with the real server, seen by two pages: by clicks of two classes, and by hand with a preview."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from segmentation import open_segmentation
from segmentation.split_store import FIRST_CHILD
from segmentation.testing import synthetic_scene, write_scene
from tests.browser.test_main_job import LiveServer, add_class, beside, idle, on_map, opened, two_pages
from tests.check_geojson import compare

pytestmark = pytest.mark.browser

SIDE = 640  # four blocks
C = FIRST_CHILD


def leaf_under(page: Page, row: int, col: int) -> int:
    return page.evaluate(
        "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.leafAt(p.x, p.y); }",
        [row, col],
    )


def go(page: Page, row: int, col: int, size: float = 6) -> None:
    page.evaluate("([row, col, size]) => clusternet.goTo(row, col, size)", [row, col, size])
    idle(page)


def click(page: Page, row: int, col: int) -> None:
    go(page, row, col)
    at = on_map(page, row, col)
    page.mouse.click(at["x"], at["y"])
    idle(page)


def wait_for(page: Page, condition: str, argument: object = None) -> None:
    page.wait_for_function(f"(argument) => {condition}", arg=argument, timeout=90_000)
    idle(page)


def places_in(leaves: np.ndarray, leaf: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two pixels of a leaf, far apart, in the middle of the scene."""
    found = [
        tuple(place)
        for place in np.argwhere(leaves == leaf).tolist()
        if min(place) > 60 and max(place) < SIDE - 60
    ]
    return found[0], found[-1]


def test_leaves_are_split_for_everybody(tmp_path: Path, page: Page) -> None:
    live = LiveServer(
        tmp_path, write_scene(tmp_path / "scene.tif", synthetic_scene(SIDE, SIDE, 3, seed=8)[0])
    )
    trouble: list[str] = []
    try:
        second = two_pages(page, live.start(), trouble, 900, 700)
        store = open_segmentation(live.store())
        leaves = np.asarray(store.leaves[:])
        sizes = store.statistics().pixels
        by_clicks, by_hand = (int(leaf) for leaf in np.argsort(-sizes)[:2])
        one, other = places_in(leaves, by_clicks)
        add_class(page, "Water")
        add_class(page, "Forest")

        # The second page keeps a block on its screen, without touching it.
        go(second, *other)
        page.keyboard.press("1")
        click(page, *one)
        page.keyboard.press("2")
        click(page, *other)
        wait_for(page, f"clusternet.state.table.length === {C + 2}")
        wait_for(second, f"clusternet.state.table.length === {C + 2}")
        assert leaf_under(page, *other) == leaf_under(second, *other) == C
        for each in (page, second):
            assert (
                each.evaluate(
                    "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.classAt(p.x, p.y).class; }",
                    list(other),
                )
                == 2
            )
        go(page, *one)
        assert leaf_under(page, *one) == C + 1
        table = page.evaluate("() => clusternet.state.table")
        assert (table[C], table[C + 1], table[by_clicks]) == (2, 1, 1)
        assert second.evaluate("() => clusternet.state.table") == table

        # By hand: at the finest granularity a cluster is a leaf; what it would look like, only here.
        page.get_by_test_id("granularity").fill("1000")
        mine, _ = places_in(leaves, by_hand)
        go(page, *mine)
        go(second, *mine)
        page.get_by_test_id("split-open").click()
        click(page, *mine)
        page.get_by_test_id("split-count").fill("3")
        expect(page.get_by_test_id("split-preview").locator("li")).to_have_count(3, timeout=90_000)
        idle(page)
        assert C + 2 <= leaf_under(page, *mine) < C + 5
        assert leaf_under(second, *mine) == by_hand
        page.get_by_test_id("split-cancel").click()
        idle(page)
        assert leaf_under(page, *mine) == by_hand
        page.get_by_test_id("split-open").click()
        click(page, *mine)
        expect(page.get_by_test_id("split-preview").locator("li")).to_have_count(3, timeout=90_000)
        page.get_by_test_id("split-apply").click()
        wait_for(page, f"clusternet.state.table.length === {C + 5}")
        wait_for(second, f"clusternet.state.table.length === {C + 5}")
        part = leaf_under(page, *mine)
        assert C + 2 <= part < C + 5
        assert leaf_under(second, *mine) == part
        # Everybody sees it apart, at every granularity.
        second.get_by_test_id("granularity").fill("0")
        nodes = 2 * store.n_leaves - 1
        here = "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.clusterAt(p.x, p.y); }"
        assert second.evaluate(here, list(mine)) == nodes + part - C

        # The download and a page that comes later agree.
        number = 2 if table[by_hand] == 1 else 1
        page.keyboard.press(str(number))
        click(page, *mine)
        assert page.evaluate("() => clusternet.state.table")[part] == number
        with page.expect_download() as download:
            page.get_by_test_id("download-geojson").click()
        download.value.save_as(tmp_path / "split.geojson")
        areas = {"Water": 0, "Forest": 0}
        for feature in json.loads((tmp_path / "split.geojson").read_text())["features"]:
            areas[feature["properties"]["class"]] += feature["properties"]["area_px"]
        late = beside(page)
        opened(late, page.url)
        late.set_viewport_size({"width": 900, "height": 700})
        go(late, *mine)
        assert leaf_under(late, *mine) == part
        assert late.evaluate("() => clusternet.state.table") == page.evaluate("() => clusternet.state.table")
        class_map = class_map_of(live, page)
        compare(tmp_path / "split.geojson", class_map, store.georeference.transform, store.georeference.crs)
        assert areas == {"Water": int((class_map == 1).sum()), "Forest": int((class_map == 2).sum())}

        # Undo: the class of the part, then the split by hand, then the split by clicks with its assignment.
        for expected in (C + 5, C + 5, C + 5):
            page.get_by_test_id("undo").click()
            idle(page)
            assert len(page.evaluate("() => clusternet.state.table")) == expected
        table = page.evaluate("() => clusternet.state.table")
        assert {table[by_clicks], table[C], table[C + 1]} == {1}
        assert len({table[by_hand], *table[C + 2 : C + 5]}) == 1
        assert second.evaluate(here, list(mine)) != nodes + part - C
        assert trouble == []
    finally:
        live.stop()


def class_map_of(live: LiveServer, page: Page) -> np.ndarray:
    """From the blocks on disk, without the code of the server: the newest split of a block lies over the others."""
    table = np.array(page.evaluate("() => clusternet.state.table"), np.uint8)
    leaves = np.array(open_segmentation(live.store()).leaves[:])
    folders = sorted((live.store() / "splits").iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in folders:
        for file in (folder / "leaves/0/c").glob("*/*"):
            row, col = int(file.parent.name) * 512, int(file.name) * 512
            ids = np.frombuffer(gzip.decompress(file.read_bytes()), "<u2").reshape(512, 512)
            part = leaves[row : row + 512, col : col + 512]
            part[:] = ids[: part.shape[0], : part.shape[1]]
    return np.append(table, np.zeros(2**16 - len(table), np.uint8))[leaves]
