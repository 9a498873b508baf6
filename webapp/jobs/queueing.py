"""Whose turn it is: of the jobs that wait, which is begun next. Pure rules over entries; the rows are read at the end.

- A user has at most so many jobs computing; what the server learns by itself does not count.
- Users take turns: who has fewer computing goes first, then who has waited longer for a turn.
- Lanes by estimated work keep small jobs from waiting for large ones: each has its own room, and the larger ones leave
  a thread of the cluster free for the small. Where there is none, a larger one makes room and goes on later.
- A map that somebody has before them goes before one that nobody looks at, as long as the latter has not waited long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max
from django.utils import timezone

from webapp.jobs.capacity import Capacity
from webapp.jobs.precedence import LARGE, MEDIUM, SMALL, size_class
from webapp.models import Job

__all__ = ["Entry", "entry_of", "last_turns", "next_entry", "places", "who_yields"]

IMPORTING, EXPORTING, LEARNING = "importing", "exporting", "learning"
SEGMENTING = {SMALL: "small", MEDIUM: "medium", LARGE: "large"}
PATIENCE_S = 120.0  # after which a job that nobody looks at counts like one that is looked at
NO_WORKER = "No worker is there to compute it; whoever runs the server has to start one."
NEVER = datetime.min.replace(tzinfo=timezone.get_default_timezone())


@dataclass(frozen=True)
class Entry:
    """A job that waits or computes."""

    name: str
    number: int  # as they came
    owner: int | None
    owner_name: str
    lane: str
    work: int
    automatic: bool = False
    is_watched: bool = False
    waited_s: float = 0.0

    @property
    def is_small(self) -> bool:
        return self.lane == SEGMENTING[SMALL]


def entry_of(job: Job, name: str, number: int, is_watched: bool, now: datetime) -> Entry:
    lanes = {
        Job.Kind.IMPORT: IMPORTING,
        Job.Kind.EXPORT: EXPORTING,
        Job.Kind.LEARN: LEARNING,
        Job.Kind.SEGMENT: SEGMENTING[size_class(job.work_px)],
    }
    return Entry(
        name,
        number,
        owner=job.owner_id,
        owner_name=job.owner.username if job.owner else "somebody",
        lane=lanes[Job.Kind(job.kind)],
        work=job.work_px,
        automatic=job.automatic,
        is_watched=is_watched,
        waited_s=(now - job.created_at).total_seconds(),
    )


def last_turns(owners: set[int | None]) -> dict[int | None, datetime]:
    """When a job of each user was last begun."""
    rows = Job.objects.filter(owner__in=[owner for owner in owners if owner is not None])
    return dict(rows.order_by().values_list("owner").annotate(Max("begun_at")))


def _room(lane: str, capacity: Capacity) -> int:
    """How many of a lane may compute at once."""
    if lane == LEARNING:
        return 1  # else they would take all threads of a cluster that has few
    return 2 * capacity.workers if lane == IMPORTING else capacity.workers


def _fits(entry: Entry, computing: Sequence[Entry], capacity: Capacity) -> bool:
    if sum(one.lane == entry.lane for one in computing) >= _room(entry.lane, capacity):
        return False
    if entry.is_small:
        return len(computing) < capacity.threads
    others = sum(not one.is_small for one in computing)
    return others < max(1, capacity.threads - 1) and len(computing) < capacity.threads


def _counts(computing: Sequence[Entry]) -> Counter[int | None]:
    return Counter(one.owner for one in computing if not one.automatic)


def _is_held(entry: Entry, computing: Sequence[Entry], per_user: int) -> bool:
    """Whether it waits for other jobs of its own user."""
    return not entry.automatic and _counts(computing)[entry.owner] >= per_user


def next_entry(
    waiting: Sequence[Entry],
    computing: Sequence[Entry],
    turns: Mapping[int | None, datetime | None],
    per_user: int,
    capacity: Capacity,
) -> Entry | None:
    """The job that is begun next; None where none can be now."""
    ready = [
        entry
        for entry in waiting
        if not _is_held(entry, computing, per_user) and _fits(entry, computing, capacity)
    ]
    if capacity.threads - len(computing) <= 1:
        # The last thread: a larger job that took it would have to make room for the small one at once.
        ready = [entry for entry in ready if entry.is_small] or ready
    counts = _counts(computing)
    return min(ready, key=lambda entry: _order(entry, counts, turns), default=None)


def _order(
    entry: Entry, counts: Mapping[int | None, int], turns: Mapping[int | None, datetime | None]
) -> tuple[bool, int, bool, datetime, int]:
    is_urgent = entry.is_watched or entry.waited_s >= PATIENCE_S
    return (
        entry.automatic,
        counts.get(entry.owner, 0),
        not is_urgent,
        turns.get(entry.owner) or NEVER,
        entry.number,
    )


def places(
    waiting: Sequence[Entry],
    computing: Sequence[Entry],
    turns: Mapping[int | None, datetime | None],
    per_user: int,
    capacity: Capacity,
) -> dict[str, tuple[int, str]]:
    """Of each job that waits: its place among those of its lane, from 1, and what it waits for, as a sentence."""
    found: dict[str, tuple[int, str]] = {}
    ahead: Counter[str] = Counter()
    counts, begun, rest = _counts(computing), dict(turns), list(waiting)
    clock = timezone.now()
    while rest:
        entry = min(rest, key=lambda one: _order(one, counts, begun))
        rest.remove(entry)
        ahead[entry.lane] += 1
        found[entry.name] = (ahead[entry.lane], _reason(entry, computing, per_user, capacity))
        counts[entry.owner] += not entry.automatic
        begun[entry.owner] = clock
    return found


def _reason(entry: Entry, computing: Sequence[Entry], per_user: int, capacity: Capacity) -> str:
    if capacity.threads == 0:
        return NO_WORKER
    if _is_held(entry, computing, per_user):
        own = _counts(computing)[entry.owner]
        return f"It waits for {entry.owner_name}'s other jobs: {own} {'is' if own == 1 else 'are'} computing."
    if any(one.lane == entry.lane for one in computing):
        return "It waits for the job before it."
    return "It waits for a free worker." if computing else ""


def who_yields(
    waiting: Sequence[Entry], computing: Sequence[Entry], per_user: int, capacity: Capacity
) -> Entry | None:
    """The job that is to make room for a small one that waits for nothing but a thread; None where none need."""
    if len(computing) < capacity.threads:
        return None
    small = [
        entry
        for entry in waiting
        if entry.is_small
        and not _is_held(entry, computing, per_user)
        and not any(one.is_small for one in computing)
    ]
    larger = [one for one in computing if one.lane in (SEGMENTING[MEDIUM], SEGMENTING[LARGE], LEARNING)]
    if not small or not larger:
        return None
    return max(larger, key=lambda one: (one.automatic, one.work))
