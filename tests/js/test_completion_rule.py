"""The page and the export complete a map alike: static/js/model/completion.js and segmentation/completion.py."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Playwright

from segmentation.completion import completed_table
from tests.js.test_js_modules import CHROMIUM_ARGS, served

__all__ = ["served"]

ON_THE_PAGE = """async ([assigned, classes, certainty, thresholds]) => {
    const { completedTable } = await import("/static/js/model/completion.js");
    const palette = new Map(Array.from({ length: 256 }, (_, number) => [number, [0, 0, 0]]));
    const prediction = { classes: Uint8Array.from(classes), certainty: Uint8Array.from(certainty) };
    return thresholds.map((threshold) =>
        Array.from(completedTable(Uint8Array.from(assigned), prediction, { on: true, threshold }, palette)));
}"""


@pytest.mark.browser
def test_page_and_library_complete_a_map_alike(
    served: str, playwright: Playwright, chromium_path: str
) -> None:
    rng = np.random.default_rng(3)
    certainty = np.tile(np.arange(256, dtype=np.uint8), 8)
    assigned = rng.choice([0, 0, 0, 1, 250], len(certainty)).astype(np.uint8)
    classes = rng.integers(0, 251, len(certainty)).astype(np.uint8)
    # On the bytes themselves, where rounding would show, and anywhere.
    thresholds = [*(byte / 255 for byte in range(256)), *(step / 100 for step in range(101)), *rng.random(50)]
    browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGS)
    page = browser.new_page()
    page.goto(f"{served}/tests/js/browser.html")
    tables = [assigned.tolist(), classes.tolist(), certainty.tolist()]
    shown = page.evaluate(ON_THE_PAGE, [*tables, thresholds])
    browser.close()
    assert len(shown) == 407
    for threshold, table in zip(thresholds, shown, strict=True):
        expected = completed_table(assigned, classes, certainty, threshold)
        np.testing.assert_array_equal(table, expected, err_msg=f"at {threshold}")
