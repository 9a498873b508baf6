"""The queue as the database and the jobs' folders have it: rows in, turns out, places told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from django.conf import settings
from django.utils import timezone

from webapp.jobs import jobbook, jobrows, queueing
from webapp.jobs.capacity import Capacity
from webapp.jobs.jobfiles import JobFolder
from webapp.models import Job, Scene, Segmentation

__all__ = ["Line", "Wanted"]

Wanted: TypeAlias = Segmentation | Scene | Job  # what is to be made


class Line:
    """Jobs that are wanted at one moment, read once.

    Parameters
    ----------
    wanted : mapping
        What is to be made, by the job's name.
    capacity : Capacity
        Of the cluster.
    """

    def __init__(self, wanted: Mapping[str, Wanted], capacity: Capacity) -> None:
        self._capacity = capacity
        self._per_user = settings.JOBS_PER_USER
        now = timezone.now()
        known = jobbook.active_jobs()
        self._jobs: dict[str, Job] = {}
        self._entries: dict[str, queueing.Entry] = {}
        in_order = sorted(wanted.items(), key=lambda item: (item[1].created_at, item[1].pk))
        for number, (name, row) in enumerate(in_order):
            folder = JobFolder(settings.DATA_DIR, name)
            if isinstance(row, Scene) and not folder.description():
                continue  # imported by a command of its own, or still being received
            job = row if isinstance(row, Job) else known.get(name) or jobbook.ensure(row)
            self._jobs[name] = job
            self._entries[name] = queueing.entry_of(job, name, number, folder.is_watched(), now)
        for name, job in known.items():
            if name not in wanted:
                jobbook.settle(job)
        self._turns = queueing.last_turns({entry.owner for entry in self._entries.values()})
        self._tried: set[str] = set()

    def next(self, running: Collection[str]) -> str | None:
        """The job to begin now; each is named once."""
        waiting = [entry for entry in self._waiting(running) if entry.name not in self._tried]
        entry = queueing.next_entry(
            waiting, self._computing(running), self._turns, self._per_user, self._capacity
        )
        if entry is None:
            return None
        self._tried.add(entry.name)
        return entry.name

    def who_yields(self, running: Collection[str]) -> str | None:
        """The job that is to make room for a smaller one."""
        entry = queueing.who_yields(
            self._waiting(running), self._computing(running), self._per_user, self._capacity
        )
        return None if entry is None else entry.name

    def tell(self, running: Collection[str]) -> None:
        """Write down for those that wait where they stand, and why."""
        waiting = self._waiting(running)
        found = queueing.places(
            waiting, self._computing(running), self._turns, self._per_user, self._capacity
        )
        for name, (place, reason) in found.items():
            job = self._jobs[name]
            if jobbook.wait(job, place, reason) and job.segmentation_id is not None:
                told = f"Number {place} in the queue. {reason}".strip()
                jobrows.segmentation_waits(job.segmentation_id, told)

    def _waiting(self, running: Collection[str]) -> list[queueing.Entry]:
        return [entry for name, entry in self._entries.items() if name not in running]

    def _computing(self, running: Collection[str]) -> list[queueing.Entry]:
        return [entry for name, entry in self._entries.items() if name in running]
