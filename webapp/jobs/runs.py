"""What the runner knows of a job that it looks after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from webapp.jobs.jobfiles import JobFolder

__all__ = ["MAX_ATTEMPTS", "Run", "remark", "seconds_left"]

MAX_ATTEMPTS = 3  # a job whose worker or server died this often is given up


@dataclass
class Run:
    """A job that this process looks after."""

    folder: JobFolder
    attempt: int
    begun: int = 0  # how often it was submitted before these attempts: each time under another key
    stage: str = ""
    row_at: float = 0.0
    statistics_at: float = 0.0
    # Time and progress at the first block, to tell how long it takes.
    began: tuple[float, float] | None = None
    waiting: dict[str, Any] = field(default_factory=dict)  # of the row, not written yet


def remark(attempt: int) -> str:
    """What is told of a job that was begun before."""
    return (
        ""
        if attempt == 0
        else f"It was stopped before it was done; this is attempt {attempt + 1} of {MAX_ATTEMPTS}."
    )


def seconds_left(run: Run, progress: float, now: float) -> float | None:
    """How long it will take, by how far it came since its first block."""
    if run.began is None:
        return None
    began, before = run.began
    if progress - before < 0.01 or now <= began:
        return None
    return round((now - began) * (1.0 - progress) / (progress - before), 1)
