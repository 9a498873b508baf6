"""Places to click next, as the fixture's server gives them: fixed ones, without those whose leaf has a class."""

from __future__ import annotations

from typing import Any

from tests.browser.map_fixture.project import Project
from tests.browser.map_fixture.world import CELL

# Pixels in the middle of a square of one leaf, on both sides of block borders.
PLACES = ((310, 310), (90, 1210), (610, 450), (1030, 70), (870, 1010), (490, 730), (210, 630))


def suggestions_answer(project: Project, count: int) -> dict[str, Any]:
    """What GET /api/projects/<id>/suggestions answers."""
    world = project.world
    live = [label["number"] for label in project.classes if not label["deleted"]]
    found = []
    for index, (row, col) in enumerate(PLACES):
        if project.table[world.leaves[row, col]]:
            continue
        row0, col0 = min(max(row - 40, 0), world.height - 80), min(max(col - 40, 0), world.width - 80)
        found.append(
            {
                "row": row,
                "col": col,
                "bounds": [row0, col0, row0 + 80, col0 + 80],
                "area_px": CELL * CELL,
                "certainty": round(0.41 + 0.05 * index, 2) if live else 0,
                "class": live[index % len(live)] if live else None,
            }
        )
    return {"number": project.number, "suggestions": found[:count]}
