"""Jobs as people see them: described, listed, cancelled, begun again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from webapp.errors import ConflictError, ForbiddenError, MissingError
from webapp.imagery.remote import link_again
from webapp.jobs import door, exporting, jobbook, jobrows
from webapp.jobs.jobfiles import JobFolder
from webapp.live.colors import color_of
from webapp.models import Job, Project, Role, Scene
from webapp.permissions import Visitor, jobs_of, may_compute, projects_of, role_in
from webapp.rest.segmentation_api import check_room
from webapp.storage import uploads_folder

__all__ = ["cancel_job", "check_retry", "describe_jobs", "lines_of", "require_job", "retry_job"]

ENDED_BADLY = (Job.State.FAILED, Job.State.CANCELLED)


def require_job(user: Visitor, job_id: int) -> Job:
    """The job, or MissingError where there is none that ``user`` may know of."""
    job = jobs_of(user).filter(pk=job_id).first()
    if job is None:
        raise MissingError(f"There is no job {job_id} among yours (any more).")
    return job


def describe_jobs(user: Visitor, jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """The "Job description" of the protocol, of each."""
    rows = list(jobs)
    scenes = {job.scene_id for job in rows if job.scene_id is not None}
    # Where a job is about a scene, the project on it that the user last worked in.
    on_scene: dict[int, Project] = {}
    for project in projects_of(user).filter(scene__in=scenes).order_by("updated_at"):
        on_scene[project.scene_id] = project
    return [_describe(user, job, job.project or on_scene.get(job.scene_id)) for job in rows]


def _describe(user: Visitor, job: Job, project: Project | None) -> dict[str, Any]:
    may = _may_change(user, job)
    has_file = job.kind == Job.Kind.EXPORT and job.state == Job.State.COMPLETE
    return {
        "id": job.pk,
        "kind": job.kind,
        "state": job.state,
        "stage": job.stage,
        "progress": job.progress,
        "message": _message(user, job),
        "left_s": job.left_s,
        "place": job.place,
        "attempt": job.attempt,
        "automatic": job.automatic,
        "owner": job.owner
        and {"id": job.owner.pk, "name": job.owner.username, "color": color_of(job.owner.pk)},
        "scene": job.scene and {"id": job.scene.pk, "name": job.scene.name},
        "segmentation": job.segmentation_id,
        "project": project and {"id": project.pk, "name": project.name, "url": f"/projects/{project.pk}/"},
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "finished_at": job.finished_at and job.finished_at.isoformat(),
        "computing_s": round(_computing_s(job), 1),
        "can_cancel": may and job.is_active,
        "can_retry": may and job.state in ENDED_BADLY and _can_begin_again(job),
        "file": {
            "name": job.file_name,
            "url": f"/api/jobs/{job.pk}/file",
            "size_bytes": job.size_bytes,
            "expires_at": job.expires_at and job.expires_at.isoformat(),
        }
        if has_file
        else None,
    }


def _message(user: Visitor, job: Job) -> str:
    if job.state != Job.State.QUEUED or job.owner is None or job.owner_id != user.pk:
        return str(job.message)
    return str(job.message).replace(f" {job.owner.username}'s other jobs", " your other jobs")


def _computing_s(job: Job) -> float:
    is_running = job.state == Job.State.RUNNING and job.begun_at is not None
    return float(
        job.computing_s + (max(0.0, (timezone.now() - job.begun_at).total_seconds()) if is_running else 0)
    )


def lines_of(job: Job) -> list[dict[str, str]]:
    """Its log, the oldest line first."""
    return [{"at": line.at.isoformat(), "text": line.text} for line in job.lines.all()]


def _may_change(user: Visitor, job: Job) -> bool:
    """Whether the user may cancel it, or have it begun again."""
    if user.is_staff or (job.kind not in (Job.Kind.SEGMENT, Job.Kind.LEARN) and job.owner_id == user.pk):
        return True
    if job.kind == Job.Kind.EXPORT:
        return job.project is not None and role_in(user, job.project) == Role.OWNER
    if job.kind == Job.Kind.IMPORT:
        return bool(job.scene.owner_id == user.pk)
    return may_compute(user, job.scene)


def _require_change(user: Visitor, job: Job) -> None:
    if not _may_change(user, job):
        whose = job.owner.username if job.owner else "somebody who has left"
        raise ForbiddenError(
            f"This is a job of {whose}; they can do this, and who may compute on its scene or owns its project."
        )


def cancel_job(user: Visitor, job: Job) -> Job:
    """Stop a job within a block; ConflictError where it had ended already."""
    _require_change(user, job)
    name, line = jobbook.job_name(job), f"Cancelled by {user.username}."
    folder = JobFolder(settings.DATA_DIR, name)
    if job.segmentation is not None:
        done = door.cancel(job.segmentation, line)
    elif job.kind == Job.Kind.IMPORT:
        kept = exporting.size_of_source(name)
        done = jobrows.cancel_import(job.scene_id, jobrows.IMPORT_CANCELLED, line, kept)
    else:
        done = exporting.end(name, Job.State.CANCELLED, line=line)
    job.refresh_from_db()
    if not done:
        raise ConflictError(f"This job is {job.state} already; there is nothing to cancel.")
    if job.segmentation is None:
        folder.request_cancel()
        if not folder.is_claimed():
            folder.remove()  # nothing runs, so nobody will clear up later
        door.wake()
    return job


def _can_begin_again(job: Job) -> bool:
    return job.kind != Job.Kind.IMPORT or _source_of(job) is not None


def _source_of(job: Job) -> str | None:
    """The received file of an import, where it was kept."""
    found = sorted(uploads_folder().glob(f"{job.scene_id}-*"))
    return str(found[0]) if found else None


def check_retry(user: Visitor, job: Job) -> JobFolder:
    """Its folder, where the user may have it begun again now."""
    _require_change(user, job)
    if job.state not in ENDED_BADLY:
        raise ConflictError(
            f"This job is {job.state}; only one that failed or was cancelled can be begun again."
        )
    folder = JobFolder(settings.DATA_DIR, jobbook.job_name(job))
    if folder.is_claimed():
        raise ConflictError("This job is still being stopped; wait a moment, and begin it again then.")
    return folder


def retry_job(user: Visitor, job: Job) -> Job:
    """Have a job that failed or was cancelled begun again, as the same job: not a download, which holds the map as it is now."""
    folder = check_retry(user, job)
    line = f"Begun again by {user.username}."
    if job.kind == Job.Kind.IMPORT:
        _import_again(job, folder, line)
    else:
        check_room(user, job.scene)
        _segment_again(job, folder, line)
    door.wake()
    job.refresh_from_db()
    return job


def _import_again(job: Job, folder: JobFolder, line: str) -> None:
    source = _source_of(job)
    if source is None:
        raise ConflictError(
            "The image that was sent is gone from the server; delete the scene, and send it again."
        )
    with transaction.atomic():
        if not jobrows.retry_import(job, line):
            raise _raced()
        folder.remove()
        told: dict[str, Any] = {"source": source, "remove_source": True, "attempts": 0, "begun": job.attempt}
        if source.endswith(door.LINK_SUFFIX):
            told["remote"] = link_again(json.loads(Path(source).read_text(encoding="utf-8")))
        folder.describe(**told)


def _segment_again(job: Job, folder: JobFolder, line: str) -> None:
    if job.scene.state != Scene.State.READY:
        raise ConflictError(
            f"The scene {job.scene.name} is not ready ({job.scene.state}), so it cannot be segmented."
        )
    with transaction.atomic():
        if not jobrows.retry_segmentation(job, line):
            raise _raced()
        folder.remove()
        folder.describe(attempts=0, begun=job.attempt)
    jobrows.tell_segmentations(job.scene_id)


def _raced() -> ConflictError:
    return ConflictError(
        "Somebody began this job again, or deleted it, in the same instant; look at it as it is now."
    )
