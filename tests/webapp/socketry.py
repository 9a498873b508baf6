"""A browser's end of a socket, for tests (Channels' own needs daphne, which we do not use)."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from webapp.routing import websocket_urlpatterns


class Socket(ApplicationCommunicator):
    def __init__(self, user: Any, path: str) -> None:
        address = urlsplit(path)
        scope = {
            "type": "websocket",
            "path": address.path,
            "query_string": address.query.encode(),
            "headers": [],
            "subprotocols": [],
            "user": user,
        }
        super().__init__(URLRouter(websocket_urlpatterns), scope)

    async def connect(self) -> bool:
        """Whether the handshake was accepted."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(timeout=5))["type"] == "websocket.accept"

    async def send(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self.send_input({"type": "websocket.receive", kind: message})

    async def receive(self, seconds: float = 5) -> str | bytes:
        output = await self.receive_output(timeout=seconds)
        assert output["type"] == "websocket.send", output
        return output["text"] if output.get("text") is not None else output["bytes"]

    async def nothing_within(self, seconds: float) -> None:
        """Fail with what comes within a moment; a heartbeat may, at any time."""
        end = asyncio.get_running_loop().time() + seconds
        while not await self.receive_nothing(timeout=max(0.01, end - asyncio.get_running_loop().time())):
            message = await self.receive()
            assert isinstance(message, str), f"{len(message)} bytes came"
            assert json.loads(message)["type"] == "heartbeat", message

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=5)
