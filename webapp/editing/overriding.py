"""Drawing classes by hand over the leaves: computed beside what others do, and recorded as an edit once it is there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from segmentation.errors import InvalidArgumentError
from segmentation.overrides import LayerInfo, layer_blocks, polygon_blocks, region_blocks, write_layer
from webapp import permissions
from webapp.actions import append_edit, first_edit, lock_project, require_current, require_pixel, target_class
from webapp.editing.drawn import Drawn
from webapp.editing.edits import OVERRIDE, ProjectState, apply_edit, merge_ranges
from webapp.editing.leaves import leaves_key, open_leaves
from webapp.editing.overrides import override_file, overrides_folder
from webapp.editing.snapshots import load_state, save_state
from webapp.errors import ConflictError, InvalidInputError, LimitError, NothingToDoError
from webapp.models import Edit, Project, Role, Scene, Segmentation
from webapp.quotas import check_room

if TYPE_CHECKING:
    from webapp.messages import Region

__all__ = ["MAX_DRAWN", "add_override"]

MAX_DRAWN = 2_000  # of a project, those taken back included
ROOM_BYTES = 1_000_000  # that must be free for another one: a mask takes some kilobytes, seldom more
MAX_AT_ONCE = 2  # computed in this process; the others wait
WAIT_S = 60.0  # for one of them to end

_slots = threading.BoundedSemaphore(MAX_AT_ONCE)

Polygons = Sequence[Sequence[Sequence[Sequence[float]]]]
Progress = Callable[[float], None]
Blocks = Iterator[tuple[tuple[int, int], Any]]


def add_override(
    user: User,
    project_id: int,
    client_id: str,
    *,
    class_number: int | None = None,
    polygons: Polygons | None = None,
    region: Region | None = None,
    progress: Progress | None = None,
) -> Edit:
    """Give pixels a class, or take it from them (None), whatever their leaves have.

    Parameters
    ----------
    polygons : list of polygons, each a list of rings of [row, col]
        The pixels whose centers lie inside.
    region : webapp.messages.Region
        Or: those of some leaves that are connected with one pixel.
    progress : callable, optional
        Told the share done, 0 to 1.
    """
    wrong = "What is drawn is either `polygons`, or the `region` around a pixel; give one of the two."
    if polygons is not None and region is not None:
        raise InvalidInputError(wrong)
    project = permissions.require_project(user, project_id, Role.EDITOR)
    first = first_edit(project, user, client_id)
    if first is not None:
        return first
    state = load_state(project)
    _require_allowed(project, state, class_number)
    if not _slots.acquire(timeout=WAIT_S):
        raise LimitError("The server is busy with what others draw; try again in a minute.")
    token = uuid.uuid4().hex
    path = override_file(project.scene_id, token)
    try:
        if polygons is not None:
            blocks = polygon_blocks(polygons, _shape(project), progress)
        elif region is not None:
            blocks = _region(project, state, region, progress)
        else:
            raise InvalidInputError(wrong)
        overrides_folder(project.scene_id).mkdir(parents=True, exist_ok=True)
        try:
            info = write_layer(path, blocks)
        except InvalidArgumentError as error:
            raise InvalidInputError(str(error)) from error
    finally:
        _slots.release()
    is_taken = False
    try:
        edit = _record(user, project_id, client_id, class_number, token, info, polygons is None)
        is_taken = edit.payload.get("layer", {}).get("token") == token
    finally:
        if not is_taken:
            path.unlink()
    return edit


def _record(
    user: User,
    project_id: int,
    client_id: str,
    class_number: int | None,
    token: str,
    info: LayerInfo,
    is_region: bool,
) -> Edit:
    with transaction.atomic():
        project = lock_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            return first
        before = load_state(project)
        number = _require_allowed(project, before, class_number)
        if not number:
            _require_something_to_erase(project, before, info)
        payload = {
            "class": number,
            "layer": {"number": project.number + 1, "token": token},
            "shape": "region" if is_region else "polygons",
            "pixels": info.pixels,
            "bounds": list(info.bounds),
            "place": list(info.pixel),
        }
        after = before.copy()
        apply_edit(after, OVERRIDE, payload)
        save_state(project, before, after)
        edit = append_edit(project, user, client_id, OVERRIDE, payload)
        size = override_file(project.scene_id, token).stat().st_size
        Scene.objects.filter(pk=project.scene_id).update(size_bytes=F("size_bytes") + size)
    return edit


# ---------------------------------------------------------------------------------------------------- checks


def _require_allowed(project: Project, state: ProjectState, class_number: int | None) -> int:
    """The class that is meant, 0 for none; an error where nothing more can be drawn."""
    if len(state.overrides) >= MAX_DRAWN:
        raise LimitError(
            f"{MAX_DRAWN:,} shapes were drawn by hand in this project, which is the most that it holds; go on by clicking "
            "clusters."
        )
    check_room(project.scene.owner, ROOM_BYTES)
    return 0 if class_number is None else target_class(state, class_number)


def _require_something_to_erase(project: Project, state: ProjectState, info: LayerInfo) -> None:
    mine = set(info.blocks)
    for one in state.overrides:
        if one.live and one.class_number and not mine.isdisjoint(_blocks_of(project, one)):
            return
    raise NothingToDoError("Nothing was drawn by hand there, so there is nothing to erase.")


def _blocks_of(project: Project, one: Drawn) -> tuple[tuple[int, int], ...]:
    return layer_blocks(override_file(project.scene_id, one.token))


def _shape(project: Project) -> tuple[int, int]:
    return project.scene.info["height"], project.scene.info["width"]


def _region(project: Project, state: ProjectState, region: Region, progress: Progress | None) -> Blocks:
    """The connected pixels of the leaves that a region names."""
    ranges = merge_ranges(region.ranges)
    require_current(state, region.segmentation, region.version, ranges)
    row, col = region.point
    require_pixel(project, (row, col))
    for low, high in ranges:
        if not state.refinement.has_leaves(low, high):
            raise InvalidInputError(
                f"The leaves {low} to {high} are not a range within the segmentation's {state.refinement.n_leaves} leaves."
            )
    if project.segmentation is None or project.segmentation.state != Segmentation.State.COMPLETE:
        raise ConflictError(
            "The segmentation is still computing; connected regions can be told once it is complete."
        )
    chosen = np.zeros(state.refinement.size, np.uint8)
    state.refinement.paint(chosen, ranges, 1)
    return region_blocks(open_leaves(leaves_key(project)), chosen.astype(np.bool_), row, col, progress)
