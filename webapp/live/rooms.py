"""What the connections of one process share of a project, from the first that comes to the last that leaves.

A room hears the hints of the channel layer once and hands them to its guests, so that fifty sockets cost the layer no more than one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from webapp.live import broadcast
from webapp.live.database import release
from webapp.live.ending import end
from webapp.live.feed import Feed
from webapp.live.presence import Presence
from webapp.live.standings import Standings

__all__ = ["Guest", "Room", "enter", "leave"]

logger = logging.getLogger(__name__)

RENEW_S = 600.0  # a layer forgets members of a group after a day, and a restarted one has forgotten them all
RETRY_S = 1.0  # after the channel layer failed


class Guest(Protocol):
    """A connection, which takes notes of hints without waiting for anything."""

    async def dispatch(self, message: dict[str, Any]) -> None: ...


class Room:
    """One project at one process."""

    def __init__(self, project_id: int, scene_id: int) -> None:
        self.scene_id = scene_id
        self.project_id = project_id
        self.feed = Feed(project_id)
        self.presence = Presence(project_id)
        self.standings = Standings(project_id)
        self.visitors = 0
        self.guests: set[Guest] = set()  # the visitors that hints are handed to
        self._groups = (broadcast.project_group(project_id), broadcast.scene_group(scene_id))
        self._channel = ""
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.presence.start()
        self._tasks = [asyncio.create_task(work) for work in (self._hear(), self._renew())]

    async def close(self) -> None:
        await end(self._tasks)
        await self.presence.close()

    async def joined(self) -> None:
        """Wait until no hint can be missed any more."""
        await asyncio.shield(self._joined)

    async def _hear(self) -> None:
        """Hand on what comes; joins the groups anew where the layer failed, and the heartbeats make up for what was lost."""
        layer = get_channel_layer()
        while True:
            try:
                self._channel = await layer.new_channel()
                try:
                    await self._join()
                    if not self._joined.done():
                        self._joined.set_result(None)
                    while True:
                        await self._hand_on(await layer.receive(self._channel))
                finally:
                    for group in self._groups:
                        await layer.group_discard(group, self._channel)
            except Exception:
                logger.exception("the channel layer failed; project %s hears late of edits", self.project_id)
                await asyncio.sleep(RETRY_S)

    async def _join(self) -> None:
        for group in self._groups:
            await get_channel_layer().group_add(group, self._channel)

    async def _hand_on(self, message: dict[str, Any]) -> None:
        for guest in list(self.guests):
            try:
                await guest.dispatch(message)
            except Exception:
                logger.exception("a socket of project %s could not take a hint", self.project_id)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._join()
            except Exception:
                logger.exception("the channel layer failed; project %s hears late of edits", self.project_id)


# By event loop: what is in a room belongs to its loop. A server has one, tests have many.
_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Room]] = WeakKeyDictionary()


async def enter(project_id: int, scene_id: int) -> Room:
    """The project's room, which hears hints by now; to be left with :func:`leave`."""
    rooms = _rooms.setdefault(asyncio.get_running_loop(), {})
    room = rooms.get(project_id)
    if room is None:
        room = rooms[project_id] = Room(project_id, scene_id)
        room.start()
    room.visitors += 1
    try:
        await room.joined()
    except asyncio.CancelledError:
        await leave(room)
        raise
    return room


async def leave(room: Room) -> None:
    room.visitors -= 1
    if room.visitors:
        return
    rooms = _rooms[asyncio.get_running_loop()]
    del rooms[room.project_id]
    await room.close()
    if not rooms:
        await release()
