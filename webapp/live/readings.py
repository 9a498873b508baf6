"""What the socket reads from the database; each call asks anew whether the user may."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth.models import User

from webapp.editing.leaves import LeavesKey, leaves_key
from webapp.errors import MissingError
from webapp.live import events
from webapp.live.colors import color_of
from webapp.live.event_types import ProjectStateEvent, SegmentationsChangedEvent
from webapp.live.presence import Person
from webapp.models import Role, Segmentation
from webapp.permissions import require_project, role_in

__all__ = [
    "Entrance",
    "entrance",
    "leaves",
    "newest_number",
    "require_segmentation_of_project",
    "segmentations",
    "state",
]


class Entrance(NamedTuple):
    scene_id: int
    person: Person


def entrance(user: User, project_id: int) -> Entrance:
    """What a connection begins with; MissingError for who may not know of the project."""
    project = require_project(user, project_id)
    role = role_in(user, project) or Role.VIEWER
    return Entrance(project.scene_id, Person(user.pk, user.username, color_of(user.pk), role))


def state(user: User, project_id: int) -> ProjectStateEvent:
    return events.project_state(require_project(user, project_id), user)


def leaves(user: User, project_id: int) -> LeavesKey:
    """Which leaves the project's map has now."""
    return leaves_key(require_project(user, project_id))


def segmentations(user: User, project_id: int) -> SegmentationsChangedEvent:
    return events.segmentations_changed(require_project(user, project_id))


def newest_number(user: User, project_id: int, session: Any) -> int:
    """Number of the newest edit; MissingError once the project, the account or the sign-in is gone."""
    if session is not None and session.session_key and not session.exists(session.session_key):
        raise MissingError("You have signed out.")
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        raise MissingError("This account is closed.")
    return int(require_project(user, project_id).number)


def require_segmentation_of_project(user: User, project_id: int, segmentation_id: int) -> None:
    project = require_project(user, project_id)
    if not Segmentation.objects.filter(pk=segmentation_id, scene=project.scene_id).exists():
        raise MissingError(f"The scene of this project has no segmentation {segmentation_id} (any more).")
