"""The map page on a large scene, in Chromium, by the page's own marks: how soon it shows something, how fast it reacts, what it holds.

    python benchmarks/page.py                       # 100 megapixels, made up and segmented the fast way
    python benchmarks/page.py --data FOLDER         # the folder of benchmarks/tiles.py, or one that is kept for the next run

A server and a browser of its own, on this machine alone. The window is so large that about a hundred leaf blocks are in view at
full resolution. The browser draws by processor where there is no graphics card (SwiftShader), so what a change costs is given as the
page's own work from input to the last drawing command; how long pixels then take is the graphics card's matter. The view is then
moved over the whole scene, several times, and after each round the memory of the tab's and the drawing process is read.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from serving import call
from tiles import our_servers, prepare, segmented

ARGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
USUAL = {"width": 1440, "height": 900}
WINDOW = {"width": 3900, "height": 3600}
PIXEL = 0.76  # screen pixels of one of the scene: just enough for full resolution
PATIENCE_MS = 180_000
STEPS = 20
CLICKS = 8
FRAME_MS = 1000 / 60

# What the page tells of its own work, by name, from now on.
LISTEN = """() => {
    window.heard = [];
    new PerformanceObserver((list) => {
        for (const { name, startTime, duration } of list.getEntries()) window.heard.push([name, startTime, duration]);
    }).observe({ entryTypes: ["measure"] });
}"""

COLORED = """() => {
    const colored = window.heard.findIndex(([name]) => name === "clusternet:colors");
    return colored >= 0 && window.heard.slice(colored).some(([name]) => name === "clusternet:draw");
}"""

# Turn the slider, and wait for the frame that shows it.
SLIDE = """async (position) => {
    window.heard = [];
    const frames = (count) => new Promise((resolve) => {
        const next = () => (count-- > 0 ? requestAnimationFrame(next) : resolve());
        next();
    });
    const slider = document.querySelector("[data-testid=granularity]");
    slider.value = position;
    const begin = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    const handled = performance.now() - begin;
    await frames(4);
    await new Promise((resolve) => setTimeout(resolve, 50)); // observers are told a little later
    return { handled, heard: window.heard };
}"""


@dataclass
class Reaction:
    """What one change cost the page, ms."""

    handling: float
    colors: float
    drawing: float
    frames: int  # in which anything was drawn

    @property
    def total(self) -> float:
        return self.handling + self.colors + self.drawing


def reaction(told: dict[str, Any]) -> Reaction:
    """From the measures up to the first frame drawn with the new colors."""
    colors = [(at, ms) for name, at, ms in told["heard"] if name == "clusternet:colors"]
    if not colors:
        raise SystemExit(f"The page did not color anew: {told}")
    draws = [(at, ms) for name, at, ms in told["heard"] if name == "clusternet:draw" and at >= colors[0][0]]
    clicks = [ms for name, _, ms in told["heard"] if name == "clusternet:click"]
    return Reaction(told.get("handled", sum(clicks)), colors[0][1], draws[0][1], len(draws))


def open_map(browser: Browser, server: Any, project: int, cookies: str) -> Page:
    context = browser.new_context(viewport=USUAL)
    for pair in cookies.split("; "):
        name, value = pair.split("=", 1)
        context.add_cookies([{"name": name, "value": value, "url": f"http://{server.address}"}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://{server.address}/projects/{project}/")
    page.wait_for_function("() => window.clusternet")
    page.evaluate("() => clusternet.whenIdle()")
    page.wait_for_function("() => performance.getEntriesByName('clusternet:first-imagery').length")
    return page


def mark(page: Page, name: str) -> float:
    return page.evaluate("(name) => performance.getEntriesByName(name)[0].startTime", f"clusternet:{name}")


def go(page: Page, row: float, col: float) -> None:
    page.evaluate("([row, col, pixel]) => clusternet.goTo(row, col, pixel)", [row, col, PIXEL])
    page.wait_for_timeout(150)  # the view must rest before blocks are asked for
    page.evaluate("() => clusternet.whenIdle()")


def slide(page: Page, position: int) -> dict[str, Any]:
    return page.evaluate(SLIDE, position)


def edits(page: Page, info: dict[str, Any]) -> list[Reaction]:
    """Give clusters to a class, each by a click on the map."""
    if not page.get_by_test_id("class-row").count():
        page.get_by_test_id("class-add-name").fill("Field")
        page.get_by_test_id("class-add").click()
    page.get_by_test_id("class-select").first.click()
    page.get_by_test_id("tool-pan").click()
    box = page.get_by_test_id("map").bounding_box()
    slide(page, 950)  # fine clusters: every click finds one that has no class yet
    found = []
    for number in range(CLICKS):
        x, y = box["width"] * (0.2 + 0.03 * number), box["height"] * (0.3 + 0.02 * (number % 7))
        # In a folder that was measured before, the cluster may have the class already: take it back first.
        page.keyboard.down("Shift")
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.keyboard.up("Shift")
        page.wait_for_timeout(1500)
        page.evaluate("() => (window.heard = [])")
        page.mouse.click(box["x"] + x, box["y"] + y)
        try:
            page.wait_for_function(COLORED, timeout=10_000)
        except PlaywrightTimeoutError:
            continue  # what was clicked holds no leaves
        page.wait_for_timeout(100)
        told = page.evaluate("() => ({ heard: window.heard })")
        found.append(reaction(told))
    if not found:
        raise SystemExit("No click changed the map.")
    return found


def memory(browser: Browser) -> dict[str, float]:
    """MiB that the tab's process and the drawing one hold."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    held: dict[str, float] = {}
    for process in told["processInfo"]:
        status = Path(f"/proc/{process['id']}/status")
        if process["type"] in ("renderer", "GPU") and status.exists():
            rss = int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024
            held[process["type"]] = max(held.get(process["type"], 0), rss)
    return held


def row(name: str, reactions: list[Reaction]) -> str:
    def cell(values: list[float]) -> str:
        return f"{np.median(values):.1f} / {max(values):.1f}"

    parts = [
        cell([getattr(each, part) for each in reactions])
        for part in ("handling", "colors", "drawing", "total")
    ]
    within = sum(each.total <= FRAME_MS for each in reactions)
    return f"| {name} | {' | '.join(parts)} | {max(each.frames for each in reactions)} | {within} of {len(reactions)} |"


def measure(folder: Path, rounds: int) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        raise SystemExit("There is no Chromium on this machine; install it first.")
    with our_servers(folder, 1) as (started, cookies), sync_playwright() as playwright:
        server = started[0]
        scene = call(server.address, cookies, "GET", "/api/scenes")[0]
        info = scene["info"]
        project, _ = segmented(server.address, cookies, scene["id"])
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        print("| page | first imagery, ms | first overlay, ms |")
        print("|---|---|---|")
        for name in ("opened the first time", "again"):
            page = open_map(browser, server, project, cookies)
            print(f"| {name} | {mark(page, 'first-imagery'):.0f} | {mark(page, 'first-overlay'):.0f} |")
            if name != "again":
                page.context.close()
        page.set_viewport_size(WINDOW)
        page.wait_for_function("() => document.querySelector('.cluster-canvas').clientWidth > 3000")
        page.evaluate(LISTEN)
        go(page, info["height"] / 2, info["width"] / 2)
        print(f"\n{page.evaluate('() => clusternet.blocksShown()')} blocks in view.\n")
        print(
            "| ms, median / longest | handling | colors | drawing commands | in all | frames drawn | within 16.7 ms |"
        )
        print("|---|---|---|---|---|---|---|")
        slides = [reaction(slide(page, 300 + 30 * number)) for number in range(STEPS)]
        print(row("granularity", slides))
        print(row("class of a cluster", edits(page, info)))
        print("\n| memory after | blocks held | MiB of ids | textures | tab, MiB | drawing process, MiB |")
        print("|---|---|---|---|---|---|")
        steps = [0.25, 0.75]
        for number in range(rounds + 1):
            held = page.evaluate("() => clusternet.blocksHeld()")
            used = memory(browser)
            name = "the first view" if number == 0 else f"round {number}"
            cells = [held["blocks"], f"{held['bytes'] / 2**20:.0f}", held["textures"]]
            print(
                "| "
                + " | ".join(map(str, [name, *cells, f"{used['renderer']:.0f}", f"{used['GPU']:.0f}"]))
                + " |"
            )
            if number < rounds:
                for down in steps:
                    for right in steps:
                        go(page, info["height"] * down, info["width"] * right)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder with the scene, kept for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.data or Path(temporary) / "data").resolve()
        prepare(folder, options.megapixels)
        measure(folder, options.rounds)


if __name__ == "__main__":
    main()
