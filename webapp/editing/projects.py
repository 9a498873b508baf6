"""Making, copying and renaming projects: what happens to a project as a whole, outside its edits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model

from webapp.errors import ConflictError
from webapp.jobs import door
from webapp.models import ClassLabel, Edit, Project, Scene, Version

__all__ = ["create_project", "duplicate_project", "rename_project"]


def create_project(user: User, scene: Scene, name: str) -> Project:
    """A project over ``scene``, with the scene's segmentation; where it has none, its first is started."""
    if scene.state != Scene.State.READY:
        reason = (
            "is still being imported; wait for it"
            if scene.state == Scene.State.IMPORTING
            else "failed to import"
        )
        raise ConflictError(f"The scene {scene.name} {reason}.")
    project = Project.objects.create(owner=user, scene=scene, name=name, updated_by=user)
    door.project_created(project)
    return project


def rename_project(project: Project, user: User, name: str) -> Project:
    project.name = name
    project.updated_by = user
    project.save(update_fields=["name", "updated_by", "updated_at"])
    return project


def duplicate_project(project: Project, user: User, name: str) -> Project:
    """A copy with its own classes and edits; undo in the copy leaves the original as it is."""
    with transaction.atomic():
        # Locked, so that no edit comes between the copy of the snapshot and that of the log.
        source = Project.objects.select_for_update().get(pk=project.pk)
        copy = Project.objects.create(
            owner=user,
            name=name,
            scene=source.scene,
            segmentation=source.segmentation,
            number=source.number,
            class_table=source.class_table,
            aoi=source.aoi,
            splits=source.splits,
            overrides=source.overrides,
            completion_on=source.completion_on,
            completion_threshold=source.completion_threshold,
            updated_by=user,
        )
        ClassLabel.objects.bulk_create(_copies(ClassLabel, source.classes.all(), copy))
        Edit.objects.bulk_create(_copies(Edit, source.edits.all(), copy), batch_size=500)
        # Versions name numbers of those edits. Notes stay behind: they are what the members said to each other.
        Version.objects.bulk_create(_copies(Version, source.versions.all(), copy))
    return copy


def _copies(model: type[Model], rows: Iterable[Model], project: Project) -> list[Any]:
    names = [field.attname for field in model._meta.concrete_fields]
    copied = [name for name in names if name not in ("id", "project_id")]
    return [model(project=project, **{name: getattr(row, name) for name in copied}) for row in rows]
