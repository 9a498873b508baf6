"""The map page draws: pixels of the cluster layer read back in real Chromium."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.map_fixture.driver import (
    COMPUTING,
    PIXELS,
    PLAIN,
    ROTATED,
    WORLDS,
    cluster_of,
    hex_rgba,
    tree,
)

pytestmark = pytest.mark.browser

ALPHA = (
    "(() => { const p = clusternet.pixelToPoint(100, 200); return clusternet.colorAt(p.x, p.y)[3] > 0; })()"
)


# On a turned grid the middle of the screen pixel under a scene pixel's center is up to half a diagonal away: from a
# size of 1.42 on it is inside of the scene pixel.
@pytest.mark.parametrize(
    ("number", "size"),
    [
        (PLAIN, 1),
        (PLAIN, 2.7),
        (PLAIN, 9),
        (ROTATED, 1.5),
        (ROTATED, 2.7),
        (ROTATED, 9),
        (PIXELS, 1),
        (PIXELS, 2.7),
        (PIXELS, 9),
    ],
)
def test_colors_and_leaves_are_exact_at_pixel_centers(map_page, number: int, size: float) -> None:
    page = map_page(number).open()
    page.cut(64)
    world, rgb = WORLDS[number], tree()[3]
    rng = np.random.default_rng(int(size * 10) + number)
    # Around a corner where four blocks meet, and anywhere else.
    for row, col in [
        (512, 512),
        (1024, 1024),
        (30, 70),
        (int(rng.integers(world.height)), int(rng.integers(world.width))),
    ]:
        page.go(row, col, size)
        reach = max(2, int(150 / size))
        offsets = rng.integers(-reach, reach, (16, 2))
        pixels = np.clip(np.array([row, col]) + offsets, 0, [world.height - 1, world.width - 1])
        shown = page.call(
            """(pixels) => {
                const points = pixels.map(([row, col]) => clusternet.pixelToPoint(row, col));
                const colors = clusternet.colorsAt(points);
                return points.map(({ x, y }, index) => [clusternet.leafAt(x, y), colors[index]]);
            }""",
            pixels.tolist(),
        )
        for (r, c), (leaf, color) in zip(pixels, shown, strict=True):
            true = int(world.leaves[r, c])
            if true == 65535:
                assert (leaf, color) == (None, [0, 0, 0, 0])
            else:
                assert leaf == true, (r, c)
                assert color == [*rgb[cluster_of(true, 64)].tolist(), 255], (r, c)


def test_every_level_is_drawn_when_zooming_out(map_page) -> None:
    page = map_page(ROTATED).open()
    levels = set()
    for size in (1, 0.6, 0.3, 0.15):
        page.go(550, 650, size)
        shown, wanted = page.call("[clusternet.blocksShown(), clusternet.blocksWanted()]")
        assert shown == wanted > 0
        levels.update(command["level"] for command in page.commands("blocks.want"))
        assert page.color(550, 650)[3] == 255
    assert levels == {0, 1, 2}


def test_imagery_and_overlay_stay_aligned_amid_a_zoom_animation(map_page) -> None:
    page = map_page(PLAIN).open()
    page.go(550, 650, 1)
    page.wait("[...document.querySelectorAll('.leaflet-tile-pane img')].every((image) => image.complete)")
    # Where pixel (500, 600) lies inside of one tile must not change while both are scaled. The transitions are stopped
    # at chosen times, so that a slow machine sees the same moments.
    places = page.call(
        """() => new Promise((resolve) => {
            const tile = document.querySelector('.leaflet-tile-pane img.leaflet-tile');
            const place = () => {
                const [box, map] = [tile, document.querySelector('[data-testid=map]')].map((e) => e.getBoundingClientRect());
                const { x, y } = clusternet.pixelToPoint(500, 600);
                return [(x + map.x - box.x) / box.width, (y + map.y - box.y) / box.height, box.width];
            };
            const before = place();
            new MutationObserver((_, observer) => {
                observer.disconnect();
                tile.getBoundingClientRect(); // starts the transitions
                const running = document.getAnimations();
                resolve([before, ...[0, 60, 130, 200, 249].map((time) => {
                    for (const animation of running) {
                        animation.pause();
                        animation.currentTime = time;
                    }
                    return place();
                })]);
            }).observe(document.querySelector('.leaflet-map-pane'), { attributes: true, attributeFilter: ['class'] });
            document.querySelector('[data-testid=zoom-in]').click();
        })"""
    )
    widths = [width for *_, width in places]
    assert widths[-1] > 1.8 * widths[0], "the tile did grow"
    assert sorted(widths) == widths
    for x, y, width in places:
        assert abs(x - places[0][0]) * width < 1.5  # CSS pixels
        assert abs(y - places[0][1]) * width < 1.5


def test_outlines_run_where_clusters_meet_across_blocks_too(map_page) -> None:
    page = map_page(PIXELS).open()
    page.cut(256)
    page.go(512, 512, 8)
    page.id("mode-outlines").click()
    world = WORLDS[PIXELS]
    page.idle()
    assert page.color(505, 505)[3] == 0  # inside of a cell
    # Cells are 20 pixels wide: a border runs between rows 519 and 520. Read the canvas next to it.
    box = page.point(519, 505)
    assert world.leaves[519, 505] != world.leaves[520, 505]
    edge = page.call("([x, y]) => clusternet.colorAt(x, y + 3.5)", [box["x"], box["y"]])
    assert edge[3] == 255
    # No false outline along the border between blocks, inside of one cell (row 511 | 512).
    assert world.leaves[511, 505] == world.leaves[512, 505]
    box = page.point(511, 505)
    assert page.call("([x, y]) => clusternet.colorAt(x, y + 3.5)", [box["x"], box["y"]])[3] == 0


def test_modes_show_classes_over_clusters(map_page) -> None:
    page = map_page(PIXELS).open()
    page.add_class("Water")
    page.go(300, 300, 4)
    page.click(300, 300)
    color = page.call("clusternet.state.classes[0].color")
    other = (340, 340)
    assert page.color(300, 300) == hex_rgba(color)
    assert page.color(*other)[3] == 255
    page.id("mode-classes").click()
    assert page.color(300, 300) == hex_rgba(color)
    assert page.color(*other) == [0, 0, 0, 0]
    expect(page.id("mode-classes")).to_have_attribute("aria-pressed", "true")


def test_blocks_appear_one_by_one_while_computing(map_page) -> None:
    page = map_page(COMPUTING).open(wait=False)
    page.wait("window.clusternet")
    page.call("clusternet.ready")
    expect(page.id("progress")).to_be_visible()
    expect(page.id("progress-text")).to_contain_text("Clustering the scene")
    # The view that fits the scene draws from patches before any overview block is whole.
    page.wait("clusternet.blocksShown() === 0 && " + ALPHA)
    assert page.color(1000, 1200)[3] == 0
    page.idle()
    assert page.color(1000, 1200)[3] > 0
    expect(page.id("progress")).to_be_hidden()


def test_a_lost_context_is_told_and_comes_back(map_page) -> None:
    page = map_page(PIXELS).open()
    page.go(300, 300, 4)
    before = page.color(300, 300)
    page.call(
        """() => {
            const gl = document.querySelector('.cluster-canvas').getContext('webgl2');
            window.lost = gl.getExtension('WEBGL_lose_context');
            window.lost.loseContext();
        }"""
    )
    expect(page.id("webgl-error")).to_contain_text("come back as soon as it returns")
    page.call("window.lost.restoreContext()")
    expect(page.id("webgl-error")).to_be_hidden()
    page.idle()
    assert page.color(300, 300) == before
    page.errors = [error for error in page.errors if "CONTEXT_LOST" not in error]


def test_without_webgl2_a_sentence_says_so_and_the_rest_works(map_page) -> None:
    page = map_page(PLAIN)
    page.page.add_init_script(
        """const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
            return kind === 'webgl2' ? null : real.call(this, kind, ...rest);
        };"""
    )
    page.open()
    expect(page.id("webgl-error")).to_contain_text("no WebGL2")
    page.add_class("Water")
    assert [label["name"] for label in page.call("clusternet.state.classes")] == ["Water"]
