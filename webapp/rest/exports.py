"""A project's map as a download: made in a thread and sent as it is made, so that memory stays bounded."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.utils.text import slugify

from segmentation.vectors import ClassStyle, class_source, geojson_chunks
from webapp.decoding import completion
from webapp.decoding.completion_service import completions
from webapp.editing.edits import LabelState, Table, class_lookup
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.editing.overrides import OverridesKey, open_overrides, overrides_key
from webapp.editing.snapshots import load_state
from webapp.errors import ConflictError, LimitError
from webapp.models import Segmentation
from webapp.permissions import require_project

__all__ = ["Order", "completed_table", "download", "prepare"]

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 4  # exports; each keeps one thread busy

_free = threading.BoundedSemaphore(MAX_AT_ONCE)
_END = object()


@dataclass(frozen=True)
class Order:
    """What is to be exported, read from the database at one moment."""

    project: int
    leaves: LeavesKey
    overrides: OverridesKey
    shown: Table  # class that each drawn one shows as
    table: Table
    classes: list[LabelState]
    aoi: dict[str, Any] | None
    completion: completion.Order | None  # None where the map is not completed
    threshold: float
    name: str
    file_name: str


def prepare(user: User, project_id: int) -> Order:
    """The order for a project; ConflictError where its map is not there yet."""
    project = require_project(user, project_id)
    segmentation = project.segmentation
    if segmentation is None:
        raise ConflictError(
            "The project has no segmentation yet, so there is nothing to download; wait until it has."
        )
    if segmentation.state != Segmentation.State.COMPLETE:
        raise ConflictError(
            f"The segmentation is still computing ({segmentation.progress:.0%}); a download would have "
            "holes. "
            "Try again when it is complete."
        )
    state = load_state(project)
    return Order(
        project.pk,
        leaves_key(project),
        overrides_key(project, state.overrides),
        class_lookup(state.classes.values()),
        state.visible_table(),
        state.live_classes(),
        project.aoi,
        completion.order_of(project) if project.completion_on else None,
        project.completion_threshold,
        project.name,
        f"{slugify(project.name) or f'project-{project.pk}'}.geojson",
    )


async def download(order: Order) -> StreamingHttpResponse:
    """The streamed answer.

    What can go wrong at the beginning is raised here, while it can still be told properly.
    """
    if not _free.acquire(blocking=False):
        raise LimitError(f"{MAX_AT_ONCE} downloads are being made already; try again in a minute.")
    # One thread for the whole export: what it opens stays on that thread.
    thread = ThreadPoolExecutor(1, thread_name_prefix="export")
    has_left = threading.Event()
    try:
        chunks = await _run(thread, _chunks, order, has_left)
        first = await _run(thread, next, chunks, _END)
    except BaseException:
        has_left.set()
        _free.release()
        thread.shutdown(wait=False)
        raise
    body = _Body(thread, chunks, first, has_left)
    response = StreamingHttpResponse(body, content_type="application/geo+json")
    response["Content-Disposition"] = content_disposition_header(True, order.file_name)
    response["Cache-Control"] = "private, no-store"
    response._resource_closers.append(body.close)  # also where the browser left before the first byte
    return response


class _Body:
    """Chunks that a thread makes one by one, as fast as the browser reads them."""

    def __init__(
        self, thread: ThreadPoolExecutor, chunks: Iterator[str], first: Any, has_left: threading.Event
    ) -> None:
        self._thread = thread
        self._chunks = chunks
        self._first = first
        self._has_left = has_left
        self._is_open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunk = self._first
        try:
            while chunk is not _END:
                yield chunk.encode()
                chunk = await _run(self._thread, next, self._chunks, _END)
        except Exception:
            # The status is out already: the connection breaks, and the browser reports a failed download.
            logger.exception("an export broke off")
            raise
        finally:
            self.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._has_left.set()  # ends the work at its next strip
            _free.release()
            self._thread.submit(self._chunks.close)
            self._thread.shutdown(wait=False)


def _chunks(order: Order, has_left: threading.Event) -> Iterator[str]:
    store = open_leaves(order.leaves)
    legend = {label.number: ClassStyle(label.name, label.color) for label in order.classes}
    table, about = completed_table(order)
    overrides = open_overrides(order.overrides) if order.overrides.layers else None
    source = class_source(store, store.from_ids(table), order.aoi, overrides, order.shown)
    return geojson_chunks(
        source, legend, store.georeference, name=order.name, about=about, cancelled=has_left.is_set
    )


def completed_table(order: Order) -> tuple[Table, dict[str, Any]]:
    """The table that the map shows, and what the file says of it."""
    if order.completion is None:
        return order.table, {"completion": None}
    answer = completions.request(order.completion).result()
    if not answer.order.asks_the_same(order.completion):
        # Somebody went on since; the file is of one moment.
        answer = completion.decode(order.completion)
    about = {"threshold": order.threshold, "examples": len(answer.clicks)}
    return answer.complete(order.table, order.threshold), {"completion": about}


async def _run(thread: ThreadPoolExecutor, function: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(thread, function, *args)
