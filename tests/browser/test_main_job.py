"""The whole job, as a person does it: the printed link, clusters, classes, undo, reload, download.

A real server on a real scene (the demo, a made-up one where there is no network), a real browser, and a check of the
download that shares no code with the export.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from segmentation import NODATA_LEAF, open_segmentation, transfer_classes
from segmentation.testing import synthetic_scene, write_scene
from tests.check_geojson import compare

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
STARTUP_S = 240  # the demo scene is fetched from its package


class LiveServer:
    """``manage.py run`` in a process of its own, on a free port of this machine."""

    def __init__(self, folder: Path, image: Path | None = None, **settings: str) -> None:
        self.folder = folder
        self.image = image
        self.settings = {"LEARNING": "manual", **settings}  # a test that wants the server to learn says so
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> str:
        """Start it; the link that it prints."""
        command = [sys.executable, str(ROOT / "manage.py"), "run", "--no-browser"]
        if self.image is not None:
            command += ["--image", str(self.image)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        environment |= {
            "DATA_DIR": str(self.folder / "data"),
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }
        self.log = self.folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + STARTUP_S
        while time.monotonic() < deadline:
            found = re.search(r"http://\S+/enter/\S+", self.log.read_text())
            if found:
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        pytest.fail(f"The server printed no link:\n{self.log.read_text()}")

    def stop(self) -> None:
        """Stop it as Ctrl+C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def store(self) -> Path:
        """The first segmentation's store."""
        return min((self.folder / "data" / "segmentations").glob("*.zarr"), key=lambda path: int(path.stem))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = LiveServer(tmp_path_factory.mktemp("server"))
    live.link = live.start()
    yield live
    live.stop()


def gone(group: int, seconds: float = 20) -> bool:
    """Whether a process group ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def on_map(page: Page, row: int, col: int) -> dict[str, float]:
    """Where a pixel of the scene is in the window."""
    box = page.get_by_test_id("map").bounding_box()
    point = page.evaluate("([row, col]) => clusternet.pixelToPoint(row, col)", [row, col])
    return {
        "x": box["x"] + point["x"],
        "y": box["y"] + point["y"],
        **{f"map_{k}": v for k, v in point.items()},
    }


def opened(page: Page, link: str) -> None:
    """Open the map page and wait until state and tree are there."""
    page.goto(link)
    page.wait_for_function("() => window.clusternet")
    page.evaluate("() => clusternet.ready")


def beside(page: Page) -> Page:
    """Another page of the same person, in a window of its own: Chromium slows down the tabs that lie behind."""
    browser = page.context.browser
    assert browser
    return browser.new_context(storage_state=page.context.storage_state()).new_page()


def two_pages(page: Page, link: str, trouble: list[str], width: int, height: int) -> Page:
    """Open a map that is computed here and in a second window, which is returned; errors of both go to ``trouble``."""
    opened(page, link)
    second = beside(page)
    for each in (page, second):
        each.on("pageerror", lambda error: trouble.append(str(error)))
        each.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.get_by_test_id("progress").wait_for(state="hidden", timeout=120_000)
    opened(second, page.url)
    for each in (page, second):
        each.set_viewport_size({"width": width, "height": height})
        idle(each)
    return second


def idle(page: Page) -> None:
    page.evaluate("() => clusternet.whenIdle()")


def table(page: Page) -> np.ndarray:
    return np.array(page.evaluate("() => clusternet.state.table"), np.uint8)


def add_class(page: Page, name: str) -> None:
    before = page.get_by_test_id("class-row").count()
    page.get_by_test_id("class-add-name").fill(name)
    page.get_by_test_id("class-add").click()
    expect(page.get_by_test_id("class-row")).to_have_count(before + 1)
    idle(page)


def pixels_of_three_clusters(page: Page, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Visible pixels in three large clusters, each well inside."""
    rng = np.random.default_rng(0)
    found: dict[int, tuple[int, int]] = {}
    for _ in range(400):
        row, col = (
            int(rng.integers(shape[0] // 4, shape[0] * 3 // 4)),
            int(rng.integers(shape[1] // 4, shape[1] * 3 // 4)),
        )
        points = [on_map(page, row + dr, col + dc) for dr, dc in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))]
        nodes = {
            page.evaluate("([x, y]) => clusternet.clusterAt(x, y)", [p["map_x"], p["map_y"]]) for p in points
        }
        if len(nodes) == 1 and None not in nodes:
            found.setdefault(nodes.pop(), (row, col))
        if len(found) == 3:
            return list(found.values())
    pytest.fail("There are no three clusters in view.")


def test_the_whole_job(server, page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)

    # The link signs in and opens the project; the first clusters come by themselves.
    opened(page, server.link)
    expect(page).to_have_url(re.compile(r"/projects/\d+/$"))
    page.wait_for_function("() => clusternet.blocksShown() > 0", timeout=120_000)
    page.get_by_test_id("progress").wait_for(state="hidden", timeout=120_000)
    idle(page)
    segmentation = open_segmentation(server.store())
    assert segmentation.complete

    # The slider moves the cut at once, and asks the server nothing.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = page.evaluate("() => clusternet.state.cut")
    slider = page.get_by_test_id("granularity")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowLeft")
    cut = page.evaluate("() => clusternet.state.cut")
    assert 2 <= cut < before
    # imagery, and the areas that grew while blocks came, arrive in their own time
    assert [url for url in asked if "/tiles/" not in url and "/statistics" not in url] == []
    assert str(cut) in page.get_by_test_id("granularity-value").text_content()

    # Three clusters into two classes.
    add_class(page, "Water")
    add_class(page, "Forest")
    places = pixels_of_three_clusters(page, segmentation.shape)
    clusters = segmentation.tree.clusters_at(cut)
    expected = np.zeros(segmentation.n_leaves, np.uint8)
    for number, (row, col) in zip((1, 2, 2), places, strict=True):
        page.keyboard.press(str(number))
        point = on_map(page, row, col)
        page.mouse.click(point["x"], point["y"])
        idle(page)
        expected[clusters == clusters[segmentation.leaf_at(row, col)]] = number
        np.testing.assert_array_equal(table(page), expected)
    assert len(np.unique(clusters[expected > 0])) == 3

    # Pixels read back from the canvas: the color of the class, or nothing, exactly.
    page.get_by_test_id("mode-classes").click()
    page.get_by_test_id("opacity").fill("100")
    colors = {
        entry["number"]: tuple(int(entry["color"][i : i + 2], 16) for i in (1, 3, 5))
        for entry in page.evaluate("() => clusternet.state.classes")
    }
    leaves = segmentation.leaves[:]
    rng = np.random.default_rng(1)
    seen = set()
    for row, col in places:
        page.evaluate("([row, col]) => clusternet.goTo(row, col, 4)", [row, col])
        idle(page)
        near_rows = np.clip(row + rng.integers(-60, 61, 60), 0, leaves.shape[0] - 1).tolist()
        near_cols = np.clip(col + rng.integers(-90, 91, 60), 0, leaves.shape[1] - 1).tolist()
        near = list(zip(near_rows, near_cols, strict=True))
        colors_there = page.evaluate(
            "(pixels) => clusternet.colorsAt(pixels.map(([row, col]) => clusternet.pixelToPoint(row, col)))",
            near,
        )
        for (near_row, near_col), shown in zip(near, colors_there, strict=True):
            leaf = leaves[near_row, near_col]
            number = 0 if leaf == NODATA_LEAF else int(expected[leaf])
            seen.add(number)
            if number:
                assert tuple(shown) == (*colors[number], 255)
            else:
                assert shown[3] == 0
    assert {1, 2} <= seen

    # What was done is saved: another page of the same person shows it, and so does a reload.
    page.reload()
    page.wait_for_function("() => window.clusternet")
    idle(page)
    np.testing.assert_array_equal(table(page), expected)
    expect(page.get_by_test_id("class-row")).to_have_count(2)
    for number in (1, 2):
        row = page.locator(f'[data-testid="class-row"][data-class="{number}"]')
        expect(row.get_by_test_id("class-area")).to_have_text(re.compile(r"[1-9].* ha"))
        expect(row.get_by_test_id("class-share")).to_have_text(re.compile(r"[1-9]"))
    expect(page.get_by_test_id("unlabelled-share")).to_have_text(re.compile(r"[1-9].*%"))

    # Undo and redo.
    last = clusters == clusters[segmentation.leaf_at(*places[2])]
    page.get_by_test_id("map").click(position={"x": 5, "y": 5}, modifiers=["Alt"], trial=True)
    page.keyboard.press("Control+z")
    idle(page)
    undone = np.where(last, 0, expected)
    np.testing.assert_array_equal(table(page), undone)
    page.keyboard.press("Control+Shift+Z")
    idle(page)
    np.testing.assert_array_equal(table(page), expected)

    # The picture in the README.
    page.get_by_test_id("opacity").fill("70")
    page.mouse.move(*(on_map(page, *places[0])[axis] for axis in ("x", "y")))
    page.wait_for_timeout(600)
    pictures = ROOT / "test-results"
    pictures.mkdir(exist_ok=True)
    page.screenshot(path=pictures / "map.png")

    # The download covers exactly the classified pixels.
    with page.expect_download() as download:
        page.get_by_test_id("download-geojson").click()
    file = tmp_path / "map.geojson"
    download.value.save_as(file)
    assert download.value.suggested_filename.endswith(".geojson")
    collection = json.loads(file.read_text())
    assert {feature["properties"]["class"] for feature in collection["features"]} == {"Water", "Forest"}
    class_map = np.append(expected, 0)[np.minimum(leaves, len(expected))]
    compare(collection, class_map, segmentation.georeference.transform, segmentation.georeference.crs)
    assert trouble == []


def test_state_survives_a_restart_of_the_server(server, page: Page) -> None:
    server.stop()
    opened(page, server.start())
    add_class(page, "Kept")
    page.keyboard.press("Control+z")
    idle(page)
    add_class(page, "Lasting")
    (place, *_) = pixels_of_three_clusters(page, open_segmentation(server.store()).shape)
    point = on_map(page, *place)
    page.mouse.click(point["x"], point["y"])
    idle(page)
    before = page.evaluate(
        "() => [clusternet.state.classes, clusternet.state.table, clusternet.state.number]"
    )
    assert "Lasting" in [entry["name"] for entry in before[0]]
    server.stop()
    opened(page, server.start())
    after = page.evaluate("() => [clusternet.state.classes, clusternet.state.table, clusternet.state.number]")
    assert after == before


def test_an_area_of_interest_bounds_segmentation_areas_and_download(
    server, page: Page, tmp_path: Path
) -> None:
    server.stop()
    opened(page, server.start())
    idle(page)
    names = [entry["name"] for entry in page.evaluate("() => clusternet.state.classes")]
    old = open_segmentation(server.store())
    height, width = old.shape
    add_class(page, "Everything here")
    number = page.evaluate("() => clusternet.state.classes.at(-1).number")
    page.locator(f'[data-testid="class-row"][data-class="{number}"]').get_by_test_id("class-select").click()
    (place, *_) = pixels_of_three_clusters(page, old.shape)
    point = on_map(page, *place)
    page.mouse.click(point["x"], point["y"])
    idle(page)
    assigned = table(page)
    assert assigned[old.leaf_at(*place)] == number

    # A quarter of the scene, from a file.
    lons, lats = old.georeference.to_lonlat(
        np.array([0, 1, 1, 0, 0]) * width / 2, np.array([0, 0, 1, 1, 0]) * height / 2
    )
    ring = [[float(lon), float(lat)] for lon, lat in zip(lons, lats, strict=True)]
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    page.get_by_test_id("area-of-interest").click()
    page.get_by_test_id("aoi-upload").set_input_files(area)
    expect(page.get_by_test_id("aoi-clear")).to_be_enabled()
    idle(page)

    # A new segmentation keeps to it, is offered, and takes the classes over.
    page.get_by_test_id("segmentations").click()
    page.get_by_test_id("segmentation-new").click()
    page.get_by_test_id("segmentation-submit").click()
    page.get_by_test_id("segmentation-offer").wait_for(timeout=120_000)
    page.get_by_test_id("segmentation-offer-adopt").click()
    expect(page.get_by_test_id("segmentation-offer")).to_be_hidden(timeout=60_000)
    idle(page)
    stores = sorted(server.store().parent.glob("*.zarr"), key=lambda path: int(path.stem))
    new = open_segmentation(stores[-1])
    valid = new.valid[:]
    inside = np.zeros(valid.shape, bool)
    inside[: height // 2, : width // 2] = True
    assert (
        valid == inside
    ).mean() > 0.999  # straight edges in longitude and latitude are not quite so on the grid
    carried = table(page)
    assert len(carried) == new.n_leaves
    np.testing.assert_array_equal(carried, transfer_classes(old, assigned, new))
    with page.expect_download() as download:
        page.get_by_test_id("download-geojson").click()
    download.value.save_as(tmp_path / "part.geojson")
    class_map = np.where(valid, np.append(carried, 0)[np.minimum(new.leaves[:], new.n_leaves)], 0)
    compare(tmp_path / "part.geojson", class_map, new.georeference.transform, new.georeference.crs)
    assert class_map.any()

    # Undoing the adoption brings the old one back, with its classes.
    page.keyboard.press("Control+z")
    idle(page)
    assert len(table(page)) == old.n_leaves
    assert names == [entry["name"] for entry in page.evaluate("() => clusternet.state.classes")][: len(names)]


def test_ctrl_c_in_a_terminal_ends_it_without_a_traceback(tmp_path: Path, page: Page) -> None:
    image = write_scene(tmp_path / "small.tif", synthetic_scene(600, 600, 3, seed=2)[0])
    live = LiveServer(tmp_path, image)
    opened(page, live.start())
    page.wait_for_function("() => clusternet.blocksShown() > 0", timeout=120_000)
    os.killpg(live.process.pid, signal.SIGINT)  # the terminal sends it to the whole group, workers too
    assert live.process.wait(30) in (0, -signal.SIGINT)
    assert "Traceback" not in live.log.read_text(), live.log.read_text()
    assert "WARNING" not in live.log.read_text()
    assert gone(live.process.pid)  # nobody of the group is left, once Python's own helpers noticed


def test_a_link_works_once(server, page: Page, browser) -> None:
    server.stop()
    link = server.start()
    opened(page, link)
    stranger = browser.new_context().new_page()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="This link no longer works")).to_be_visible()
    stranger.goto(page.url)
    expect(stranger).to_have_url(re.compile("/accounts/login/"))
    stranger.context.close()


def test_first_blocks_are_on_the_map_before_half_of_them_exist(tmp_path: Path, page: Page) -> None:
    side = 6_000  # 144 blocks
    pixels, _ = synthetic_scene(1_000, 1_000, 3, seed=4)
    image = write_scene(tmp_path / "large.tif", np.tile(pixels, (1, side // 1_000, side // 1_000)))
    live = LiveServer(tmp_path, image)
    try:
        opened(page, live.start())
        # The page notes when the first part of the overlay is drawn; here in the overview of the whole scene.
        page.wait_for_function(
            "() => performance.getEntriesByName('clusternet:first-overlay').length > 0", timeout=120_000
        )
        written = len(list(live.store().glob("leaves/0/c/*/*")))
        assert written < (side / 512) ** 2 / 2
        expect(page.get_by_test_id("progress")).to_be_visible()
        # and the rest of the page can be used meanwhile
        add_class(page, "Fields")
    finally:
        live.stop()
