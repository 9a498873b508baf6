"""Named versions of a project: a name and a note for the state right after an edit. Nothing is copied."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from webapp.editing.restoring import require_number
from webapp.errors import ConflictError, ForbiddenError, InvalidInputError, LimitError, MissingError
from webapp.live import broadcast
from webapp.live.recent import author_of
from webapp.models import Project, Role, Version
from webapp.permissions import require_project, role_in

__all__ = [
    "MAX_NAME",
    "MAX_NOTE",
    "MAX_VERSIONS",
    "change_version",
    "delete_version",
    "describe_version",
    "save_version",
    "versions_of",
]

MAX_NAME = 80  # characters
MAX_NOTE = 2_000
MAX_VERSIONS = 500  # of a project


def versions_of(user: User, project_id: int) -> list[dict[str, Any]]:
    """All of a project's, the latest state first."""
    project = require_project(user, project_id)
    rows = project.versions.select_related("created_by").order_by("-number", "-id")
    return [describe_version(version, user) for version in rows]


def describe_version(version: Version, user: User) -> dict[str, Any]:
    return {
        "id": version.pk,
        "number": version.number,
        "name": version.name,
        "note": version.note,
        "author": author_of(version.created_by),
        "created_at": version.created_at.isoformat(),
        "can_change": _may_change(version, user),
    }


def save_version(user: User, project_id: int, name: str, note: str, number: int | None) -> Version:
    """Name the state right after edit ``number``; None means the newest."""
    with transaction.atomic():
        project = require_project(user, project_id, Role.EDITOR)
        # Locked, so that the newest edit is the one that counts, and names stay unique.
        project = Project.objects.select_for_update().get(pk=project.pk)
        wanted = project.number if number is None else number
        require_number(project, wanted)
        if project.versions.count() >= MAX_VERSIONS:
            raise LimitError(f"A project keeps at most {MAX_VERSIONS} versions; delete some first.")
        version = Version.objects.create(
            project=project,
            number=wanted,
            name=_free_name(project, _clean_name(name)),
            note=_clean_note(note),
            created_by=user,
        )
    _tell(project.pk)
    return version


def change_version(
    user: User, project_id: int, version_id: int, name: str | None, note: str | None
) -> Version:
    with transaction.atomic():
        version = _own(user, project_id, version_id)
        if name is not None:
            version.name = _free_name(version.project, _clean_name(name), but=version.pk)
        if note is not None:
            version.note = _clean_note(note)
        version.save(update_fields=["name", "note"])
    _tell(project_id)
    return version


def delete_version(user: User, project_id: int, version_id: int) -> None:
    """The name goes; the state stays in the history."""
    with transaction.atomic():
        _own(user, project_id, version_id).delete()
    _tell(project_id)


def _own(user: User, project_id: int, version_id: int) -> Version:
    """A version that ``user`` may change; MissingError, ForbiddenError."""
    project = require_project(user, project_id, Role.EDITOR)
    version = project.versions.select_for_update().filter(pk=version_id).first()
    if version is None:
        raise MissingError(f"There is no version {version_id} in this project (any more); look at the list.")
    if not _may_change(version, user):
        raise ForbiddenError(
            "Somebody else saved this version; they can change it, and the project's owners."
        )
    return version


def _may_change(version: Version, user: User) -> bool:
    role = role_in(user, version.project)
    return role == Role.OWNER or (role == Role.EDITOR and version.created_by_id == user.pk)


def _clean_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned:
        raise InvalidInputError("A version needs a name of at least one character.")
    if len(cleaned) > MAX_NAME:
        raise InvalidInputError(f"The name has {len(cleaned)} characters; at most {MAX_NAME} are kept.")
    if not cleaned.isprintable():
        raise InvalidInputError("The name holds control characters; use letters, digits and punctuation.")
    return cleaned


def _clean_note(note: str) -> str:
    cleaned = note.replace("\r\n", "\n").strip()
    if len(cleaned) > MAX_NOTE:
        raise InvalidInputError(f"The note has {len(cleaned)} characters; at most {MAX_NOTE} are kept.")
    if not all(letter.isprintable() or letter in "\n\t" for letter in cleaned):
        raise InvalidInputError("The note holds control characters; use letters, digits and punctuation.")
    return cleaned


def _free_name(project: Project, name: str, but: int | None = None) -> str:
    for other, pk in project.versions.values_list("name", "pk"):
        if pk != but and other.casefold() == name.casefold():
            raise ConflictError(f"There is a version {other!r} already; choose another name.")
    return name


def _tell(project_id: int) -> None:
    broadcast.send(broadcast.project_group(project_id), "notes.changed", what="versions")
