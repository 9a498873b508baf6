"""Merging classes: what is of some classes becomes another one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from webapp.actions import record, require_class, target_class
from webapp.editing.edits import MERGE, ProjectState, apply_edit, changes
from webapp.errors import ConflictError, InvalidInputError
from webapp.models import Edit, Project

__all__ = ["merge_classes"]


def merge_classes(
    user: User, project_id: int, client_id: str, *, sources: Sequence[int], class_number: int
) -> Edit:
    """Leaves, drawings and examples of the ``sources`` become those of ``class_number``; undo tells them apart again."""

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        if class_number in sources or len(set(sources)) != len(sources):
            raise InvalidInputError("A class cannot be merged into itself, or twice; name each class once.")
        for source in sources:
            require_class(state, source)
        target = target_class(state, class_number)
        if target in sources:
            name = state.classes[target].name
            raise ConflictError(
                f"The class was merged into {name!r} since; look at the list and choose again."
            )
        after = state.copy()
        payload: dict[str, Any] = {"sources": list(sources), "target": target}
        apply_edit(after, MERGE, payload)
        return {**payload, "changes": changes(state.visible_table(), after.visible_table())}

    return record(user, project_id, client_id, MERGE, make)
