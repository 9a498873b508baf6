"""The ASGI application: HTTP to Django, sockets to Channels, and the job engine's life to the server's."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

import django

django.setup()

# Django must be set up before anything below is imported.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from webapp.collector import spare_what_stays  # noqa: E402
from webapp.imagery.gate import TileGate  # noqa: E402
from webapp.jobs import door  # noqa: E402
from webapp.origins import SameOriginValidator  # noqa: E402
from webapp.requests import StreamingHandler  # noqa: E402
from webapp.routing import websocket_urlpatterns  # noqa: E402
from webapp.services import ServiceError  # noqa: E402

__all__ = ["application"]


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Start the engine with the server, stop it with the server; a failed start is told to the server."""
    async with AsyncExitStack() as stack:
        await receive()  # lifespan.startup
        try:
            await stack.enter_async_context(door.engine_lifespan())
        except ServiceError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        except Exception as error:
            await send(
                {"type": "lifespan.startup.failed", "message": f"The job engine did not start: {error}"}
            )
            return
        spare_what_stays(collect=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        "http": TileGate(StreamingHandler()),
        "websocket": SameOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        "lifespan": lifespan,
    }
)
