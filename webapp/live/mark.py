"""How far a page has come, told when it dials again: the number of the newest edit that it knows, and when that was recorded.

Two histories may have an edit of the same number (a database brought back from a backup), but not of the same microsecond.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs

from webapp.models import Edit

__all__ = ["Mark", "belongs_to", "mark_of", "mark_text"]

MOST_DIGITS = 9


class Mark(NamedTuple):
    number: int
    at: str  # as in the edit's event; "" where there is no edit yet


def mark_of(query: bytes) -> Mark | None:
    """The mark in the query of a socket's address; None without one, or where it is none."""
    try:
        fields = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return None
    number, at = fields.get("since", [""])[-1], fields.get("at", [""])[-1]
    if not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS):
        return None
    return Mark(int(number), at)


def mark_text(project_id: int, number: int) -> str:
    """When the edit ``number`` was recorded; "" without edits."""
    made = (
        Edit.objects.filter(project_id=project_id, number=number).values_list("created_at", flat=True).first()
    )
    return made.isoformat() if made else ""


def belongs_to(mark: Mark, project_id: int) -> bool:
    """Whether the project's history has that very edit."""
    return mark_text(project_id, mark.number) == mark.at
