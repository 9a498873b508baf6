"""REST: named versions of a project, and notes pinned to its map (docs/protocol.md, "History", "Notes")."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from webapp.editing import comments, versions
from webapp.errors import InvalidInputError

__all__ = ["router"]

router = Router(tags=["notes"])


class VersionIn(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str
    note: str = ""
    number: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class VersionChange(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    note: str | None = None


class CommentIn(Schema):
    model_config = ConfigDict(extra="forbid")

    text: str
    parent: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    row: float | None = None
    col: float | None = None


class CommentChange(Schema):
    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    resolved: bool | None = None


@router.get("/projects/{project_id}/versions")
def list_versions(request: HttpRequest, project_id: int) -> list[dict[str, Any]]:
    return versions.versions_of(request.user, project_id)


@router.post("/projects/{project_id}/versions", response={201: dict})
def save_version(request: HttpRequest, project_id: int, payload: VersionIn) -> Status:
    version = versions.save_version(request.user, project_id, payload.name, payload.note, payload.number)
    return Status(201, versions.describe_version(version, request.user))


@router.patch("/projects/{project_id}/versions/{version_id}")
def change_version(
    request: HttpRequest, project_id: int, version_id: int, payload: VersionChange
) -> dict[str, Any]:
    version = versions.change_version(request.user, project_id, version_id, payload.name, payload.note)
    return versions.describe_version(version, request.user)


@router.delete("/projects/{project_id}/versions/{version_id}", response={204: None})
def delete_version(request: HttpRequest, project_id: int, version_id: int) -> Status:
    versions.delete_version(request.user, project_id, version_id)
    return Status(204, None)


@router.get("/projects/{project_id}/comments")
def list_comments(request: HttpRequest, project_id: int) -> list[dict[str, Any]]:
    return comments.comments_of(request.user, project_id)


@router.post("/projects/{project_id}/comments", response={201: dict})
def write_comment(request: HttpRequest, project_id: int, payload: CommentIn) -> Status:
    if payload.parent is not None:
        written = comments.answer(request.user, project_id, payload.parent, payload.text)
    elif payload.row is None or payload.col is None:
        raise InvalidInputError(
            "Say where the note belongs, with `row` and `col`, or which one it answers, with `parent`."
        )
    else:
        written = comments.pin(request.user, project_id, payload.row, payload.col, payload.text)
    return Status(201, comments.describe_comment(written, request.user))


@router.patch("/projects/{project_id}/comments/{comment_id}")
def change_comment(
    request: HttpRequest, project_id: int, comment_id: int, payload: CommentChange
) -> dict[str, Any]:
    if (payload.text is None) == (payload.resolved is None):
        raise InvalidInputError(
            "Send either `text`, to change the note, or `resolved`, to settle its thread or open it again."
        )
    if payload.text is not None:
        changed = comments.change_text(request.user, project_id, comment_id, payload.text)
    else:
        changed = comments.resolve(request.user, project_id, comment_id, bool(payload.resolved))
    return comments.describe_comment(changed, request.user)


@router.delete("/projects/{project_id}/comments/{comment_id}", response={204: None})
def delete_comment(request: HttpRequest, project_id: int, comment_id: int) -> Status:
    comments.delete_comment(request.user, project_id, comment_id)
    return Status(204, None)
