"""Calls of the database from the sockets, one after the other in one thread, over a connection that stays open.

Channels' own way opens and closes a connection for each call, and asks that thread before it hands over any message, so that a
pointer's move would wait behind the edits of others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync
from django.db import connections

__all__ = ["in_database", "release"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class _Call(SyncToAsync):
    def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
        for connection in connections.all(initialized_only=True):
            if connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()  # the database was restarted, say
        return super().thread_handler(loop, *args, **kwargs)


def in_database(function: Callable[Arguments, Result]) -> Callable[Arguments, Awaitable[Result]]:
    """An awaitable that calls ``function`` in the sockets' database thread."""
    return _Call(function)


async def release() -> None:
    """Close what is open: nobody is connected any more."""
    await _Call(_close)()


def _close() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()
