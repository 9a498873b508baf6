"""Notes that people pin to places of the map, and the answers to them. Whoever can see a project can write some."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from webapp.errors import ConflictError, ForbiddenError, InvalidInputError, LimitError, MissingError
from webapp.live import broadcast
from webapp.live.recent import author_of
from webapp.models import Comment, Project, Role
from webapp.permissions import require_project, role_in

__all__ = [
    "MAX_COMMENTS",
    "MAX_TEXT",
    "answer",
    "change_text",
    "comments_of",
    "delete_comment",
    "describe_comment",
    "pin",
    "resolve",
]

MAX_TEXT = 4_000  # characters
MAX_COMMENTS = 5_000  # of a project, answers included


def comments_of(user: User, project_id: int) -> list[dict[str, Any]]:
    """All notes and answers of a project, the oldest first."""
    project = require_project(user, project_id)
    rows = list(project.comments.select_related("author", "resolved_by"))
    role = role_in(user, project)
    answered = _answered_by_others(rows)
    return [_describe(comment, user, role, comment.pk in answered) for comment in rows]


def describe_comment(comment: Comment, user: User) -> dict[str, Any]:
    role = role_in(user, comment.project)
    return _describe(comment, user, role, comment.pk in _answered_by_others(comment.replies.all()))


def pin(user: User, project_id: int, row: float, col: float, text: str) -> Comment:
    """Write a note at a place, in pixels of the scene."""
    project = require_project(user, project_id)
    _require_room(project)
    height, width = project.scene.info["height"], project.scene.info["width"]
    if not (math.isfinite(row) and math.isfinite(col) and 0 <= row <= height and 0 <= col <= width):
        raise InvalidInputError(
            f"The place {row:g}, {col:g} is outside the scene of {height} rows and {width} columns; pin the note inside."
        )
    comment = Comment.objects.create(project=project, row=row, col=col, text=_clean(text), author=user)
    _tell(project_id)
    return comment


def answer(user: User, project_id: int, parent_id: int, text: str) -> Comment:
    """Answer a note; one that was settled is open again."""
    with transaction.atomic():
        project = require_project(user, project_id)
        _require_room(project)
        parent = _find(project, parent_id)
        if parent.parent_id is not None:
            raise InvalidInputError(
                "Answers are given to the first note of a thread; name that one as `parent`."
            )
        comment = Comment.objects.create(
            project=project, parent=parent, row=parent.row, col=parent.col, text=_clean(text), author=user
        )
        if parent.resolved_at is not None:
            parent.resolved_at, parent.resolved_by = None, None
            parent.save(update_fields=["resolved_at", "resolved_by"])
    _tell(project_id)
    return comment


def change_text(user: User, project_id: int, comment_id: int, text: str) -> Comment:
    """Only the author can."""
    comment = _find(require_project(user, project_id), comment_id)
    if comment.author_id != user.pk:
        raise ForbiddenError("Somebody else wrote this; only its author can change it. You can answer it.")
    comment.text = _clean(text)
    comment.edited_at = timezone.now()
    comment.save(update_fields=["text", "edited_at"])
    _tell(project_id)
    return comment


def resolve(user: User, project_id: int, comment_id: int, resolved: bool) -> Comment:
    """Settle a thread, or open it again: editors can, and whoever began it."""
    project = require_project(user, project_id)
    comment = _find(project, comment_id)
    if comment.parent_id is not None:
        raise InvalidInputError("Only the first note of a thread is settled; name that one.")
    if not _may_resolve(comment, user, role_in(user, project)):
        raise ForbiddenError("You can settle threads that you began; editors of the project can settle all.")
    comment.resolved_at = timezone.now() if resolved else None
    comment.resolved_by = user if resolved else None
    comment.save(update_fields=["resolved_at", "resolved_by"])
    _tell(project_id)
    return comment


def delete_comment(user: User, project_id: int, comment_id: int) -> None:
    """Its author can, unless others have answered; the project's owners can, with all answers."""
    with transaction.atomic():
        project = require_project(user, project_id)
        comment = _find(project, comment_id)
        is_owner = role_in(user, project) == Role.OWNER
        if comment.author_id != user.pk and not is_owner:
            raise ForbiddenError(
                "Somebody else wrote this; its author can delete it, and the project's owners."
            )
        if not is_owner and comment.pk in _answered_by_others(comment.replies.all()):
            raise ConflictError("Others have answered this note, so it cannot be deleted; settle it instead.")
        comment.delete()
    _tell(project_id)


def _require_room(project: Project) -> None:
    if project.comments.count() >= MAX_COMMENTS:
        raise LimitError(f"A project keeps at most {MAX_COMMENTS} notes and answers; delete some first.")


def _find(project: Project, comment_id: int) -> Comment:
    comment = project.comments.select_related("author", "resolved_by").filter(pk=comment_id).first()
    if comment is None:
        raise MissingError(f"There is no note {comment_id} in this project (any more).")
    comment.project = project
    return comment


def _clean(text: str) -> str:
    cleaned = text.replace("\r\n", "\n").strip()
    if not cleaned:
        raise InvalidInputError("A note needs some text.")
    if len(cleaned) > MAX_TEXT:
        raise InvalidInputError(f"The note has {len(cleaned)} characters; at most {MAX_TEXT} are kept.")
    # NUL cannot be stored in PostgreSQL, and other control characters show as nothing.
    if not all(letter.isprintable() or letter in "\n\t" for letter in cleaned):
        raise InvalidInputError("The note holds control characters; use letters, digits and punctuation.")
    return cleaned


def _may_resolve(comment: Comment, user: User, role: str | None) -> bool:
    return comment.author_id == user.pk or role in (Role.EDITOR, Role.OWNER)


def _answered_by_others(comments: Iterable[Comment]) -> set[int]:
    """Notes to which somebody other than their author has answered."""
    listed = list(comments)
    known = {comment.pk: comment.author_id for comment in listed}
    parents = {reply.parent_id for reply in listed if reply.parent_id not in known}
    known |= dict(Comment.objects.filter(pk__in=parents - {None}).values_list("pk", "author_id"))
    return {
        reply.parent_id
        for reply in listed
        if reply.parent_id is not None and known.get(reply.parent_id) != reply.author_id
    }


def _describe(comment: Comment, user: User, role: str | None, is_answered: bool) -> dict[str, Any]:
    is_own = comment.author_id == user.pk
    is_first = comment.parent_id is None
    return {
        "id": comment.pk,
        "parent": comment.parent_id,
        "row": comment.row,
        "col": comment.col,
        "text": comment.text,
        "author": author_of(comment.author),
        "created_at": comment.created_at.isoformat(),
        "edited_at": comment.edited_at.isoformat() if comment.edited_at else None,
        "resolved_at": comment.resolved_at.isoformat() if comment.resolved_at else None,
        "resolved_by": author_of(comment.resolved_by),
        "can_edit": is_own,
        "can_delete": role == Role.OWNER or (is_own and not is_answered),
        "can_resolve": is_first and _may_resolve(comment, user, role),
    }


def _tell(project_id: int) -> None:
    broadcast.send(broadcast.project_group(project_id), "notes.changed", what="comments")
