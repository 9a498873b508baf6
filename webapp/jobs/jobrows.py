"""What jobs mean to the database: rows are the state of record, and whoever looks at them is told.

Here alone a scene or segmentation and the job that people see of it change, both in one transaction.

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
from webapp.jobs import jobbook
from webapp.jobs.jobfiles import import_job, segmentation_job
from webapp.jobs.learning import keep_network
from webapp.live import broadcast
from webapp.models import Job, Project, Scene, Segmentation
from webapp.places import scene_objects, store_of

__all__ = [
    "ACTIVE",
    "IMPORT_CANCELLED",
    "adopt_missed",
    "adopt_where_missing",
    "begin_import",
    "begin_segmentation",
    "cancel_import",
    "cancel_segmentation",
    "fail_import",
    "fail_segmentation",
    "finish_import",
    "finish_segmentation",
    "import_progressed",
    "remove_store",
    "remove_store_unless_complete",
    "retry_import",
    "retry_segmentation",
    "segmentation_progressed",
    "segmentation_waits",
    "segmentation_yields",
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
IMPORT_CANCELLED = "The import was cancelled."
ACTIVE = (Segmentation.State.QUEUED, Segmentation.State.RUNNING)


# ---------------------------------------------------------------------------------------------------- imports


def begin_import(scene_id: int, message: str = "") -> None:
    """It was handed to the engine."""
    jobbook.began(import_job(scene_id), message)


def import_progressed(scene_id: int, progress: float, left_s: float | None = None) -> None:
    with transaction.atomic():
        if Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(progress=progress):
            jobbook.progressed(import_job(scene_id), "importing", progress, left_s)


def finish_import(scene_id: int, info: dict[str, Any], size_bytes: int) -> bool:
    """Make the scene ready and start its projects; False where it was deleted meanwhile."""
    message = " ".join(info.get("remarks", []))
    with transaction.atomic():
        done = Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(
            state=Scene.State.READY,
            progress=1.0,
            message=message,
            info=info,
            size_bytes=size_bytes,
        )
        if done:
            jobbook.end(import_job(scene_id), Job.State.COMPLETE, message)
    return bool(done)


def fail_import(scene_id: int, message: str, kept_bytes: int = 0) -> None:
    """Say why there is no scene, and leave nothing of it on disk but the received file, where it is kept for another try."""
    _end_import(scene_id, message, Job.State.FAILED, kept_bytes)


def cancel_import(scene_id: int, message: str, line: str = "", kept_bytes: int = 0) -> bool:
    """Nobody wants it any more; False where it had ended."""
    return _end_import(scene_id, message, Job.State.CANCELLED, kept_bytes, line)


def _end_import(scene_id: int, message: str, state: str, kept_bytes: int, line: str = "") -> bool:
    with transaction.atomic():
        done = Scene.objects.filter(pk=scene_id, state=Scene.State.IMPORTING).update(
            state=Scene.State.FAILED, message=message, size_bytes=kept_bytes
        )
        if done:
            jobbook.end(import_job(scene_id), state, message, line)
    if not Scene.objects.filter(pk=scene_id).exclude(state=Scene.State.FAILED).exists():
        shutil.rmtree(Path(settings.DATA_DIR) / "scenes" / str(scene_id), ignore_errors=True)
        if (far := scene_objects(scene_id)) is not None:
            _remove(far)
    return bool(done)


def retry_import(job: Job, line: str) -> bool:
    """Have a scene that failed imported once more; False where it is in another state by now."""
    with transaction.atomic():
        done = Scene.objects.filter(pk=job.scene_id, state=Scene.State.FAILED).update(
            state=Scene.State.IMPORTING, progress=0.0, message=""
        )
        return bool(done) and jobbook.requeue(job, line, (Job.State.FAILED, Job.State.CANCELLED))


# ----------------------------------------------------------------------------------------------------
# segmentations


def begin_segmentation(segmentation_id: int, message: str = "") -> None:
    """It was handed to the engine."""
    with transaction.atomic():
        Segmentation.objects.filter(pk=segmentation_id, state__in=ACTIVE).update(
            state=Segmentation.State.RUNNING, started_at=timezone.now(), message=message
        )
        jobbook.began(segmentation_job(segmentation_id), message)


def segmentation_waits(segmentation_id: int, message: str) -> None:
    """Say what a waiting one waits for."""
    waiting = Segmentation.objects.filter(pk=segmentation_id, state=Segmentation.State.QUEUED)
    if waiting.exclude(message=message).update(message=message):
        tell_progress(Segmentation.objects.get(pk=segmentation_id))


def segmentation_yields(job: Job, line: str) -> bool:
    """It has made room for a smaller one, and waits to go on; False where it was cancelled or deleted meanwhile."""
    with transaction.atomic():
        done = Segmentation.objects.filter(pk=job.segmentation_id, state__in=ACTIVE).update(
            state=Segmentation.State.QUEUED, message=""
        )
        return bool(done) and jobbook.requeue(job, line, jobbook.ACTIVE)


def retry_segmentation(job: Job, line: str) -> bool:
    """Have one that failed or was cancelled computed once more; False where it is in another state by now."""
    ended = (Segmentation.State.FAILED, Segmentation.State.CANCELLED)
    with transaction.atomic():
        done = Segmentation.objects.filter(pk=job.segmentation_id, state__in=ended).update(
            state=Segmentation.State.QUEUED, stage="", progress=0.0, message="", finished_at=None
        )
        return bool(done) and jobbook.requeue(job, line, (Job.State.FAILED, Job.State.CANCELLED))


def segmentation_progressed(
    segmentation_id: int, left_s: float | None = None, **fields: Any
) -> Segmentation | None:
    """Store how far a running segmentation is; None where it is not running any more."""
    running = Segmentation.objects.filter(pk=segmentation_id, state=Segmentation.State.RUNNING)
    with transaction.atomic():
        if not running.update(**fields):
            return None
        jobbook.progressed(segmentation_job(segmentation_id), fields["stage"], fields["progress"], left_s)
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
        jobbook.end(segmentation_job(segmentation_id), Job.State.COMPLETE, segmentation.message)
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


def cancel_segmentation(segmentation_id: int, line: str = "") -> bool:
    """Mark it as cancelled; False where it had ended. Its store goes once nothing writes to it any more.

    ``line`` tells its log by whom.
    """
    return _end(segmentation_id, Segmentation.State.CANCELLED, "", line)


def _end(segmentation_id: int, state: str, message: str, line: str = "") -> bool:
    with transaction.atomic():
        # Projects first, as everywhere: who locks in another order may end in a deadlock.
        adopted = Project.objects.select_for_update().filter(segmentation_id=segmentation_id).order_by("pk")
        projects = [project.pk for project in adopted]
        ended = Segmentation.objects.filter(pk=segmentation_id, state__in=ACTIVE).update(
            state=state, stage="", message=message, n_leaves=0, size_bytes=0, finished_at=timezone.now()
        )
        if not ended:
            return False
        jobbook.end(segmentation_job(segmentation_id), state, message, line)
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
