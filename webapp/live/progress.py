"""Work that takes a while, done in a thread for one connection, which is told how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from channels.db import database_sync_to_async

__all__ = ["PAUSE_S", "with_progress"]

PAUSE_S = 0.25  # between two words on how far it is

Result = TypeVar("Result")


async def with_progress(work: Callable[..., Result], tell: Callable[[float], Awaitable[None]]) -> Result:
    """Call ``work(progress=...)`` in a thread; what it says of its share done is told now and then, not each time."""
    loop = asyncio.get_running_loop()
    told = loop.time()

    def progress(share: float) -> None:
        # In the thread; whoever has left is told nothing.
        nonlocal told
        now = loop.time()
        if now - told >= PAUSE_S and not loop.is_closed():
            told = now
            asyncio.run_coroutine_threadsafe(_told(tell, share), loop)

    call: Any = database_sync_to_async(work, thread_sensitive=False)
    result: Result = await call(progress=progress)
    return result


async def _told(tell: Callable[[float], Awaitable[None]], share: float) -> None:
    await tell(round(share, 3))
