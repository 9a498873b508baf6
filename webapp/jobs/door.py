"""Long runs: imports and segmentations, submitted to the engine, with progress, cancel and resume.

A row says what is to be done; a thread of the server looks for such rows, claims their job folder, submits
them, and writes down what became of them. So a job outlives whichever process died: the next server finds its
row.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction

from webapp.jobs import jobbook, jobrows
from webapp.jobs.jobfiles import JobFolder, import_job, segmentation_job
from webapp.jobs.learning import begin_where_due
from webapp.jobs.runner import Runner
from webapp.live import broadcast
from webapp.models import Project, Scene, Segmentation
from webapp.services import check_services

__all__ = [
    "LINK_SUFFIX",
    "cancel",
    "cancel_import",
    "engine_lifespan",
    "project_created",
    "submit_import",
    "submit_link",
    "submit_segmentation",
    "wake",
]

logger = logging.getLogger(__name__)

GROUP = "jobs"  # of all server processes: whoever carries the jobs is to look at once
LINK_SUFFIX = "-link.json"  # of a file that names an image at a URL
RETRY_S = 2.0  # after the channel layer failed

_runner: Runner | None = None


def submit_import(scene: Scene, upload_path: Path, remove_source: bool = True) -> None:
    """Have a received file made into ``scene``; the file goes afterwards, unless told otherwise."""
    folder = JobFolder(settings.DATA_DIR, import_job(scene.pk))
    folder.describe(source=str(upload_path), remove_source=remove_source, attempts=0)
    jobbook.ensure(scene)
    wake()


def submit_link(scene: Scene, source: dict[str, Any]) -> None:
    """Have an image at a URL made into ``scene``; ``source`` is as `webapp.imagery.remote` describes it."""
    # Where the image lies is kept like a received file: for another try, until the scene is there or the sweep comes.
    link = Path(settings.DATA_DIR) / "uploads" / f"{scene.pk}{LINK_SUFFIX}"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.write_text(json.dumps(source), encoding="utf-8")
    folder = JobFolder(settings.DATA_DIR, import_job(scene.pk))
    folder.describe(remote=source, source=str(link), remove_source=True, attempts=0)
    jobbook.ensure(scene)
    wake()


def submit_segmentation(segmentation: Segmentation) -> None:
    """Have a queued segmentation computed."""
    JobFolder(settings.DATA_DIR, segmentation_job(segmentation.pk)).describe(attempts=0)
    jobbook.ensure(segmentation)
    jobrows.tell_segmentations(segmentation.scene_id)
    wake()


def cancel(segmentation: Segmentation, line: str = "") -> bool:
    """Stop a segmentation within a block and drop what it has written; False where it had ended already."""
    folder = JobFolder(settings.DATA_DIR, segmentation_job(segmentation.pk))
    if not jobrows.cancel_segmentation(segmentation.pk, line):
        return False
    folder.request_cancel()
    if not folder.is_claimed():
        # Nothing runs, so nobody will clear up later.
        jobrows.remove_store(segmentation.pk)
        folder.remove()
    wake()  # somebody else's turn
    return True


def cancel_import(scene: Scene) -> None:
    """Stop the import of a scene that is about to be deleted."""
    folder = JobFolder(settings.DATA_DIR, import_job(scene.pk))
    if folder.path.is_dir():
        folder.request_cancel()
        wake()


def project_created(project: Project) -> None:
    """Give a new project its scene's newest segmentation, or start one."""
    with transaction.atomic():
        begun = jobrows.start_project(project)
    # A project on a scene that has its map already: that of another project was learned from, or this is the first.
    begun = begun or begin_where_due(project.scene_id)
    if begun is not None:
        submit_segmentation(begun)


@asynccontextmanager
async def engine_lifespan() -> AsyncIterator[None]:
    """Run jobs while the server runs.

    The engine starts in the background, so that the first page need not wait.
    """
    global _runner  # noqa: PLW0603  (one engine to a process)
    await database_sync_to_async(check_services)()
    broadcast.serve_from(asyncio.get_running_loop())
    _runner = Runner(project_created)
    _runner.start()
    hearing = asyncio.create_task(_hear(_runner))
    try:
        yield
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        runner, _runner = _runner, None
        await asyncio.to_thread(runner.stop)
        broadcast.serve_from(None)


async def _hear(runner: Runner) -> None:
    """Have the runner look when another process says so; without a word it looks every two seconds."""
    layer = get_channel_layer()
    while True:
        try:
            channel = await layer.new_channel()
            await layer.group_add(GROUP, channel)
            try:
                while True:
                    await layer.receive(channel)
                    runner.wake()
            finally:
                await layer.group_discard(GROUP, channel)
        except Exception as error:
            logger.warning(
                "the channel layer failed, so jobs of other processes begin a little later: %r", error
            )
            await asyncio.sleep(RETRY_S)


def wake() -> None:
    """Have whoever carries the jobs look at them now."""
    if _runner is not None:
        _runner.wake()
    if settings.REDIS_URL:
        broadcast.send(GROUP, "jobs.look")  # perhaps another process carries the jobs
    # Else, without a runner here (a management command), the server sees the row by itself.
