"""Who may do what: a project belongs to its members, each with a role; to others it does not exist.

A scene and its segmentations can be seen by the members of the projects on it, and belong to the scene's owner. Who edits a project
in which that owner takes part may compute on the scene, too: it is the owner's storage that this takes.
"""

from __future__ import annotations

from typing import TypeAlias

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet

from webapp.errors import ForbiddenError, MissingError
from webapp.models import Job, Membership, Project, Role, Scene, Segmentation

__all__ = [
    "RANK",
    "jobs_of",
    "may_compute",
    "projects_of",
    "require_compute",
    "require_own_scene",
    "require_project",
    "require_role",
    "require_scene",
    "require_segmentation",
    "role_in",
    "scenes_of",
    "segmentations_of",
]

Visitor: TypeAlias = User | AnonymousUser

RANK: dict[str, int] = {Role.VIEWER: 0, Role.EDITOR: 1, Role.OWNER: 2}
_MAY: dict[str, str] = {
    Role.EDITOR: "change it; ask one of its owners to make you an editor",
    Role.OWNER: "do this; only its owners can",
}


def scenes_of(user: Visitor) -> QuerySet[Scene]:
    """Scenes that the user may see: their own, and those of projects that they take part in."""
    if not user.is_authenticated:
        return Scene.objects.none()
    shared = Project.objects.filter(Q(owner_id=user.pk) | Q(memberships__user_id=user.pk))
    found = Scene.objects.filter(Q(owner_id=user.pk) | Q(pk__in=shared.values("scene_id")))
    return found.select_related("owner")


def segmentations_of(user: Visitor) -> QuerySet[Segmentation]:
    if not user.is_authenticated:
        return Segmentation.objects.none()
    return Segmentation.objects.filter(scene__in=scenes_of(user)).select_related("scene__owner")


def projects_of(user: Visitor) -> QuerySet[Project]:
    if not user.is_authenticated:
        return Project.objects.none()
    # An open socket's user was read long ago, and may have been switched off since.
    mine = Membership.objects.filter(user_id=user.pk, user__is_active=True).values("project_id")
    found = Project.objects.filter(Q(owner_id=user.pk, owner__is_active=True) | Q(pk__in=mine))
    return found.select_related("owner", "scene__owner", "segmentation", "updated_by")


def jobs_of(user: Visitor) -> QuerySet[Job]:
    """Jobs that the user may see: on scenes that they may see, and downloads of projects that they take part in.

    Administrators see all.
    """
    found = Job.objects.select_related("owner", "scene__owner", "segmentation", "project")
    if not user.is_authenticated:
        return Job.objects.none()
    if user.is_staff and user.is_active:
        return found
    return found.filter(Q(scene__in=scenes_of(user)) | Q(project__in=projects_of(user)))


def role_in(user: Visitor, project: Project) -> str | None:
    """The user's role in a project; None for a stranger."""
    if project.owner_id == user.pk:
        return str(Role.OWNER) if User.objects.filter(pk=user.pk, is_active=True).exists() else None
    mine = Membership.objects.filter(project=project, user_id=user.pk, user__is_active=True)
    return mine.values_list("role", flat=True).first()


def require_role(user: Visitor, project: Project, role: str) -> str:
    """The user's role, which is at least ``role``; MissingError for a stranger, ForbiddenError for less."""
    own = role_in(user, project)
    if own is None:
        raise MissingError(f"There is no project {project.pk} among yours.")
    if RANK[own] < RANK[role]:
        raise ForbiddenError(f"You can see this project as its {own}, but not {_MAY[role]}.")
    return own


def require_scene(user: Visitor, scene_id: int) -> Scene:
    """The scene, or MissingError where there is none that ``user`` may know of."""
    scene = scenes_of(user).filter(pk=scene_id).first()
    if scene is None:
        raise MissingError(f"There is no scene {scene_id} among yours.")
    return scene


def require_own_scene(user: Visitor, scene_id: int) -> Scene:
    """The scene, which is the user's own; ForbiddenError where they may only see it."""
    scene = require_scene(user, scene_id)
    if scene.owner_id != user.pk:
        raise ForbiddenError(
            f"The scene {scene.name} belongs to {scene.owner.username}, and only its owner can do this."
        )
    return scene


def may_compute(user: Visitor, scene: Scene) -> bool:
    """Whether the user may have segmentations of the scene made and ended, on its owner's storage.

    In a project that the owner takes no part in, such as a viewer's own copy of one, nobody asked the owner.
    """
    if not user.is_authenticated or not user.is_active:
        return False
    if scene.owner_id == user.pk:
        return True
    takes_part = Q(owner_id=scene.owner_id) | Q(
        pk__in=Membership.objects.filter(user_id=scene.owner_id).values("project_id")
    )
    edits = Q(owner_id=user.pk) | Q(
        pk__in=Membership.objects.filter(user_id=user.pk, role__in=(Role.EDITOR, Role.OWNER)).values(
            "project_id"
        )
    )
    return Project.objects.filter(takes_part, edits, scene=scene).exists()


def require_compute(user: Visitor, scene: Scene) -> None:
    """ForbiddenError unless ``may_compute``."""
    if not may_compute(user, scene):
        raise ForbiddenError(
            f"The scene {scene.name} belongs to {scene.owner.username}; to compute on it, ask them to make you "
            "an editor of one of their projects on it."
        )


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
