"""What jobs mean to the database: rows are the state of record, and whoever looks at them is told.

Every change is conditional on the state it starts from, so that two servers (or a job that ends while it is
being cancelled) cannot overwrite each other.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from segmentation.errors import StoreError
from segmentation.objects import StorePath, remove_tree
from webapp.editing.adoption import adopt_first, drop_segmentation
from webapp.errors import MissingError
from webapp.jobs.learning import keep_network
from webapp.live import broadcast
from webapp.models import Project, Scene, Segmentation
from webapp.places import scene_objects, store_of

__all__ = [
    "ACTIVE",
    "adopt_missed",
    "adopt_where_missing",
    "cancel_segmentation",
    "fail_import",
    "fail_segmentation",
    "finish_import",
    "finish_segmentation",
    "import_progressed",
    "remove_store",
    "remove_store_unless_complete",
    "segmentation_progressed",
    "start_project",
    "tell_progress",
    "tell_segmentations",
]

logger = logging.getLogger(__name__)

# A project's first map is there in seconds: nothing is learned for it.
DEFAULT_PARAMETERS = {
    "mode": "fast",
    "bands": None,
    "superpixel_px": None,
    "n_leaves": None,
    "seed": 0,
    "aoi": None,
}
ACTIVE = (Segmentation.State.QUEUED, Segmentation.State.RUNNING)


# ---------------------------------------------------------------------------------------------------- imports


def import_progressed(scene_id: int, progress: float) -> None:
    Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(progress=progress)


def finish_import(scene_id: int, info: dict[str, Any], size_bytes: int) -> bool:
    """Make the scene ready and start its projects; False where it was deleted meanwhile."""
    done = Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(
        state=Scene.State.READY,
        progress=1.0,
        message=" ".join(info.get("remarks", [])),
        info=info,
        size_bytes=size_bytes,
    )
    return bool(done)


def fail_import(scene_id: int, message: str) -> None:
    """Say why there is no scene, and leave nothing of it on disk."""
    scene = Scene.objects.filter(pk=scene_id).first()
    Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(
        state=Scene.State.FAILED, message=message, size_bytes=0
    )
    if scene is None or scene.state == Scene.State.IMPORTING:
        shutil.rmtree(Path(settings.DATA_DIR) / "scenes" / str(scene_id), ignore_errors=True)
        if (far := scene_objects(scene_id)) is not None:
            _remove(far)


# ----------------------------------------------------------------------------------------------------
# segmentations


def segmentation_progressed(segmentation_id: int, **fields: Any) -> Segmentation | None:
    """Store how far a running segmentation is; None where it is not running any more."""
    running = Segmentation.objects.filter(pk=segmentation_id, state=Segmentation.State.RUNNING)
    if not running.update(**fields):
        return None
    return Segmentation.objects.filter(pk=segmentation_id).first()


def finish_segmentation(segmentation_id: int, result: dict[str, Any]) -> bool:
    """Make it complete, and keep its network; False where it was cancelled or deleted meanwhile.

    ``result`` is what the job says: ``n_leaves``, ``device``, ``size_bytes`` and, where features were learned, ``learned``.
    """
    learned = result.get("learned")
    with transaction.atomic():
        done = Segmentation.objects.filter(pk=segmentation_id, state__in=ACTIVE).update(
            state=Segmentation.State.COMPLETE,
            stage="",
            progress=1.0,
            message="",
            n_leaves=result["n_leaves"],
            device=result["device"],
            size_bytes=result["size_bytes"],
            learned=learned and learned["training"],
            finished_at=timezone.now(),
        )
        if not done:
            return False
        segmentation = Segmentation.objects.select_related("scene__owner").get(pk=segmentation_id)
        if learned:
            segmentation.message = keep_network(segmentation, learned)
            segmentation.save(update_fields=["message"])
    adopt_where_missing(segmentation)
    tell_progress(segmentation)
    tell_segmentations(segmentation.scene_id)
    broadcast.send(
        broadcast.scene_group(segmentation.scene_id), "statistics.grew", segmentation=segmentation_id
    )
    return True


def fail_segmentation(segmentation_id: int, message: str) -> None:
    _end(segmentation_id, Segmentation.State.FAILED, message)
    remove_store_unless_complete(segmentation_id)


def cancel_segmentation(segmentation_id: int) -> bool:
    """Mark it as cancelled; False where it had ended. Its store goes once nothing writes to it any more."""
    return _end(segmentation_id, Segmentation.State.CANCELLED, "")


def _end(segmentation_id: int, state: str, message: str) -> bool:
    with transaction.atomic():
        # Projects first, as everywhere: who locks in another order may end in a deadlock.
        adopted = Project.objects.select_for_update().filter(segmentation_id=segmentation_id).order_by("pk")
        projects = [project.pk for project in adopted]
        ended = Segmentation.objects.filter(pk=segmentation_id, state__in=ACTIVE).update(
            state=state, stage="", message=message, n_leaves=0, size_bytes=0, finished_at=timezone.now()
        )
        if not ended:
            return False
        for project_id in projects:
            # Its blocks go, so the map goes back to waiting; the next segmentation is taken up as the first
            # was.
            drop_segmentation(project_id, segmentation_id)
    segmentation = Segmentation.objects.get(pk=segmentation_id)
    tell_progress(segmentation)
    tell_segmentations(segmentation.scene_id)
    return True


def remove_store(segmentation_id: int) -> None:
    _remove(store_of(segmentation_id))


def _remove(place: StorePath) -> None:
    try:
        remove_tree(place)
    except StoreError as error:
        logger.warning("%s is left to the sweep: %s", place, error)


def remove_store_unless_complete(segmentation_id: int) -> None:
    """Remove the store of a job that ended without result; what was complete before stays, whatever went wrong since."""
    if not Segmentation.objects.filter(pk=segmentation_id, state=Segmentation.State.COMPLETE).exists():
        remove_store(segmentation_id)


def adopt_where_missing(segmentation: Segmentation) -> None:
    """Give it to the projects of its scene that have none."""
    for project_id in Project.objects.filter(scene=segmentation.scene_id, segmentation=None).values_list(
        "pk", flat=True
    ):
        try:
            adopt_first(project_id, segmentation)
        except MissingError:
            logger.info("project %s was deleted before it got its first segmentation", project_id)


def adopt_missed() -> None:
    """Give projects without segmentation the one of their scene (a server died in between, or theirs was deleted)."""
    usable = Segmentation.objects.filter(scene=OuterRef("scene"), n_leaves__gt=0)
    waiting = Project.objects.filter(Exists(usable), segmentation=None)
    for project in waiting.select_related("scene", "owner"):
        best = _adoptable(project)
        if best is not None:
            adopt_where_missing(best)


def _adoptable(project: Project) -> Segmentation | None:
    """The newest complete segmentation of its scene, else one that computes and has its codebook."""
    rows = Segmentation.objects.filter(scene=project.scene_id).order_by("-pk")
    complete = rows.filter(state=Segmentation.State.COMPLETE).first()
    return complete or rows.filter(state__in=ACTIVE, n_leaves__gt=0).first()


def start_project(project: Project) -> Segmentation | None:
    """Adopt what the scene has; the segmentation that is still to be submitted, where it has nothing."""
    # The lock on the scene keeps two projects made at once from starting two segmentations.
    scene = Scene.objects.select_for_update().get(pk=project.scene_id)
    rows = Segmentation.objects.filter(scene=scene).order_by("-pk")
    best = _adoptable(project)
    if best is not None:
        adopt_first(project.pk, best)
        return None
    if rows.filter(state__in=ACTIVE).exists() or scene.state != Scene.State.READY:
        return None  # adopted as soon as its codebook, or the scene, is there
    return Segmentation.objects.create(scene=scene, created_by=project.owner, parameters=DEFAULT_PARAMETERS)


# ---------------------------------------------------------------------------------------------------- telling


def tell_progress(
    segmentation: Segmentation,
    left_s: float | None = None,
    blocks: list[list[int]] | None = None,
    training: dict[str, Any] | None = None,
) -> None:
    """Tell who looks at the scene how far it is (and its training), and which blocks were written."""
    broadcast.send(
        broadcast.scene_group(segmentation.scene_id),
        "segmentation.grew",
        progress={
            "segmentation": segmentation.pk,
            "state": str(segmentation.state),
            "stage": segmentation.stage,
            "progress": segmentation.progress,
            "message": segmentation.message,
            "left_s": left_s,
            "training": training,
        },
        blocks=blocks or [],
    )


def tell_segmentations(scene_id: int) -> None:
    """Tell who looks at the scene that its list of segmentations is another."""
    broadcast.send(broadcast.scene_group(scene_id), "segmentations.listed")
