"""The rows of jobs that people see, with their logs: written here alone, beside what each job is about.

:mod:`webapp.jobs.jobrows` calls this in the transaction in which it changes the scene or the segmentation, so that the two
cannot part. A change is conditional on the state that it starts from, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from webapp.jobs.jobfiles import export_job, import_job, job_key, segmentation_job
from webapp.jobs.precedence import learns
from webapp.models import Job, JobLine, Scene, Segmentation

__all__ = [
    "ACTIVE",
    "KEPT_LINES",
    "active_jobs",
    "began",
    "end",
    "ensure",
    "job_name",
    "note",
    "note_all",
    "note_course",
    "progressed",
    "requeue",
    "rows_of",
    "settle",
    "wait",
    "worker_began",
]

ACTIVE = (Job.State.QUEUED, Job.State.RUNNING)
KEPT_LINES = 200  # of a job's log
STAGES = {
    "importing": "Reading the image and making overviews.",
    "reading": "Reading the scene.",
    "learning": "Learning features of the scene.",
    "codebook": "Finding the clusters.",
    "leaves": "Clustering the scene.",
    "overviews": "Preparing overviews.",
    "writing": "Writing the file.",
}


def job_name(job: Job) -> str:
    """What the engine and the job's folder call it."""
    if job.kind == Job.Kind.IMPORT:
        return import_job(job.scene_id)
    if job.kind == Job.Kind.EXPORT:
        return export_job(job.pk)
    return segmentation_job(job.segmentation_id)


def rows_of(name: str) -> QuerySet[Job]:
    """The row of a job by its name: one, or none where what it was about is gone."""
    kind, number = job_key(name)
    if kind == "import":
        return Job.objects.filter(kind=Job.Kind.IMPORT, scene_id=number)
    if kind == "export":
        return Job.objects.filter(kind=Job.Kind.EXPORT, pk=number)
    return Job.objects.filter(segmentation_id=number)


def active_jobs() -> dict[str, Job]:
    """All that run or wait, by name."""
    rows = Job.objects.filter(state__in=ACTIVE).select_related("owner", "scene", "segmentation")
    return {job_name(job): job for job in rows}


def ensure(row: Scene | Segmentation) -> Job:
    """The job that makes a scene or a segmentation, which runs or waits."""
    defaults: dict[str, Any]
    if isinstance(row, Scene):
        defaults = {"owner": row.owner, "work_px": row.size_bytes}
        job, is_new = Job.objects.get_or_create(kind=Job.Kind.IMPORT, scene=row, defaults=defaults)
    else:
        defaults = {
            "kind": Job.Kind.LEARN if learns(row.parameters) else Job.Kind.SEGMENT,
            "owner": row.created_by or row.scene.owner,
            "automatic": row.automatic,
            "scene": row.scene,
            "work_px": int(row.scene.info.get("width", 0)) * int(row.scene.info.get("height", 0)),
        }
        job, is_new = Job.objects.get_or_create(segmentation=row, defaults=defaults)
    if is_new:
        who = "the server, which learns from each scene once" if job.automatic else job.owner.username
        note(job.pk, f"Asked for by {who}.")
    elif not job.is_active:
        # Its row was brought back by other hands (a restored backup).
        requeue(job, "It waits once more.")
    return job


def note(job_id: int, text: str) -> None:
    """Add a line to a job's log; of many the latest are kept."""
    JobLine.objects.create(job_id=job_id, text=text[:500])
    kept = list(
        JobLine.objects.filter(job_id=job_id)
        .order_by("-id")
        .values_list("id", flat=True)[KEPT_LINES - 1 : KEPT_LINES]
    )
    if kept:
        JobLine.objects.filter(job_id=job_id, id__lt=kept[0]).delete()


def note_all(name: str, text: str) -> None:
    """The same by the job's name, where it has a row."""
    for job_id in rows_of(name).values_list("pk", flat=True):
        note(job_id, text)


def began(name: str, message: str = "") -> None:
    """It was handed to the engine; once more, where it computed before."""
    now = timezone.now()
    for job in rows_of(name).filter(state__in=ACTIVE):
        Job.objects.filter(pk=job.pk).update(
            state=Job.State.RUNNING,
            message=message,
            place=None,
            left_s=None,
            attempt=F("attempt") + 1,
            started_at=job.started_at or now,
            begun_at=now,
            computing_s=F("computing_s") + _stint(job, now),
        )


def worker_began(name: str, worker: str) -> None:
    """A worker says that it has begun."""
    note_all(name, f"Began on {worker}.")


def note_course(name: str, course: dict[str, int] | None) -> None:
    """Say from which block on it computes, where it begins to."""
    if course is not None:
        begins = (
            f"{course['total']} blocks to compute."
            if course["done"] == 0
            else f"Goes on at block {course['done'] + 1} of {course['total']}."
        )
        note_all(name, begins)


def progressed(name: str, stage: str, progress: float, left_s: float | None) -> None:
    """How far it is; a new stage goes into its log."""
    job = rows_of(name).filter(state=Job.State.RUNNING).first()
    if job is None:
        return
    Job.objects.filter(pk=job.pk).update(stage=stage, progress=progress, left_s=left_s)
    if stage != job.stage and stage in STAGES:
        note(job.pk, STAGES[stage])


def wait(job: Job, place: int, reason: str) -> bool:
    """Where a waiting job stands in the queue, and what for; whether that is news."""
    if (job.place, job.message) == (place, reason):
        return False
    return bool(Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(place=place, message=reason))


def requeue(job: Job, line: str, state: Iterable[str] = (*ACTIVE, *Job.State.values)) -> bool:
    """Have it wait once more; False where it is in none of these states."""
    now = timezone.now()
    done = Job.objects.filter(pk=job.pk, state__in=list(state)).update(
        state=Job.State.QUEUED,
        message="",
        place=None,
        left_s=None,
        finished_at=None,
        computing_s=F("computing_s") + _stint(job, now),
    )
    if done:
        note(job.pk, line)
    return bool(done)


def end(name: str, state: str, message: str = "", line: str = "") -> bool:
    """It is complete, failed or cancelled; False where it had ended already. ``line`` of its log, by default the state."""
    now = timezone.now()
    job = rows_of(name).filter(state__in=ACTIVE).first()
    if job is None:
        return False
    spent = _stint(job, now)
    changes: dict[str, Any] = {"progress": 1.0} if state == Job.State.COMPLETE else {}
    ended = Job.objects.filter(pk=job.pk, state__in=ACTIVE).update(
        state=state,
        stage="",
        message=message,
        place=None,
        left_s=None,
        finished_at=now,
        computing_s=F("computing_s") + spent,
        **changes,
    )
    if not ended:
        return False
    words = {
        Job.State.COMPLETE: f"Complete, after {_duration(job.computing_s + spent)} of computing.",
        Job.State.FAILED: f"Failed: {message}",
        Job.State.CANCELLED: "Cancelled.",
    }
    note(job.pk, line or words[Job.State(state)])
    return True


def settle(job: Job) -> None:
    """Bring a row that says that it runs to what its scene or segmentation says: that had ended."""
    if job.segmentation is not None and job.segmentation.state not in ACTIVE:
        end(job_name(job), job.segmentation.state, job.segmentation.message)
    if job.kind == Job.Kind.IMPORT and job.scene.state != Scene.State.IMPORTING:
        is_ready = job.scene.state == Scene.State.READY
        end(job_name(job), Job.State.COMPLETE if is_ready else Job.State.FAILED, job.scene.message)


def _stint(job: Job, now: datetime) -> float:
    """Seconds since it was begun, where it computes."""
    if job.state != Job.State.RUNNING or job.begun_at is None:
        return 0.0
    return max(timedelta(), now - job.begun_at).total_seconds()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
