"""The server's thread that carries jobs from their rows to the engine and back."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from webapp.imagery.remote import job_image
from webapp.jobs import exporting, jobbook, jobrows, learning, queue_rows, tasks
from webapp.jobs.engine import LEARNING, SEGMENTING, Engine
from webapp.jobs.jobfiles import JobFolder, export_job, import_job, job_key, jobs_on_disk, segmentation_job
from webapp.jobs.lease import Lease
from webapp.jobs.precedence import learns
from webapp.jobs.queue_rows import Wanted
from webapp.jobs.runs import MAX_ATTEMPTS, Run, remark, seconds_left
from webapp.live import broadcast
from webapp.models import Job, Network, Project, Scene, Segmentation

__all__ = ["MAX_ATTEMPTS", "Runner"]

logger = logging.getLogger(__name__)

POLL_S = 2.0  # between looks for new rows (submitting one wakes the thread at once)
RETRY_S = 10.0  # between tries to reach an engine that does not answer
ROW_S = 0.5  # between two writes of a job's progress to its row
STATISTICS_S = 5.0  # between two hints that counts grew

KILLED = (
    "It was given up: what computed it was stopped {attempts} times, most likely for lack of memory. "
    "Use fewer bands or a smaller area of interest, or a machine with more memory."
)
STOPPED = "What computed it was stopped (attempt {attempt} of {most}); it goes on from what is written."
NETWORK_GONE = "The network that it was to use is gone; start it again with another one."


class Runner:
    def __init__(self, project_created: Callable[[Project], None]) -> None:
        self._project_created = project_created
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._runs: dict[str, Run] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._engine: Engine | None = None
        self._look_at = 0.0  # when to look for rows again, on the monotonic clock
        self._lease = Lease("jobs", self.wake)  # of several servers one carries the jobs, the others stand by

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the engine; jobs that run are left to the next server, which continues them."""
        self._stopping.set()
        self.wake()
        self._thread.join()

    def wake(self) -> None:
        self._inbox.put(("look", None))

    # ------------------------------------------------------------------------------------------ the thread

    def _work(self) -> None:
        self._lease.start()
        try:
            while not self._stopping.is_set():
                if not self._lease.is_held:
                    self._stand_by()
                    continue
                if self._engine is None or not self._engine.is_alive:
                    self._start_engine()
                    continue
                self._turn()
        finally:
            self._stop_engine()
            self._lease.stop()  # after the engine: the next one must not begin while ours still computes
            connections.close_all()

    def _stand_by(self) -> None:
        """Another server carries the jobs. No engine here: it would take memory, and what it is sent is theirs to run."""
        if self._engine is not None:
            logger.warning("another server carries the jobs now; those that ran here are left to it")
            self._stop_engine()
        try:
            self._inbox.get(timeout=POLL_S)
        except queue.Empty:
            return  # nothing came; look at the lease again

    def _start_engine(self) -> None:
        self._stop_engine()
        scratch = Path(settings.DATA_DIR) / "dask"
        engine = Engine(
            settings.DASK_SCHEDULER_ADDRESS,
            scratch,
            lambda event: self._inbox.put(("event", event)),
            lambda job, status, result: self._inbox.put(("ended", (job, status, result))),
        )
        try:
            engine.start()
        except (OSError, TimeoutError, RuntimeError) as error:
            where = settings.DASK_SCHEDULER_ADDRESS or "in this process"
            logger.error("the job engine (%s) does not start, jobs wait: %s", where, error)
            engine.close()
            self._stopping.wait(RETRY_S)
            return
        self._engine = engine
        self.wake()

    def _stop_engine(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        for run in self._runs.values():
            run.folder.release_claim()
        self._runs.clear()

    def _turn(self) -> None:
        # Events of running jobs come several times a second, so a look must not wait for the inbox to be empty.
        try:
            kind, content = self._inbox.get(timeout=max(0.0, self._look_at - time.monotonic()))
        except queue.Empty:
            kind, content = "look", None
        if self._stopping.is_set():
            return
        close_old_connections()
        try:
            if kind == "event":
                self._progressed(content)
            elif kind == "ended":
                self._ended(*content)
            if kind == "look" or time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + POLL_S
                self._look()
        except DatabaseError:
            # Locked or restarting: rows and folders are as they were, so the same can be done a little later.
            logger.exception("the database did not take what became of a job")
            self._stopping.wait(1.0)
            if kind == "ended":
                self._inbox.put((kind, content))
        except Exception:
            # This thread carries everybody's jobs: whatever one of them runs into, it must go on.
            logger.exception("the jobs ran into an error of their own")
            self._stopping.wait(1.0)

    # ------------------------------------------------------------------------------------------------ begin

    def _look(self) -> None:
        """Submit what waits, and stop what nobody wants any more."""
        active = {
            segmentation_job(row.pk): row
            for row in Segmentation.objects.filter(state__in=jobrows.ACTIVE).select_related("scene")
        }
        importing = {import_job(row.pk): row for row in Scene.objects.filter(state=Scene.State.IMPORTING)}
        exports = Job.objects.filter(kind=Job.Kind.EXPORT, state__in=jobbook.ACTIVE).select_related("owner")
        wanted: dict[str, Wanted] = {**importing, **active, **{export_job(row.pk): row for row in exports}}
        for job, run in self._runs.items():
            run.folder.keep_claim()
            if run.waiting:
                jobrows.segmentation_progressed(job_key(job)[1], **run.waiting)
                run.waiting = {}
            if job not in wanted:
                run.folder.request_cancel()  # deleted or cancelled while it ran
        if self._engine is not None:
            line = queue_rows.Line(wanted, self._engine.capacity())
            while (begun := line.next(self._runs)) is not None:
                self._try(begun, lambda job=begun: self._begin(job, wanted[job]))
            if (large := line.who_yields(self._runs)) is not None:
                self._runs[large].folder.request_yield()
            line.tell(self._runs)
        jobrows.adopt_missed()
        exporting.remove_expired()
        self._sweep(wanted)

    def _begin(self, job: str, row: Wanted) -> None:
        folder = JobFolder(settings.DATA_DIR, job)
        took_over = folder.claim()
        if took_over is None:
            return  # another server has it
        description = folder.description()
        attempt = int(description.get("attempts", 0)) + int(took_over)
        folder.describe(**{**description, "attempts": attempt})
        folder.has_yielded()
        self._runs[job] = Run(folder, attempt, int(description.get("begun", 0)))
        if took_over:
            jobbook.note_all(job, "The server that looked after it has ended; another one goes on with it.")
        if attempt >= MAX_ATTEMPTS:
            self._failed(job, KILLED.format(attempts=attempt))
            return
        self._submit(job, row, attempt)

    def _submit(self, job: str, row: Wanted, attempt: int) -> None:
        if self._engine is None:
            raise RuntimeError("a job was begun before the engine")
        data_dir = str(settings.DATA_DIR)
        attempt += self._runs[job].begun
        if isinstance(row, Job):
            jobbook.began(job, remark(self._runs[job].attempt))
            self._engine.submit(job, attempt, tasks.run_export, data_dir, job, *exporting.file_and_room(row))
            return
        if isinstance(row, Scene):
            limits = {
                "max_file_bytes": settings.MAX_UPLOAD_BYTES,
                "max_pixels": settings.MAX_PIXELS,
                "max_bands": settings.MAX_BANDS,
            }
            jobrows.begin_import(row.pk, remark(self._runs[job].attempt))
            description = self._runs[job].folder.description()
            source = description.get("remote") or description["source"]
            self._engine.submit(
                job,
                attempt,
                tasks.run_ingest,
                data_dir,
                job,
                source,
                str(row.folder),
                limits,
                settings.STORAGE_URL,
            )
            return
        jobrows.begin_segmentation(row.pk, remark(self._runs[job].attempt))
        row.refresh_from_db()
        jobrows.tell_progress(row)
        # Rows of servers that knew no learning name no mode.
        parameters = {"mode": "fast", **{k: v for k, v in row.parameters.items() if v is not None}}
        parameters.pop("network_name", None)
        if "network" in parameters:
            network = Network.objects.filter(pk=parameters["network"]).first()
            if network is None or not network.path.is_file():
                self._failed(job, NETWORK_GONE)
                return
            parameters["network"] = str(network.path)
        self._engine.submit(
            job,
            attempt,
            tasks.run_segment,
            data_dir,
            job,
            job_image(row.scene),
            str(row.store_path),
            parameters,
            (row.scene.info["height"], row.scene.info["width"]),
            slot=LEARNING if learns(row.parameters) else SEGMENTING,
        )

    # ------------------------------------------------------------------------------------------ on the way

    def _progressed(self, event: dict[str, Any]) -> None:
        run = self._runs.get(event["job"])
        if run is None:
            return  # of another server's job, on a shared scheduler
        kind, number = job_key(event["job"])
        now = time.monotonic()
        if "began_on" in event:
            jobbook.worker_began(event["job"], event["began_on"])
            return
        if kind != "segmentation":
            run.began = run.began or (now, event["progress"])
            if now - run.row_at >= ROW_S:
                run.row_at = now
                left_s = seconds_left(run, event["progress"], now)
                if kind == "import":
                    jobrows.import_progressed(number, event["progress"], left_s)
                else:
                    jobbook.progressed(event["job"], event["stage"], event["progress"], left_s)
            return
        ready = event.get("ready")
        is_news = bool(ready) or event["stage"] != run.stage
        run.stage = event["stage"]
        run.waiting.update(stage=event["stage"], progress=event["progress"], **(ready or {}))
        if event["blocks"] and run.began is None:
            run.began = (now, event["progress"])
        left_s = seconds_left(run, event["progress"], now)
        run.waiting["left_s"] = (event.get("training") or {}).get("left_s") or left_s
        if is_news or now - run.row_at >= ROW_S:
            run.row_at = now
            row = jobrows.segmentation_progressed(number, **run.waiting)
            run.waiting = {}
        else:
            row = Segmentation.objects.filter(pk=number, state=Segmentation.State.RUNNING).first()
            if row is not None:
                row.stage, row.progress = event["stage"], event["progress"]
        if row is None:
            run.folder.request_cancel()
            return
        if ready:
            jobrows.adopt_where_missing(row)
            jobrows.tell_segmentations(row.scene_id)
        jobbook.note_course(event["job"], event.get("course"))
        jobrows.tell_progress(row, left_s, event["blocks"], event.get("training"))
        if event["blocks"] and now - run.statistics_at >= STATISTICS_S:
            run.statistics_at = now
            broadcast.send(broadcast.scene_group(row.scene_id), "statistics.grew", segmentation=number)

    # ------------------------------------------------------------------------------------------------ end

    def _ended(self, job: str, status: str, result: Any) -> None:
        run = self._runs.get(job)
        if run is None:
            return
        if status != "done":
            self._try(job, lambda: self._again(job, run, status))
            return
        if result.get("traceback"):
            logger.error("job %s failed:\n%s", job, result["traceback"])
        if result["outcome"] == "finished":
            self._try(job, lambda: self._finished(job, result))
        elif result["outcome"] == "failed":
            self._failed(job, result["message"], is_final="traceback" not in result)
        elif result["outcome"] == "yielded":
            self._try(job, lambda: self._yielded(job, run))
        else:
            self._cancelled(job)

    def _try(self, job: str, step: Callable[[], None]) -> None:
        """Do a step of one job; where it goes wrong unforeseen, that job fails and the others go on."""
        try:
            step()
        except DatabaseError:
            raise  # tried again
        except Exception:
            logger.exception("job %s could not be carried on", job)
            self._failed(job, tasks.UNFORESEEN)

    def _again(self, job: str, run: Run, status: str) -> None:
        """A worker died, or the engine lost the task: begin anew, but not for ever."""
        logger.warning("job %s was %s on attempt %d", job, status, run.attempt + 1)
        run.attempt += 1
        run.folder.describe(**{**run.folder.description(), "attempts": run.attempt})
        if run.attempt >= MAX_ATTEMPTS:
            self._failed(job, KILLED.format(attempts=run.attempt))
            return
        jobbook.note_all(job, STOPPED.format(attempt=run.attempt, most=MAX_ATTEMPTS))
        kind, number = job_key(job)
        row: Wanted | None
        if kind == "export":
            row = jobbook.rows_of(job).filter(state__in=jobbook.ACTIVE).first()
        elif kind == "import":
            row = Scene.objects.filter(pk=number, state=Scene.State.IMPORTING).first()
        else:
            row = (
                Segmentation.objects.filter(pk=number, state__in=jobrows.ACTIVE)
                .select_related("scene")
                .first()
            )
        if row is None:
            self._cancelled(job)
        else:
            self._submit(job, row, run.attempt)

    def _finished(self, job: str, result: dict[str, Any]) -> None:
        kind, number = job_key(job)
        if kind == "export":
            if exporting.finish(job, result["size_bytes"]):
                self._forget(job)
            else:
                self._cancelled(job)
        elif kind == "import":
            if not jobrows.finish_import(number, result["info"], result["size_bytes"]):
                self._cancelled(job)
                return
            self._forget(job)
            for project in Project.objects.filter(scene=number, segmentation=None):
                self._project_created(project)
        elif jobrows.finish_segmentation(number, result):
            self._forget(job)
            self._learn_next(number)
        else:
            self._cancelled(job)

    def _learn_next(self, segmentation_id: int) -> None:
        """Where this was the scene's first map, learn better features of it next."""
        finished = Segmentation.objects.filter(pk=segmentation_id).first()
        begun = learning.begin_where_due(finished.scene_id) if finished else None
        if begun is not None:
            jobrows.tell_segmentations(begun.scene_id)
            self.wake()

    def _yielded(self, job: str, run: Run) -> None:
        """It has made room for a smaller one: it waits until there is room again."""
        del self._runs[job]
        row = jobbook.rows_of(job).first()
        if row is None or not jobrows.segmentation_yields(row, "It made room for a smaller job."):
            self._cancelled(job)
            return
        run.folder.has_yielded()
        begun = run.begun + run.attempt + 1
        run.folder.describe(**{**run.folder.description(), "attempts": 0, "begun": begun})
        run.folder.release_claim()
        self.wake()

    def _failed(self, job: str, message: str, is_final: bool = False) -> None:
        """Tell why; where another try ``is_final``ly makes no sense, the received file goes, too."""
        kind, number = job_key(job)
        if kind == "export":
            exporting.end(job, Job.State.FAILED, message)
        elif kind == "import":
            kept = 0 if is_final else exporting.size_of_source(job)
            jobrows.fail_import(number, message, kept)
            self._forget(job, keeps_source=kept > 0)
            return
        else:
            jobrows.fail_segmentation(number, message)
        self._forget(job)

    def _cancelled(self, job: str) -> None:
        """Nobody wants it any more: clear up what it has written."""
        kind, number = job_key(job)
        if kind == "export":
            exporting.end(job, Job.State.CANCELLED)
        elif kind == "import":
            jobrows.cancel_import(number, jobrows.IMPORT_CANCELLED)
            self._forget(job, keeps_source=Scene.objects.filter(pk=number).exists())
            return
        else:
            jobrows.cancel_segmentation(number)
            jobrows.remove_store_unless_complete(number)
        self._forget(job)

    def _forget(self, job: str, keeps_source: bool = False) -> None:
        self._runs.pop(job, None)
        folder = JobFolder(settings.DATA_DIR, job)
        if keeps_source:
            folder.remove()  # the file waits for another try until the sweep finds it abandoned
        else:
            folder.clear_up()

    def _sweep(self, wanted: dict[str, Wanted]) -> None:
        """Clear up after jobs that ended while no server was there to do it."""
        for job in jobs_on_disk(settings.DATA_DIR):
            folder = JobFolder(settings.DATA_DIR, job)
            if job in wanted or job in self._runs or folder.is_claimed() or not folder.is_old():
                continue
            kind, number = job_key(job)
            if (
                kind == "segmentation"
                and not Segmentation.objects.filter(
                    pk=number, state__in=(*jobrows.ACTIVE, Segmentation.State.COMPLETE)
                ).exists()
            ):
                jobrows.remove_store(number)
            folder.clear_up()
