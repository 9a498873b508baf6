"""What the socket reads from the database; each call asks anew whether the user may."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import User

from webapp.editing.leaves import LeavesKey, leaves_key
from webapp.errors import MissingError
from webapp.live import events
from webapp.live.colors import color_of
from webapp.live.event_types import (
    MemberInfo,
    ProjectResumedEvent,
    ProjectStateEvent,
)
from webapp.live.mark import Mark, belongs_to
from webapp.live.presence import Person
from webapp.models import Role, Segmentation
from webapp.people.members import members_of
from webapp.permissions import require_project, require_role, role_in

__all__ = [
    "Entrance",
    "Members",
    "entrance",
    "leaves",
    "members",
    "require_segmentation_of_project",
    "resumed",
    "state",
]


class Entrance(NamedTuple):
    scene_id: int
    person: Person


class Members(NamedTuple):
    role: str  # of whom it is told
    members: list[MemberInfo]


def entrance(user: User, project_id: int) -> Entrance:
    """What a connection begins with; MissingError for who may not know of the project."""
    project = require_project(user, project_id)
    role = role_in(user, project) or Role.VIEWER
    return Entrance(project.scene_id, Person(user.pk, user.username, color_of(user.pk), role))


def state(user: User, project_id: int) -> ProjectStateEvent:
    return events.project_state(require_project(user, project_id), user)


def resumed(user: User, project_id: int, mark: Mark) -> ProjectResumedEvent | None:
    """What a page at ``mark`` needs beside the edits after it; None where this history has no such edit."""
    project = require_project(user, project_id)
    return events.project_resumed(project, user) if belongs_to(mark, project_id) else None


def leaves(user: User, project_id: int) -> LeavesKey:
    """Which leaves the project's map has now."""
    return leaves_key(require_project(user, project_id))


def members(user: User, project_id: int) -> Members:
    project = require_project(user, project_id)
    return Members(require_role(user, project, Role.VIEWER), members_of(project))


def require_segmentation_of_project(user: User, project_id: int, segmentation_id: int) -> None:
    project = require_project(user, project_id)
    if not Segmentation.objects.filter(pk=segmentation_id, scene=project.scene_id).exists():
        raise MissingError(f"The scene of this project has no segmentation {segmentation_id} (any more).")
