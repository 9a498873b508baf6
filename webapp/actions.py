"""What people do to a project: one function for each edit.

An action is one transaction: lock the project's row, take the next number, change the snapshot, append the
Edit, and tell the project's sockets once it is committed. A ``client_id`` that is known already gives its
first edit again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from webapp import permissions
from webapp.editing.areas import check_area
from webapp.editing.edits import MAX_CLASSES, MAX_RANGES, ProjectState, apply_edit, changes, merge_ranges
from webapp.editing.examples import superseded_by
from webapp.editing.races import overwritten
from webapp.editing.snapshots import load_state, save_state
from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError, StaleError
from webapp.live import broadcast
from webapp.models import Edit, Project, Role

__all__ = [
    "append_edit",
    "assign_leaves",
    "create_class",
    "delete_class",
    "lock_project",
    "new_class_numbers",
    "recolor_class",
    "record",
    "rename_class",
    "reorder_classes",
    "require_class",
    "require_current",
    "require_pixel",
    "set_aoi",
    "target_class",
    "unassign_leaves",
]

Ranges = Sequence[tuple[int, int]]
Payload = dict[str, Any]


def assign_leaves(
    user: User,
    project_id: int,
    client_id: str,
    *,
    segmentation: int,
    version: int,
    ranges: Ranges,
    class_number: int,
    point: tuple[int, int] | None = None,
    seen: int | None = None,
) -> Edit:
    """Give leaves to a class; ``seen`` is the newest edit that the user knew of."""

    def make(project: Project, state: ProjectState) -> Payload:
        require_current(state, segmentation, version, ranges)
        number = target_class(state, class_number)
        payload = _leaves(project, state, segmentation, version, ranges, point)
        raced = overwritten(project, state, user, seen, payload["ranges"], number)
        return {**payload, **_superseding(project, segmentation, point), "class": number, **raced}

    return record(user, project_id, client_id, "leaves.assign", make)


def unassign_leaves(
    user: User,
    project_id: int,
    client_id: str,
    *,
    segmentation: int,
    version: int,
    ranges: Ranges,
    point: tuple[int, int] | None = None,
    seen: int | None = None,
) -> Edit:
    """Take leaves out of whichever classes they are in."""

    def make(project: Project, state: ProjectState) -> Payload:
        require_current(state, segmentation, version, ranges)
        payload = _leaves(project, state, segmentation, version, ranges, point)
        raced = overwritten(project, state, user, seen, payload["ranges"], 0)
        return {**payload, **_superseding(project, segmentation, point, ranges), **raced}

    return record(user, project_id, client_id, "leaves.unassign", make)


def create_class(user: User, project_id: int, client_id: str, *, name: str, color: str) -> Edit:
    """Add a class at the end of the list; its number is never given to another one."""

    def make(project: Project, state: ProjectState) -> Payload:
        [number] = new_class_numbers(project, 1)
        return {"class": number, "name": _free_name(state, name), "color": color}

    return record(user, project_id, client_id, "class.create", make)


def rename_class(user: User, project_id: int, client_id: str, *, class_number: int, name: str) -> Edit:
    def make(project: Project, state: ProjectState) -> Payload:
        require_class(state, class_number)
        was = state.classes[class_number].name
        return {"class": class_number, "name": _free_name(state, name, but=class_number), "was": was}

    return record(user, project_id, client_id, "class.rename", make)


def recolor_class(user: User, project_id: int, client_id: str, *, class_number: int, color: str) -> Edit:
    def make(project: Project, state: ProjectState) -> Payload:
        require_class(state, class_number)
        return {"class": class_number, "color": color, "was": state.classes[class_number].color}

    return record(user, project_id, client_id, "class.recolor", make)


def reorder_classes(user: User, project_id: int, client_id: str, *, order: Sequence[int]) -> Edit:
    def make(project: Project, state: ProjectState) -> Payload:
        live = sorted(label.number for label in state.live_classes())
        if sorted(order) != live:
            raise ConflictError("The list of classes has changed since; look at it and move the class again.")
        return {"order": list(order)}

    return record(user, project_id, client_id, "class.reorder", make)


def delete_class(user: User, project_id: int, client_id: str, *, class_number: int) -> Edit:
    """Hide a class and its assignments; undo brings both back."""

    def make(project: Project, state: ProjectState) -> Payload:
        require_class(state, class_number)
        visible = state.visible_table()
        without = visible.copy()
        without[visible == class_number] = 0
        return {"class": class_number, "changes": changes(visible, without)}

    return record(user, project_id, client_id, "class.delete", make)


def set_aoi(user: User, project_id: int, client_id: str, *, geometry: dict[str, Any] | None) -> Edit:
    def make(project: Project, state: ProjectState) -> Payload:
        return {"geometry": None if geometry is None else check_area(geometry, project.scene)}

    return record(user, project_id, client_id, "aoi.set", make)


# ---------------------------------------------------------------------------------------------------- the one
# door


def record(
    user: User | None,
    project_id: int,
    client_id: str,
    kind: str,
    make: Callable[[Project, ProjectState], Payload],
) -> Edit:
    """Do one edit: ``make`` checks the command against the locked state and gives the edit's payload.

    Without a user it is the server itself that acts, and nobody's permission is asked.
    """
    with transaction.atomic():
        project = lock_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            return first
        before = load_state(project)
        payload = make(project, before)
        after = before.copy()
        apply_edit(after, kind, payload)
        save_state(project, before, after)
        return append_edit(project, user, client_id, kind, payload)


def lock_project(user: User | None, project_id: int) -> Project:
    """The project's row, locked until the transaction ends, for ``user`` (None: the server itself) to change it.

    MissingError where ``user`` may not know of it, ForbiddenError where they may only look.
    """
    # SQLite has no row locks; its transactions begin IMMEDIATE, so that writers follow one another anyway.
    project = Project.objects.select_for_update().filter(pk=project_id).first()
    role = None if project is None or user is None else permissions.role_in(user, project)
    if project is None or (user is not None and role is None):
        raise MissingError("This project was deleted, or is no longer open to you; go back to your projects.")
    if user is not None and role == Role.VIEWER:
        permissions.require_role(user, project, Role.EDITOR)
    return project


def first_edit(project: Project, user: User | None, client_id: str) -> Edit | None:
    """The edit that this ``client_id`` made before, if any."""
    if user is None or not client_id:
        return None
    first = Edit.objects.filter(project=project, user=user, client_id=client_id).first()
    if first is not None:
        first.is_repeat = True
    return first


def append_edit(project: Project, user: User | None, client_id: str, kind: str, payload: Payload) -> Edit:
    """Number and store an edit of a locked project, save its row, and tell its sockets on commit."""
    project.number += 1
    if user is not None:
        project.updated_by = user
    project.save()
    edit = Edit.objects.create(
        project=project,
        number=project.number,
        kind=kind,
        payload=payload,
        user=user,
        client_id=client_id,
    )
    group, number = broadcast.project_group(project.pk), project.number
    transaction.on_commit(lambda: broadcast.send(group, "edit.recorded", number=number))
    return edit


# ---------------------------------------------------------------------------------------------------- checks


def new_class_numbers(project: Project, count: int) -> list[int]:
    """The next ``count`` numbers that no class of a locked project ever had, undone ones included.

    LimitError where there are not so many.
    """
    creations = Edit.objects.filter(project=project).filter(
        Q(kind="class.create") | Q(payload__has_key="classes")
    )
    last = 0
    for one, several in creations.order_by("-number").values_list("payload__class", "payload__classes")[:1]:
        last = max([label["class"] for label in several]) if several else one
    if last + count > MAX_CLASSES:
        asked = "" if count == 1 else f", and these are {count} more than its {last}"
        raise LimitError(
            f"A project holds at most {MAX_CLASSES} classes, deleted ones included{asked}; rename one that you "
            "no longer use."
        )
    return list(range(last + 1, last + count + 1))


def require_current(state: ProjectState, segmentation: int, version: int, ranges: Ranges) -> None:
    """StaleError where leaves of another segmentation are meant, or leaves as they were before a split."""
    if state.segmentation is None:
        raise StaleError("The project has no segmentation yet; wait until the first clusters show.")
    if segmentation != state.segmentation:
        raise StaleError(
            f"The map uses segmentation {state.segmentation} by now, and this was meant for {segmentation}; "
            "do it again."
        )
    if version != state.refinement.version and state.refinement.changed_since(version, ranges):
        raise StaleError(
            f"The leaves of segmentation {segmentation} are at version {state.refinement.version}, and this was "
            f"meant for {version}: some of these clusters were split since. Do it again."
        )


def target_class(state: ProjectState, number: int) -> int:
    """The class that something is to be of: where ``number`` was merged into another class since, that one."""
    standing = state.standing(number)
    require_class(state, standing)
    return standing


def require_class(state: ProjectState, number: int) -> None:
    label = state.classes.get(number)
    if label is not None and label.merged_into is not None:
        name = state.classes[state.standing(number)].name
        raise MissingError(f"The class {label.name!r} was merged into {name!r}; choose that one.")
    if label is None or label.deleted:
        raise MissingError(f"There is no class {number} (any more); choose another class.")


def _free_name(state: ProjectState, name: str, but: int | None = None) -> str:
    for label in state.live_classes():
        if label.number != but and label.name.casefold() == name.casefold():
            raise ConflictError(f"There is a class {label.name!r} already; choose another name.")
    return name


def require_pixel(project: Project, point: tuple[int, int]) -> None:
    """InvalidInputError where the scene has no such pixel."""
    height, width = project.scene.info["height"], project.scene.info["width"]
    if not (0 <= point[0] < height and 0 <= point[1] < width):
        raise InvalidInputError(
            f"Pixel {point[0]}, {point[1]} is outside the scene of {height} rows and {width} columns."
        )


def _leaves(
    project: Project,
    state: ProjectState,
    segmentation: int,
    version: int,
    ranges: Ranges,
    point: tuple[int, int] | None,
) -> Payload:
    if not ranges:
        raise InvalidInputError("No leaves were given; name one range or more.")
    if len(ranges) > MAX_RANGES:
        raise LimitError(
            f"{len(ranges)} ranges are more than the {MAX_RANGES} of one edit; select fewer clusters."
        )
    for low, high in ranges:
        if not state.refinement.has_leaves(low, high):
            raise InvalidInputError(
                f"The leaves {low} to {high} are not a range within the segmentation's "
                f"{state.refinement.n_leaves} leaves."
            )
    payload: Payload = {
        "segmentation": segmentation,
        "version": version,
        "ranges": [list(pair) for pair in merge_ranges(ranges)],
    }
    if point is not None:
        require_pixel(project, point)
        payload["point"] = list(point)
    return payload


def _superseding(
    project: Project, segmentation: int, point: tuple[int, int] | None, ranges: Ranges = ()
) -> Payload:
    """Earlier examples that an edit of leaves stands in for, as part of its payload."""
    numbers = superseded_by(project, segmentation, point, ranges)
    return {"supersedes": numbers} if numbers else {}
