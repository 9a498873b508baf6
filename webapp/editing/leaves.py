"""The leaves of a project: its segmentation's store, seen through the project's own splits."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from segmentation.objects import StorePath
from segmentation.split_store import Split, SplitSegmentation
from webapp.editing.refinements import Refinement
from webapp.models import Project
from webapp.places import store_of

__all__ = [
    "LeavesKey",
    "SplitKey",
    "forget_leaves",
    "leaves_key",
    "open_leaves",
    "split_folder",
    "splits_folder",
]


class SplitKey(NamedTuple):
    """One split of a leaf, as `segmentation.split_store.Split` has it."""

    token: str  # name of its folder
    parent: int
    first: int
    n: int
    live: bool


class LeavesKey(NamedTuple):
    """Which leaves there are: projects with equal keys share what was read."""

    segmentation: int
    version: int = 0
    splits: tuple[SplitKey, ...] = ()


def leaves_key(project: Project, segmentation: int | None = None) -> LeavesKey:
    """The leaves of a segmentation, by default the adopted one, in a project; segmentation 0 where there is none."""
    number = segmentation if segmentation is not None else project.segmentation_id
    packed = project.splits.get(str(number))
    if number is None or packed is None:
        return LeavesKey(number or 0)
    refinement = Refinement.unpack(packed)
    splits = tuple(
        SplitKey(split.token, split.parent, split.first, split.n, split.live)
        for split in refinement.leaf_splits
    )
    return LeavesKey(number, refinement.version, splits)


def splits_folder(segmentation_id: int) -> StorePath:
    """Where splits of a segmentation are kept, each in a folder of its own: it goes when the segmentation goes."""
    return store_of(segmentation_id) / "splits"


def split_folder(segmentation_id: int, token: str) -> StorePath:
    return splits_folder(segmentation_id) / token


@lru_cache(maxsize=64)
def _opened(path: StorePath, version: int, splits: tuple[Split, ...]) -> SplitSegmentation:
    return SplitSegmentation(path, splits, version)


def open_leaves(key: LeavesKey) -> SplitSegmentation:
    """The store, kept open; StoreError where it has no codebook yet or is gone."""
    folder = splits_folder(key.segmentation)
    splits = tuple(
        Split(folder / split.token, split.parent, split.first, split.n, split.live) for split in key.splits
    )
    return _opened(folder.parent, key.version, splits)


def forget_leaves() -> None:
    """Close what is open (a store was removed, or tests begin anew)."""
    _opened.cache_clear()
