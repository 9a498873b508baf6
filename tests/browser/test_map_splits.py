"""Splitting clusters on the map page: by clicks of two classes, and by hand."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PIXELS, WORLDS, cluster_of, hex_rgba, tree

pytestmark = pytest.mark.browser


def leaf(row: int, col: int) -> int:
    return int(WORLDS[PIXELS].leaves[row, col])


def two_leaves_of_a_cluster(cut: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels in the middle of two leaves of one cluster, the leaves not side by side in the tree."""
    rows, cols = range(250, 500, 20), range(250, 500, 20)
    places = [(row, col) for row in rows for col in cols]
    for first in places:
        for second in places:
            one, other = leaf(*first), leaf(*second)
            if cluster_of(one, cut) == cluster_of(other, cut) and one // 4 != other // 4:
                return first, second
    raise AssertionError("no such pixels")


def test_click_of_another_class_parts_the_cluster_along_the_tree(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(10)
    page.add_class("Water")
    page.add_class("Forest")
    first, second = two_leaves_of_a_cluster(10)
    page.go(370, 370, 2)
    page.page.keyboard.press("1")
    page.click(*first)
    low, high = (int(side[cluster_of(leaf(*first), 10)]) for side in tree()[1:3])
    assert {number for at, number in enumerate(page.table()) if low <= at < high} == {1}
    page.page.keyboard.press("2")
    page.click(*second)
    table = page.table()
    assert table[leaf(*first)] == 1
    assert table[leaf(*second)] == 2
    [[start, end]] = page.commands("leaves.assign")[1]["ranges"]
    assert low <= start < end <= high
    assert not start <= leaf(*first) < end
    # The largest such part: the next larger node holds the other click.
    parent, lows, highs, _ = tree()
    node = next(at for at in range(len(parent)) if (lows[at], highs[at]) == (start, end))
    above = parent[node]
    assert lows[above] <= leaf(*first) < highs[above]
    page.page.keyboard.press("Control+z")
    page.wait("!clusternet.state.table.includes(2)")
    assert set(page.table()[low:high]) == {1}


def test_click_beside_the_last_one_corrects_it(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(10)
    page.add_class("Water")
    page.add_class("Forest")
    page.go(300, 300, 8)
    page.page.keyboard.press("1")
    page.click(305, 305)
    page.page.keyboard.press("2")
    page.click(306, 306)
    assert set(page.table()) == {0, 2}


def test_split_by_hand_previews_applies_and_undoes(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(10)
    page.go(300, 300, 4)
    node = cluster_of(leaf(305, 305), 10)
    page.id("split-open").click()
    expect(page.id("split-apply")).to_be_disabled()
    page.click(305, 305)
    expect(page.id("split-preview").locator("li")).to_have_count(2)
    page.id("split-count").fill("4")
    expect(page.id("split-preview").locator("li")).to_have_count(4)
    expect(page.id("split-preview")).to_contain_text("of it")
    # In the colors of the preview, and only here.
    assert page.color(305, 305) in [
        [230, 97, 1, 255],
        [27, 120, 190, 255],
        [253, 216, 53, 255],
        [123, 50, 148, 255],
    ]
    assert page.commands("cluster.split") == []
    page.id("split-apply").click()
    page.idle()
    [command] = page.commands("cluster.split")
    low, high = (int(side[node]) for side in tree()[1:3])
    assert command["range"] == [low, high]
    assert [part[0] for part in command["parts"]] == [low, *(part[1] for part in command["parts"][:-1])]
    assert len(command["parts"]) == 4
    expect(page.id("split-count")).to_be_hidden()

    part = next(part for part in command["parts"] if part[0] <= leaf(305, 305) < part[1])
    part_node = next(at for at in range(511) if [int(side[at]) for side in tree()[1:3]] == part)
    here = "(() => { const p = clusternet.pixelToPoint(305, 305); return clusternet.clusterAt(p.x, p.y); })()"
    assert page.call(here) == part_node
    page.cut(2)  # at every granularity
    assert page.call(here) == part_node
    assert page.color(305, 305) == [*tree()[3][part_node].tolist(), 255]
    page.add_class("Water")
    page.click(305, 305)
    table = page.table()
    assert [at for at, number in enumerate(table) if number] == list(range(*part))
    assert page.color(305, 305) == hex_rgba(page.call("clusternet.state.classes")[0]["color"])

    page.page.reload()  # a late joiner sees the same
    page.wait("window.clusternet")
    page.idle()
    page.go(300, 300, 4)
    assert page.call(here) == part_node
    for _ in range(3):
        page.id("undo").click()
        page.idle()
    page.cut(10)
    assert page.call(here) == node


def test_cancel_and_escape_end_a_split_without_a_trace(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(10)
    page.go(300, 300, 4)
    before = page.color(305, 305)
    for end in (lambda: page.id("split-cancel").click(), lambda: page.page.keyboard.press("Escape")):
        page.page.keyboard.press("k")
        expect(page.id("split-open")).to_have_attribute("aria-pressed", "true")
        page.click(305, 305)
        expect(page.id("split-preview").locator("li")).to_have_count(2)
        assert page.color(305, 305) != before
        end()
        expect(page.id("split-cancel")).to_be_hidden()
        expect(page.id("split-open")).to_have_attribute("aria-pressed", "false")
        assert page.color(305, 305) == before
    assert page.commands("cluster.split") == []
    assert page.commands("leaves.assign") == []


def test_hovered_cluster_leaves_out_the_parts_that_stand_apart(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(2)
    page.go(300, 300, 4)
    node = cluster_of(leaf(305, 305), 40)
    page.cut(40)
    page.id("split-open").click()
    page.click(305, 305)
    page.id("split-apply").click()
    page.idle()
    page.cut(2)
    counts = WORLDS[PIXELS].counts()
    low, high = tree()[1:3]
    around = cluster_of(leaf(305, 305), 2)
    inside = {int(at) for at in range(int(low[around]), int(high[around]))} - set(
        range(int(low[node]), int(high[node]))
    )
    there = next(
        (row, col) for row in range(305, 420, 20) for col in range(305, 420, 20) if leaf(row, col) in inside
    )
    page.page.mouse.move(*page.on_screen(*there))
    expected = int(sum(counts[at] for at in inside))
    expect(page.id("hover-area")).to_contain_text(f"{expected:,} px")
