"""What runs on a Dask worker: plain functions over paths, without Django.

They return what became of the job instead of raising, so that the server need not unpickle an exception, and
they report on the way as events of :data:`TOPIC`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import math
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Worker, get_worker

from webapp.jobs.export_order import ExportOrder
from webapp.jobs.jobfiles import Block, JobFolder
from webapp.jobs.precedence import Precedence, Turn, learns, rank_of
from webapp.jobs.storing import move_image

__all__ = [
    "NETWORK_FILE",
    "TOPIC",
    "UNFORESEEN",
    "Course",
    "describe_training",
    "run_export",
    "run_ingest",
    "run_segment",
    "warm_up",
]

TOPIC = "clusternet"
GIVES_WAY = 10  # of the 19 steps by which a process can step back
UNFORESEEN = "It failed for a reason that the server did not foresee; its log tells more."
REPORT_S = 0.25  # between two events of a job
PATIENCE_S = 20.0  # for which a segmentation stands aside before it goes on for a block
NETWORK_FILE = "network.safetensors"  # in the store of a segmentation with learned features
_precedence = Precedence()  # of small maps over large ones, and of all over learning, in this process

if TYPE_CHECKING:  # torch takes seconds to import, and the server need not wait for it
    from segmentation.learning.training import TrainingProgress

Result = dict[str, Any]


class Course:
    """How the stages of a segmentation add up to one progress, 0 to 1.

    The work is measured in pixels. The first pass reads a sample of a large scene; a small one it reads whole and keeps
    what it computed, so that little is left for the second.

    Parameters
    ----------
    sampled_px, n_pixels : int
        Pixels that the first pass looks at, and of the whole scene.
    learning_s : float
        Budget of the training, 0 for none.
    """

    # Of a pixel read and cut into superpixels: fixing the codebook (up to some megapixels), writing what was kept,
    # reducing to overviews. Measured on scenes of 2 to 100 megapixels.
    CODEBOOK, KEPT, OVERVIEW = 0.5, 0.15, 0.03
    CODEBOOK_MOST_PX = 8_000_000
    LEARNING_PX_PER_S = 1_000_000  # that are read in the time of a second's training, on a few cores

    def __init__(self, sampled_px: int, n_pixels: int, learning_s: float = 0.0) -> None:
        work = {
            "reading": float(sampled_px),
            "learning": learning_s * self.LEARNING_PX_PER_S,
            "codebook": self.CODEBOOK * min(n_pixels, self.CODEBOOK_MOST_PX),
            "leaves": (self.KEPT if sampled_px >= n_pixels else 1.0) * n_pixels,
            "overviews": self.OVERVIEW * n_pixels,
        }
        whole, begun = sum(work.values()), 0.0
        self._shares: dict[str, tuple[float, float]] = {}
        for stage, amount in work.items():
            self._shares[stage] = (begun / whole, (begun + amount) / whole)
            begun += amount

    def progress(self, stage: str, done: int, total: int) -> float:
        """Progress of the whole run at ``done`` of ``total`` within a stage."""
        begin, end = self._shares.get(stage, (0.0, 1.0))
        return begin + (end - begin) * min(1.0, done / total if total > 0 else 1.0)


class Reporter:
    """Sends a job's progress to whoever listens, a few times a second; blocks written meanwhile go along."""

    def __init__(self, job: str, send: Callable[[str, dict[str, Any]], None]) -> None:
        self._job = job
        self._send = send
        self._lock = threading.Lock()
        self._blocks: list[list[int]] = []
        self._has_blocks = False
        self._stage = ""
        self._sent_at = 0.0

    def begun(self) -> None:
        """Say where it runs (not as "worker", where Dask puts its own address)."""
        self._send(TOPIC, {"job": self._job, "began_on": f"{platform.node()}, process {os.getpid()}"})

    def report(
        self,
        stage: str,
        progress: float,
        block: tuple[int, int] | None = None,
        at_once: bool = False,
        **more: Any,
    ) -> None:
        with self._lock:
            if block is not None:
                # The first block is what people wait for.
                at_once = at_once or not self._has_blocks
                self._has_blocks = True
                self._blocks.append([int(block[0]), int(block[1])])
            at_once = at_once or stage != self._stage
            self._stage = stage
            now = time.monotonic()
            if not at_once and now - self._sent_at < REPORT_S:
                return
            message = {
                "job": self._job,
                "stage": stage,
                "progress": float(progress),
                "blocks": self._blocks,
                **more,
            }
            self._blocks = []
            self._sent_at = now
            self._send(TOPIC, message)


def run_segment(
    data_dir: str,
    job: str,
    image: str | dict[str, Any],
    store: str,
    parameters: dict[str, Any],
    size: tuple[int, int],
) -> Result:
    """Segment a scene into ``store``; continues a store that was begun with the same parameters.

    ``image`` is a path, or tells where it lies (`_open_image`); ``size`` is the scene's height and width.
    """
    folder = JobFolder(data_dir, job)
    reporter = Reporter(job, get_worker().log_event)
    is_patient = learns(parameters)
    area_px = size[0] * size[1]
    turn = Turn(rank_of(area_px, folder.is_watched()))
    has_yielded = False

    def must_stop() -> bool:
        return folder.is_cancelled() or folder.is_yielding()

    def is_cancelled() -> bool:
        nonlocal has_yielded
        if is_patient:
            _precedence.give_way(must_stop)
        else:
            _precedence.give_way(must_stop, turn.rank, PATIENCE_S)
        has_yielded = folder.is_yielding() and not folder.is_cancelled()
        return has_yielded or folder.is_cancelled()

    def work() -> Result:
        from segmentation import Progress, open_segmentation, segment
        from segmentation.features.sampling import all_blocks, sample_windows
        from segmentation.objects import store_path, tree_size

        height, width = size
        windows = sample_windows(all_blocks(height, width), parameters.get("seed", 0))
        sampled_px = sum(window.height * window.width for window in windows)
        course = Course(sampled_px, height * width, parameters.get("train_seconds", 0.0))
        is_ready = False
        wishes: list[Block] = []

        def wanted() -> list[Block]:
            nonlocal wishes
            wishes = folder.wanted()
            return wishes

        def on_progress(event: Progress) -> None:
            nonlocal is_ready
            share = course.progress(event.stage, event.done, event.total)
            if event.block is not None:
                turn.rank = rank_of(area_px, _is_under(event.block, wishes))
            if event.training is not None:
                reporter.report(event.stage, share, training=describe_training(event.training))
            elif event.stage == "leaves" and not is_ready:
                is_ready = True
                begun = open_segmentation(store)
                ready = {"n_leaves": begun.n_leaves, "device": begun.device}
                done = {"done": event.done, "total": event.total}
                reporter.report(event.stage, share, event.block, at_once=True, ready=ready, course=done)
            else:
                reporter.report(event.stage, share, event.block)

        result = segment(
            _open_image(image),
            store,
            **parameters,
            progress=on_progress,
            cancelled=is_cancelled,
            wanted=wanted,
        )
        return {
            "n_leaves": result.n_leaves,
            "device": result.device,
            "size_bytes": tree_size(store_path(store)),
            "learned": _learned(store_path(store)),
        }

    reporter.begun()
    with contextlib.nullcontext() if is_patient else _precedence.goes(turn):
        result = _outcome(folder, work)
    if result["outcome"] == "cancelled" and has_yielded:
        return {"outcome": "yielded"}  # what was written is gone on from
    if result["outcome"] != "finished":
        _remove(store)
    return result


def _is_under(block: tuple[int, int], wishes: list[Block]) -> bool:
    """Whether a block of level 0 is part of what somebody looks at."""
    row, col = block
    return any((row >> level, col >> level) == (r, c) for level, r, c in wishes)


def describe_training(training: TrainingProgress) -> dict[str, Any]:
    """How far a training is, fit for JSON: what is not finite (a training that went astray) becomes None."""
    told = dataclasses.asdict(training)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in told.items()
    }


def _remove(store: str) -> None:
    from segmentation.errors import StoreError
    from segmentation.objects import remove_tree, store_path

    # Where object storage does not answer, the sweep removes it later; the job's own end is what counts now.
    with contextlib.suppress(StoreError):
        remove_tree(store_path(store))


def _learned(store: Any) -> dict[str, Any] | None:
    """What is known of the network that a segmentation was made with; None without one."""
    from segmentation.learning.network import load_network

    if not (store / NETWORK_FILE).exists():
        return None
    network = load_network(store / NETWORK_FILE)
    return {"training": network.training, "n_bands": network.n_bands, "fingerprint": network.fingerprint}


def run_ingest(
    data_dir: str,
    job: str,
    source: str | dict[str, Any],
    folder: str,
    limits: dict[str, int],
    storage: str = "",
) -> Result:
    """Turn a received file, or an image at a URL, into the scene in ``folder``; its image goes to ``storage`` if that is named."""
    job_folder = JobFolder(data_dir, job)
    reporter = Reporter(job, get_worker().log_event)
    reporter.begun()

    def work() -> Result:
        from segmentation.rasters.cog import Limits, ingest

        steps: dict[str, Any] = {
            "limits": Limits(**limits),
            "progress": lambda share: reporter.report("importing", share),
            "cancelled": job_folder.is_cancelled,
        }
        if isinstance(source, str):
            info = ingest(Path(source), Path(folder), **steps).as_dict()
        else:
            from segmentation.rasters.linked import take_in

            taken, in_place = take_in(_open_image(source), Path(folder), source["copy"], **steps)
            kept = {
                "url": source["url"],
                "size": source["size"],
                "etag": source["etag"],
                "in_place": in_place,
            }
            info = {**taken.as_dict(), "source": kept}
        size = _folder_size(Path(folder))
        if storage and (Path(folder) / "scene.tif").exists():
            info["source"] = move_image(Path(folder), storage)
        return {"info": info, "size_bytes": size}

    return _outcome(job_folder, work)


def run_export(data_dir: str, job: str, path: str, most_bytes: int) -> Result:
    """Write a download, as the job's order tells, to ``path``; no more than ``most_bytes``."""
    folder = JobFolder(data_dir, job)
    reporter = Reporter(job, get_worker().log_event)
    reporter.begun()

    def work() -> Result:
        from segmentation.drafts import drafts
        from segmentation.errors import InvalidArgumentError

        content = folder.order()
        if content is None:
            raise InvalidArgumentError(
                "What was to be written is gone from the server's disk; prepare it again."
            )
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        size = 0
        chunks = ExportOrder.of(content).chunks(
            progress=lambda share: reporter.report("writing", share), cancelled=folder.is_cancelled
        )
        with drafts(Path(path)) as (draft,), draft.open("wb") as file:
            for chunk in chunks:
                size += file.write(chunk.encode())
                if size > most_bytes:
                    raise InvalidArgumentError(
                        f"The file is larger than the {most_bytes / 1e6:,.0f} MB of storage that you have left; delete a "
                        "scene that you no longer need, or set an area of interest."
                    )
        return {"size_bytes": size}

    return _outcome(folder, work)


def _open_image(image: Any) -> Any:
    """A path as it is; an image at a URL opened in the version that was looked at, within what the server may read."""
    if isinstance(image, str):
        return image
    from segmentation.rasters.access import Access
    from segmentation.rasters.remote import Pin, open_remote

    access = Access(tuple(image["hosts"]), tuple(image["buckets"]))
    return open_remote(image["url"], access, Pin(image["size"], image["etag"]))


def dask_setup(worker: Worker) -> None:
    """Dask calls this in a worker that starts with this module as its preload.

    Ctrl+C in a terminal reaches every process of the group: the server stops its workers in order, they need not tell
    of it with a traceback.

    And it gives way to the server, on the same machine: a map computes for minutes, a tile or a click should take milliseconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(GIVES_WAY)


def warm_up() -> None:
    """Import what the first job needs, while nobody waits."""
    for module in ("segmentation.pipeline", "segmentation.rasters.cog"):
        importlib.import_module(module)


def _outcome(folder: JobFolder, work: Callable[[], Result]) -> Result:
    from segmentation.errors import CancelledError, SegmentationError

    try:
        if folder.is_cancelled():
            return {"outcome": "cancelled"}
        return {"outcome": "finished", **work()}
    except CancelledError:
        return {"outcome": "cancelled"}
    except SegmentationError as error:
        return {"outcome": "failed", "message": str(error)}
    except MemoryError:
        message = "The server ran out of memory; use fewer bands or a smaller area of interest."
        return {"outcome": "failed", "message": message, "traceback": traceback.format_exc()}
    except Exception as error:
        message = UNFORESEEN
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = "The server's disk is full; delete what you no longer need, and try again."
        # A job's failure must not be the worker's; the server logs the traceback.
        return {"outcome": "failed", "message": message, "traceback": traceback.format_exc()}


def _folder_size(path: Path) -> int:
    return sum(entry.lstat().st_size for entry in path.rglob("*") if entry.is_file())
