"""Hints to the sockets, from whichever thread: what they speak of is in the database, so a lost one costs
seconds.

Two groups: ``project.<id>`` hears of the project's edits, ``scene.<id>`` of the segmentations of its scene.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

__all__ = ["project_group", "scene_group", "send", "serve_from"]

logger = logging.getLogger(__name__)

_server_loop: asyncio.AbstractEventLoop | None = None


def project_group(project_id: int) -> str:
    return f"project.{project_id}"


def scene_group(scene_id: int) -> str:
    return f"scene.{scene_id}"


def serve_from(loop: asyncio.AbstractEventLoop | None) -> None:
    """Name the server's event loop; None when it stops."""
    global _server_loop  # noqa: PLW0603  (one server to a process)
    _server_loop = loop


def send(group: str, kind: str, **fields: Any) -> None:
    """Send one message to a group, to reach the consumers' method ``kind`` (dots become underscores)."""
    message = {"type": kind, **fields}
    loop = _server_loop
    if loop is not None and loop.is_running():
        # The in-memory layer's queues belong to the server's loop: filled from another thread they would wake
        # nobody.
        asyncio.run_coroutine_threadsafe(_send(group, message), loop)
    else:
        async_to_sync(_send)(group, message)


async def _send(group: str, message: dict[str, Any]) -> None:
    try:
        await get_channel_layer().group_send(group, message)
    except Exception as error:
        # What it speaks of is done and kept: whoever did it must not be told that it failed.
        logger.warning("a hint to %s was not sent, so others hear of it late: %r", group, error)
