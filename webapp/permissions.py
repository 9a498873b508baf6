"""Who may do what: a project belongs to its members, each with a role; to others it does not exist.

A scene and its segmentations can be seen by the members of the projects on it, and changed by the scene's owner.
"""

from __future__ import annotations

from typing import TypeAlias

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from webapp.errors import ForbiddenError, MissingError
from webapp.models import Membership, Project, Role, Scene, Segmentation

__all__ = [
    "projects_of",
    "require_project",
    "require_role",
    "require_scene",
    "require_segmentation",
    "role_in",
    "scenes_of",
    "segmentations_of",
]

Visitor: TypeAlias = User | AnonymousUser

_RANK: dict[str, int] = {Role.VIEWER: 0, Role.EDITOR: 1, Role.OWNER: 2}
_MAY: dict[str, str] = {
    Role.EDITOR: "change it; ask one of its owners to make you an editor",
    Role.OWNER: "do this; only its owners can",
}


def scenes_of(user: Visitor) -> QuerySet[Scene]:
    """Scenes that the user may see: their own, and those of projects that they take part in."""
    if not user.is_authenticated:
        return Scene.objects.none()
    shared = Project.objects.filter(Q(owner_id=user.pk) | Q(memberships__user_id=user.pk))
    return Scene.objects.filter(Q(owner_id=user.pk) | Q(pk__in=shared.values("scene_id")))


def segmentations_of(user: Visitor) -> QuerySet[Segmentation]:
    if not user.is_authenticated:
        return Segmentation.objects.none()
    return Segmentation.objects.filter(scene__in=scenes_of(user)).select_related("scene")


def projects_of(user: Visitor) -> QuerySet[Project]:
    if not user.is_authenticated:
        return Project.objects.none()
    mine = Membership.objects.filter(user_id=user.pk).values("project_id")
    found = Project.objects.filter(Q(owner_id=user.pk) | Q(pk__in=mine))
    return found.select_related("owner", "scene", "segmentation", "updated_by")


def role_in(user: Visitor, project: Project) -> str | None:
    """The user's role in a project; None for a stranger."""
    if not user.is_authenticated or not user.is_active:
        return None
    if project.owner_id == user.pk:
        return str(Role.OWNER)
    return Membership.objects.filter(project=project, user_id=user.pk).values_list("role", flat=True).first()


def require_role(user: Visitor, project: Project, role: str) -> str:
    """The user's role, which is at least ``role``; MissingError for a stranger, ForbiddenError for less."""
    own = role_in(user, project)
    if own is None:
        raise MissingError(f"There is no project {project.pk} among yours.")
    if _RANK[own] < _RANK[role]:
        raise ForbiddenError(f"You can see this project as its {own}, but not {_MAY[role]}.")
    return own


def require_scene(user: Visitor, scene_id: int) -> Scene:
    """The scene, or MissingError where there is none that ``user`` may know of."""
    scene = scenes_of(user).filter(pk=scene_id).first()
    if scene is None:
        raise MissingError(f"There is no scene {scene_id} among yours.")
    return scene


def require_segmentation(user: Visitor, segmentation_id: int) -> Segmentation:
    segmentation = segmentations_of(user).filter(pk=segmentation_id).first()
    if segmentation is None:
        raise MissingError(f"There is no segmentation {segmentation_id} among yours.")
    return segmentation


def require_project(user: Visitor, project_id: int, role: str = Role.VIEWER) -> Project:
    """The project, in which ``user`` has at least this role."""
    project = projects_of(user).filter(pk=project_id).first()
    if project is None:
        raise MissingError(f"There is no project {project_id} among yours.")
    if role != Role.VIEWER:
        require_role(user, project, role)
    return project
