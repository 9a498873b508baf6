"""Which edits of a log are live: pure, without Django or a database.

An edit is live from the moment it is made. ``edit.undo`` marks one edit dead, ``edit.redo`` live again. ``state.restore``
brings back what was live right after an earlier edit: everything since is dead, and whatever was taken back since is live
again. A restore that is itself undone counts as if it had never been made, so that others' undos around it keep their
meaning. Dead or live is said of the edits that change the state; undo and redo are always live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "REDO",
    "RESTORE",
    "TOGGLES",
    "UNDO",
    "Flips",
    "LogEntry",
    "flips_between",
    "flips_of",
    "live_numbers",
]

UNDO, REDO, RESTORE = "edit.undo", "edit.redo", "state.restore"
TOGGLES = frozenset({UNDO, REDO})

Range = tuple[int, int]


class LogEntry(NamedTuple):
    """What liveness needs of an edit."""

    number: int
    kind: str
    target: int | None = None  # of an undo or redo
    restored: int | None = None  # of a restore: number of the edit whose state it brings back
    dead: Collection[int] = ()  # of a restore: the edits up to there that were dead then


class Flips(NamedTuple):
    """Ranges ``[low, high)`` of edit numbers that died, and that came to life again.

    Inside them also lie edits that were dead (or live) before, and undos and redos, of which nothing is said.
    """

    died: tuple[Range, ...] = ()
    revived: tuple[Range, ...] = ()

    @property
    def all(self) -> tuple[Range, ...]:
        return (*self.died, *self.revived)

    def pack(self) -> dict[str, list[list[int]]]:
        """As part of an edit's payload."""
        return {"died": [list(pair) for pair in self.died], "revived": [list(pair) for pair in self.revived]}


def live_numbers(log: Sequence[LogEntry]) -> set[int]:
    """Numbers of the live edits after a log, sorted by number, has run; undos and redos are not among them.

    >>> log = [LogEntry(1, "leaves.assign"), LogEntry(2, "leaves.assign"), LogEntry(3, UNDO, target=2)]
    >>> sorted(live_numbers([*log, LogEntry(4, RESTORE, restored=2)]))
    [1, 2, 4]
    >>> sorted(live_numbers([*log, LogEntry(4, RESTORE, restored=2), LogEntry(5, UNDO, target=4)]))
    [1]
    """
    undone = _undone_restores(log)
    live: set[int] = set()
    known: set[int] = set()
    restores: set[int] = set()
    for entry in log:
        if entry.kind == UNDO and entry.target is not None:
            live.discard(entry.target)
        elif entry.kind == REDO and entry.target is not None:
            live |= known & {entry.target}
        elif entry.kind == RESTORE and entry.restored is not None:
            restores.add(entry.number)
            if entry.number not in undone:
                live = _restored(log, entry.restored, entry.dead)
        elif entry.kind not in TOGGLES:
            known.add(entry.number)
            live.add(entry.number)
    return live | (restores - undone)


def _undone_restores(log: Iterable[LogEntry]) -> set[int]:
    restores: set[int] = set()
    undone: set[int] = set()
    for entry in log:
        if entry.kind == RESTORE:
            restores.add(entry.number)
        elif entry.kind == UNDO and entry.target in restores:
            undone.add(entry.target)
        elif entry.kind == REDO and entry.target in restores:
            undone.discard(entry.target)
    return undone


def _restored(log: Iterable[LogEntry], number: int, dead: Collection[int]) -> set[int]:
    gone = frozenset(dead)
    return {
        entry.number
        for entry in log
        if entry.number <= number
        and entry.kind != RESTORE
        and entry.kind not in TOGGLES
        and entry.number not in gone
    }


def flips_between(log: Iterable[LogEntry], before: Collection[int], after: Collection[int]) -> Flips:
    """What dies and what revives between two sets of live numbers, in as few ranges as can say it."""
    died: list[Range] = []
    revived: list[Range] = []
    open_died: list[int] = []  # first and last flipped number of a run that is still going on
    open_revived: list[int] = []

    def close(run: list[int], out: list[Range]) -> None:
        if run:
            out.append((run[0], run[1] + 1))
            run.clear()

    for entry in log:
        if entry.kind in TOGGLES:
            continue
        number, is_live = entry.number, entry.number in after
        close(open_died if is_live else open_revived, died if is_live else revived)
        if is_live != (number in before):
            run = open_revived if is_live else open_died
            run[:] = [run[0] if run else number, number]
    close(open_died, died)
    close(open_revived, revived)
    return Flips(tuple(died), tuple(revived))


def flips_of(kind: str, payload: Mapping[str, Any]) -> Flips:
    """Which edits an undo, a redo or a restore turned, from its payload; nothing for other edits."""
    if "died" in payload:
        return Flips(_pairs(payload["died"]), _pairs(payload["revived"]))
    if kind in TOGGLES and "target" in payload:
        own = ((payload["target"], payload["target"] + 1),)
        return Flips(died=own) if kind == UNDO else Flips(revived=own)
    return Flips()


def _pairs(ranges: Iterable[Sequence[int]]) -> tuple[Range, ...]:
    return tuple((low, high) for low, high in ranges)
