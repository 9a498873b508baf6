"""How much a cluster does at once. No Django: the engine knows none."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Capacity"]


class Capacity(NamedTuple):
    """Of all workers of a cluster; nothing while there is none."""

    workers: int  # processes
    threads: int  # of all of them: tasks that run at once
