"""Downloads that are prepared: asked for, written by the engine into DATA_DIR/exports, kept for a day."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from webapp import quotas
from webapp.editing.leaves import split_folder, splits_folder
from webapp.editing.overrides import override_file
from webapp.errors import ConflictError, LimitError
from webapp.jobs import jobbook
from webapp.jobs.export_order import ExportOrder
from webapp.jobs.jobfiles import JobFolder, export_job, job_key
from webapp.models import Job, Project
from webapp.permissions import require_project
from webapp.rest.exports import Order, completed_table

__all__ = [
    "MOST_KEPT",
    "end",
    "file_and_room",
    "finish",
    "order_of",
    "remove_expired",
    "size_of_source",
    "submit",
]

KEPT_HOURS = 24
MOST_KEPT = 5  # downloads of a project, those in the making included
LEAST_BYTES = 1_000_000  # of room, so that it is worth to begin


def order_of(order: Order) -> ExportOrder:
    """What the worker is told; the decoder may take seconds, so call it in a thread."""
    table, about = completed_table(order)
    store = splits_folder(order.leaves.segmentation).parent
    return ExportOrder(
        store=str(store),
        version=order.leaves.version,
        splits=[
            [str(split_folder(order.leaves.segmentation, one.token)), one.parent, one.first, one.n, one.live]
            for one in order.leaves.splits
        ],
        layers=[
            [str(override_file(order.overrides.scene, token)), number]
            for token, number in order.overrides.layers
        ],
        shape=list(order.overrides.shape),
        shown=_text(order.shown),
        table=_text(table),
        legend=[[label.number, label.name, label.color] for label in order.classes],
        aoi=order.aoi,
        about=about,
        name=order.name,
    )


def submit(user: User, order: Order, told: ExportOrder, again: Job | None = None) -> Job:
    """Have a map written into a file, as ``told`` for the worker; ``again`` where that failed or was cancelled."""
    project_id = order.project
    require_project(user, project_id)
    quotas.check_room(user, LEAST_BYTES)
    height, width = order.overrides.shape
    with transaction.atomic():
        # The lock keeps two requests at once from passing the limit together.
        project = Project.objects.select_for_update().get(pk=project_id)
        of_project = Job.objects.filter(kind=Job.Kind.EXPORT, project=project)
        if of_project.filter(state__in=jobbook.ACTIVE, owner=user).exists():
            raise ConflictError("This download is being prepared already; wait for it, or cancel it first.")
        if again is None and of_project.count() >= MOST_KEPT:
            _make_room(project)
        if again is None:
            job = Job.objects.create(
                kind=Job.Kind.EXPORT,
                owner=user,
                project=project,
                work_px=height * width,
                file_name=order.file_name[:100],
            )
            jobbook.note(job.pk, f"Asked for by {user.username}.")
        else:
            job = again
            Job.objects.filter(pk=job.pk).update(file_name=order.file_name[:100], progress=0.0)
            ended = (Job.State.FAILED, Job.State.CANCELLED)
            if not jobbook.requeue(job, f"Asked for again by {user.username}.", ended):
                raise ConflictError("It was asked for again already; look at it as it is now.")
        folder = JobFolder(settings.DATA_DIR, export_job(job.pk))
        folder.remove()
        folder.put_order(told.content())
        folder.describe(attempts=0, begun=job.attempt)
    job.refresh_from_db()
    return job


def _make_room(project: Project) -> None:
    """Let go of the oldest download that is not in the making."""
    ended = Job.objects.filter(kind=Job.Kind.EXPORT, project=project).exclude(state__in=jobbook.ACTIVE)
    oldest = ended.order_by("created_at", "pk").first()
    if oldest is None:
        raise LimitError(
            f"{MOST_KEPT} downloads of this project are being prepared; wait for one, or cancel it."
        )
    path = oldest.file_path
    oldest.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def file_and_room(job: Job) -> tuple[str, int]:
    """Where the file goes, and how large it may become: what is left of its owner's quota."""
    left = settings.QUOTA_BYTES - (quotas.used_bytes(job.owner) if job.owner else 0)
    return str(job.file_path), max(0, left)


def finish(name: str, size_bytes: int) -> bool:
    """The file is there; False where nobody wants it any more."""
    line = f"The file is ready ({quotas.format_bytes(size_bytes)}) and kept for {KEPT_HOURS} hours."
    with transaction.atomic():
        if not jobbook.end(name, Job.State.COMPLETE, line=line):
            return False
        expires = timezone.now() + timedelta(hours=KEPT_HOURS)
        jobbook.rows_of(name).update(size_bytes=size_bytes, expires_at=expires)
    return True


def end(name: str, state: str, message: str = "", line: str = "") -> bool:
    """It failed or was cancelled: there is no file."""
    ended = jobbook.end(name, state, message, line)
    Job(pk=job_key(name)[1]).file_path.unlink(missing_ok=True)
    return ended


def remove_expired() -> None:
    """Downloads go after a day, with their rows; also those that failed."""
    now = timezone.now()
    old = Job.objects.filter(kind=Job.Kind.EXPORT).exclude(state__in=jobbook.ACTIVE)
    for job in old.filter(finished_at__lte=now - timedelta(hours=KEPT_HOURS)):
        path = job.file_path
        job.delete()
        path.unlink(missing_ok=True)


def size_of_source(name: str) -> int:
    """Bytes of the received file of an import, which is kept for another try; 0 where there is none to keep."""
    description = JobFolder(settings.DATA_DIR, name).description()
    source = Path(description.get("source", ""))
    if not description.get("source") or not description.get("remove_source") or not source.is_file():
        return 0
    return source.stat().st_size


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.uint8).tobytes()).decode("ascii")
