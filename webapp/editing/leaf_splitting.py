"""Splitting a leaf of a project: computed beside what others do, and recorded as an edit once it is there.

The blocks that change are written into a new folder, named by a random token, which belongs to nobody until the edit that
names it is committed. So a crash leaves at most an orphan, and no project sees another's split.
"""

from __future__ import annotations

import logging
import shutil
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from segmentation.errors import StoreError
from segmentation.objects import ObjectPath, remove_tree
from segmentation.splitting import split_leaf as compute_split
from webapp import permissions
from webapp.actions import (
    append_edit,
    first_edit,
    lock_project,
    require_class,
    require_current,
    require_pixel,
)
from webapp.editing.clicks import all_clicks
from webapp.editing.edits import LEAF_SPLIT, ProjectState, apply_edit
from webapp.editing.leaves import LeavesKey, SplitKey, leaves_key, open_leaves, split_folder
from webapp.editing.refinements import FIRST_CHILD, MAX_PARTS, LeafSplit, Refinement
from webapp.editing.snapshots import load_state, save_state
from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError, StaleError
from webapp.imagery.remote import image_of
from webapp.models import Edit, Project, Role, Segmentation
from webapp.storage import folder_size

__all__ = ["Draft", "discard_unused", "draft_split", "leaves_with", "split_leaf"]

logger = logging.getLogger(__name__)

ATTEMPTS = 3  # at computing a split while others split, too
MAX_AT_ONCE = 2  # splits computed in this process; the others wait
WAIT_S = 60.0  # for one of them to end
_SEED = 0

_slots = threading.BoundedSemaphore(MAX_AT_ONCE)

Point = tuple[int, int]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Draft:
    """A split that was computed and is part of no project yet."""

    leaves: LeavesKey  # for which it was computed
    leaf: int
    parts: int  # asked for
    first: int
    pixels: tuple[int, ...]  # of each child
    token: str
    size_bytes: int

    @property
    def key(self) -> SplitKey:
        return SplitKey(self.token, self.leaf, self.first, len(self.pixels), True)


def leaves_with(draft: Draft) -> LeavesKey:
    """The leaves as they would be with a draft."""
    return draft.leaves._replace(splits=(*draft.leaves.splits, draft.key))


def _discard(draft: Draft) -> None:
    folder = split_folder(draft.leaves.segmentation, draft.token)
    try:
        if isinstance(folder, ObjectPath):
            remove_tree(folder)
        else:
            shutil.rmtree(folder)
    except FileNotFoundError:
        pass  # removed before, with its segmentation perhaps
    except (OSError, StoreError) as error:
        logger.warning("could not remove %s, which the sweep will do: %s", folder, error)


def discard_unused(project_id: int, draft: Draft) -> None:
    """Remove what was computed for a draft, unless the project has taken it over."""
    project = Project.objects.filter(pk=project_id).first()
    used = [] if project is None else leaves_key(project, draft.leaves.segmentation).splits
    if all(split.token != draft.token for split in used):
        _discard(draft)


def draft_split(
    user: User,
    project_id: int,
    *,
    segmentation: int,
    version: int,
    leaf: int,
    parts: int,
    progress: Progress | None = None,
) -> Draft:
    """Cut a leaf into parts to look at; nothing of the project changes."""
    project = permissions.require_project(user, project_id, Role.EDITOR)
    _require_leaf(project, load_state(project), segmentation, version, leaf)
    return _compute(project, leaf, parts, None, progress)


def split_leaf(
    user: User,
    project_id: int,
    client_id: str,
    *,
    segmentation: int,
    version: int,
    leaf: int,
    parts: int | None = None,
    class_number: int | None = None,
    point: Point | None = None,
    draft: Draft | None = None,
    progress: Progress | None = None,
) -> Edit:
    """Cut a leaf into ``parts`` clusters of their own; or part the clicks of a class from the others', and assign its child.

    Reading and writing its blocks takes seconds, so it is done before the project is locked, and done again where somebody
    has split leaves in the meantime. ``draft`` is used where it still fits.
    """
    _require_form(parts, class_number, point)
    for _ in range(ATTEMPTS):
        project = permissions.require_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            return first
        state = load_state(project)
        _require_leaf(project, state, segmentation, version, leaf)
        groups = None
        if class_number is not None and point is not None:
            require_class(state, class_number)
            require_pixel(project, point)
            groups = _groups(project, state, leaf, class_number, point)
        is_fresh = draft is not None and _fits(draft, project, leaf, parts)
        found = (
            draft if draft is not None and is_fresh else _compute(project, leaf, parts or 2, groups, progress)
        )
        try:
            edit = _record(user, project_id, client_id, found, version, class_number, point)
        except BaseException:
            _discard(found)
            raise
        if edit is not None:
            return edit
        _discard(found)
    raise ConflictError(
        "Others are splitting clusters so fast that this split came too late; try again in a moment."
    )


def _record(
    user: User,
    project_id: int,
    client_id: str,
    draft: Draft,
    version: int,
    class_number: int | None,
    point: Point | None,
) -> Edit | None:
    """The edit; None where the leaves are other ones by now."""
    with transaction.atomic():
        project = lock_project(user, project_id)
        first = first_edit(project, user, client_id)
        if first is not None:
            _discard(draft)
            return first
        if leaves_key(project) != draft.leaves:
            return None
        before = load_state(project)
        if class_number is not None:
            require_class(before, class_number)
        payload = _payload(project, before, draft, version, class_number, point)
        after = before.copy()
        apply_edit(after, LEAF_SPLIT, payload)
        save_state(project, before, after)
        edit = append_edit(project, user, client_id, LEAF_SPLIT, payload)
        Segmentation.objects.filter(pk=draft.leaves.segmentation).update(
            size_bytes=F("size_bytes") + draft.size_bytes
        )
    return edit


def _payload(
    project: Project,
    state: ProjectState,
    draft: Draft,
    version: int,
    class_number: int | None,
    point: Point | None,
) -> dict[str, Any]:
    number = project.number + 1
    refinement = state.refinement
    split = LeafSplit(
        number,
        draft.leaf,
        draft.first,
        len(draft.pixels),
        draft.token,
        apart=class_number is None,
        changed=number,
        replaces=_replaced(refinement, draft.leaf),
    )
    payload = {
        "segmentation": draft.leaves.segmentation,
        "version": version,
        "n_leaves": refinement.n_leaves,
        "split": {**asdict(split), "replaces": list(split.replaces)},
        "pixels": list(draft.pixels),
    }
    if class_number is not None and point is not None:
        # The first group of clicks is that of the class (_groups), so its child is the first.
        payload |= {
            "class": class_number,
            "child": draft.first,
            "point": list(point),
            "changes": [[draft.first, draft.first + 1, class_number]],
        }
    return payload


# ---------------------------------------------------------------------------------------------------- computing


def _compute(
    project: Project,
    leaf: int,
    parts: int,
    groups: Sequence[Sequence[Point]] | None,
    progress: Progress | None,
) -> Draft:
    key = leaves_key(project)
    store = open_leaves(key)
    first = max((split.first + split.n for split in key.splits), default=FIRST_CHILD)
    token = uuid.uuid4().hex
    folder = split_folder(key.segmentation, token)
    if not _slots.acquire(timeout=WAIT_S):
        raise LimitError("The server is busy with other splits; try again in a minute.")
    try:
        result = compute_split(
            store,
            leaf,
            folder,
            first=first,
            n=parts,
            groups=groups,
            image=image_of(project.scene),
            seed=_SEED,
            progress=progress,
        )
    finally:
        _slots.release()
    return Draft(key, leaf, parts, first, result.pixels, token, folder_size(folder))


def _groups(
    project: Project, state: ProjectState, leaf: int, class_number: int, point: Point
) -> list[list[Point]]:
    """The clicks in a leaf by class, those of ``class_number`` first, ``point`` among them."""
    mine, others, table = [point], dict[int, list[Point]](), state.visible_table()
    for _, row, col, number, at in all_clicks(project):
        if at != leaf or state.classes[number].deleted:
            continue
        if number == class_number:
            mine.append((row, col))
        elif table[leaf] == number:
            others.setdefault(number, []).append((row, col))
    if not others:
        raise StaleError("No other class was clicked in this cluster any more; click again.")
    taken = {pixel for pixels in others.values() for pixel in pixels}
    if point in taken:
        raise InvalidInputError(
            "Another class was clicked at this very pixel; undo that, or click beside it."
        )
    return [[pixel for pixel in dict.fromkeys(mine) if pixel not in taken], *others.values()]


def _fits(draft: Draft, project: Project, leaf: int, parts: int | None) -> bool:
    return (draft.leaf, draft.parts, draft.leaves) == (leaf, parts, leaves_key(project))


def _replaced(refinement: Refinement, leaf: int) -> tuple[int, ...]:
    """Undone splits whose children are pixels of the leaf."""
    live = set(refinement.live_splits)
    parent_of = {child: split for split in refinement.leaf_splits for child in split.children}

    def root(split: LeafSplit) -> int:
        above = split.parent
        while above in parent_of and parent_of[above] not in live:
            above = parent_of[above].parent
        return above

    return tuple(
        split.number for split in refinement.leaf_splits if split not in live and root(split) == leaf
    )


# ---------------------------------------------------------------------------------------------------- checks


def _require_form(parts: int | None, class_number: int | None, point: Point | None) -> None:
    if (class_number is None) != (point is None) or (parts is None) == (class_number is None):
        raise InvalidInputError(
            "A leaf is split either into a number of `parts`, or for a `class` clicked at a `point`; give one of the two."
        )
    if parts is not None and not 2 <= parts <= MAX_PARTS:
        raise InvalidInputError(f"A cluster cannot be split into {parts}; choose 2 to {MAX_PARTS}.")


def _require_leaf(project: Project, state: ProjectState, segmentation: int, version: int, leaf: int) -> None:
    require_current(state, segmentation, version, [(leaf, leaf + 1)])
    refinement = state.refinement
    is_split = any(split.parent == leaf for split in refinement.live_splits)
    if is_split or not refinement.has_leaves(leaf, leaf + 1):
        raise MissingError(f"There is no leaf {leaf} (any more); click the cluster again.")
    row = project.segmentation
    if row is None or row.state != Segmentation.State.COMPLETE:
        raise ConflictError("The segmentation is still computing; leaves can be split once it is complete.")
