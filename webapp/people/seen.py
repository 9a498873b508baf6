"""When somebody was last seen: written at most once a minute, by page, request or socket."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from webapp.models import Profile

__all__ = ["forget", "note"]

EVERY_S = 60.0

# When this process last wrote it down, by user; the row itself is what other processes go by.
_noted: dict[int, float] = {}


def note(*user_ids: int) -> None:
    """Remember that these users are here now."""
    now = time.monotonic()
    due = [user_id for user_id in user_ids if now - _noted.get(user_id, -EVERY_S) >= EVERY_S]
    if not due:
        return
    _noted.update(dict.fromkeys(due, now))
    moment = timezone.now()
    stale = Q(last_seen=None) | Q(last_seen__lt=moment - timedelta(seconds=EVERY_S))
    profiles = Profile.objects.filter(user_id__in=due)
    if profiles.filter(stale).update(last_seen=moment) == len(due):
        return
    known = set(profiles.values_list("user_id", flat=True))
    for user_id in set(due) - known:
        Profile.objects.get_or_create(user_id=user_id, defaults={"last_seen": moment})


def forget() -> None:
    """Write it down anew at the next sign, as a new process would."""
    _noted.clear()
