"""Default colors of classes, the same and in the same order as on the page (static/js/model/classes.js).

A test holds the two lists together.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["PALETTE", "next_colors"]

# Okabe and Ito (2008) without their black, then Tol (2021), "muted": see static/js/model/classes.js.
PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#332288",
    "#999933",
    "#882255",
    "#44aa99",
    "#ddcc77",
    "#117733",
    "#aa4499",
)


def next_colors(used: Iterable[str], count: int) -> list[str]:
    """The first ``count`` default colors that are not in use; round again once all are taken."""
    taken = {color.lower() for color in used}
    free = [color for color in PALETTE if color not in taken]
    return [free[i] if i < len(free) else PALETTE[(len(taken) + i) % len(PALETTE)] for i in range(count)]
