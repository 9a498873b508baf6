"""What the socket reads from the database; each call asks anew whether the user may."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth.models import User

from webapp.editing import history
from webapp.editing.leaves import LeavesKey, leaves_key
from webapp.errors import MissingError
from webapp.live import events
from webapp.live.event_types import EditAppliedEvent, ProjectStateEvent, SegmentationsChangedEvent
from webapp.models import Edit, Segmentation
from webapp.permissions import require_project

__all__ = [
    "Applied",
    "edits_since",
    "leaves",
    "newest_number",
    "require_segmentation_of_project",
    "scene_of",
    "segmentations",
    "state",
]

MAX_RESENT = 500  # edits; a browser that is further behind gets the whole state


class Applied(NamedTuple):
    events: list[EditAppliedEvent]
    can_step: tuple[bool, bool]  # can undo, can redo


def scene_of(user: User, project_id: int) -> int:
    return int(require_project(user, project_id).scene_id)


def state(user: User, project_id: int) -> ProjectStateEvent:
    return events.project_state(require_project(user, project_id), user)


def leaves(user: User, project_id: int) -> LeavesKey:
    """Which leaves the project's map has now."""
    return leaves_key(require_project(user, project_id))


def segmentations(user: User, project_id: int) -> SegmentationsChangedEvent:
    return events.segmentations_changed(require_project(user, project_id))


def edits_since(
    user: User, project_id: int, number: int, can_step: tuple[bool, bool] | None, limit: int = MAX_RESENT + 1
) -> Applied | None:
    """The edits after ``number`` as this user is told of them; None where there are more than 500.

    ``can_step`` is what the user could undo and redo before: others' edits seldom change that.
    """
    project = require_project(user, project_id)
    edits = events.edits_after(project_id, number, limit)
    if len(edits) > MAX_RESENT:
        return None
    if can_step is None or any(_concerns(edit, user) for edit in edits):
        can_step = (history.can_undo(project, user.pk), history.can_redo(project, user.pk))
    return Applied([events.edit_applied(project, edit, user, *can_step) for edit in edits], can_step)


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


def _concerns(edit: Edit, user: User) -> bool:
    # An undo, a restore or an adoption by somebody else may reach past this user's own edits.
    return edit.user_id == user.pk or edit.kind in (history.UNDO, history.REDO, history.RESTORE, history.ADOPT)
