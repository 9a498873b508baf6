"""A segmentation whose leaves were split: the blocks that a split wrote anew lie over the stored ones.

Every split keeps its blocks in a folder of its own, which never changes, so that a segmentation can be read with any list
of splits at the same time: copy-on-write. In the blocks, children have ids of their own (61,440 and up); ids are given once,
so that a split that is taken back needs no rewriting: its children count as their parent.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.clustering.merge_tree import MergeTree
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.objects import StorePath
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.windows import BLOCK
from segmentation.store import Segmentation

__all__ = ["BLOCKS_FILE", "FIRST_CHILD", "TABLES_FILE", "Split", "SplitSegmentation", "block_file"]

FIRST_CHILD = 61_440  # above all initial leaves
BLOCKS_FILE, TABLES_FILE = "blocks.json", "tables.npz"
_IDS = 2**16
_SHADES = (
    26,
    -26,
    52,
    -52,
    78,
    -78,
    104,
    -104,
)  # of children, in 0-255: told from their parent and each other


@dataclass(frozen=True)
class Split:
    """One leaf cut into children ``first`` to ``first + n - 1``; ``parent`` is an id, ``folder`` what `split_leaf` wrote."""

    folder: StorePath
    parent: int
    first: int
    n: int
    live: bool = True


class SplitSegmentation(Segmentation):
    """A segmentation store seen through its splits.

    It has ``n_leaves`` leaves numbered depth first like every other, the children in the place of their parent, so that
    whatever works on a segmentation works on it. `leaf_ids` and `rows` lead from these numbers to the ids in the blocks and
    back; `block` gives the blocks as they are sent, with ids.

    Parameters
    ----------
    path : path
        The segmentation store.
    splits : sequence of Split
        In the order in which they were made.
    version : int
        Of these splits, for whoever keeps what was read.

    Raises
    ------
    StoreError
        If there is no segmentation, or what a split wrote is gone.
    """

    def __init__(self, path: str | StorePath, splits: Sequence[Split] = (), version: int = 0) -> None:
        super().__init__(path)
        self.version = version
        self.splits = tuple(splits)
        self.n_stored = self.n_leaves
        self._above = _over(self.splits)
        self._number_leaves()

    def _number_leaves(self) -> None:
        live = {split.parent: split for split in self.splits if split.live}
        order: list[int] = []
        self._places: dict[int, tuple[int, int]] = {}

        def number(leaf: int) -> None:
            first = len(order)
            if leaf in live:
                for child in range(live[leaf].first, live[leaf].first + live[leaf].n):
                    number(child)
            else:
                order.append(leaf)
            self._places[leaf] = first, len(order)

        if not self.splits:
            self.leaf_ids = np.arange(self.n_stored, dtype=np.int64)
            return
        for leaf in range(self.n_stored):
            number(leaf)
        self.leaf_ids = np.array(order, np.int64)
        self.n_leaves = len(order)
        for split in self.splits:  # a parent comes before its children
            for child in range(split.first, split.first + split.n):
                self._places.setdefault(child, self._places[split.parent])

    @cached_property
    def rows(self) -> NDArray[np.uint16]:
        """Leaf number of every id, uint16 (65,536,): of a leaf that was split, its first child's; 65,535 = no leaf."""
        rows = np.full(_IDS, NODATA_LEAF, np.uint16)
        if self.splits:
            for leaf, (first, _) in self._places.items():
                rows[leaf] = first
        else:
            rows[: self.n_leaves] = np.arange(self.n_leaves)
        return rows

    @property
    def n_ids(self) -> int:
        """Ids that a table of them needs: up to the last child's, or as many as there are leaves."""
        return max((split.first + split.n for split in self.splits), default=self.n_stored)

    def range_of(self, low: int, high: int) -> tuple[int, int]:
        """Leaf numbers of ids ``low`` to ``high - 1``, which are initial leaves, or children of one split."""
        if not self.splits:
            if 0 <= low < high <= self.n_stored:
                return low, high
        elif low < high and low in self._places and high - 1 in self._places:
            return self._places[low][0], self._places[high - 1][1]
        raise InvalidArgumentError(
            f"Leaves {low} to {high} are not a range within the segmentation's {self.n_stored} leaves."
        )

    def ranges_of(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Leaf numbers of several ranges of ids; children need not be of one split."""
        found = []
        for low, high in ranges:
            if low < self.n_stored:
                found.append(self.range_of(low, high))
            else:
                found += [self.range_of(child, child + 1) for child in range(low, high)]
        return found

    def by_id(self, values: NDArray[Any], size: int, *, shared: bool = False) -> NDArray[Any]:
        """Spread values of leaves over their ids.

        Parameters
        ----------
        values : array, shape (n_leaves, ...)
        size : int
            Ids wanted, beginning with 0.
        shared : bool
            Whether the ids of children that count as their parent, and of leaves that were split, have a value too: right
            for a class, wrong for a number of pixels.

        Returns
        -------
        array, shape (size, ...)
            0 where an id is no leaf.
        """
        out = np.zeros((size, *values.shape[1:]), values.dtype)
        if shared:
            held = self.rows[:size] != NODATA_LEAF
            out[held] = values[self.rows[:size][held]]
        else:
            out[self.leaf_ids] = values
        return out

    def from_ids(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of leaves, shape (n_leaves, ...), from those of ids; the opposite of `by_id`."""
        return values[self.leaf_ids]

    # ---- blocks --------------------------------------------------------------------------------------------------

    def block(self, level: int, row: int, col: int) -> bytes | None:
        """One block as it is sent: a gzip member of 512 x 512 little-endian uint16 *ids*; None while not computed."""
        folder = self._above.get((level, row, col))
        if folder is None:
            return super().block(level, row, col)
        try:
            return block_file(folder, level, row, col).read_bytes()
        except OSError as error:
            raise StoreError(_LOST) from error

    def block_source(self, level: int, row: int, col: int) -> StorePath | None:
        """Folder of the split that wrote a block; None where it is the stored one."""
        return self._above.get((level, row, col))

    def block_of_ids(self, level: int, row: int, col: int) -> NDArray[np.uint16] | None:
        """The used part of a block with ids, uint16; None while not computed."""
        return super().block_ids(level, row, col)

    def block_ids(self, level: int, row: int, col: int) -> NDArray[np.uint16] | None:
        """The used part of a block with leaf numbers, uint16; None while not computed."""
        ids = self.block_of_ids(level, row, col)
        return ids if ids is None or not self.splits else self.rows[ids]

    @cached_property
    def leaves(self) -> Any:
        """Leaf number of every pixel: uint16 array-like, shape (H, W), 65,535 = nodata or not computed yet."""
        return _Leaves(self) if self.splits else super().leaves

    # ---- tables --------------------------------------------------------------------------------------------------

    @cached_property
    def tree(self) -> MergeTree:
        """The merge tree; the children of a leaf merge before all others."""
        stored = MergeTree(*(super(SplitSegmentation, self).table(f"tree/{name}") for name in _TREE))
        return (
            _with_children(stored, [self._places[leaf] for leaf in range(self.n_stored)])
            if self.splits
            else stored
        )

    def table(self, name: str) -> NDArray[Any]:
        """One of the store's tables, read afresh: children have their own row, or their parent's."""
        stored = super().table(name)
        if not self.splits or name.startswith("tree/") or len(stored) != self.n_stored:
            return stored
        known = np.zeros(
            (max(split.first + split.n for split in self.splits), *stored.shape[1:]), stored.dtype
        )
        known[: self.n_stored] = stored
        for split in self.splits:
            own = self._tables[split].get(name)
            known[split.first : split.first + split.n] = known[split.parent] if own is None else own
        return known[self.leaf_ids]

    @cached_property
    def _tables(self) -> dict[Split, dict[str, NDArray[Any]]]:
        return {split: _read_tables(split.folder) for split in self.splits}


_LOST = "What a split of leaves wrote cannot be read any more; adopt another segmentation."
_TREE = ("parent", "low", "high", "height", "rgb")


def block_file(folder: StorePath, level: int, row: int, col: int) -> StorePath:
    """Where a split keeps a block."""
    return folder / f"leaves/{level}/c/{row}/{col}"


def _over(splits: Sequence[Split]) -> dict[tuple[int, int, int], StorePath]:
    """Folder of the newest split that wrote each block."""
    found = {}
    for split in splits:
        try:
            blocks = json.loads((split.folder / BLOCKS_FILE).read_text())
        except (OSError, ValueError) as error:
            raise StoreError(_LOST) from error
        found.update(dict.fromkeys(((level, row, col) for level, row, col in blocks), split.folder))
    return found


def _read_tables(folder: StorePath) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO((folder / TABLES_FILE).read_bytes())) as file:
        return {name: file[name] for name in file.files}


def _with_children(tree: MergeTree, places: Sequence[tuple[int, int]]) -> MergeTree:
    """Put children in the place of the leaves that were split; ``places`` are the new ranges of the old leaves."""
    n_old = tree.n_leaves
    first = np.array([low for low, _ in places], np.int64)
    end = np.array([high for _, high in places], np.int64)
    n = int(end[-1])
    extra = n - n_old
    parent = np.zeros(2 * n - 1, np.int64)
    low, high = np.zeros(2 * n - 1, np.int64), np.zeros(2 * n - 1, np.int64)
    height = np.zeros(2 * n - 1, np.float32)
    rgb = np.zeros((2 * n - 1, 3), np.uint8)
    low[:n], high[:n] = np.arange(n), np.arange(n) + 1
    merge = n
    tops = np.arange(n_old)  # new node that stands for each old one
    tops[:] = first
    for leaf in np.flatnonzero(end - first > 1).tolist():
        shades = tree.rgb[leaf].astype(np.int64)
        rows = range(int(first[leaf]), int(end[leaf]))
        for index, row in enumerate(rows):
            rgb[row] = np.clip(shades + _SHADES[index % len(_SHADES)], 0, 255)
        top = rows[0]
        for row in rows[1:]:
            parent[top] = parent[row] = merge
            low[merge], high[merge], rgb[merge] = rows[0], row + 1, tree.rgb[leaf]
            top, merge = merge, merge + 1
        tops[leaf] = top
    new = np.concatenate([tops, np.arange(n_old, 2 * n_old - 1) + 2 * extra])
    whole = np.flatnonzero(end - first == 1)
    rgb[first[whole]] = tree.rgb[whole]
    parent[new] = new[tree.parent.astype(np.int64)]
    inner = np.arange(n_old, 2 * n_old - 1)
    low[new[inner]] = first[tree.low[inner].astype(np.int64)]
    high[new[inner]] = end[tree.high[inner].astype(np.int64) - 1]
    height[new[inner]], rgb[new[inner]] = tree.height[inner], tree.rgb[inner]
    return replace(
        tree,
        parent=parent.astype(np.uint32),
        low=low.astype(np.uint32),
        high=high.astype(np.uint32),
        height=height,
        rgb=rgb,
    )


class _Leaves:
    """Leaf numbers of pixels, put together from blocks as they are asked for."""

    def __init__(self, segmentation: SplitSegmentation) -> None:
        self._segmentation = segmentation
        self.shape = segmentation.shape
        self.dtype = np.dtype(np.uint16)
        self.ndim = 2

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        rows, cols = (*keys, slice(None))[:2]
        row, col = (range(size)[part] for size, part in zip(self.shape, (rows, cols), strict=True))
        row_span = row if isinstance(row, range) else range(row, row + 1)
        col_span = col if isinstance(col, range) else range(col, col + 1)
        if row_span.step != 1 or col_span.step != 1:
            raise InvalidArgumentError(
                "Leaves are read in whole windows, without steps; take every nth of them afterwards."
            )
        part = self._window(row_span, col_span)
        return part[tuple(slice(None) if isinstance(index, range) else 0 for index in (row, col))]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _window(self, rows: range, cols: range) -> NDArray[np.uint16]:
        out = np.full((len(rows), len(cols)), NODATA_LEAF, np.uint16)
        if not out.size:
            return out
        for block_row in range(rows.start // BLOCK, (rows.stop - 1) // BLOCK + 1):
            for block_col in range(cols.start // BLOCK, (cols.stop - 1) // BLOCK + 1):
                ids = self._segmentation.block_ids(0, block_row, block_col)
                if ids is None:
                    continue
                top, left = block_row * BLOCK, block_col * BLOCK
                bottom, right = min(top + BLOCK, rows.stop), min(left + BLOCK, cols.stop)
                first_row, first_col = max(top, rows.start), max(left, cols.start)
                out[
                    first_row - rows.start : bottom - rows.start, first_col - cols.start : right - cols.start
                ] = ids[first_row - top : bottom - top, first_col - left : right - left]
        return out
