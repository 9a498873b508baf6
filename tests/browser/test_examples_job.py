"""Examples on the real server: strokes teach the decoder, training data comes in and goes out as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path

import pyproj
import pytest
from affine import Affine
from playwright.sync_api import Page, expect

from segmentation.testing import synthetic_scene, write_scene
from tests.browser.test_main_job import LiveServer, on_map, opened

pytestmark = pytest.mark.browser

GRID = Affine(10, 0, 600_000, 0, -10, 5_100_000)  # of EPSG:32633
PATIENCE_MS = 120_000


def lonlat(row: float, col: float) -> list[float]:
    to_lonlat = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    return list(to_lonlat.transform(*(GRID * (col, row))))


def stroke(page: Page, start: tuple[int, int], end: tuple[int, int]) -> None:
    first, last = on_map(page, *start), on_map(page, *end)
    page.mouse.move(first["x"], first["y"])
    page.mouse.down()
    page.mouse.move(last["x"], last["y"], steps=8)
    page.mouse.up()
    page.evaluate("() => clusternet.whenIdle()")


def test_strokes_and_training_data_make_the_map(tmp_path: Path, page: Page) -> None:
    image = write_scene(
        tmp_path / "small.tif", synthetic_scene(600, 600, 3, seed=2)[0], crs="EPSG:32633", transform=GRID
    )
    server = LiveServer(tmp_path, image)
    try:
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        opened(page, server.start())
        page.wait_for_function("() => clusternet.blocksShown() > 0")
        page.get_by_test_id("legend-open").click()
        page.get_by_test_id("legend-load").click()
        expect(page.get_by_test_id("class-row")).to_have_count(11)
        page.get_by_test_id("tool-stroke").click()
        stroke(page, (150, 150), (150, 260))
        page.keyboard.press("2")
        stroke(page, (420, 300), (420, 450))
        page.wait_for_function("() => clusternet.state.prediction?.number > 3")
        assert set(page.evaluate("() => clusternet.state.table")) == {0}, "strokes assign nothing"

        ring = [lonlat(*at) for at in ((300, 60), (300, 160), (380, 160), (380, 60), (300, 60))]
        polygon = {
            "type": "Feature",
            "properties": {"cover": "Salt", "zone": 7},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        training = tmp_path / "training.geojson"
        training.write_text(json.dumps({"type": "FeatureCollection", "features": [polygon]}))
        page.get_by_test_id("examples-open").click()
        page.get_by_test_id("examples-import").set_input_files(training)
        expect(page.get_by_test_id("import-error")).to_contain_text("choose the one that holds it")
        page.get_by_test_id("import-field").select_option("cover")
        expect(page.get_by_test_id("import-class")).to_contain_text("Salt")
        before = page.evaluate("() => clusternet.state.number")
        page.get_by_test_id("import-submit").click()
        expect(page.get_by_test_id("class-row")).to_have_count(12)
        expect(page.get_by_test_id("example-row")).to_have_count(3)
        page.wait_for_function(f"() => clusternet.state.prediction?.number > {before}")

        with page.expect_download() as download:
            page.get_by_test_id("examples-export").click()
        assert download.value.suggested_filename.endswith("-examples.geojson")
        features = json.loads(Path(download.value.path()).read_text())["features"]
        kinds = [
            (one["properties"]["class"], one["properties"]["kind"], one["geometry"]["type"])
            for one in features
        ]
        assert kinds == [
            ("Tree cover", "stroke", "MultiPoint"), ("Shrubland", "stroke", "MultiPoint"), ("Salt", "import", "MultiPoint")
        ]  # fmt: skip
        salt = features[2]["geometry"]["coordinates"]
        assert len(salt) == 25
        (west, north), (east, south) = lonlat(300, 60), lonlat(380, 160)
        assert all(west < lon < east and south < lat < north for lon, lat in salt)

        page.keyboard.press("Control+z")
        expect(page.get_by_test_id("class-row")).to_have_count(11)
        expect(page.get_by_test_id("example-row")).to_have_count(2)
    finally:
        expect.set_options(timeout=5000)
        server.stop()
