"""The folder of one job: how the server and the worker talk while it runs. No Django: the worker imports this
too.

``DATA_DIR/jobs/<job>/``:

- ``job.json`` what was asked, and how often it was begun; written by the server.
- ``claim.json`` which server process looks after the job; touched while it lives.
- ``cancel`` exists once somebody asked to stop; the worker looks per block.
- ``yield`` exists once it is to make room for a smaller job, and to go on later.
- ``order.json`` of a download: everything that is to be written.
- ``wanted/<server>.json`` blocks that people look at through one server process, nearest first.

Files need nothing but the data folder that servers and workers share anyway (the store lies there), survive
either side's death, and are read in microseconds.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import time
import uuid
from itertools import zip_longest
from pathlib import Path
from typing import Any

__all__ = [
    "SERVER",
    "Block",
    "JobFolder",
    "export_job",
    "import_job",
    "is_running",
    "job_key",
    "jobs_on_disk",
    "segmentation_job",
]

Block = tuple[int, int, int]  # level, row, col

WANTED_STALE_S = 60.0  # wishes that no server has confirmed for this long are those of a dead one
CLAIM_STALE_S = 30.0  # the same for claims
GONE = "gone"  # in the place of blocks: nobody looks through this server any more
SERVER = uuid.uuid4().hex  # names this process


class JobFolder:
    def __init__(self, data_dir: str | Path, job: str) -> None:
        self.job = job
        self.path = Path(data_dir) / "jobs" / job

    def describe(self, **fields: Any) -> None:
        """Write ``job.json`` anew."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / "job.json", fields)

    def description(self) -> dict[str, Any]:
        """What :meth:`describe` wrote; empty where it did not (or its disk lost it)."""
        content = _read_json(self.path / "job.json")
        return content if isinstance(content, dict) else {}

    def request_cancel(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "cancel").touch()

    def is_cancelled(self) -> bool:
        return (self.path / "cancel").exists()

    def request_yield(self) -> None:
        """Have the task end where it stands; what it has written is gone on from later."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "yield").touch()

    def is_yielding(self) -> bool:
        return (self.path / "yield").exists()

    def has_yielded(self) -> None:
        (self.path / "yield").unlink(missing_ok=True)

    def put_order(self, order: dict[str, Any]) -> None:
        """Write ``order.json``: what a download is to hold."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / "order.json", order)

    def order(self) -> dict[str, Any] | None:
        """What :meth:`put_order` wrote; None where it did not (or its disk lost it)."""
        content = _read_json(self.path / "order.json")
        return content if isinstance(content, dict) else None

    def claim(self) -> bool | None:
        """Take the job for this process.

        True: taken over from a process that died; False: taken anew; None: refused.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "claim.json"
        took_over = False
        try:
            if not self._is_abandoned(path):
                return None
            # Of several servers that see the same dead claim, one can rename it.
            os.rename(path, self.path / f".claim-{SERVER}")
            took_over = True
        except FileNotFoundError:
            pass
        try:
            with path.open("x") as file:
                json.dump({"server": SERVER, "host": platform.node(), "pid": os.getpid()}, file)
        except FileExistsError:
            return None
        return took_over

    def keep_claim(self) -> None:
        """Say that this process is still there."""
        if self._is_ours():
            try:
                os.utime(self.path / "claim.json")
            except FileNotFoundError:
                return  # the folder was removed: the job has ended

    def release_claim(self) -> None:
        """Leave the job to whoever comes next."""
        if self._is_ours():
            (self.path / "claim.json").unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        # A process that stood still for long finds its jobs with another.
        claim = _read_json(self.path / "claim.json")
        return isinstance(claim, dict) and claim.get("server") == SERVER

    def is_claimed(self) -> bool:
        """Whether a living process looks after the job."""
        try:
            return not self._is_abandoned(self.path / "claim.json")
        except FileNotFoundError:
            return False

    @staticmethod
    def _is_abandoned(path: Path) -> bool:
        if path.stat().st_mtime < time.time() - CLAIM_STALE_S:
            return True
        claim = _read_json(path)
        if (
            not isinstance(claim, dict)
            or claim.get("server") == SERVER
            or claim.get("host") != platform.node()
        ):
            return False
        # On this very machine we need not wait: a process that is gone, or whose number we have now, does not
        # come back.
        pid = int(claim.get("pid", 0))
        return pid == os.getpid() or not is_running(pid)

    def want(self, blocks: list[Block], is_watched: bool = True) -> None:
        """Say which blocks people look at through this process; nobody at all where not ``is_watched``.

        Again every few seconds, or it is forgotten.
        """
        if not self.path.is_dir():
            return  # the job has ended
        folder = self.path / "wanted"
        folder.mkdir(exist_ok=True)
        _write_json(folder / f"{SERVER}.json", blocks if is_watched else GONE)

    def is_watched(self) -> bool:
        """Whether somebody has its map before them, be it at no block yet."""
        oldest = time.time() - WANTED_STALE_S
        for path in (self.path / "wanted").glob("*.json"):
            try:
                if path.stat().st_mtime >= oldest and _read_json(path) != GONE:
                    return True
            except FileNotFoundError:
                continue  # replaced just now
        return False

    def wanted(self) -> list[Block]:
        """The wishes of all servers, taking turns, without repeats."""
        oldest = time.time() - WANTED_STALE_S
        lists: list[list[Block]] = []
        folder = self.path / "wanted"
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            try:
                if path.stat().st_mtime < oldest:
                    continue
            except FileNotFoundError:
                continue
            content = _read_json(path)
            if isinstance(content, list):
                lists.append([(int(level), int(row), int(col)) for level, row, col in content])
        turns = (block for turn in zip_longest(*lists) for block in turn if block is not None)
        return list(dict.fromkeys(turns))

    def is_old(self) -> bool:
        """Whether nothing happened in it for a minute: a younger one may still be getting its row."""
        try:
            return self.path.stat().st_mtime < time.time() - 60
        except FileNotFoundError:
            return True

    def clear_up(self) -> None:
        """Remove the folder once the job is over, and the received file that it was for."""
        description = self.description()
        if description.get("remove_source") and description.get("source"):
            Path(description["source"]).unlink(missing_ok=True)
        self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def import_job(scene_id: int) -> str:
    return f"import-{scene_id}"


def segmentation_job(segmentation_id: int) -> str:
    return f"segmentation-{segmentation_id}"


def export_job(job_id: int) -> str:
    return f"export-{job_id}"


def job_key(job: str) -> tuple[str, int]:
    """``"import"``, ``"segmentation"`` or ``"export"``, and the row's number."""
    kind, _, number = job.rpartition("-")
    return kind, int(number)


def jobs_on_disk(data_dir: str | Path) -> list[str]:
    """Names of all jobs that have a folder."""
    folder = Path(data_dir) / "jobs"
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if re.fullmatch(r"(import|segmentation|export)-\d+", path.name)
    )


def is_running(pid: int) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_json(path: Path, content: Any) -> None:
    # Replaced as a whole, so that a reader never sees half of it.
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        draft.write_text(json.dumps(content))
        os.replace(draft, path)
    except FileNotFoundError:
        # The folder was removed meanwhile: the job has ended and nobody reads this.
        return
    finally:
        draft.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        # Not there, or just being made: a claim is created empty and filled.
        return None
