"""The Dask side of jobs: a cluster inside the server or a real one elsewhere. Knows no database."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster

from webapp.jobs import tasks
from webapp.jobs.capacity import Capacity

__all__ = ["Ended", "Engine"]

logger = logging.getLogger(__name__)

Ended = Callable[[str, str, Any], None]  # job, "done" | "killed" | "lost", the task's result

# Segmenting uses every core by itself, so one of each size at a time, of which the larger stand aside
# (webapp/jobs/queueing.py, precedence.py); imports go on beside it. Learning has a slot of its own, so that no map waits for one.
SEGMENTING, LEARNING = "SEGMENTING", "LEARNING"
SIZES = 3
THREADS = 8  # that are a segmentation of each size, a training, two imports, a download, and one to spare

_CONFIG = {
    # A worker's death is counted by the jobs themselves, which can then tell the user.
    "distributed.scheduler.allowed-failures": 0,
    # Dask's default would hold faiss and torch to one thread; and it has pages that nobody asked for.
    "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": "65536"},
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # Workers are spawned: a fork after torch or faiss were used hangs.
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.admin.tick.limit": "60s",
}


class Engine:
    """Runs tasks and says what became of them.

    Parameters
    ----------
    address : str
        Of a Dask scheduler; empty for a cluster of our own, one process with a nanny that restarts it.
    scratch : Path
        Folder for what the workers of our own cluster put aside.
    on_event : callable
        Called with each event of a running task, from Dask's thread: it must not wait.
    on_ended : callable
        Called as ``Ended`` when a task is over, from another thread of Dask's.
    """

    def __init__(
        self, address: str, scratch: Path, on_event: Callable[[dict[str, Any]], None], on_ended: Ended
    ) -> None:
        self._address = address
        self._scratch = scratch
        self._on_event = on_event
        self._on_ended = on_ended
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None
        self._futures: dict[str, Future] = {}

    @property
    def is_alive(self) -> bool:
        return self._client is not None and self._client.status == "running"

    def capacity(self) -> Capacity:
        """What the cluster can do at once: nothing while it has no worker."""
        if self._client is None or self._cluster is not None:
            return Capacity(1, THREADS)
        threads = self._client.nthreads()
        return Capacity(len(threads), sum(threads.values()))

    def start(self) -> None:
        """Start or reach the cluster.

        Takes a second or two. Raises OSError or TimeoutError where it cannot.
        """
        if self._address:
            self._client = Client(self._address, set_as_default=False, timeout="10s")
        else:
            dask.config.set(_CONFIG)
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._cluster = LocalCluster(
                n_workers=1,
                threads_per_worker=THREADS,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                security=True,  # a temporary certificate: other users of this machine cannot submit code
                resources={SEGMENTING: SIZES, LEARNING: 1},
                local_directory=str(self._scratch),
                preload=[tasks.__name__],
                silence_logs=logging.ERROR,
            )
            self._client = Client(self._cluster, set_as_default=False)
        self._client.subscribe_topic(tasks.TOPIC, lambda event: self._on_event(event[1]))
        warm = self._client.submit(tasks.warm_up, key=f"clusternet-warm-up-{os.getpid()}", pure=False)
        self._futures["warm-up"] = warm
        warm.add_done_callback(self._warmed_up)

    def submit(
        self, job: str, attempt: int, task: Callable[..., tasks.Result], *args: Any, slot: str = ""
    ) -> None:
        """Run ``task`` with ``args``; of those that need the same ``slot`` one runs at a time in our own cluster.

        Servers that share a scheduler and submit the same attempt get the same run.
        """
        if self._client is None:
            raise RuntimeError("the engine was not started")
        future = self._client.submit(
            task,
            *args,
            key=f"clusternet-{job}-{attempt}",
            pure=False,
            resources={slot: 1} if slot and not self._address else None,
            priority=-10 if slot == LEARNING else 0,
        )
        self._futures[job] = future
        future.add_done_callback(lambda ended: self._ended(job, ended))

    def close(self) -> None:
        """Stop everything that was started here; what runs is cut off, its blocks are on disk."""
        futures, self._futures = self._futures, {}
        for future in futures.values():
            future.release()
        if self._client is not None:
            self._client.close(timeout="5s")
            self._client = None
        if self._cluster is not None:
            _hush_dask()
            self._cluster.close(timeout=10)
            self._cluster = None

    def _warmed_up(self, future: Future) -> None:
        if future.status == "error":
            logger.warning(
                "the worker could not import the library ahead of its first job: %r", future.exception()
            )
        # Whatever is still held when the cluster closes, its scheduler mourns as a lost result.
        self._futures.pop("warm-up", None)
        future.release()

    def _ended(self, job: str, future: Future) -> None:
        if self._futures.get(job) is not future:
            return  # the engine is closing, or the job was begun again
        del self._futures[job]
        if future.status == "finished":
            self._on_ended(job, "done", future.result())
        elif future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                self._on_ended(job, "killed", None)
            else:
                # Tasks return their failures, so this is Dask's own (a worker without our code, a result
                # lost).
                logger.error("job %s ended in Dask's own error: %r", job, error)
                self._on_ended(job, "lost", None)
        else:
            self._on_ended(job, "lost", None)
        future.release()


def _hush_dask() -> None:
    """Have Dask's parts say nothing while the cluster ends.

    A worker in the middle of a block is killed, and its tasks are lost: as it may be, for the blocks are on disk. Dask tells of both with
    warnings and tracebacks, which are no news to whoever stops the server.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
