"""Leaf blocks to one browser: what it wants, nearest first, as soon as it is computed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from segmentation.errors import StoreError
from segmentation.objects import StorePath
from webapp.editing.leaves import LeavesKey, open_leaves
from webapp.live.blocks import BlockKey, block_exists, children, patch_frame, pool, runs, whole_frame

__all__ = ["BlockStream"]

BLOCKS_AT_ONCE = 8  # looked at in one go: a thread costs more than reading a stored block
LOOK_S = 0.01  # after so long what was found is sent first
PATCHES_AT_ONCE = 64  # level-0 blocks reduced in one go, so that a change of view is heeded in between


@dataclass
class _Wish:
    """One block on the browser's list."""

    key: BlockKey
    is_due: bool = True  # worth looking at again
    is_sent: bool = False
    source: StorePath | None = None  # of what was sent: the split that wrote it; None for the stored block
    # Of an overview block that is not complete: its level-0 blocks that were sent as patches, and those to
    # try.
    patched: set[tuple[int, int]] = field(default_factory=set)
    todo: set[tuple[int, int]] | None = None  # None: all of them


@dataclass
class _Built:
    """What a look at one wish gave."""

    frames: list[bytes] = field(default_factory=list)
    is_whole: bool = False
    source: StorePath | None = None
    patched: list[tuple[int, int]] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)  # not tried yet


class _Look(NamedTuple):
    """One wish as it is when somebody begins to look at it."""

    wish: _Wish
    key: BlockKey
    todo: set[tuple[int, int]] | None
    patched: frozenset[tuple[int, int]]
    before: tuple[bool, StorePath | None]


class BlockStream:
    """Sends frames one after another through ``send``, which waits while the browser is slow to read.

    The list is replaced by :meth:`want`. A block that stays on it is not sent a second time.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._segmentation = 0
        self._leaves = LeavesKey(0)  # of the project
        self._wishes: dict[BlockKey, _Wish] = {}
        self._wake = asyncio.Event()

    @property
    def segmentation(self) -> int:
        """Of which segmentation blocks are wanted; 0 before the first list."""
        return self._segmentation

    def want(self, segmentation: int, level: int, blocks: Sequence[tuple[int, int]]) -> None:
        """Replace the list, nearest block first."""
        before = self._wishes if segmentation == self._segmentation else {}
        self._segmentation = segmentation
        keys = dict.fromkeys(BlockKey(level, row, col) for row, col in blocks)
        self._wishes = {key: before.get(key) or _Wish(key) for key in keys}
        self._wake.set()

    def use_leaves(self, leaves: LeavesKey) -> None:
        """The leaves that the project has now: blocks on the list that a split wrote anew are sent once more."""
        if leaves == self._leaves:
            return
        self._leaves = leaves
        for wish in self._wishes.values():
            wish.is_due = True
        self._wake.set()

    def grew(self, segmentation: int, blocks: Iterable[Sequence[int]]) -> None:
        """Level-0 blocks were written."""
        if segmentation != self._segmentation:
            return
        new = [(int(row), int(col)) for row, col in blocks]
        for key, wish in self._wishes.items():
            inside = {
                block for block in new if (block[0] >> key.level, block[1] >> key.level) == (key.row, key.col)
            }
            if inside:
                wish.is_due = True
                if wish.todo is not None:
                    wish.todo |= inside - wish.patched
        self._wake.set()

    def look_again(self) -> None:
        """Look at every wish anew: hints may have been lost, or the segmentation has just been completed."""
        for wish in self._wishes.values():
            if not wish.is_sent:
                wish.is_due, wish.todo = True, None
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while looks := self._next():
                await self._serve(looks)

    def _next(self) -> list[_Look]:
        """What to look at next. What comes in during the look is noted anew, so that nothing written meanwhile is missed."""
        due = (wish for wish in self._wishes.values() if wish.is_due)
        looks = []
        for wish in islice(due, BLOCKS_AT_ONCE):
            before = (wish.is_sent, wish.source)
            looks.append(_Look(wish, wish.key, wish.todo, frozenset(wish.patched), before))
            wish.todo, wish.is_due = set(), False
        return looks

    async def _serve(self, looks: list[_Look]) -> None:
        leaves = (
            self._leaves if self._leaves.segmentation == self._segmentation else LeavesKey(self._segmentation)
        )
        loop = asyncio.get_running_loop()
        built = await loop.run_in_executor(pool, _build_some, leaves, looks)
        for look in looks[len(built) :]:  # there was no time for them
            look.wish.is_due = True
            look.wish.todo = (
                None if look.todo is None or look.wish.todo is None else look.wish.todo | look.todo
            )
        for look, found in zip(looks, built, strict=False):
            # The first is sent even where the list has just changed: it was wanted a moment ago.
            if look is looks[0] or self._wishes.get(look.key) is look.wish:
                await self._send_found(look.wish, found)

    async def _send_found(self, wish: _Wish, found: _Built) -> None:
        wish.is_sent, wish.source = found.is_whole, found.source
        wish.patched.update(found.patched)
        if found.left:
            wish.is_due = True
            if wish.todo is not None:
                wish.todo.update(found.left)
        for frame in found.frames:
            await self._send(frame)


def _build_some(leaves: LeavesKey, looks: Sequence[_Look]) -> list[_Built]:
    """What the looks give, in order, as far as one comes in a short while; at least the first. Runs in a thread."""
    end = time.monotonic() + LOOK_S
    built: list[_Built] = []
    for look in looks:
        if built and time.monotonic() > end:
            break
        built.append(_build(leaves, look.key, look.todo, look.patched, look.before))
    return built


def _build(
    leaves: LeavesKey,
    key: BlockKey,
    todo: set[tuple[int, int]] | None,
    patched: frozenset[tuple[int, int]],
    before: tuple[bool, StorePath | None],
) -> _Built:
    """Frames for one wish from what is on disk now; none where its files are gone, or are not there yet."""
    try:
        return _frames(leaves, key, todo, patched, before)
    except StoreError:
        return _Built()  # no codebook yet, or removed (a preview, too): nothing is ready


def _frames(
    leaves: LeavesKey,
    key: BlockKey,
    todo: set[tuple[int, int]] | None,
    patched: frozenset[tuple[int, int]],
    before: tuple[bool, StorePath | None],
) -> _Built:
    """``before``: whether it was sent whole, and from where. Runs in a thread."""
    segmentation = leaves.segmentation
    store = open_leaves(leaves)
    if not block_exists(store, key):
        return _Built(is_whole=True)  # there will never be anything to send
    source = store.block_source(*key)
    if before == (True, source):
        return _Built(is_whole=True, source=source)
    whole = whole_frame(segmentation, store, key)
    if whole is not None:
        return _Built([whole], is_whole=True, source=source)
    if key.level == 0:
        return _Built()
    untried = [
        block for block in (children(store, key) if todo is None else sorted(todo)) if block not in patched
    ]
    built = _Built(left=untried[PATCHES_AT_ONCE:])
    for run in runs(untried[:PATCHES_AT_ONCE]):
        begin = 0
        while begin < len(run):
            frame, done = patch_frame(segmentation, store, key, run[begin:])
            if frame is not None:
                built.frames.append(frame)
                built.patched += done
            begin += len(done) + 1  # the one after those done is not computed yet
    return built
