"""What goes to one browser: a bounded queue of its own, the urgent before the bulky.

Whoever has something to say puts it here and goes on; one task writes, and waits where the browser is slow to read. In order:
edits, states and rejections, all of them, as they came; notices of which only the newest counts (how far a segmentation is, a
heartbeat); the decoder's table, the newest; who is here, merged into one frame; leaf blocks, one at a time, and no more of them
on their way than the browser has said to take. So nothing waits behind blocks, and a browser that does not read costs little:
edits are fetched from the database only while there is room for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from webapp.live.presence import News

__all__ = ["Outbox"]

ROOMY = 64  # messages that may wait before no further edits are fetched
ROOMY_BYTES = 256 * 1024
MOST = 2_000  # messages that may wait at all; a browser that is further behind is sent away, and starts anew
MOST_BYTES = 16 * 1024**2


class Outbox:
    """``send_text`` and ``send_bytes`` write one message each; ``overflow`` is told once that far too much waits."""

    def __init__(
        self,
        send_text: Callable[[str], Awaitable[None]],
        send_bytes: Callable[[bytes], Awaitable[None]],
        overflow: Callable[[], None],
    ) -> None:
        self._send_text = send_text
        self._send_bytes = send_bytes
        self._overflow = overflow
        self._events: deque[str] = deque()
        self._bytes = 0  # of them
        self._notices: dict[str, str] = {}
        self._table: bytes | None = None
        self._presence: News | None = None
        self._block: bytes | None = None
        self._block_gone = asyncio.Event()
        self._sent = self._taken = 0  # leaf blocks
        self._window: int | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False

    # ------------------------------------------------------------------------------------------------ in

    def put(self, text: str) -> None:
        """Never dropped, never overtaken by another one of these."""
        if self._is_closed:
            return
        self._events.append(text)
        self._bytes += len(text)
        self._note_room()
        too_many = len(self._events) > MOST or (self._bytes > MOST_BYTES and len(self._events) > 1)
        if too_many:
            self.close()
            self._overflow()
        self._news.set()

    def put_notice(self, key: str, text: str) -> None:
        """Takes the place of an earlier one of the same ``key`` that still waits."""
        self._notices[key] = text
        self._news.set()

    def put_table(self, frame: bytes) -> None:
        """The decoder's table: the newest counts."""
        self._table = frame
        self._news.set()

    def put_presence(self, news: News) -> None:
        """Who is here and where: merged with what still waits."""
        self._presence = news if self._presence is None else self._presence.followed_by(news)
        self._news.set()

    async def put_block(self, frame: bytes) -> None:
        """One leaf block; returns once it is on its way. For one caller at a time."""
        self._block = frame
        self._block_gone.clear()
        self._news.set()
        await self._block_gone.wait()

    def use_window(self, blocks: int | None) -> None:
        """So many leaf blocks may be on their way before the browser says that it took some; None: any number."""
        self._window = blocks
        self._news.set()

    def took(self, blocks: int) -> bool:
        """The browser has taken so many leaf blocks in all; False where that is more than were sent."""
        if blocks > self._sent:
            return False
        self._taken = max(self._taken, blocks)
        self._news.set()
        return True

    def close(self) -> None:
        """Write nothing any more: the connection is about to be closed."""
        self._is_closed = True
        self._events.clear()
        self._bytes = 0
        self._notices.clear()
        self._table = self._presence = self._block = None

    async def roomy(self) -> None:
        """Wait until it is worth while to fetch more edits."""
        await self._room.wait()

    # ------------------------------------------------------------------------------------------------ out

    async def run(self) -> None:
        """Write until cancelled, or until the browser has gone."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while await self._write_next():
                    pass
        except OSError:
            return  # the line is broken: the server is about to say so

    async def _write_next(self) -> bool:
        """Write what is most urgent; False where there is nothing (that may be sent)."""
        if self._is_closed:
            return False
        if self._events:
            text = self._events.popleft()
            self._bytes -= len(text)
            await self._send_text(text)
            self._note_room()
        elif self._notices:
            key = next(iter(self._notices))
            await self._send_text(self._notices.pop(key))
        elif self._table is not None:
            frame, self._table = self._table, None
            await self._send_bytes(frame)
        elif self._presence is not None:
            news, self._presence = self._presence, None
            await self._send_text(news.text)
        elif self._block is not None and self._may_send_block:
            frame, self._block = self._block, None
            self._sent += 1
            await self._send_bytes(frame)
            self._block_gone.set()
        else:
            return False
        return True

    @property
    def _may_send_block(self) -> bool:
        return self._window is None or self._sent - self._taken < self._window

    def _note_room(self) -> None:
        if len(self._events) < ROOMY and self._bytes < ROOMY_BYTES:
            self._room.set()
        else:
            self._room.clear()
