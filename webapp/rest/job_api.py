"""REST: jobs, and downloads that are prepared by one (docs/protocol.md, "Jobs")."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponseBase
from ninja import Field, Query, Router, Schema, Status

from webapp.errors import ConflictError
from webapp.jobs import board, door, exporting, jobbook
from webapp.jobs.board import describe_jobs, require_job
from webapp.live.blocks import pool
from webapp.models import Job
from webapp.permissions import jobs_of, require_project
from webapp.rest import exports

__all__ = ["router"]

router = Router(tags=["jobs"])


class JobsQuery(Schema):
    state: Literal["", "active", "queued", "running", "complete", "failed", "cancelled"] = ""
    kind: Literal["", "import", "segment", "learn", "export"] = ""
    mine: bool = False
    scene: int | None = None
    project: int | None = None
    segmentation: int | None = None
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Field(ge=1, le=100)] = 20


@router.get("/jobs")
def list_jobs(request: HttpRequest, query: Query[JobsQuery]) -> dict[str, Any]:
    found = jobs_of(request.user)
    if query.state == "active":
        found = found.filter(state__in=jobbook.ACTIVE)
    elif query.state:
        found = found.filter(state=query.state)
    if query.kind:
        found = found.filter(kind=query.kind)
    if query.mine:
        found = found.filter(owner=request.user)
    for name in ("scene", "project", "segmentation"):
        if (number := getattr(query, name)) is not None:
            found = found.filter(**{name: number})
    page = Paginator(found, query.per_page).get_page(query.page)
    return {
        "jobs": describe_jobs(request.user, page.object_list),
        "page": page.number,
        "pages": page.paginator.num_pages,
        "count": page.paginator.count,
        "active": jobs_of(request.user).filter(state__in=jobbook.ACTIVE).count(),
    }


@router.get("/jobs/{job_id}")
def get_job(request: HttpRequest, job_id: int) -> dict[str, Any]:
    return describe_jobs(request.user, [require_job(request.user, job_id)])[0]


@router.get("/jobs/{job_id}/log")
def get_log(request: HttpRequest, job_id: int) -> dict[str, Any]:
    return {"lines": board.lines_of(require_job(request.user, job_id))}


@router.post("/jobs/{job_id}/cancel")
def cancel_job(request: HttpRequest, job_id: int) -> dict[str, Any]:
    job = board.cancel_job(request.user, require_job(request.user, job_id))
    return describe_jobs(request.user, [job])[0]


@router.post("/jobs/{job_id}/retry")
async def retry_job(request: HttpRequest, job_id: int) -> dict[str, Any]:
    user = await request.auser()
    job = await database_sync_to_async(require_job)(user, job_id)
    if job.kind != Job.Kind.EXPORT:
        return await database_sync_to_async(lambda: describe_jobs(user, [board.retry_job(user, job)])[0])()
    await database_sync_to_async(board.check_retry)(user, job)
    return await _export(user, job.project_id, job)


@router.get("/jobs/{job_id}/file")
def get_file(request: HttpRequest, job_id: int) -> HttpResponseBase:
    job = require_job(request.user, job_id)
    if job.kind != Job.Kind.EXPORT or job.state != Job.State.COMPLETE:
        raise ConflictError(
            f"Job {job_id} has no file (its state is {job.state}); prepare a download, and wait for it."
        )
    try:
        file = job.file_path.open("rb")
    except FileNotFoundError as error:
        raise ConflictError("The file is gone from the server's disk; prepare the download again.") from error
    response = FileResponse(
        file, as_attachment=True, filename=job.file_name, content_type="application/geo+json"
    )
    response["Cache-Control"] = "private, no-store"
    return response


@router.get("/projects/{project_id}/exports")
def list_exports(request: HttpRequest, project_id: int) -> list[dict[str, Any]]:
    project = require_project(request.user, project_id)
    return describe_jobs(request.user, jobs_of(request.user).filter(kind=Job.Kind.EXPORT, project=project))


@router.post("/projects/{project_id}/exports", response={202: dict})
async def prepare_export(request: HttpRequest, project_id: int) -> Status:
    user = await request.auser()

    return Status(202, await _export(user, project_id))


async def _export(user: User, project_id: int, again: Job | None = None) -> dict[str, Any]:
    """Have a project's map written into a file."""
    order = await database_sync_to_async(exports.prepare)(user, project_id)
    # The decoder may take seconds: not on the thread of all sync views.
    told = await asyncio.get_running_loop().run_in_executor(pool, exporting.order_of, order)

    def submit() -> dict[str, Any]:
        job = exporting.submit(user, order, told, again)
        door.wake()
        return describe_jobs(user, [job])[0]

    return await database_sync_to_async(submit)()
