"""Links that invite into a project: made and revoked by its owners, spent by whoever has one (docs/accounts.md)."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError
from webapp.models import Invite, Membership, Project, Role
from webapp.people import members
from webapp.permissions import RANK, require_project, role_in

__all__ = [
    "LONGEST_HOURS",
    "MAX_LINKS",
    "MAX_USES",
    "GoneError",
    "Joined",
    "Offer",
    "describe_invite",
    "find",
    "invites_of",
    "join",
    "make",
    "revoke",
]

MAX_LINKS = 50  # live ones of a project
LONGEST_HOURS = 24 * 365
MAX_USES = 1000


class GoneError(ConflictError):
    """The link does not work (any more)."""

    status = 410


class Offer(NamedTuple):
    """What a link offers, as its page says it."""

    invite: Invite
    project: Project
    role: str
    invited_by: User


class Joined(NamedTuple):
    project: Project
    role: str  # the one that the person has now
    has_changed: bool  # false for who had this role or a higher one before


def invites_of(user: User, project_id: int) -> list[dict[str, Any]]:
    """The links by which one could still join, newest first."""
    project = require_project(user, project_id, Role.OWNER)
    return [describe_invite(invite) for invite in _live(project) if _may_invite(invite)]


def describe_invite(invite: Invite) -> dict[str, Any]:
    return {
        "id": invite.pk,
        "role": invite.role,
        "created_by": members.person(invite.created_by),
        "created_at": invite.created_at.isoformat(),
        "expires_at": invite.expires_at.isoformat() if invite.expires_at else None,
        "max_uses": invite.max_uses,
        "uses": invite.uses,
    }


def make(
    user: User, project_id: int, role: str, expires_in: float | None, max_uses: int | None
) -> tuple[Invite, str]:
    """A new link; its token is known only now. ``expires_in`` is in hours, None for never."""
    members.check_role(role)
    if role == Role.OWNER:
        raise InvalidInputError(
            "A link can make viewers and editors; whoever is to be an owner is made one in the list of members."
        )
    if expires_in is not None and not 0 < expires_in <= LONGEST_HOURS:  # false for NaN
        raise InvalidInputError(
            f"A link cannot hold for {expires_in:g} hours; choose up to {LONGEST_HOURS}, or null for as long as "
            "nobody revokes it."
        )
    if max_uses is not None and not 1 <= max_uses <= MAX_USES:
        raise InvalidInputError(
            f"A link cannot hold for {max_uses} people; choose 1 to {MAX_USES}, or null for any number."
        )
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        project = members.lock(project_id)
        require_project(user, project_id, Role.OWNER)
        if _live(project).count() >= MAX_LINKS:
            raise LimitError(f"A project has at most {MAX_LINKS} links at once; revoke some first.")
        invite = Invite.objects.create(
            project=project,
            role=role,
            token_hash=_hash(token),
            created_by=user,
            expires_at=None if expires_in is None else timezone.now() + timedelta(hours=expires_in),
            max_uses=max_uses,
        )
    return invite, token


def revoke(user: User, project_id: int, invite_id: int) -> None:
    """From now on nobody joins by it; who has, stays."""
    project = require_project(user, project_id, Role.OWNER)
    done = Invite.objects.filter(project=project, pk=invite_id, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if not done:
        raise MissingError("This link was revoked before, or there never was one.")


def find(token: str) -> Offer:
    """What a link offers; GoneError with a sentence where it does not work."""
    invite = Invite.objects.filter(token_hash=_hash(token)).select_related("project", "created_by").first()
    if invite is None:
        raise GoneError("There is no such invitation; was the link cut short? Ask for a new one.")
    by = invite.created_by.username
    if invite.revoked_at is not None or not _may_invite(invite):
        raise GoneError(f"This invitation was taken back; ask {by} for a new one.")
    if invite.expires_at is not None and invite.expires_at <= timezone.now():
        raise GoneError(f"This invitation has expired; ask {by} for a new one.")
    if invite.max_uses is not None and invite.uses >= invite.max_uses:
        used = "was used already" if invite.max_uses == 1 else f"was used by all {invite.max_uses} it was for"
        raise GoneError(f"This invitation {used}; ask {by} for a new one.")
    return Offer(invite, invite.project, invite.role, invite.created_by)


def join(user: User, token: str) -> Joined:
    """Make the user a member, or raise their role. One who has the role already spends nothing."""
    with transaction.atomic():
        offer = find(token)
        project = members.lock(offer.project.pk)
        offer = find(token)  # as it is now that nobody else can spend it
        own = role_in(user, project)
        if own is not None and RANK[own] >= RANK[offer.role]:
            return Joined(project, own, has_changed=False)
        if own is None:
            members.check_room(project)
        Membership.objects.update_or_create(
            project=project,
            user=user,
            defaults={"role": offer.role},
            create_defaults={"role": offer.role, "invited_by": offer.invited_by},
        )
        Invite.objects.filter(pk=offer.invite.pk).update(uses=F("uses") + 1)
        members.tell(project.pk)
    return Joined(project, offer.role, has_changed=True)


def _live(project: Project) -> QuerySet[Invite]:
    has_time = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    has_uses = Q(max_uses=None) | Q(uses__lt=F("max_uses"))
    live = Invite.objects.filter(has_time, has_uses, project=project, revoked_at=None)
    return live.select_related("created_by", "project")


def _may_invite(invite: Invite) -> bool:
    """A link is worth as much as who made it: nothing, once they are no owner any more."""
    return role_in(invite.created_by, invite.project) == Role.OWNER


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
