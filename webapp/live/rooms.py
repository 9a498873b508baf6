"""What the connections of one process share of a project, from the first that comes to the last that leaves."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from webapp.live.database import release
from webapp.live.feed import Feed
from webapp.live.presence import Presence

__all__ = ["Room", "enter", "leave"]


class Room:
    """One project at one process."""

    def __init__(self, project_id: int) -> None:
        self.project_id = project_id
        self.feed = Feed(project_id)
        self.presence = Presence(project_id)
        self.guests = 0


# By event loop: what is in a room belongs to its loop. A server has one, tests have many.
_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Room]] = WeakKeyDictionary()


def enter(project_id: int) -> Room:
    """The project's room, for one connection; to be given back with :func:`leave`."""
    rooms = _rooms.setdefault(asyncio.get_running_loop(), {})
    room = rooms.get(project_id)
    if room is None:
        room = rooms[project_id] = Room(project_id)
        room.presence.start()
    room.guests += 1
    return room


async def leave(room: Room) -> None:
    room.guests -= 1
    if room.guests == 0:
        rooms = _rooms[asyncio.get_running_loop()]
        del rooms[room.project_id]
        await room.presence.close()
        if not rooms:
            await release()
