"""What was drawn by hand over the leaves, as part of the fold: pure, without Django or a database.

Each drawing is a mask of pixels in a file of its own (segmentation/overrides.py), named by a random token, with a class for
them, or none: then what was drawn there before shows no more. They lie over one another by the numbers of their edits; one
that was taken back keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["Drawn", "note_flips", "pack_drawn", "unpack_drawn", "version_of"]

Range = tuple[int, int]


class Drawn(NamedTuple):
    """One drawing."""

    number: int  # of the edit
    token: str  # names the file of its mask
    class_number: int  # 0: erases
    live: bool = True
    changed: int = 0  # number of the edit that made it, or took it back or brought it again last


def note_flips(drawn: Iterable[Drawn], turned: Sequence[Range], number: int) -> tuple[Drawn, ...]:
    """After edit ``number`` took the edits of these ranges back, or brought them again."""
    return tuple(
        one._replace(changed=number) if any(low <= one.number < high for low, high in turned) else one
        for one in drawn
    )


def version_of(drawn: Iterable[Drawn]) -> int:
    """Number of the newest edit that changed what is drawn; 0 without."""
    return max((one.changed for one in drawn), default=0)


def pack_drawn(drawn: Iterable[Drawn]) -> list[list[Any]]:
    """As JSON."""
    return [list(one) for one in drawn]


def unpack_drawn(packed: Iterable[Sequence[Any]]) -> tuple[Drawn, ...]:
    return tuple(Drawn(*one) for one in packed)
