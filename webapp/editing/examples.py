"""The examples of a project: pixels of which people said what they are, as a pure fold of its live edits.

A click that assigns leaves is an example of its class at its pixel, and ``examples.add`` brings more. Which earlier clicks
an edit stands in for (those in the same leaf) is written into the edit when it is made, as ``supersedes``: the
fold needs no raster, and gives the same examples on every segmentation of the scene.

The log of a project is kept from one call to the next, and only what is newer is read: the payload of an assignment may
hold thousands of ranges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from segmentation.errors import StoreError
from segmentation.pyramid import NODATA_LEAF
from webapp.editing.edits import LEAF_SPLIT, merge_ranges
from webapp.editing.leaves import leaves_key, open_leaves
from webapp.editing.liveness import RESTORE, TOGGLES, Flips, flips_of
from webapp.models import Edit, Project

__all__ = [
    "EXAMPLE_KINDS",
    "MAX_EXAMPLES",
    "MAX_POINTS",
    "Example",
    "ExampleEdit",
    "Point",
    "fold_examples",
    "forget_examples",
    "live_examples",
    "of_shown",
    "read_log",
    "shown_classes",
    "superseded_by",
]

MAX_POINTS = 2_000  # of one edit
MAX_EXAMPLES = 20_000  # pixels of a project: the decoder learns from all of them at every click

# A split of a leaf for a clicked class is a click that assigns its child.
EXAMPLE_KINDS = frozenset({"leaves.assign", "leaves.unassign", LEAF_SPLIT, "examples.add", "examples.remove"})

Point = tuple[int, int]  # row, col
Ranges = Sequence[Sequence[int]]


class Example(NamedTuple):
    """One pixel of which somebody said that it is, or is not, of a class."""

    number: int  # of the edit that says so
    row: int
    col: int
    class_number: int
    against: bool = False


class ExampleEdit(NamedTuple):
    """What the fold of examples needs of an edit."""

    number: int
    live: bool
    given: tuple[Example, ...] = ()  # what it adds
    takes: frozenset[int] = frozenset()  # numbers of the edits whose examples it takes away
    is_click: bool = False  # given by an assignment, so that a click in the same leaf stands in for it

    @classmethod
    def read(cls, number: int, kind: str, live: bool, payload: dict[str, Any]) -> ExampleEdit | None:
        """From a row of the log; None where the edit has nothing to do with examples."""
        if kind == "examples.add":
            strokes = payload["examples"]
            given = tuple(
                Example(number, row, col, stroke["class"], stroke["against"])
                for stroke in strokes
                for row, col in stroke["points"]
            )
            return cls(number, live, given)
        if kind == "examples.remove":
            return cls(number, live, takes=frozenset(payload["targets"]))
        if kind not in EXAMPLE_KINDS:
            return None
        takes = frozenset(payload.get("supersedes") or ())
        point = payload.get("point")
        if kind in ("leaves.assign", LEAF_SPLIT) and point:
            row, col = point
            return cls(number, live, (Example(number, row, col, payload["class"]),), takes, is_click=True)
        return cls(number, live, takes=takes) if takes else None


def fold_examples(edits: Iterable[ExampleEdit]) -> list[Example]:
    """The examples after the live ones of ``edits``, which are sorted by number; those of deleted classes included."""
    left: dict[int, tuple[Example, ...]] = {}
    for edit in edits:
        if not edit.live:
            continue
        for number in edit.takes:
            left.pop(number, None)
        if edit.given:
            left[edit.number] = edit.given
    return [example for given in left.values() for example in given]


# ---------------------------------------------------------------------------------------------------- the log


class _Log(NamedTuple):
    number: int  # of the newest edit that was read
    edits: tuple[ExampleEdit, ...]


_KEPT = 64  # projects
# By id and creation: an id may be given again once its project is gone. What is kept is never changed, only replaced, so
# that threads need no lock: at worst one of them reads a few rows once more.
_logs: OrderedDict[tuple[int, datetime], _Log] = OrderedDict()

_KEYS = ("class", "point", "supersedes", "examples", "targets", "target", "died", "revived")


def read_log(project: Project) -> tuple[ExampleEdit, ...]:
    """The edits of a project that concern examples, dead ones among them, in order.

    Not to be called in a transaction after it appended an edit: what is kept here is not rolled back.
    """
    key = (project.pk, project.created_at)
    log = _logs.get(key) or _Log(0, ())
    rows = (
        Edit.objects.filter(project=project, number__gt=log.number)
        .order_by("number")
        .values_list("number", "kind", "live", *(f"payload__{name}" for name in _KEYS))
    )
    newest, edits = log.number, {edit.number: edit for edit in log.edits}
    for number, kind, live, *values in rows.iterator():
        newest = number
        payload = dict(zip(_KEYS, values, strict=True))
        if kind in TOGGLES or kind == RESTORE:
            # Of rows that were read before they were turned; one that is new brings its liveness along.
            _turn(
                edits, flips_of(kind, {name: value for name, value in payload.items() if value is not None})
            )
            continue
        edit = ExampleEdit.read(number, kind, live, payload)
        if edit is not None:
            edits[number] = edit
    if newest == log.number:
        return log.edits
    fresh = _Log(newest, tuple(edits.values()))
    _logs[key] = fresh
    while len(_logs) > _KEPT:
        _logs.popitem(last=False)
    return fresh.edits


def _turn(edits: dict[int, ExampleEdit], flips: Flips) -> None:
    for ranges, live in ((flips.died, False), (flips.revived, True)):
        for low, high in ranges:
            numbers = range(low, high) if high - low <= len(edits) else list(edits)
            for number in numbers:
                if low <= number < high and number in edits:
                    edits[number] = edits[number]._replace(live=live)


def forget_examples() -> None:
    """Drop what is kept."""
    _logs.clear()


def live_examples(project: Project) -> list[Example]:
    """The examples of a project now, in the order of their edits; those of deleted classes hide, merged ones are the target's."""
    shown = shown_classes(project)
    found = (of_shown(example, shown) for example in fold_examples(read_log(project)))
    return [example for example in found if example is not None]


def shown_classes(project: Project) -> dict[int, int]:
    """The class that stands for each class of a project; those that are deleted are missing."""
    rows = {
        number: (deleted, into)
        for number, deleted, into in project.classes.values_list("number", "deleted", "merged_into")
    }
    shown = {}
    for number in rows:
        standing = number
        while standing in rows and rows[standing][1] is not None:
            standing = rows[standing][1]
        if standing in rows and not rows[standing][0]:
            shown[number] = standing
    return shown


def of_shown(example: Example, shown: Mapping[int, int]) -> Example | None:
    """An example of the class that stands for its own; None where it says nothing of any class that is there."""
    number = shown.get(example.class_number)
    if number is None:
        return None
    if number == example.class_number:
        return example
    # What is not of a class may well be of the larger one that it became part of.
    return None if example.against else example._replace(class_number=number)


# ---------------------------------------------------------------------------------------------------- clicks


def superseded_by(project: Project, segmentation: int, point: Point | None, ranges: Ranges = ()) -> list[int]:
    """Numbers of the clicks that an edit of leaves stands in for: those in the leaf of ``point``, or in ``ranges``.

    Clicks that were undone count too, so that redoing them does not bring them back beside what came later.
    """
    if point is None and not ranges:
        return []
    clicks = [edit for edit in read_log(project) if edit.is_click]
    if not clicks:
        return []
    try:
        store = open_leaves(leaves_key(project, segmentation))
    except StoreError:
        return []  # its files are gone: no leaf can be told from another, and the map itself says so
    points = [(edit.given[0].row, edit.given[0].col) for edit in clicks]
    *leaves, own = store.neighborhoods.at([*points, point if point is not None else points[0]])
    inside = _Inside(store.ranges_of((low, high) for low, high in ranges))
    return [
        edit.number
        for edit, leaf in zip(clicks, leaves, strict=True)
        if leaf != NODATA_LEAF and ((point is not None and leaf == own) or leaf in inside)
    ]


class _Inside:
    """Whether a leaf lies in one of many ranges."""

    def __init__(self, ranges: Ranges) -> None:
        merged = merge_ranges(ranges)
        self._lows = [low for low, _ in merged]
        self._highs = [high for _, high in merged]

    def __contains__(self, leaf: int) -> bool:
        index = bisect_right(self._lows, leaf) - 1
        return index >= 0 and leaf < self._highs[index]
