"""REST: a project's edits, its earlier states, and two of them compared (docs/protocol.md, "History")."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from channels.db import database_sync_to_async
from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from webapp.editing import timeline
from webapp.live import recent
from webapp.live.blocks import pool
from webapp.permissions import require_project

__all__ = ["router"]

router = Router(tags=["history"])

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class EditsQuery(Schema):
    before: Number | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ComparisonQuery(Schema):
    before: Number
    after: Number | None = None


@router.get("/projects/{project_id}/edits")
def list_edits(request: HttpRequest, project_id: int, query: Query[EditsQuery]) -> dict[str, Any]:
    project = require_project(request.user, project_id)
    edits, has_more = recent.edits_before(project, query.before, query.limit)
    return {
        "number": project.number,
        "edits": recent.describe_edits(project, edits),
        "more": has_more,
    }


@router.get("/projects/{project_id}/states/{number}")
async def get_state(request: HttpRequest, project_id: int, number: int) -> dict[str, Any]:
    question = await database_sync_to_async(timeline.ask)(await request.auser(), project_id, number)
    return await _in_pool(partial(_describe, question))


def _describe(question: timeline.Question) -> dict[str, Any]:
    return timeline.describe(timeline.look_back(question))


@router.get("/projects/{project_id}/comparison")
async def get_comparison(
    request: HttpRequest, project_id: int, query: Query[ComparisonQuery]
) -> dict[str, Any]:
    user = await request.auser()
    before, after = await database_sync_to_async(timeline.pair)(user, project_id, query.before, query.after)
    return await _in_pool(partial(timeline.compare, before, after))


async def _in_pool(work: partial[Any]) -> Any:
    # Sync views run one after the other; predicting or counting takes seconds in a large scene.
    return await asyncio.get_running_loop().run_in_executor(pool, work)
