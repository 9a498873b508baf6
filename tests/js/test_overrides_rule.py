"""The page and the server agree on what a class number shows as: static/js/model/overrides.js and webapp/editing/edits.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from playwright.sync_api import Playwright

from tests.js.test_js_modules import CHROMIUM_ARGS, served
from webapp.editing.edits import MERGE, LabelState, ProjectState, apply_edit, class_lookup

__all__ = ["served"]

ON_THE_PAGE = """async (lists) => {
    const { shownClasses } = await import("/static/js/model/overrides.js");
    return lists.map((classes) => Array.from(shownClasses(classes)));
}"""


def random_classes(seed: int) -> dict[int, LabelState]:
    """Classes of which some were deleted, and some merged, in any order."""
    random = np.random.default_rng(seed)
    numbers = random.choice(np.arange(1, 251), 40, replace=False).tolist()
    state = ProjectState(classes={n: LabelState(n, f"c{n}", "#000000", n) for n in numbers})
    for _ in range(30):
        if random.random() < 0.3:
            apply_edit(state, "class.delete", {"class": int(random.choice(numbers))})
        else:
            *sources, target = random.choice(numbers, 3, replace=False).tolist()
            apply_edit(state, MERGE, {"sources": sources, "target": target})
    return state.classes


@pytest.mark.browser
def test_page_and_server_show_classes_alike(served: str, playwright: Playwright, chromium_path: str) -> None:
    lists = [random_classes(seed) for seed in range(20)]
    browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGS)
    page = browser.new_page()
    page.goto(f"{served}/tests/js/browser.html")
    shown = page.evaluate(
        ON_THE_PAGE, [[dataclasses.asdict(label) for label in classes.values()] for classes in lists]
    )
    browser.close()
    for classes, table in zip(lists, shown, strict=True):
        assert table == class_lookup(classes.values()).tolist()
    assert any(number not in (0, value) for table in shown for value, number in enumerate(table))
