"""Which segmentation a project uses: taken over as an edit, the classes carried along."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import transaction

from segmentation import transfer_classes
from segmentation.errors import StoreError
from webapp import permissions
from webapp.actions import append_edit, first_edit, lock_project, record
from webapp.editing.edits import ProjectState, Table, apply_edit, pack_table, unpack_table
from webapp.editing.history import ADOPT
from webapp.editing.leaves import leaves_key, open_leaves
from webapp.editing.snapshots import load_state, save_state
from webapp.errors import ConflictError, MissingError
from webapp.models import Edit, Project, Segmentation

__all__ = ["adopt_first", "adopt_segmentation", "drop_segmentation", "offered"]

ATTEMPTS = 5  # at carrying the classes over while others go on classifying


def offered(project: Project) -> Segmentation | None:
    """The newest complete segmentation of the scene, where it is newer than the adopted one.

    None where the project had it before: whoever went back to an older one has seen it.
    """
    rows = Segmentation.objects.filter(scene_id=project.scene_id, state=Segmentation.State.COMPLETE)
    if project.segmentation_id is not None:
        rows = rows.filter(pk__gt=project.segmentation_id)
    newest = rows.order_by("-pk").first()
    had = newest and project.edits.filter(kind=ADOPT, payload__segmentation=newest.pk).exists()
    return None if had else newest


def adopt_segmentation(user: User, project_id: int, client_id: str, *, segmentation: int) -> Edit:
    """Use another segmentation: each of its leaves takes the class that holds most of its pixels.

    Comparing two leaf rasters takes seconds to minutes, so it is done before the project is locked, and done
    again where somebody has classified leaves in the meantime.
    """
    project = permissions.require_project(user, project_id)
    first = first_edit(project, user, client_id)
    if first is not None:
        return first
    for _ in range(ATTEMPTS):
        project = permissions.require_project(user, project_id)
        new = _require_adoptable(project, segmentation)
        seen = (project.segmentation_id, bytes(project.class_table), project.splits)
        payload = _payload(new, project.segmentation_id, _carried(project, new))
        with transaction.atomic():
            project = lock_project(user, project_id)
            first = first_edit(project, user, client_id)
            if first is not None:
                return first
            if (project.segmentation_id, bytes(project.class_table), project.splits) != seen:
                continue
            _require_adoptable(project, segmentation)
            before = load_state(project)
            after = before.copy()
            apply_edit(after, ADOPT, payload)
            save_state(project, before, after)
            return append_edit(project, user, client_id, ADOPT, payload)
    raise ConflictError(
        "Others are classifying so fast that their classes could not be carried over; try again in a moment."
    )


def adopt_first(project_id: int, segmentation: Segmentation) -> Edit | None:
    """Give a project without segmentation its first one, in the server's name.

    None where it has one already.
    """

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        return _payload(segmentation, None, None)

    with transaction.atomic():
        # The lock comes first: two threads may both have seen a project without segmentation.
        if lock_project(None, project_id).segmentation_id is not None:
            return None
        return record(None, project_id, "", ADOPT, make)


def drop_segmentation(project_id: int, segmentation_id: int) -> Edit | None:
    """Leave a project without segmentation, because its own is about to be deleted.

    None where it uses another.
    """

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        return {"segmentation": None, "version": 0, "n_leaves": 0, "table": None, "replaces": None}

    with transaction.atomic():
        if lock_project(None, project_id).segmentation_id != segmentation_id:
            return None
        return record(None, project_id, "", ADOPT, make)


def _require_adoptable(project: Project, segmentation_id: int) -> Segmentation:
    new = Segmentation.objects.filter(pk=segmentation_id, scene_id=project.scene_id).first()
    if new is None:
        raise MissingError(
            f"This scene has no segmentation {segmentation_id} (any more); choose one from the list."
        )
    if new.pk == project.segmentation_id:
        raise ConflictError(f"The map uses segmentation {segmentation_id} already.")
    if new.state != Segmentation.State.COMPLETE:
        raise ConflictError(
            f"Segmentation {segmentation_id} is {new.state}; only a complete one can be adopted, so that no "
            "class is lost."
        )
    return new


def _carried(project: Project, new: Segmentation) -> Table | None:
    """The class of each new leaf; None where there is nothing to carry."""
    table = unpack_table(bytes(project.class_table))
    if project.segmentation_id is None or not table.any():
        return None
    try:
        old = open_leaves(leaves_key(project))
    except StoreError:
        # Its files are gone (a failed disk, a restored backup): the classes stay in the log, the map starts
        # anew.
        return None
    store = open_leaves(leaves_key(project, new.pk))
    carried = transfer_classes(old, old.from_ids(table), store)
    return np.asarray(store.by_id(carried, store.n_ids, shared=True), np.uint8)


def _payload(new: Segmentation, replaces: int | None, table: Table | None) -> dict[str, Any]:
    return {
        "segmentation": new.pk,
        "version": 0,
        "n_leaves": new.n_leaves,
        "table": None if table is None else base64.b64encode(pack_table(table)).decode("ascii"),
        "replaces": replaces,
    }
