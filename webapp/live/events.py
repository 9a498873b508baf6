"""Events of the socket, made from rows."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from django.contrib.auth.models import User

from webapp.descriptions import describe_scene
from webapp.editing import history
from webapp.editing.adoption import offered
from webapp.editing.clicks import all_clicks, clicks_changed
from webapp.editing.drawn import Drawn, unpack_drawn, version_of
from webapp.editing.edits import CLUSTER_SPLIT, LEAF_SPLIT, OVERRIDE, ProjectState, pack_table
from webapp.editing.liveness import flips_of
from webapp.editing.overrides import block_states
from webapp.editing.races import lost_by
from webapp.editing.snapshots import load_state
from webapp.live.event_types import (
    ClassInfo,
    CompletionInfo,
    EditAppliedEvent,
    OverridesInfo,
    ProjectInfo,
    ProjectResumedEvent,
    ProjectStateEvent,
    SegmentationsChangedEvent,
    SplitsInfo,
)
from webapp.live.mark import mark_text
from webapp.live.recent import author_of, flips_info, summarize
from webapp.models import Edit, Project, Role, Segmentation
from webapp.people.members import members_of
from webapp.permissions import require_role

__all__ = [
    "describe_segmentation",
    "edit_applied",
    "edits_after",
    "own_fields",
    "project_resumed",
    "project_state",
    "segmentations_changed",
    "shared_fields",
]


def describe_segmentation(segmentation: Segmentation, version: int = 0) -> dict[str, Any]:
    """The "Segmentation description" of the protocol; ``version`` of its leaves in the project that uses it."""
    return {
        "id": segmentation.pk,
        "scene": segmentation.scene_id,
        "state": segmentation.state,
        "stage": segmentation.stage,
        "progress": segmentation.progress,
        "message": segmentation.message,
        "device": segmentation.device,
        "n_leaves": segmentation.n_leaves,
        "parameters": segmentation.parameters,
        "automatic": segmentation.automatic,
        "learned": segmentation.learned,
        "size_bytes": segmentation.size_bytes,
        "created_at": segmentation.created_at.isoformat(),
        "version": version,
        "tree_ready": segmentation.n_leaves > 0,
    }


def project_state(project: Project, user: User) -> ProjectStateEvent:
    """Everything a page needs to start from, at ``project.number``."""
    state = load_state(project)
    has_leaves = state.segmentation is not None
    return {
        **_beside_edits(project, user, state),
        "at": mark_text(project.pk, project.number),
        "classes": [cast(ClassInfo, dataclasses.asdict(label)) for label in state.ordered_classes()],
        "segmentation": describe_segmentation(project.segmentation, state.refinement.version)
        if project.segmentation
        else None,
        "table": base64.b64encode(pack_table(state.visible_table())).decode("ascii") if has_leaves else None,
        "completion": _describe_completion(project),
        "splits": _describe_splits(state),
        "overrides": _describe_overrides(project, state.overrides),
        "clicks": all_clicks(project),
    }


def project_resumed(project: Project, user: User) -> ProjectResumedEvent:
    """What a page needs beside the edits that it missed."""
    return _beside_edits(project, user, load_state(project))


def segmentations_changed(project: Project) -> SegmentationsChangedEvent:
    return _segmentations(project, load_state(project).refinement.version)


def edits_after(project_id: int, number: int, limit: int) -> list[Edit]:
    """The edits after ``number`` in order, at most ``limit`` of them."""
    rows = Edit.objects.filter(project_id=project_id, number__gt=number).select_related("user")
    return list(rows.order_by("number")[:limit])


def edit_applied(
    project: Project, edit: Edit, user: User, can_undo: bool, can_redo: bool
) -> EditAppliedEvent:
    """What ``user`` is told of an edit."""
    return {**shared_fields(project, edit), **own_fields(edit, user, can_undo, can_redo)}  # type: ignore[typeddict-item]


def own_fields(edit: Edit, user: User, can_undo: bool, can_redo: bool) -> dict[str, Any]:
    """What ``user`` alone is told of an edit."""
    remark = str(edit.payload.get("remark", "")) if edit.user_id == user.pk else ""
    own: dict[str, Any] = {"can_undo": can_undo, "can_redo": can_redo, "message": remark}
    lost = lost_by(user.pk, edit)
    return own if lost is None else {**own, "lost": lost}


def shared_fields(project: Project, edit: Edit) -> EditAppliedEvent:
    """What everybody is told of an edit.

    Lists are told as they are now, which is at least as new as the edit.
    """
    payload = edit.payload
    result: EditAppliedEvent = {
        "number": edit.number,
        "kind": edit.kind,
        "client_id": edit.client_id,
        "user": edit.user.username if edit.user else None,
        "at": edit.created_at.isoformat(),
        "changes": _changes(edit),
        "reload": edit.kind == history.ADOPT or bool(payload.get("reload")),
        "author": author_of(edit.user),
        **_told(project, edit),
    }
    is_toggle = edit.kind in (history.UNDO, history.REDO, history.RESTORE)
    if is_toggle or edit.kind.startswith("class.") or "classes" in payload:
        labels = project.classes.all()
        result["classes"] = [
            {
                "number": label.number,
                "name": label.name,
                "color": label.color,
                "position": label.position,
                "deleted": label.deleted,
                "merged_into": label.merged_into,
            }
            for label in labels
        ]
    if is_toggle or edit.kind in ("aoi.set", "completion.set"):
        result["project"] = _describe_project(project)
    if is_toggle or edit.kind in (CLUSTER_SPLIT, LEAF_SPLIT):
        result["splits"] = _describe_splits(load_state(project))
    drawn = _changed_overrides(project, edit)
    if drawn is not None:
        result["overrides"] = drawn
    clicks = clicks_changed(project, edit)
    if clicks is not None:
        result["clicks"] = clicks
    return result


def _told(project: Project, edit: Edit) -> EditAppliedEvent:
    """What the list of recent edits needs to know."""
    summary = summarize(project, edit)
    told: EditAppliedEvent = {
        "label": summary["label"],
        "place": summary["place"],
        "area": summary["area"],
        "detail": summary["detail"],
    }
    return cast(EditAppliedEvent, {**told, **flips_info(edit)})


def _changes(edit: Edit) -> list[list[int]]:
    if edit.kind == "leaves.assign":
        return [[low, high, edit.payload["class"]] for low, high in edit.payload["ranges"]]
    if edit.kind == "leaves.unassign":
        return [[low, high, 0] for low, high in edit.payload["ranges"]]
    return list(edit.payload.get("changes", []))


def _beside_edits(project: Project, user: User, state: ProjectState) -> ProjectResumedEvent:
    return {
        "number": project.number,
        "project": _describe_project(project),
        "scene": describe_scene(project.scene),
        "user": user.username,
        "role": require_role(user, project, Role.VIEWER),
        "members": members_of(project),
        **_segmentations(project, state.refinement.version),
        "can_undo": history.can_undo(project, user.pk),
        "can_redo": history.can_redo(project, user.pk),
    }


def _segmentations(project: Project, version: int) -> SegmentationsChangedEvent:
    newer = offered(project)
    return {
        "segmentations": [
            describe_segmentation(row, version if row.pk == project.segmentation_id else 0)
            for row in Segmentation.objects.filter(scene_id=project.scene_id)
        ],
        "offered": describe_segmentation(newer) if newer and project.segmentation_id is not None else None,
    }


def _describe_project(project: Project) -> ProjectInfo:
    return {
        "id": project.pk,
        "name": project.name,
        "aoi": project.aoi,
        "completion": _describe_completion(project),
    }


def _describe_splits(state: ProjectState) -> SplitsInfo:
    refinement = state.refinement
    live = {split.number for split in refinement.live_splits}
    return {
        "version": refinement.version,
        "leaves": [
            [split.parent, split.first, split.n, int(split.number in live), int(split.apart)]
            for split in refinement.leaf_splits
        ],
        "clusters": [
            [low, high, [list(part) for part in parts]] for (low, high), parts in refinement.clusters.items()
        ],
    }


def _describe_overrides(
    project: Project, drawn: Sequence[Drawn], only: Sequence[Drawn] | None = None
) -> OverridesInfo:
    states = block_states(project.scene_id, drawn, only)
    return {
        "version": version_of(drawn),
        "blocks": [[row, col, version, int(is_drawn)] for row, col, version, is_drawn in states],
    }


def _changed_overrides(project: Project, edit: Edit) -> OverridesInfo | None:
    """The blocks that an edit changed, as they are now; None where it drew nothing and took nothing back."""
    own = ((edit.number, edit.number + 1),)
    turned = own if edit.kind == OVERRIDE else flips_of(edit.kind, edit.payload).all
    drawn = unpack_drawn(project.overrides) if turned else ()
    only = [one for one in drawn if any(low <= one.number < high for low, high in turned)]
    return _describe_overrides(project, drawn, only) if only else None


def _describe_completion(project: Project) -> CompletionInfo:
    return {"on": project.completion_on, "threshold": project.completion_threshold}
