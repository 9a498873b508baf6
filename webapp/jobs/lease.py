"""Of several server processes on one database, which one carries the jobs: a row that its holder confirms every few seconds.

Times are the database's own, so that clocks of several machines need not agree.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

from django.db import DatabaseError, connections
from django.db.models import Q
from django.db.models.functions import Now

from webapp.jobs.jobfiles import is_running
from webapp.models import Lease as Row

__all__ = ["STALE_S", "Lease"]

logger = logging.getLogger(__name__)

EVERY_S = 4.0  # between two confirmations
TRY_S = 1.0  # between two tries to get it
STALE_S = 20.0  # after which a holder that was not heard of has lost it

# Names of holders that live in this very process; another one with our number is of a process that is gone.
_living: set[str] = set()


class Lease:
    """Our part in it, kept up by a thread of its own: what the holder does in between may take long.

    Parameters
    ----------
    name : str
        What it is for.
    on_change : callable
        Called from the thread when it was got or lost.
    """

    def __init__(self, name: str, on_change: Callable[[], None]) -> None:
        self._name = name
        self._on_change = on_change
        self._holder = uuid.uuid4().hex
        self._confirmed = -STALE_S  # when the database last said that it is ours, on the monotonic clock
        self._was_held = False
        self._complained = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have it yet."""
        return time.monotonic() - self._confirmed < STALE_S

    def start(self) -> None:
        _living.add(self._holder)
        self._thread.start()

    def stop(self) -> None:
        """Leave it to whoever wants it."""
        self._stopping.set()
        self._thread.join()
        _living.discard(self._holder)

    def take(self) -> bool:
        """Confirm it, or get it where nobody has it; whether it is ours now. One statement decides, so two cannot both."""
        rows = Row.objects.filter(name=self._name)
        if rows.filter(holder=self._holder).update(seen_at=Now()):
            return True
        us = {"holder": self._holder, "host": platform.node()[:255], "pid": os.getpid(), "seen_at": Now()}
        found = rows.first()
        if found is None:
            return Row.objects.get_or_create(name=self._name, defaults=us)[1]
        # On this very machine we need not wait for one that is gone.
        free = (
            Q(holder=found.holder) if _is_gone(found) else Q(seen_at__lt=Now() - timedelta(seconds=STALE_S))
        )
        # A moment to come is of a clock that was set back, or of a database from elsewhere.
        free |= Q(seen_at__gt=Now() + timedelta(seconds=STALE_S))
        return bool(rows.filter(free, holder=found.holder).update(**us))

    def release(self) -> None:
        Row.objects.filter(name=self._name, holder=self._holder).delete()

    def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
                self._stopping.wait(EVERY_S if self.is_held else TRY_S)
            if self.is_held:
                self.release()
        except DatabaseError as error:
            logger.warning(
                "the lease of the jobs was not given back; another process waits for it: %s", error
            )
        finally:
            connections.close_all()

    def _turn(self) -> None:
        asked = time.monotonic()  # before, not after: it may take a while until the answer is here
        try:
            if self.take():
                self._confirmed = asked
            else:
                self._confirmed = -STALE_S
            self._complained = False
        except DatabaseError as error:
            # As long as it was confirmed lately nobody else can have it.
            if not self._complained:
                logger.warning("the database does not say who carries the jobs; trying on: %s", error)
            self._complained = True
            connections.close_all()
        if self.is_held != self._was_held:
            self._was_held = self.is_held
            self._on_change()


def _is_gone(row: Row) -> bool:
    if row.host != platform.node()[:255] or row.holder in _living:
        return False
    return row.pid == os.getpid() or not is_running(row.pid)
