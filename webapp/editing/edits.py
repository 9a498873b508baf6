"""The state of a project as a pure fold of its live edits: no Django, no database.

What an edit does is written once, in :func:`apply_edit`. An action applies one edit to the stored snapshot;
undo and redo fold all live edits again. Both therefore give the same state, and a property test holds them to
it.

The table keeps the class that the latest live edit gave each leaf, deleted classes included. What people see
is :meth:`ProjectState.visible_table`, where leaves of a class that is deleted (or whose creation was undone)
count as none.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from webapp.editing.drawn import Drawn, note_flips
from webapp.editing.liveness import RESTORE, TOGGLES, flips_of
from webapp.editing.refinements import LeafSplit, Refinement

__all__ = [
    "CLUSTER_SPLIT",
    "LEAF_KINDS",
    "LEAF_SPLIT",
    "MAX_CLASSES",
    "MAX_RANGES",
    "MERGE",
    "OVERRIDE",
    "Completion",
    "EditRecord",
    "LabelState",
    "ProjectState",
    "apply_edit",
    "changes",
    "class_lookup",
    "fold",
    "merge_ranges",
    "pack_table",
    "ranges_overlap",
    "unpack_table",
]

MAX_CLASSES = 250  # class numbers fit a byte, and a few values stay free for what is no class
MAX_RANGES = 4096  # of one command; a merge tree's cut gives one range a cluster

LEAF_SPLIT, CLUSTER_SPLIT = "leaf.split", "cluster.split"
OVERRIDE, MERGE = "override.add", "class.merge"
LEAF_KINDS = frozenset({"leaves.assign", "leaves.unassign", LEAF_SPLIT, CLUSTER_SPLIT})

Table = npt.NDArray[np.uint8]
Range = tuple[int, int]


class EditRecord(NamedTuple):
    """What the fold needs of an edit."""

    number: int
    kind: str
    payload: Mapping[str, Any]
    live: bool = True
    user_id: int | None = None


@dataclass(frozen=True)
class LabelState:
    """A class as people see it in the list."""

    number: int
    name: str
    color: str
    position: int
    deleted: bool = False
    merged_into: int | None = None  # number of the class that stands for it; it is deleted then, too


@dataclass(frozen=True)
class Completion:
    """Whether leaves without a class show the decoder's, and from which certainty on."""

    on: bool = False
    threshold: float = 0.5  # 0 to 1


@dataclass
class ProjectState:
    """Classes, leaf table, area of interest, completion and adopted segmentation after some edits."""

    classes: dict[int, LabelState] = field(default_factory=dict)
    table: Table = field(default_factory=lambda: np.zeros(0, np.uint8))  # latest class of each leaf, 0 = none
    aoi: Mapping[str, Any] | None = None
    segmentation: int | None = None
    completion: Completion = field(default_factory=Completion)
    refinements: dict[int, Refinement] = field(default_factory=dict)  # of each segmentation that was split
    overrides: tuple[Drawn, ...] = ()  # drawn by hand, those taken back included

    def copy(self) -> ProjectState:
        return replace(
            self, classes=dict(self.classes), table=self.table.copy(), refinements=dict(self.refinements)
        )

    @property
    def refinement(self) -> Refinement:
        """Splits of the adopted segmentation."""
        # Until its first split, the table has an entry for each of its leaves and no more.
        none = Refinement(len(self.table))
        return none if self.segmentation is None else self.refinements.get(self.segmentation, none)

    def note_flips(self, turned: Iterable[Range], number: int) -> None:
        """Edit ``number`` took the edits of these ranges back, or brought them again: leaves may have come or gone."""
        turned = list(turned)
        self.overrides = note_flips(self.overrides, turned, number)
        for segmentation, refinement in self.refinements.items():
            hit = [
                split.number
                for split in refinement.leaf_splits
                if any(low <= split.number < high for low, high in turned)
            ]
            for split_number in hit:
                self.refinements[segmentation] = self.refinements[segmentation].toggled(split_number, number)

    def live_classes(self) -> list[LabelState]:
        """Classes that can be assigned, in the order of the list."""
        return [label for label in self.ordered_classes() if not label.deleted]

    def ordered_classes(self) -> list[LabelState]:
        return sorted(self.classes.values(), key=lambda label: (label.position, label.number))

    def visible_table(self) -> Table:
        """Class of each leaf as the map shows it: deleted and unknown classes hide, as 0."""
        return class_lookup(self.classes.values())[self.table]

    def standing(self, number: int) -> int:
        """The class that stands for a class: itself, or the one that it was merged into."""
        label = self.classes.get(number)
        while label is not None and label.merged_into is not None:
            number, label = label.merged_into, self.classes.get(label.merged_into)
        return number


def class_lookup(labels: Iterable[LabelState]) -> Table:
    """What each class number that was given shows as, uint8 (256,): the class that stands for it, 0 where it is hidden."""
    known = {label.number: label for label in labels}
    shown = np.zeros(256, np.uint8)
    for label in known.values():
        standing: LabelState | None = label
        while standing is not None and standing.merged_into is not None:
            standing = known.get(standing.merged_into)
        if standing is not None and not standing.deleted:
            shown[label.number] = standing.number
    return shown


# ---------------------------------------------------------------------------------------------------- one
# edit


def _paint(state: ProjectState, payload: Mapping[str, Any], class_number: int) -> None:
    # Leaf numbers mean nothing in another segmentation, so such an edit rests until its own is adopted again.
    if payload["segmentation"] != state.segmentation:
        return
    state.refinement.paint(state.table, payload["ranges"], class_number)


def _assign(state: ProjectState, payload: Mapping[str, Any]) -> None:
    _paint(state, payload, payload["class"])


def _unassign(state: ProjectState, payload: Mapping[str, Any]) -> None:
    _paint(state, payload, 0)


def _split_cluster(state: ProjectState, payload: Mapping[str, Any]) -> None:
    segmentation = payload["segmentation"]
    if segmentation == state.segmentation:
        low, high = payload["range"]
        parts = [(first, end) for first, end in payload["parts"]]
        state.refinements[segmentation] = state.refinement.with_cluster(low, high, parts)


def _split_leaf(state: ProjectState, payload: Mapping[str, Any], live: bool = True) -> None:
    segmentation = payload["segmentation"]
    split = LeafSplit.read({**payload["split"], "live": live})
    refinement = state.refinements.get(segmentation) or Refinement(payload["n_leaves"])
    state.refinements[segmentation] = refinement.with_split(split)
    if segmentation != state.segmentation:
        return
    state.table = state.refinement.extend(state.table)
    if live and "class" in payload:
        child = payload["child"]
        state.refinement.paint(state.table, [(child, child + 1)], payload["class"])


def _create(state: ProjectState, payload: Mapping[str, Any]) -> None:
    position = 1 + max((label.position for label in state.classes.values()), default=-1)
    number = payload["class"]
    state.classes[number] = LabelState(number, payload["name"], payload["color"], position)


def _create_all(state: ProjectState, payload: Mapping[str, Any]) -> None:
    for label in payload.get("classes", ()):
        _create(state, label)


def _alter(state: ProjectState, number: int, **fields: Any) -> None:
    # The creation of the class may have been undone since: then there is nothing to alter.
    if number in state.classes:
        state.classes[number] = replace(state.classes[number], **fields)


def _rename(state: ProjectState, payload: Mapping[str, Any]) -> None:
    _alter(state, payload["class"], name=payload["name"])


def _recolor(state: ProjectState, payload: Mapping[str, Any]) -> None:
    _alter(state, payload["class"], color=payload["color"])


def _delete(state: ProjectState, payload: Mapping[str, Any]) -> None:
    _alter(state, payload["class"], deleted=True)


def _merge(state: ProjectState, payload: Mapping[str, Any]) -> None:
    """Its sources are told apart from their target by nothing any more; no table and no drawing is rewritten."""
    # Edits before it may have been undone or redone since: only what is there can be merged, and never in a circle.
    target = state.standing(payload["target"])
    if target not in state.classes or state.classes[target].deleted:
        return
    for number in payload["sources"]:
        label = state.classes.get(number)
        if label is not None and not label.deleted and number != target:
            _alter(state, number, deleted=True, merged_into=target)


def _draw(state: ProjectState, payload: Mapping[str, Any], live: bool = True) -> None:
    layer = payload["layer"]
    drawn = Drawn(layer["number"], layer["token"], payload["class"], live, layer["number"])
    state.overrides = (*state.overrides, drawn)


def _reorder(state: ProjectState, payload: Mapping[str, Any]) -> None:
    wanted = [number for number in payload["order"] if number in state.classes]
    rest = [label.number for label in state.ordered_classes() if label.number not in wanted]
    for position, number in enumerate([*wanted, *rest]):
        _alter(state, number, position=position)


def _set_aoi(state: ProjectState, payload: Mapping[str, Any]) -> None:
    state.aoi = payload["geometry"]


def _set_completion(state: ProjectState, payload: Mapping[str, Any]) -> None:
    state.completion = Completion(payload["on"], payload["threshold"])


def _change_examples(state: ProjectState, payload: Mapping[str, Any]) -> None:
    """Examples have a fold of their own (webapp/editing/examples.py): they change what is predicted, nothing here."""


def _adopt(state: ProjectState, payload: Mapping[str, Any]) -> None:
    state.segmentation = payload["segmentation"]
    if payload["table"] is None:
        state.table = np.zeros(payload["n_leaves"], np.uint8)
    else:
        state.table = unpack_table(base64.b64decode(payload["table"]))
    # Splits of a segmentation hold whenever it is adopted again.
    state.table = state.refinement.extend(state.table)


_RULES: dict[str, Callable[[ProjectState, Mapping[str, Any]], None]] = {
    "leaves.assign": _assign,
    "leaves.unassign": _unassign,
    LEAF_SPLIT: _split_leaf,
    CLUSTER_SPLIT: _split_cluster,
    "class.create": _create,
    "class.rename": _rename,
    "class.recolor": _recolor,
    "class.reorder": _reorder,
    "class.delete": _delete,
    MERGE: _merge,
    OVERRIDE: _draw,
    "aoi.set": _set_aoi,
    "segmentation.adopt": _adopt,
    "completion.set": _set_completion,
    "examples.add": _create_all,  # an import brings classes along
    "examples.remove": _change_examples,
    "legend.load": _create_all,
}


def apply_edit(state: ProjectState, kind: str, payload: Mapping[str, Any]) -> None:
    """Change ``state`` in place by one edit; undo and redo change liveness, not state, and are refused."""
    try:
        rule = _RULES[kind]
    except KeyError:
        raise ValueError(f"{kind!r} is not an edit that changes the state by itself") from None
    rule(state, payload)


def fold(edits: Iterable[EditRecord], start: ProjectState | None = None) -> ProjectState:
    """Apply the live edits in the order of their numbers to an empty project, or on top of ``start``, which is changed.

    Parameters
    ----------
    edits : iterable of EditRecord
        Sorted by number; dead edits, undos and redos may be among them and change nothing, but for splits of leaves:
        the pixels keep the children's numbers, and undo and redo raise the version of the leaves.
    """
    state = ProjectState() if start is None else start
    for edit in edits:
        if edit.kind == LEAF_SPLIT:
            _split_leaf(state, edit.payload, edit.live)
        elif edit.kind == OVERRIDE:
            _draw(state, edit.payload, edit.live)
        elif edit.kind == RESTORE or edit.kind in TOGGLES:
            state.note_flips(flips_of(edit.kind, edit.payload).all, edit.number)
        elif edit.live and edit.kind in _RULES:
            apply_edit(state, edit.kind, edit.payload)
    return state


# ---------------------------------------------------------------------------------------------------- ranges


def merge_ranges(ranges: Sequence[Sequence[int]]) -> list[Range]:
    """Sort leaf ranges ``[low, high)`` and join those that touch or overlap.

    >>> merge_ranges([(5, 7), (0, 2), (1, 3), (3, 4)])
    [(0, 4), (5, 7)]
    """
    merged: list[Range] = []
    for low, high in sorted((int(low), int(high)) for low, high in ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def ranges_overlap(some: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> bool:
    """Whether two lists of ranges, each sorted and merged, share a leaf."""
    i = j = 0
    while i < len(some) and j < len(others):
        if some[i][0] < others[j][1] and others[j][0] < some[i][1]:
            return True
        if some[i][1] <= others[j][1]:
            i += 1
        else:
            j += 1
    return False


def changes(old: Table, new: Table) -> list[list[int]]:
    """Give the runs of leaves whose class differs, so that ``old`` plus the runs is ``new``.

    Parameters
    ----------
    old, new : uint8 arrays, shape (n_leaves,)
        Class of each leaf before and after, 0 = none.

    Returns
    -------
    list of [low, high, class]
        In ascending order, without overlap; leaves of one run get one class.

    Raises
    ------
    ValueError
        If the tables belong to different numbers of leaves.
    """
    if old.shape != new.shape:
        raise ValueError(
            f"the tables have {old.size} and {new.size} leaves: they belong to different segmentations"
        )
    differs = np.flatnonzero(old != new)
    if differs.size == 0:
        return []
    # A run ends where the next changed leaf is not its neighbor or gets another class.
    ends = np.flatnonzero((np.diff(differs) != 1) | (np.diff(new[differs]) != 0))
    first = differs[np.concatenate(([0], ends + 1))]
    last = differs[np.concatenate((ends, [differs.size - 1]))]
    return np.stack((first, last + 1, new[first]), axis=1).tolist()


# ---------------------------------------------------------------------------------------------------- storage


def pack_table(table: Table) -> bytes:
    """Compress a table for the database and the socket (zlib of uint8)."""
    return zlib.compress(np.ascontiguousarray(table, np.uint8).tobytes(), 6)


def unpack_table(packed: bytes) -> Table:
    """Undo :func:`pack_table`; nothing packed is a table of no leaves."""
    if not packed:
        return np.zeros(0, np.uint8)
    return np.frombuffer(zlib.decompress(packed), np.uint8).copy()
