"""The stored result of the fold: a project's row and its class rows, read as a ProjectState, and written."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import QuerySet

from webapp.editing.drawn import pack_drawn, unpack_drawn
from webapp.editing.edits import (
    Completion,
    EditRecord,
    LabelState,
    ProjectState,
    fold,
    pack_table,
    unpack_table,
)
from webapp.editing.liveness import RESTORE, TOGGLES, LogEntry, live_numbers
from webapp.editing.refinements import Refinement
from webapp.models import ClassLabel, Edit, Project

__all__ = ["load_state", "read_liveness", "replay", "save_state", "state_at"]


def load_state(project: Project) -> ProjectState:
    """The state of ``project`` at its number, from the snapshot."""
    return ProjectState(
        classes={
            label.number: LabelState(
                label.number, label.name, label.color, label.position, label.deleted, label.merged_into
            )
            for label in project.classes.all()
        },
        table=unpack_table(bytes(project.class_table)),
        aoi=project.aoi,
        segmentation=project.segmentation_id,
        completion=Completion(project.completion_on, project.completion_threshold),
        refinements={int(key): Refinement.unpack(packed) for key, packed in project.splits.items()},
        overrides=unpack_drawn(project.overrides),
    )


def replay(project: Project, live: Collection[int] | None = None) -> ProjectState:
    """The state from the whole log, of which the edits ``live`` count; by default those that are."""
    return _fold(Edit.objects.filter(project=project), live)


def state_at(project: Project, number: int) -> ProjectState:
    """The state as it was right after edit ``number``, whatever was undone or restored since."""
    log = read_liveness(project, number)
    return _fold(Edit.objects.filter(project=project, number__lte=number), live_numbers(log))


def read_liveness(project: Project, number: int | None = None) -> list[LogEntry]:
    """What decides which edits are live, up to edit ``number`` or to the end."""
    rows = Edit.objects.filter(project=project).order_by("number")
    if number is not None:
        rows = rows.filter(number__lte=number)
    # Only these kinds' payloads are looked into: those of the others may hold thousands of ranges.
    turning = rows.filter(kind__in=(*TOGGLES, RESTORE))
    found = {
        each: LogEntry(each, kind, target, restored, dead or ())
        for each, kind, target, restored, dead in turning.values_list(
            "number", "kind", "payload__target", "payload__number", "payload__dead"
        )
    }
    return [found.get(each) or LogEntry(each, kind) for each, kind in rows.values_list("number", "kind")]


def _fold(edits: QuerySet[Edit], live: Collection[int] | None) -> ProjectState:
    rows = edits.order_by("number").values_list("number", "kind", "payload", "live")
    return fold(
        EditRecord(number, kind, payload, is_live if live is None else number in live)
        for number, kind, payload, is_live in rows.iterator()
    )


def save_state(project: Project, before: ProjectState, after: ProjectState) -> None:
    """Write what differs to the rows of ``project``; the caller saves the project's own row."""
    if after.table.shape != before.table.shape or (after.table != before.table).any():
        project.class_table = pack_table(after.table)
    project.aoi = dict(after.aoi) if after.aoi is not None else None
    project.segmentation_id = after.segmentation
    project.splits = {str(key): refinement.pack() for key, refinement in after.refinements.items()}
    project.overrides = pack_drawn(after.overrides)
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
                    "merged_into": label.merged_into,
                },
            )
