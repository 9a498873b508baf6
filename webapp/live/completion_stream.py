"""The decoder's table to one browser, whenever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from segmentation.errors import SegmentationError
from webapp.decoding.completion import Completed, Order
from webapp.decoding.completion_service import completions
from webapp.errors import MissingError, WebError

__all__ = ["CompletionStream"]


class CompletionStream:
    """Sends a table for the newest examples, and passes over those that are out of date before it comes to them.

    ``read`` gives the project's order, ``send`` one frame, ``tell`` one event; each may wait.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Order]],
        send: Callable[[bytes], Awaitable[None]],
        tell: Callable[[str, Any], Awaitable[None]],
    ) -> None:
        self._read = read
        self._send = send
        self._tell = tell
        self._news = asyncio.Event()
        self._told: Completed | None = None
        self._awaits_blocks = False

    def look(self) -> None:
        """The project may have changed."""
        self._news.set()

    def grew(self) -> None:
        """Blocks of a segmentation were written: examples in them may count by now."""
        if self._awaits_blocks:
            self._news.set()

    def start_anew(self) -> None:
        """The browser has asked for the whole state: it may have lost what was sent."""
        self._told = None
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled, or until the project is gone."""
        completions.prepare()
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                order = await self._read()
            except MissingError:
                return  # whoever tells the news closes the connection
            # A browser that never saw a prediction of this project needs no empty one.
            if order.segmentation is not None and (order.has_had_examples or self._told is not None):
                await self._answer(order)
            elif order.segmentation is not None:
                completions.open(order.segmentation)

    async def _answer(self, order: Order) -> None:
        self._awaits_blocks = True
        try:
            completed = await completions.answer(order)
        except (WebError, SegmentationError) as error:
            await self._tell("completion.failed", {"number": order.number, "message": str(error)})
            return
        self._awaits_blocks = not completed.is_final
        if completed is not self._told:
            self._told = completed
            await self._send(completed.frame)
