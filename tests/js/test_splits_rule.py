"""The page and the server mean the same leaves: static/js/model/splits.js and webapp/editing/refinements.py."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Playwright

from tests.js.test_js_modules import CHROMIUM_ARGS, served
from webapp.editing.refinements import FIRST_CHILD, LeafSplit, Refinement

__all__ = ["served"]

N = 40
ON_THE_PAGE = """async (cases) => {
    const { extendTable, painted } = await import("/static/js/model/splits.js");
    return cases.map(({ table, leaves, changes }) => {
        const splits = { version: 0, leaves, clusters: [] };
        const full = extendTable(Uint8Array.from(table), splits);
        return [Array.from(full), Array.from(painted(full, changes, splits))];
    });
}"""


def random_refinement(rng: np.random.Generator) -> Refinement:
    """Splits of leaves and of children, a good part of them undone."""
    refinement = Refinement(N)
    first = FIRST_CHILD
    for number in range(int(rng.integers(0, 9))):
        holders = {split.parent for split in refinement.live_splits}
        parents = [leaf for leaf in [*range(N), *refinement.live_children] if leaf not in holders]
        n = int(rng.integers(2, 5))
        parent = int(rng.choice(parents))
        refinement = refinement.with_split(LeafSplit(number, parent, first, n, "", changed=number))
        first += n
        if rng.random() < 0.5:
            refinement = refinement.toggled(
                int(rng.integers(number + 1)), number, live=bool(rng.random() < 0.3)
            )
    return refinement


@pytest.mark.browser
def test_page_and_server_paint_the_same_leaves(
    served: str, playwright: Playwright, chromium_path: str
) -> None:
    rng = np.random.default_rng(4)
    cases, expected = [], []
    for _ in range(60):
        refinement = random_refinement(rng)
        table = rng.integers(0, 4, N).astype(np.uint8)
        full = refinement.extend(table)
        changes = []
        shown = full.copy()
        for _ in range(4):
            low = int(rng.integers(0, N))
            pair = [low, int(rng.integers(low + 1, N + 1))]
            if refinement.leaf_splits and rng.random() < 0.5:
                child = int(rng.integers(FIRST_CHILD, refinement.size))
                pair = [child, int(rng.integers(child + 1, refinement.size + 1))]
            number = int(rng.integers(0, 5))
            refinement.paint(shown, [pair], number)
            changes.append([*pair, number])
        live = set(refinement.live_splits)
        leaves = [[s.parent, s.first, s.n, int(s in live), int(s.apart)] for s in refinement.leaf_splits]
        cases.append({"table": table.tolist(), "leaves": leaves, "changes": changes})
        expected.append((full, shown))
    assert sum(bool(case["leaves"]) for case in cases) > 30
    browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGS)
    page = browser.new_page()
    page.goto(f"{served}/tests/js/browser.html")
    answers = page.evaluate(ON_THE_PAGE, cases)
    browser.close()
    for (full, shown), (page_full, page_shown) in zip(expected, answers, strict=True):
        np.testing.assert_array_equal(page_full, full)
        np.testing.assert_array_equal(page_shown, shown)
