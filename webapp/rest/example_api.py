"""REST: a project's examples, as a list and as a file (docs/protocol.md, "REST")."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header
from ninja import Query, Router, Schema, Status
from pydantic import StringConstraints

from webapp.editing import example_files
from webapp.errors import InvalidInputError, TooLargeError
from webapp.live.blocks import pool
from webapp.models import Role
from webapp.permissions import require_project

__all__ = ["router"]

router = Router(tags=["examples"])


class ImportQuery(Schema):
    field: Annotated[str, StringConstraints(max_length=200)] = ""
    dry_run: bool = False
    client_id: Annotated[str, StringConstraints(max_length=64, pattern=r"^[\w-]*$")] = ""


@router.get("/projects/{project_id}/examples")
def list_examples(request: HttpRequest, project_id: int) -> dict[str, Any]:
    return example_files.describe_examples(require_project(request.user, project_id))


@router.get("/projects/{project_id}/examples.geojson")
def export_examples(request: HttpRequest, project_id: int) -> HttpResponse:
    collection, name = example_files.export_examples(require_project(request.user, project_id))
    response = JsonResponse(collection, content_type="application/geo+json")
    response["Content-Disposition"] = content_disposition_header(True, name)
    response["Cache-Control"] = "private, no-store"
    return response


@router.post("/projects/{project_id}/examples.geojson", response={200: dict, 201: dict})
async def import_examples(request: HttpRequest, project_id: int, query: Query[ImportQuery]) -> Status:
    """Read the body; with ``dry_run`` only say what it would bring."""
    user = await request.auser()
    project = await database_sync_to_async(require_project)(user, project_id, Role.EDITOR)
    if (request.content_type or "").startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise InvalidInputError(
            "Send the GeoJSON itself as the body of the request (Content-Type: application/geo+json), not in a form."
        )
    try:
        data = request.body
    except RequestDataTooBig as error:
        raise TooLargeError(
            f"The file is larger than the {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2} MiB that are read at "
            "once; simplify its outlines, or split it."
        ) from error
    # Sync views run one after the other; reading thousands of polygons takes seconds, so it gets a thread of its own.
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        pool, example_files.read_file, project.scene, data, query.field or None
    )
    if query.dry_run:
        return Status(200, await database_sync_to_async(example_files.report)(project, found))
    edit = await database_sync_to_async(example_files.import_examples)(
        user, project_id, query.client_id or uuid.uuid4().hex, found
    )
    project = await database_sync_to_async(require_project)(user, project_id)
    return Status(201, await database_sync_to_async(example_files.report)(project, found, edit))
