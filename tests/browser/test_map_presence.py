"""Others on the map page: avatars, pointers, what they point at, following their view."""

from __future__ import annotations

import io
import json
import urllib.request
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import PIXELS, ROTATED, WORLDS, MapPage, cluster_of

pytestmark = pytest.mark.browser

COLORS = ["#a32a9c", "#1f6fb2", "#8a5a12", "#2f7d3a", "#b03030", "#5a4bb5", "#0e7c7b"]


def person(user: int, name: str, **changes: Any) -> dict[str, Any]:
    known = {"connection": f"c{user}", "user": user, "name": name, "color": COLORS[user % len(COLORS)]}
    rest = {"role": "editor", "point": None, "leaf": None, "view": None, "cut": 40, "idle": False}
    return {**known, **rest, **changes}


def tell(page: MapPage, *people: dict[str, Any], gone: tuple[str, ...] = ()) -> None:
    page.control("event", {"type": "presence", "people": list(people), "gone": list(gone)})


def said(page: MapPage, kind: str = "presence") -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{page.server}/control/{page.number}/said") as response:
        return [command for command in json.load(response) if command["type"] == kind]


def names(page: MapPage) -> list[str]:
    return [one.get_attribute("aria-label") or "" for one in page.id("people").get_by_test_id("person").all()]


def test_others_are_shown_once_each_and_oneself_not(map_page) -> None:
    page = map_page(PIXELS).open()
    expect(page.id("people")).to_be_hidden()
    tell(page, person(1, "tester"))
    tell(page, person(2, "boris.ivanov"), person(2, "boris.ivanov", connection="second tab", idle=True))
    avatar = page.id("people").get_by_test_id("person").first
    expect(avatar).to_have_text("BI")
    expect(avatar).to_have_attribute("aria-label", "Follow boris.ivanov, editor")
    assert names(page)[0] == "Follow boris.ivanov, editor"
    expect(page.page.locator("#people-faces [data-testid=person]")).to_have_count(1)
    tell(page, person(2, "boris.ivanov", idle=True))
    expect(avatar).to_have_attribute("aria-label", "Follow boris.ivanov, editor, idle")
    tell(page, gone=("c2", "second tab"))
    expect(page.id("people")).to_be_hidden()


def test_many_are_in_a_list(map_page) -> None:
    page = map_page(PIXELS).open()
    tell(page, *(person(number, f"member {number}") for number in range(2, 11)))
    expect(page.page.locator("#people-faces [data-testid=person]")).to_have_count(4)
    expect(page.id("people-more")).to_have_text("+5")
    page.id("people-more").click()
    expect(page.id("people-list").get_by_test_id("person")).to_have_count(9)
    page.page.keyboard.press("Escape")
    expect(page.id("people-list")).to_be_hidden()


@pytest.mark.parametrize("number", [PIXELS, ROTATED])
def test_pointers_stay_on_their_pixel(map_page, number: int) -> None:
    page = map_page(number).open()
    page.go(400, 500, 1.5)
    tell(page, person(2, "boris", point=[380.5, 460.5]))
    cursor = page.id("cursor")
    expect(cursor).to_have_text("boris")

    def is_there(row: int, col: int) -> None:
        page.wait(
            f"""(() => {{
                const map = document.querySelector("[data-testid=map]").getBoundingClientRect();
                const box = document.querySelector("[data-testid=cursor]").getBoundingClientRect();
                const at = clusternet.pixelToPoint({row}, {col});
                return Math.hypot(box.left - map.left - at.x, box.top - map.top - at.y) < 1.5;
            }})()"""
        )

    is_there(380, 460)
    tell(page, person(2, "boris", point=[420.5, 520.5]))
    is_there(420, 520)
    page.go(430, 480, 4)
    is_there(420, 520)
    page.id("zoom-out").click()
    is_there(420, 520)
    page.wait("!document.querySelector('.leaflet-zoom-anim')")
    is_there(420, 520)
    page.go(900, 1200, 8)
    expect(cursor).to_be_hidden()
    page.go(420, 520, 2)
    expect(cursor).to_be_visible()
    tell(page, person(2, "boris", point=[420.5, 520.5], idle=True))
    expect(cursor).to_have_count(0)
    tell(page, person(2, "boris", point=[420.5, 520.5]))
    expect(cursor).to_have_count(1)
    page.control("disconnect")
    expect(cursor).to_have_count(0)


def pixels_of_color(page: MapPage, color: str) -> np.ndarray:
    """Where the map shows exactly a color: rows and columns of the screenshot."""
    shot = Image.open(io.BytesIO(page.id("map").screenshot())).convert("RGB")
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return np.argwhere((np.asarray(shot).astype(int) == wanted).all(-1))


def test_what_others_point_at_is_outlined_at_their_granularity(map_page) -> None:
    page = map_page(PIXELS).open()
    page.id("opacity").fill("100")
    page.go(310, 310, 6)
    leaf = int(WORLDS[PIXELS].leaves[310, 310])
    color = "#b0309c"
    before = page.color(310, 310)
    for cut in (256, 4):
        tell(page, person(2, "boris", leaf=leaf, cut=cut, color=color))
        page.idle()
        drawn = pixels_of_color(page, color)
        assert len(drawn) > 50
        # Every outlined pixel lies in the cluster of that cut.
        ids = WORLDS[PIXELS].leaves
        for y, x in drawn[:: max(1, len(drawn) // 40)]:
            found = page.call("([x, y]) => clusternet.leafAt(x, y)", [int(x), int(y)])
            assert cluster_of(found, cut) == cluster_of(leaf, cut)
        assert ids[310, 310] == leaf
    assert page.color(310, 310) == before
    tell(page, person(2, "boris", leaf=leaf, cut=4, color=color, idle=True))
    page.idle()
    assert len(pixels_of_color(page, color)) == 0


def view_around(row: float, col: float, half: float) -> list[float]:
    """As told by somebody who has a pixel in the middle of their map."""
    row, col = row + 0.5, col + 0.5
    return [row - half, col - 1.2 * half, row + half, col + 1.2 * half]


def test_following_shows_what_they_see_until_one_moves(map_page) -> None:
    page = map_page(PIXELS).open()
    boris = person(2, "boris", view=view_around(600, 700, 60))
    tell(page, boris)
    page.page.locator("#people-faces [data-testid=person]").click()
    banner = page.id("follow-banner")
    expect(banner).to_contain_text("Following boris")
    page.in_the_middle(600, 700)
    tell(page, {**boris, "view": view_around(300, 400, 60)})
    page.in_the_middle(300, 400)
    tell(page, {**boris, "view": view_around(300, 400, 150)})
    page.wait("(() => { const p = clusternet.pixelToPoint(0, 0), q = clusternet.pixelToPoint(1, 0);"
              " return q.y - p.y < 3; })()")  # fmt: skip
    page.in_the_middle(300, 400)
    expect(banner).to_be_visible()
    page.page.keyboard.press("Escape")
    expect(banner).to_be_hidden()
    tell(page, {**boris, "view": view_around(900, 400, 60)})
    page.idle()
    page.in_the_middle(300, 400)


@pytest.mark.parametrize("how", ["drag", "wheel", "button", "fit", "stop", "avatar"])
def test_ones_own_move_ends_following(map_page, how: str) -> None:
    page = map_page(PIXELS).open()
    tell(page, person(2, "boris", view=view_around(600, 700, 60)))
    avatar = page.page.locator("#people-faces [data-testid=person]")
    avatar.click()
    page.in_the_middle(600, 700)
    expect(avatar).to_have_attribute("aria-pressed", "true")
    x, y = page.on_screen(600, 700)
    if how == "drag":
        page.page.mouse.move(x, y)
        page.page.mouse.down()
        page.page.mouse.move(x + 60, y + 40, steps=4)
        page.page.mouse.up()
    elif how == "wheel":
        page.page.mouse.move(x, y)
        page.page.mouse.wheel(0, -200)
    elif how == "stop":
        page.id("follow-stop").click()
    elif how == "avatar":
        avatar.click()
    else:
        page.id("zoom-in" if how == "button" else "zoom-fit").click()
    expect(page.id("follow-banner")).to_be_hidden()
    expect(avatar).to_have_attribute("aria-pressed", "false")


def test_whoever_leaves_is_followed_no_more(map_page) -> None:
    page = map_page(PIXELS).open()
    tell(page, person(2, "boris", view=view_around(600, 700, 60)))
    page.page.locator("#people-faces [data-testid=person]").click()
    tell(page, gone=("c2",))
    expect(page.id("toast").last).to_contain_text("boris has left.")
    expect(page.id("follow-banner")).to_be_hidden()


def test_the_page_tells_where_it_is_while_somebody_is_there(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    page.page.mouse.move(*page.on_screen(310, 320))
    page.idle()
    first = said(page)[-1]
    assert (first["point"], first["leaf"], first["view"], first["idle"]) == (None, None, None, False)
    tell(page, person(2, "boris"))
    page.page.mouse.move(*page.on_screen(330, 350))
    leaf = int(WORLDS[PIXELS].leaves[330, 350])
    page.page.wait_for_timeout(400)
    last = said(page)[-1]
    assert np.allclose(last["point"], [330.5, 350.5], atol=0.5)
    assert last["leaf"] == leaf
    assert last["cut"] == 40
    row0, col0, row1, col1 = last["view"]
    assert np.allclose([(row0 + row1) / 2, (col0 + col1) / 2], [300.5, 300.5], atol=0.6)
    assert row0 < 300 < row1
    page.call("""() => {
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.page.wait_for_timeout(400)
    assert said(page)[-1]["idle"] is True


def test_words_come_at_most_ten_a_second(map_page) -> None:
    page = map_page(PIXELS).open()
    tell(page, person(2, "boris"))
    page.go(300, 300, 4)
    x, y = page.on_screen(300, 300)
    before = len(said(page))
    began = page.call("performance.now()")
    for step in range(60):
        page.page.mouse.move(x + step, y + step)
    page.page.wait_for_timeout(300)
    elapsed = (page.call("performance.now()") - began) / 1000
    assert 1 <= len(said(page)) - before <= 10 * elapsed + 2


def test_blocks_taken_are_told(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    wanted = page.commands("blocks.want")
    assert {command["window"] for command in wanted} == {6}
    taken = [command["frames"] for command in said(page, "blocks.taken")]
    assert taken == [3 * (index + 1) for index in range(len(taken))]
    assert taken
