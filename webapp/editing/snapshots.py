"""The stored result of the fold: a project's row and its class rows, read as a ProjectState, and written."""

from __future__ import annotations

from webapp.editing.edits import (
    Completion,
    EditRecord,
    LabelState,
    ProjectState,
    fold,
    pack_table,
    unpack_table,
)
from webapp.editing.refinements import Refinement
from webapp.models import ClassLabel, Edit, Project

__all__ = ["load_state", "replay", "save_state"]


def load_state(project: Project) -> ProjectState:
    """The state of ``project`` at its number, from the snapshot."""
    return ProjectState(
        classes={
            label.number: LabelState(label.number, label.name, label.color, label.position, label.deleted)
            for label in project.classes.all()
        },
        table=unpack_table(bytes(project.class_table)),
        aoi=project.aoi,
        segmentation=project.segmentation_id,
        completion=Completion(project.completion_on, project.completion_threshold),
        refinements={int(key): Refinement.unpack(packed) for key, packed in project.splits.items()},
    )


def replay(project: Project, toggled: Edit | None = None) -> ProjectState:
    """The state from the whole log.

    ``toggled``, if given, counts as live where it is dead and the other way round.
    """
    rows = Edit.objects.filter(project=project).order_by("number")
    return fold(
        EditRecord(number, kind, payload, live != (toggled is not None and number == toggled.number))
        for number, kind, payload, live in rows.values_list("number", "kind", "payload", "live").iterator()
    )


def save_state(project: Project, before: ProjectState, after: ProjectState) -> None:
    """Write what differs to the rows of ``project``; the caller saves the project's own row."""
    if after.table.shape != before.table.shape or (after.table != before.table).any():
        project.class_table = pack_table(after.table)
    project.aoi = dict(after.aoi) if after.aoi is not None else None
    project.segmentation_id = after.segmentation
    project.splits = {str(key): refinement.pack() for key, refinement in after.refinements.items()}
    project.completion_on = after.completion.on
    project.completion_threshold = after.completion.threshold
    gone = before.classes.keys() - after.classes.keys()
    if gone:
        project.classes.filter(number__in=gone).delete()
    for number, label in after.classes.items():
        if before.classes.get(number) != label:
            ClassLabel.objects.update_or_create(
                project=project,
                number=number,
                defaults={
                    "name": label.name,
                    "color": label.color,
                    "position": label.position,
                    "deleted": label.deleted,
                },
            )
