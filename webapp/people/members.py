"""Who takes part in a project, with which role; owners decide (docs/accounts.md).

Every change locks the project's row, as edits do: what somebody sends after their role has changed is judged by the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError
from webapp.live import broadcast
from webapp.live.colors import color_of
from webapp.live.event_types import MemberInfo
from webapp.models import Invite, Membership, Project, Role
from webapp.people import throttle
from webapp.permissions import RANK, require_role

__all__ = [
    "MAX_MEMBERS",
    "add_by_name",
    "change_role",
    "check_role",
    "check_room",
    "describe_member",
    "list_members",
    "lock",
    "members_of",
    "person",
    "remove",
    "roles_in",
    "tell",
    "tell_projects_of",
]

MAX_MEMBERS = 500  # of a project


def person(user: User) -> dict[str, Any]:
    """Who somebody is to others."""
    return {"id": user.pk, "name": user.username, "color": color_of(user.pk)}


def describe_member(user: User, role: str) -> MemberInfo:
    return {"id": user.pk, "name": user.username, "color": color_of(user.pk), "role": role}


def members_of(project: Project) -> list[MemberInfo]:
    """Everybody who takes part and whose account is open: who made the project first, then as they joined."""
    return [describe_member(user, role) for user, role in _all_members(project) if user.is_active]


def list_members(project: Project) -> list[dict[str, Any]]:
    """The same with those whose account is closed, for who looks after the list."""
    return [{**describe_member(user, role), "active": user.is_active} for user, role in _all_members(project)]


def _all_members(project: Project) -> list[tuple[User, str]]:
    rows = Membership.objects.filter(project=project).exclude(user_id=project.owner_id).select_related("user")
    return [(project.owner, str(Role.OWNER)), *((row.user, row.role) for row in rows)]


def roles_in(user: User, projects: Iterable[Project]) -> dict[int, str]:
    """The user's role in each of the projects in which they have one, by the project's id."""
    listed = list(projects)
    rows = Membership.objects.filter(user_id=user.pk, project__in=listed)
    roles = dict(rows.values_list("project_id", "role"))
    return roles | {project.pk: str(Role.OWNER) for project in listed if project.owner_id == user.pk}


def lock(project_id: int) -> Project:
    """The project's row, locked until the transaction ends."""
    project = Project.objects.select_for_update().filter(pk=project_id).first()
    if project is None:
        raise MissingError(f"There is no project {project_id} among yours.")
    return project


def add_by_name(user: User, project_id: int, name: str, role: str) -> MemberInfo:
    """Make somebody with an account a member."""
    check_role(role)
    with transaction.atomic():
        project = lock(project_id)
        require_role(user, project, Role.OWNER)
        found = _find_account(user, name)
        if _takes_part(project, found.pk):
            raise ConflictError(
                f"{found.username} takes part already; change the role in the list of members."
            )
        check_room(project)
        Membership.objects.create(project=project, user=found, role=role, invited_by=user)
        tell(project.pk)
    return describe_member(found, role)


def change_role(user: User, project_id: int, member_id: int, role: str) -> MemberInfo:
    check_role(role)
    with transaction.atomic():
        project = lock(project_id)
        require_role(user, project, Role.OWNER)
        member = _find_member(project, member_id)
        before = _role_of(project, member)
        if role == before:
            return describe_member(member, role)
        if before == Role.OWNER:
            _hand_on(project, member)
        Membership.objects.update_or_create(project=project, user=member, defaults={"role": role})
        if RANK[role] < RANK[before]:
            # With a link at hand they would be back where they were.
            _revoke_links(project, above=role)
        tell(project.pk)
    return describe_member(member, role)


def remove(user: User, project_id: int, member_id: int) -> None:
    """Take somebody out of a project, or leave it oneself; their edits stay."""
    with transaction.atomic():
        project = lock(project_id)
        is_leaving = member_id == user.pk
        require_role(user, project, Role.VIEWER if is_leaving else Role.OWNER)
        member = _find_member(project, member_id)
        if _role_of(project, member) == Role.OWNER:
            _hand_on(project, member)
        Membership.objects.filter(project=project, user=member).delete()
        if not is_leaving:
            _revoke_links(project)
        tell(project.pk)


def check_role(role: str) -> None:
    if role not in RANK:
        raise InvalidInputError(f"There is no role {role[:20]!r}; choose viewer, editor or owner.")


def check_room(project: Project) -> None:
    if project.memberships.count() >= MAX_MEMBERS:
        raise LimitError(f"A project has at most {MAX_MEMBERS} members; remove somebody first.")


def tell(project_id: int) -> None:
    """Have every socket of the project look at who may do what, once the transaction is through."""
    group = broadcast.project_group(project_id)
    transaction.on_commit(lambda: broadcast.send(group, "members.changed"))


def tell_projects_of(user: User) -> None:
    """The same for all projects that somebody takes part in: their account or name has changed."""
    made = Project.objects.filter(owner=user).values_list("pk", flat=True)
    joined = Membership.objects.filter(user=user).values_list("project_id", flat=True)
    for project_id in {*made, *joined}:
        tell(project_id)


def _find_account(user: User, name: str) -> User:
    """The account of this name, for somebody who may not be told more than whether there is one."""
    name = name.strip()
    if not name:
        raise InvalidInputError("Give the user name of whom to invite.")
    if not name.isprintable():  # PostgreSQL does not even look for some of them
        raise InvalidInputError("The user name holds control characters; write it as it is shown here.")
    open_accounts = User.objects.filter(is_active=True)
    found = open_accounts.filter(username=name).first()
    if found is None:
        alike = list(open_accounts.filter(username__iexact=name)[:2])
        found = alike[0] if len(alike) == 1 else None
    if found is None:
        # One may mistype; to try out lists of names is another matter.
        if not throttle.allow(f"names:{user.pk}", 30, 3600):
            raise LimitError(
                "There were too many names that nobody has; wait an hour, or make a link instead."
            )
        raise MissingError(
            f"Nobody here is called {name[:150]!r}; check the spelling, or make a link, by which people also "
            "get an account."
        )
    return found


def _find_member(project: Project, member_id: int) -> User:
    member = User.objects.filter(pk=member_id).first()
    if member is None or not _takes_part(project, member_id):
        raise MissingError("This person takes no part in the project (any more).")
    return member


def _takes_part(project: Project, user_id: int) -> bool:
    is_member = Membership.objects.filter(project=project, user_id=user_id).exists()
    return project.owner_id == user_id or is_member


def _role_of(project: Project, member: User) -> str:
    """The role of a member, whose account may be closed."""
    if project.owner_id == member.pk:
        return str(Role.OWNER)
    return Membership.objects.get(project=project, user=member).role


def _hand_on(project: Project, leaving: User) -> None:
    """Have another owner stand for the project; ConflictError where there is none."""
    others = Membership.objects.filter(project=project, role=Role.OWNER, user__is_active=True)
    others = others.exclude(user=leaving).select_related("user")
    if project.owner_id != leaving.pk:
        if not project.owner.is_active and not others.exists():
            raise _last_owner(leaving)
        return
    heir = others.first()
    if heir is None:
        raise _last_owner(leaving)
    project.owner = heir.user
    project.save(update_fields=["owner"])
    heir.delete()


def _last_owner(leaving: User) -> ConflictError:
    return ConflictError(
        f"{leaving.username} is the only owner of this project; make somebody else an owner first."
    )


def _revoke_links(project: Project, above: str | None = None) -> None:
    roles = [role for role, rank in RANK.items() if above is None or rank > RANK[above]]
    live = Invite.objects.filter(project=project, role__in=roles, revoked_at=None)
    live.update(revoked_at=timezone.now())
