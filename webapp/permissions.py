"""Who may do what: projects, scenes and segmentations belong to their owner; to others they do not exist."""

from __future__ import annotations

from typing import TypeAlias

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet

from webapp.errors import MissingError
from webapp.models import Project, Scene, Segmentation

__all__ = [
    "can_open_project",
    "projects_of",
    "require_project",
    "require_scene",
    "require_segmentation",
    "scenes_of",
    "segmentations_of",
]

Visitor: TypeAlias = User | AnonymousUser


def scenes_of(user: Visitor) -> QuerySet[Scene]:
    return Scene.objects.filter(owner_id=user.pk) if user.is_authenticated else Scene.objects.none()


def segmentations_of(user: Visitor) -> QuerySet[Segmentation]:
    if not user.is_authenticated:
        return Segmentation.objects.none()
    return Segmentation.objects.filter(scene__owner_id=user.pk).select_related("scene")


def projects_of(user: Visitor) -> QuerySet[Project]:
    if not user.is_authenticated:
        return Project.objects.none()
    return Project.objects.filter(owner_id=user.pk).select_related("scene", "segmentation", "updated_by")


def can_open_project(user: Visitor, project: Project) -> bool:
    return user.is_authenticated and project.owner_id == user.pk


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


def require_project(user: Visitor, project_id: int) -> Project:
    project = projects_of(user).filter(pk=project_id).first()
    if project is None:
        raise MissingError(f"There is no project {project_id} among yours.")
    return project
