"""How a project has cut the leaves and clusters of a segmentation finer: pure, without Django or a database.

A *leaf split* gives the pixels of one leaf to child leaves with numbers of their own; the leaf itself then stands for all
of them, so that whoever names it, or a range around it, names them too. The pixels keep the children's numbers for good:
when a split is undone, its children act as their parent. A *cluster split* changes no pixel: it says that the parts of a
node of the merge tree are to be shown as clusters of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FIRST_CHILD", "MAX_PARTS", "NODATA", "LeafSplit", "Refinement"]

FIRST_CHILD = 61_440  # numbers below are for the leaves of the segmentation itself
NODATA = 65_535
MAX_PARTS = 8

Table = npt.NDArray[np.uint8]
Range = tuple[int, int]
Parts = tuple[Range, ...]


@dataclass(frozen=True)
class LeafSplit:
    """One leaf cut into children ``first`` to ``first + n - 1``."""

    number: int  # of the edit
    parent: int
    first: int
    n: int
    token: str  # names the folder of what was computed
    live: bool = True
    apart: bool = False  # shown as clusters of their own
    changed: int = 0  # number of the edit that made it, or took it back or brought it again last
    replaces: tuple[
        int, ...
    ] = ()  # numbers of undone splits whose pixels it took over: they cannot come back

    @property
    def children(self) -> range:
        return range(self.first, self.first + self.n)

    @classmethod
    def read(cls, payload: dict[str, Any]) -> LeafSplit:
        return cls(**{**payload, "replaces": tuple(payload["replaces"])})


@dataclass(frozen=True)
class Refinement:
    """All splits of one segmentation in a project, undone ones of leaves included, by number."""

    n_leaves: int = 0  # of the segmentation itself
    leaf_splits: tuple[LeafSplit, ...] = ()
    clusters: dict[Range, Parts] = field(default_factory=dict)  # of those that are live

    # ---- changes ------------------------------------------------------------------------------------------------

    def with_split(self, split: LeafSplit) -> Refinement:
        return replace(self, leaf_splits=(*self.leaf_splits, split))

    def toggled(self, number: int, by: int, live: bool | None = None) -> Refinement:
        """After edit ``by`` took the split of edit ``number`` back or brought it again."""
        return replace(
            self,
            leaf_splits=tuple(
                replace(split, changed=by, live=split.live if live is None else live)
                if split.number == number
                else split
                for split in self.leaf_splits
            ),
        )

    def with_cluster(self, low: int, high: int, parts: Iterable[Range]) -> Refinement:
        return replace(self, clusters={**self.clusters, (low, high): tuple(parts)})

    # ---- what holds ---------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Number of the newest edit that changed which leaves there are; 0 until splits."""
        return max((split.changed for split in self.leaf_splits), default=0)

    @property
    def size(self) -> int:
        """Entries of a table of classes: one for each number up to the last child's."""
        return max((split.first + split.n for split in self.leaf_splits), default=self.n_leaves)

    @cached_property
    def live_splits(self) -> tuple[LeafSplit, ...]:
        """Splits that hold: neither undone themselves, nor children of one that is."""
        there = set(range(self.n_leaves))
        held = []
        for split in self.leaf_splits:  # a parent comes before its children
            if split.live and split.parent in there:
                there.update(split.children)
                held.append(split)
        return tuple(held)

    @cached_property
    def live_children(self) -> frozenset[int]:
        return frozenset(child for split in self.live_splits for child in split.children)

    def has_leaves(self, low: int, high: int) -> bool:
        """Whether the leaves ``low`` to ``high - 1`` are all there."""
        if 0 <= low < high <= self.n_leaves:
            return True
        return low < high and all(leaf in self.live_children for leaf in range(low, high))

    def changed_since(self, version: int, ranges: Sequence[Sequence[int]]) -> bool:
        """Whether one of the leaves in ``ranges`` was split, or joined again, after ``version``."""
        if version > self.version:
            return True
        mask = self._mask(ranges)
        return any(mask[split.parent] for split in self.leaf_splits if split.changed > version)

    # ---- tables -------------------------------------------------------------------------------------------------

    def extend(self, table: Table) -> Table:
        """A table with an entry for every child: those that are new have the class of their parent."""
        if len(table) >= self.size:
            return table
        full = np.zeros(self.size, np.uint8)
        full[: len(table)] = table
        for split in self.leaf_splits:
            if split.first >= len(table):
                full[split.first : split.first + split.n] = full[split.parent]
        return full

    def paint(self, table: Table, ranges: Sequence[Sequence[int]], class_number: int) -> None:
        """Give leaves, and the children of those among them, a class, in place.

        A child whose split was undone follows its parent, whatever is said of itself.
        """
        if not self.leaf_splits:
            for low, high in ranges:
                table[low:high] = class_number
        else:
            table[self._mask(ranges)] = class_number

    def _mask(self, ranges: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
        mask = np.zeros(self.size, np.bool_)
        for low, high in ranges:
            mask[low:high] = True
        live = {split.number for split in self.live_splits}
        for split in self.leaf_splits:
            own = slice(split.first, split.first + split.n)
            mask[own] = (mask[own] | mask[split.parent]) if split.number in live else mask[split.parent]
        return mask

    # ---- storage ------------------------------------------------------------------------------------------------

    def pack(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "n_leaves": self.n_leaves,
            "leaves": [{**split.__dict__, "replaces": list(split.replaces)} for split in self.leaf_splits],
            "clusters": [
                [low, high, [list(part) for part in parts]] for (low, high), parts in self.clusters.items()
            ],
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Refinement:
        return cls(
            packed["n_leaves"],
            tuple(LeafSplit.read(split) for split in packed["leaves"]),
            {(low, high): tuple((a, b) for a, b in parts) for low, high, parts in packed["clusters"]},
        )
