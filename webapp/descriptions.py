"""Rows as the browser sees them (docs/protocol.md)."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import User

from webapp.live.colors import color_of
from webapp.models import Project, Scene

__all__ = ["describe_project", "describe_scene"]


def describe_scene(scene: Scene) -> dict[str, Any]:
    """The "Scene description" of the protocol."""
    return {
        "id": scene.pk,
        "name": scene.name,
        "state": scene.state,
        "progress": scene.progress,
        "message": _with_own_name(scene),
        "attribution": scene.attribution,
        "owner": _person(scene.owner),
        "size_bytes": scene.size_bytes,
        "created_at": scene.created_at.isoformat(),
        "info": _info(scene) or None,
    }


def describe_project(project: Project, role: str) -> dict[str, Any]:
    """A project in the list of somebody with this role: nothing of its classes and edits, which come over its socket."""
    others = getattr(project, "n_others", None)
    return {
        "id": project.pk,
        "name": project.name,
        "role": role,
        "owner": _person(project.owner),
        "members": 1 + (project.memberships.count() if others is None else others),
        "scene": project.scene_id,
        "segmentation": project.segmentation_id,
        "number": project.number,
        "created_at": project.created_at.isoformat(),
        "updated_at": project.updated_at.isoformat(),
        "updated_by": project.updated_by.username if project.updated_by else None,
        "url": f"/projects/{project.pk}/",
    }


def _info(scene: Scene) -> dict[str, Any]:
    """Where an image lies tells something only where somebody gave that address; our own storage is ours to know."""
    info: dict[str, Any] = scene.info
    if info.get("source", {}).get("stored"):
        return {key: value for key, value in info.items() if key != "source"}
    return info


def _person(user: User) -> dict[str, Any]:
    return {"id": user.pk, "name": user.username, "color": color_of(user.pk)}


def _with_own_name(scene: Scene) -> str:
    """The scene's message with the file called as its sender called it, not as it was received on disk."""
    return re.sub(rf"\b{scene.pk}-[0-9a-f]{{32}}\.\w+", lambda _: scene.source_name, scene.message)
