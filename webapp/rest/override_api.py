"""REST of what was drawn by hand: its blocks, and how much of it there is."""

from __future__ import annotations

import asyncio
from functools import partial

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse
from ninja import Router

from webapp.live.blocks import pool
from webapp.rest import override_numbers

__all__ = ["router"]

router = Router(tags=["projects"])


@router.get("/projects/{project_id}/overrides/statistics")
async def get_override_statistics(
    request: HttpRequest, project_id: int, state: int | None = None
) -> HttpResponse:
    order = await database_sync_to_async(override_numbers.order_for)(await request.auser(), project_id, state)
    packed = await _in_pool(partial(override_numbers.pack_counts, order))
    return _answer(packed, "private, no-store")


@router.get("/projects/{project_id}/overrides/{level}/{row}/{col}")
async def get_override_block(
    request: HttpRequest,
    project_id: int,
    level: int,
    row: int,
    col: int,
    v: int = 0,
    state: int | None = None,
) -> HttpResponse:
    asked = await database_sync_to_async(override_numbers.question_for)(
        await request.auser(), project_id, level, row, col, state
    )
    packed = await _in_pool(partial(override_numbers.block, asked.overrides, asked.version, level, row, col))
    # A block at a version never changes; one that has changed since the browser heard of it is at another.
    return _answer(
        packed, "private, max-age=31536000, immutable" if v == asked.version else "private, no-store"
    )


async def _in_pool(work: partial[bytes]) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _answer(packed: bytes, cache: str) -> HttpResponse:
    response = HttpResponse(packed, content_type="application/octet-stream")
    response["Content-Encoding"] = "gzip"
    response["Cache-Control"] = cache
    return response
