"""What people do to the examples of a project, and to the completed map: one function for each edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from django.contrib.auth.models import User

from webapp.actions import record, require_class, require_pixel, target_class
from webapp.editing.edits import ProjectState
from webapp.editing.examples import MAX_EXAMPLES, MAX_POINTS, Point, fold_examples, read_log
from webapp.errors import InvalidInputError, LimitError, MissingError
from webapp.models import Edit, Project

__all__ = ["Stroke", "add_examples", "remove_examples", "set_completion"]


class Stroke(Protocol):
    """Pixels that are, or are not, of one class."""

    @property
    def class_number(self) -> int: ...
    @property
    def against(self) -> bool: ...
    @property
    def points(self) -> Sequence[Point]: ...


def add_examples(user: User, project_id: int, client_id: str, *, examples: Sequence[Stroke]) -> Edit:
    """Say of pixels what they are, or are not, without assigning leaves."""

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        n_points = sum(len(stroke.points) for stroke in examples)
        if not examples or any(not stroke.points for stroke in examples):
            raise InvalidInputError("No pixels were given; name at least one for each class.")
        if n_points > MAX_POINTS:
            raise LimitError(
                f"{n_points} pixels are more than the {MAX_POINTS} of one edit; send them in several."
            )
        numbers = [_class_of(state, stroke) for stroke in examples]
        for stroke in examples:
            for point in stroke.points:
                require_pixel(project, point)
        n_live = len(fold_examples(read_log(project)))
        if n_live + n_points > MAX_EXAMPLES:
            raise LimitError(
                f"With these {n_points} pixels the project would have {n_live + n_points} examples, and at "
                f"most {MAX_EXAMPLES} are learned from; remove some first."
            )
        return {
            "examples": [
                {
                    "class": number,
                    "against": stroke.against,
                    "points": [list(point) for point in stroke.points],
                }
                for number, stroke in zip(numbers, examples, strict=True)
            ]
        }

    return record(user, project_id, client_id, "examples.add", make)


def _class_of(state: ProjectState, stroke: Stroke) -> int:
    if not stroke.against:
        return target_class(state, stroke.class_number)
    require_class(
        state, stroke.class_number
    )  # what it is not says nothing of a class that it was merged into
    return stroke.class_number


def remove_examples(user: User, project_id: int, client_id: str, *, targets: Sequence[int]) -> Edit:
    """Take away the examples that some edits gave; what those edits assigned stays assigned."""

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        if not targets:
            raise InvalidInputError("No edits were given; name at least one whose examples are to go.")
        held = {example.number for example in fold_examples(read_log(project))}
        gone = sorted(set(targets) - held)
        if gone:
            raise MissingError(f"Edit {gone[0]} has no example (any more); choose another one.")
        return {"targets": sorted(set(targets))}

    return record(user, project_id, client_id, "examples.remove", make)


def set_completion(user: User, project_id: int, client_id: str, *, on: bool, threshold: float) -> Edit:
    """Whether the decoder completes the map, and from which certainty on: for everybody."""

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        if not 0 <= threshold <= 1:
            raise InvalidInputError(f"The certainty cannot be {threshold}; choose 0 to 1.")
        return {"on": on, "threshold": float(threshold)}

    return record(user, project_id, client_id, "completion.set", make)
