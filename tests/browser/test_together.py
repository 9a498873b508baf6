"""Two and three people in real browsers on one real server: live edits, a race, undo, a killed server, a broken line."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from segmentation.testing import synthetic_scene, write_scene
from tests.browser.test_main_job import ROOT, LiveServer, add_class, idle, on_map, opened, table

pytestmark = pytest.mark.browser
SIDE = 512
NODES = """(pixels) => pixels.map(([row, col]) => {
    const { x, y } = clusternet.pixelToPoint(row, col);
    return clusternet.clusterAt(x, y);
})"""
EDITOR_AND_VIEWER = """
from django.contrib.auth.models import User
from webapp.models import Membership, Project
project = Project.objects.get()
for name, role in (("boris", "editor"), ("vera", "viewer")):
    Membership.objects.create(project=project, user=User.objects.get(username=name), role=role)
"""


class Together:
    """A server, and the pages of those who are at its one project."""

    def __init__(self, live: LiveServer, browser: Browser) -> None:
        self.live, self.browser = live, browser
        self.pages: dict[str, Page] = {}
        self.heard: dict[str, list[dict[str, Any]]] = {}
        self.said: dict[str, list[dict[str, Any]]] = {}
        self.trouble: list[str] = []
        self.places: list[tuple[int, int]] = []  # pixels in clusters of their own

    def manage(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        environment |= {"DATA_DIR": str(self.live.folder / "data")}
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def invite(self, name: str) -> str:
        found = re.search(r"http://\S+/enter/\S+", self.manage("invite", name))
        assert found
        return found[0]

    def new_page(self, name: str) -> Page:
        page = self.browser.new_context(viewport={"width": 1000, "height": 700}).new_page()
        page.on("pageerror", lambda error: self.trouble.append(f"{name}: {error}"))
        heard, said = self.heard.setdefault(name, []), self.said.setdefault(name, [])

        def listen(connection: WebSocket) -> None:
            note = lambda notes: lambda text: isinstance(text, str) and notes.append(json.loads(text))  # noqa: E731
            connection.on("framereceived", note(heard))
            connection.on("framesent", note(said))

        page.on("websocket", listen)
        self.pages[name] = page
        return page

    def edits(self) -> list[tuple[int, str, str]]:
        """Number, kind and client id of every edit in the log."""
        with sqlite3.connect(self.live.folder / "data" / "clusternet.sqlite3", timeout=20) as database:
            return database.execute(
                "SELECT number, kind, client_id FROM webapp_edit ORDER BY number"
            ).fetchall()

    def settle(self, afresh: bool = False) -> np.ndarray:
        """Wait until all pages have everything, and hold them equal to each other; ``afresh``: and to a page opened now."""
        for page in self.pages.values():
            idle(page)  # what they sent is in the log
        newest = max(number for number, *_ in self.edits())
        for page in self.pages.values():
            page.wait_for_function("(newest) => clusternet.state.number >= newest", arg=newest)
            idle(page)
        tables = [table(page) for page in self.pages.values()]
        for other in tables[1:]:
            np.testing.assert_array_equal(other, tables[0])
        if afresh:
            fresh = self.browser.new_context(
                storage_state=self.pages["ana"].context.storage_state()
            ).new_page()
            opened(fresh, self.pages["ana"].url)
            np.testing.assert_array_equal(table(fresh), tables[0])
            fresh.context.close()
        ids = [client_id for *_, client_id in self.edits() if client_id]
        assert len(ids) == len(set(ids))
        assert [number for number, *_ in self.edits()] == list(range(1, newest + 1))
        return tables[0]


def spots(page: Page, count: int) -> list[tuple[int, int]]:
    """Pixels in as many different clusters."""
    places = [(row, col) for row in range(40, SIDE - 40, 9) for col in range(40, SIDE - 40, 9)]
    # A mouse is at whole pixels of the screen: its click may hit the next pixel of the scene.
    around = [(0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)]
    pixels = [[row + down, col + right] for row, col in places for down, right in around]
    nodes = page.evaluate(NODES, pixels)
    found: dict[int, tuple[int, int]] = {}
    for n, place in enumerate(places):
        here = set(nodes[n * len(around) : (n + 1) * len(around)])
        if len(here) == 1 and None not in here:
            found.setdefault(here.pop(), place)
    assert len(found) >= count, f"There are not {count} clusters in view, only {len(found)}."
    return list(found.values())[:count]


def click(page: Page, place: tuple[int, int]) -> None:
    at = on_map(page, *place)
    page.mouse.click(at["x"], at["y"])


def choose(page: Page, name: str) -> None:
    rows = page.get_by_test_id("class-row")
    names = [rows.nth(n).get_by_test_id("class-name").input_value() for n in range(rows.count())]
    rows.nth(names.index(name)).get_by_test_id("class-select").click()


def class_at(page: Page, place: tuple[int, int]) -> int:
    point = page.evaluate("([row, col]) => clusternet.pixelToPoint(row, col)", list(place))
    return page.evaluate("({ x, y }) => clusternet.classAt(x, y).class", point)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Together]:
    folder = tmp_path_factory.mktemp("together")
    scene = write_scene(folder / "scene.tif", synthetic_scene(SIDE, SIDE, 3, seed=5)[0])
    live = LiveServer(folder, scene)
    link = live.start()
    all_of_them = Together(live, browser)
    try:
        ana = all_of_them.new_page("ana")
        opened(ana, link)
        ana.get_by_test_id("progress").wait_for(state="hidden", timeout=120_000)
        links = {name: all_of_them.invite(name) for name in ("boris", "vera")}
        all_of_them.manage("shell", "-c", EDITOR_AND_VIEWER)
        for name, enter in links.items():
            page = all_of_them.new_page(name)
            page.goto(enter)
            opened(page, ana.url)
        for page in all_of_them.pages.values():
            idle(page)
            page.evaluate("() => clusternet.goTo(256, 256, 1)")
            idle(page)
        add_class(ana, "Water")
        add_class(ana, "Forest")
        all_of_them.places = spots(ana, 24)
        yield all_of_them
        assert all_of_them.trouble == []
    finally:
        for page in all_of_them.pages.values():
            page.context.close()
        live.stop()


def test_all_see_edits_and_cursors_and_a_viewer_changes_nothing(together: Together) -> None:
    ana, boris, vera = (together.pages[name] for name in ("ana", "boris", "vera"))
    choose(ana, "Water")
    choose(boris, "Forest")
    first, second = together.places[:2]
    click(ana, first)
    click(boris, second)
    assert set(together.settle().tolist()) >= {1, 2}
    assert class_at(vera, first) == 1
    assert class_at(vera, second) == 2
    expect(vera.get_by_test_id("cursor").first).to_be_visible()
    expect(ana.get_by_test_id("person").filter(has_text="B").first).to_be_visible()

    before = together.edits()
    expect(vera.get_by_test_id("viewer-notice")).to_be_visible()
    click(vera, first)
    vera.keyboard.press("Control+z")
    expect(vera.get_by_test_id("undo")).to_be_disabled()
    together.settle()
    assert together.edits() == before


def test_a_race_ends_the_same_everywhere_and_the_loser_is_told(together: Together) -> None:
    ana, boris = together.pages["ana"], together.pages["boris"]
    place = together.places[2]
    number = max(number for number, *_ in together.edits())
    # Neither has heard of the other's: each lets a click go while nothing comes in between.
    at = {name: on_map(together.pages[name], *place) for name in ("ana", "boris")}
    for name, page in (("ana", ana), ("boris", boris)):
        page.mouse.move(at[name]["x"], at[name]["y"])
    for page in (ana, boris):
        page.mouse.down()
    for page in (ana, boris):
        page.mouse.up()
    for page in (ana, boris):
        page.wait_for_function("(number) => clusternet.state.number >= number", arg=number + 2)
    together.settle()
    seen = [said["seen"] for name in ("ana", "boris") for said in together.said[name] if "seen" in said][-2:]
    winner = class_at(ana, place)
    assert class_at(boris, place) == winner
    told = [event["lost"] for name in ("ana", "boris") for event in together.heard[name] if event.get("lost")]
    if len(told) == 0:  # the second click was made after its page had heard of the first: then nobody lost
        assert max(seen) > number
    else:
        loser = ana if winner == 2 else boris
        expect(
            loser.get_by_test_id("toast").filter(has_text=re.compile("ana|local|boris")).first
        ).to_be_visible()


def test_each_undoes_their_own_and_is_told_what_was_left(together: Together) -> None:
    ana, boris = together.pages["ana"], together.pages["boris"]
    mine, theirs = together.places[3:5]
    click(ana, mine)
    together.settle()
    click(boris, mine)  # over it, knowing of it
    click(boris, theirs)
    together.settle()
    ana.get_by_test_id("undo").click()
    expect(ana.get_by_test_id("toast").filter(has_text="boris").first).to_be_visible()
    together.settle()
    assert class_at(ana, mine) == 2
    assert class_at(ana, theirs) == 2
    boris.get_by_test_id("undo").click()
    together.settle()
    assert class_at(ana, theirs) == 0


def test_a_killed_server_loses_and_doubles_nothing(together: Together) -> None:
    ana, boris = together.pages["ana"], together.pages["boris"]
    places = together.places[5:17]
    before = len([kind for _, kind, _ in together.edits() if kind == "leaves.assign"])
    for n, place in enumerate(places):
        click(ana if n % 2 else boris, place)
        if n == 3:
            os.killpg(together.live.process.pid, signal.SIGKILL)
            together.live.process.wait()
        if n == 6:
            expect(ana.get_by_test_id("status-connection")).to_have_attribute("data-status", "offline")
            expect(ana.get_by_test_id("status-saved")).to_have_text(re.compile(r"\d changes? not saved yet"))
    together.live.start()
    for page in together.pages.values():
        page.evaluate("() => window.dispatchEvent(new Event('online'))")
        expect(page.get_by_test_id("status-connection")).to_have_attribute(
            "data-status", "online", timeout=60_000
        )
        expect(page.get_by_test_id("status-saved")).to_have_text("All changes saved", timeout=60_000)
    together.settle(afresh=True)
    assert len([kind for _, kind, _ in together.edits() if kind == "leaves.assign"]) == before + len(places)
    for n, place in enumerate(places):
        assert class_at(together.pages["vera"], place) == (1 if n % 2 else 2)


def test_who_was_offline_catches_up_and_their_edits_arrive(together: Together) -> None:
    ana, boris = together.pages["ana"], together.pages["boris"]
    theirs, mine = together.places[17:20], together.places[20:23]
    boris.context.set_offline(True)
    boris.evaluate("() => window.dispatchEvent(new Event('offline'))")
    expect(boris.get_by_test_id("status-connection")).to_have_attribute("data-status", "offline")
    for place in theirs:
        click(ana, place)
    for place in mine:
        click(boris, place)
    expect(boris.get_by_test_id("status-saved")).to_have_text("3 changes not saved yet")
    end = time.monotonic() + 6  # several pauses of the back-off
    while time.monotonic() < end:
        boris.wait_for_timeout(500)
    boris.context.set_offline(False)
    expect(boris.get_by_test_id("status-saved")).to_have_text("All changes saved", timeout=60_000)
    together.settle()
    assert [class_at(boris, place) for place in theirs] == [1, 1, 1]
    assert [class_at(ana, place) for place in mine] == [2, 2, 2]
