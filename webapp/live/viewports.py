"""What people look at right now, so that a segmentation computes those blocks first."""

from __future__ import annotations

import threading
from itertools import zip_longest

from django.conf import settings

from webapp.jobs.jobfiles import Block, JobFolder, segmentation_job
from webapp.models import Segmentation

__all__ = ["Viewports", "viewports"]

ACTIVE = (Segmentation.State.QUEUED, Segmentation.State.RUNNING)
MAX_FORWARDED = 512  # blocks told to a job; more than that is no order any more


class Viewports:
    """Wishes of this process's connections, told to the jobs through their folders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wishes: dict[str, tuple[int, list[Block]]] = {}  # connection -> segmentation, blocks

    def put(self, connection: str, segmentation: int, blocks: list[Block]) -> None:
        """Replace what a connection looks at. Writes a small file: call it from a thread."""
        with self._lock:
            before = self._wishes.get(connection)
            self._wishes[connection] = (segmentation, blocks)
        self.tell(segmentation)
        if before is not None and before[0] != segmentation:
            self.tell(before[0])

    def drop(self, connection: str) -> None:
        with self._lock:
            before = self._wishes.pop(connection, None)
        if before is not None:
            self.tell(before[0])

    def merged(self, segmentation: int) -> list[Block]:
        """The blocks of all connections, nearest of each first, without repeats."""
        with self._lock:
            lists = [blocks for wanted, blocks in self._wishes.values() if wanted == segmentation]
        turns = (block for turn in zip_longest(*lists) for block in turn if block is not None)
        return list(dict.fromkeys(turns))[:MAX_FORWARDED]

    def tell(self, segmentation: int) -> None:
        """Write the merged wishes to the job's folder, if there is a job.

        Repeated every few seconds by the sockets.
        """
        with self._lock:
            is_watched = any(wanted == segmentation for wanted, _ in self._wishes.values())
        JobFolder(settings.DATA_DIR, segmentation_job(segmentation)).want(
            self.merged(segmentation), is_watched
        )

    def watch(self, scene_id: int) -> None:
        """Tell the scene's segmentations that somebody waits for its first map, so that they come sooner in the queue."""
        active = Segmentation.objects.filter(scene=scene_id, state__in=ACTIVE)
        for segmentation in active.values_list("pk", flat=True):
            JobFolder(settings.DATA_DIR, segmentation_job(segmentation)).want(self.merged(segmentation))


viewports = Viewports()
