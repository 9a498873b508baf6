"""Where the members stand that are connected to one project: its newest edit, and whether each may still see it.

Asked with each heartbeat, by each connection. They are read together: one by one the members of a busy project, who often come at
the same moment, would hold up everybody's edits for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.utils.crypto import constant_time_compare

from webapp.live.database import in_database
from webapp.models import Membership, Project, Role
from webapp.people import seen

__all__ = ["Guest", "Standing", "Standings", "read"]


class Guest(NamedTuple):
    user_id: int
    session: Any  # of the handshake; None where there is none


class Standing(NamedTuple):
    number: int  # of the project's newest edit
    role: str | None  # None: project, account, membership or sign-in is gone


class Standings:
    """Of one project at one process. Belongs to one event loop."""

    def __init__(self, project_id: int) -> None:
        self._project_id = project_id
        self._guests: dict[Hashable, Guest] = {}
        self._known: dict[Hashable, Standing] = {}
        self._read_at = 0.0  # on the loop's clock
        self._reading: asyncio.Task[None] | None = None

    def join(self, key: Hashable, guest: Guest) -> None:
        self._guests[key] = guest

    def leave(self, key: Hashable) -> None:
        self._guests.pop(key, None)
        self._known.pop(key, None)

    async def of(self, key: Hashable, age_s: float) -> Standing:
        """Where a guest stands, or stood at most ``age_s`` ago."""
        oldest = asyncio.get_running_loop().time() - age_s
        while key in self._guests:
            if self._read_at >= oldest and key in self._known:
                return self._known[key]
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
                self._reading.add_done_callback(self._forget_reading)
            # Whoever leaves takes back only their own wait.
            await asyncio.shield(self._reading)
        return Standing(0, None)  # left meanwhile

    def _forget_reading(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        keys, guests = list(self._guests), list(self._guests.values())
        began = asyncio.get_running_loop().time()
        found = await in_database(read)(self._project_id, guests)
        self._known = dict(zip(keys, found, strict=True))
        self._read_at = began


def read(project_id: int, guests: Sequence[Guest]) -> list[Standing]:
    """Where each of them stands now; who is still there is noted as seen."""
    project = Project.objects.filter(pk=project_id).values_list("number", "owner_id").first()
    if project is None:
        return [Standing(0, None) for _ in guests]
    number, owner = project
    ids = {guest.user_id for guest in guests}
    accounts = {user.pk: user for user in User.objects.filter(pk__in=ids, is_active=True)}
    mine = Membership.objects.filter(project_id=project_id, user_id__in=ids)
    roles = {**dict(mine.values_list("user_id", "role")), owner: str(Role.OWNER)}
    open_sessions = _open_sessions([guest.session for guest in guests if guest.session is not None])
    standings = []
    for guest in guests:
        account = accounts.get(guest.user_id)
        is_here = account is not None and _is_signed_in(account, guest.session, open_sessions)
        standings.append(Standing(number, roles.get(guest.user_id) if is_here else None))
    seen.note(*{guest.user_id for guest, standing in zip(guests, standings, strict=True) if standing.role})
    return standings


def _open_sessions(sessions: Sequence[Any]) -> set[str]:
    """Keys of those that have not been ended."""
    found: set[str] = set()
    keys: set[str] = set()
    model = None
    for session in sessions:
        if not session.session_key:
            continue
        if hasattr(session, "get_model_class"):
            model = session.get_model_class()
            keys.add(session.session_key)
        elif session.exists(session.session_key):
            found.add(session.session_key)
    if model is not None:
        found.update(model.objects.filter(session_key__in=keys).values_list("session_key", flat=True))
    return found


def _is_signed_in(account: User, session: Any, open_sessions: set[str]) -> bool:
    if session is None or not session.session_key:
        return True
    if session.session_key not in open_sessions:
        return False
    # A new password ends the sign-ins made with the old one.
    known = session.get(HASH_SESSION_KEY)
    return known is None or constant_time_compare(known, account.get_session_auth_hash())
