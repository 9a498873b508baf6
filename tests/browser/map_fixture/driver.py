"""What the tests of the map page do on it, and what they know about the fixture's clusters."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page, expect

from tests.browser.map_fixture.world import N_LEAVES, World, tree_bytes

PLAIN, ROTATED, PIXELS, COMPUTING = 1, 2, 3, 4
WORLDS = {PLAIN: World(1, "plain"), ROTATED: World(2, "rotated"), PIXELS: World(3, "pixels")}
PATIENCE_MS = 30_000  # for what happens in a moment on an idle machine
# A script that notes the middle pixel of every frame that the layer draws, before the browser composes it.
WATCH_FRAMES = """
    window.framesSeen = [];
    const clear = WebGL2RenderingContext.prototype.clear;
    WebGL2RenderingContext.prototype.clear = function (bits) {
        clear.call(this, bits);
        queueMicrotask(() => {
            const pixel = new Uint8Array(4);
            const { drawingBufferWidth: width, drawingBufferHeight: height } = this;
            this.readPixels(width >> 1, height >> 1, 1, 1, this.RGBA, this.UNSIGNED_BYTE, pixel);
            window.framesSeen.push([...pixel].join());
        });
    };
"""


class MapPage:
    """The page with what tests do on it."""

    def __init__(self, page: Page, server: str, number: int) -> None:
        self.page, self.server, self.number = page, server, number
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))

    def control(self, action: str, value: Any = None) -> None:
        data = json.dumps(value).encode()
        request = urllib.request.Request(f"{self.server}/control/{self.number}/{action}", data, method="POST")
        urllib.request.urlopen(request).close()

    def commands(self, kind: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.server}/control/{self.number}/commands") as response:
            return [command for command in json.load(response) if command["type"] == kind]

    def open(self, wait: bool = True) -> MapPage:
        self.page.goto(f"{self.server}/projects/{self.number}/")
        if wait:
            self.wait("window.clusternet")
            self.idle()
        return self

    def call(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(expression, argument)

    def wait(self, condition: str) -> None:
        """Until an expression is true. Playwright's own wait_for_function evals strings, which the page's policy forbids."""
        self.call(
            f"""(async () => {{
                const end = Date.now() + {PATIENCE_MS};
                while (!({condition})) {{
                    if (Date.now() > end) throw new Error("not true in time: " + {json.dumps(condition)});
                    await new Promise(requestAnimationFrame);
                }}
            }})()"""
        )

    def idle(self) -> None:
        late = f"new Promise((_, fail) => setTimeout(() => fail(new Error('the page does not come to rest')), {PATIENCE_MS}))"
        self.call(f"Promise.race([clusternet.whenIdle(), {late}])")

    def in_the_middle(self, row: int, col: int) -> None:
        """Wait until a pixel has come to the middle of the map, within 3 CSS pixels."""
        middle = "(() => { const box = document.querySelector('[data-testid=map]').getBoundingClientRect();"
        away = f"const at = clusternet.pixelToPoint({row}, {col});"
        self.wait(
            f"{middle} {away} return Math.hypot(at.x - box.width / 2, at.y - box.height / 2) < 3; }})()"
        )

    def id(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    def go(self, row: float, col: float, size: float) -> None:
        self.call("([row, col, size]) => clusternet.goTo(row, col, size)", [row, col, size])
        self.idle()

    def point(self, row: int, col: int) -> dict[str, float]:
        return self.call("([row, col]) => clusternet.pixelToPoint(row, col)", [row, col])

    def on_screen(self, row: int, col: int) -> tuple[float, float]:
        box = self.id("map").bounding_box()
        assert box
        point = self.point(row, col)
        return box["x"] + point["x"], box["y"] + point["y"]

    def click(self, row: int, col: int, *modifiers: str) -> None:
        x, y = self.on_screen(row, col)
        for key in modifiers:
            self.page.keyboard.down(key)
        self.page.mouse.click(x, y)
        for key in modifiers:
            self.page.keyboard.up(key)
        self.idle()

    def color(self, row: int, col: int) -> list[int]:
        return self.call(
            "([row, col]) => { const p = clusternet.pixelToPoint(row, col); return clusternet.colorAt(p.x, p.y); }",
            [row, col],
        )

    def colors(self, pixels: list[list[int]]) -> list[list[int]]:
        return self.call(
            "(pixels) => clusternet.colorsAt(pixels.map(([row, col]) => clusternet.pixelToPoint(row, col)))",
            pixels,
        )

    def cut(self, clusters: int) -> None:
        """Move the slider until it shows a cut."""
        highest = 256
        position = round(1000 * np.log(clusters / 2) / np.log(highest / 2))
        self.id("granularity").fill(str(position))
        expect(self.id("granularity-value")).to_have_text(str(clusters))

    def add_class(self, name: str) -> None:
        self.id("class-add-name").fill(name)
        self.id("class-add").click()
        expect(self.id("class-row").last.get_by_test_id("class-name")).to_have_value(name)
        self.idle()

    def table(self) -> list[int]:
        return self.call("clusternet.state.table")


def tree() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = tree_bytes()
    nodes = 2 * N_LEAVES - 1
    parent, low, high = np.frombuffer(data, "<u4", 3 * nodes, 8).reshape(3, nodes)
    return parent, low, high, np.frombuffer(data, "u1", 3 * nodes, 8 + 12 * nodes).reshape(nodes, 3)


def cluster_of(leaf: int, cut: int) -> int:
    """The protocol's rule, climbing from the leaf."""
    parent = tree()[0]
    node = int(leaf)
    while parent[node] < 2 * N_LEAVES - cut and parent[node] != node:
        node = int(parent[node])
    return node


def hex_rgba(color: str) -> list[int]:
    return [*bytes.fromhex(color[1:]), 255]
