"""Which pages may open a socket."""

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncWebsocketConsumer

from webapp.origins import SameOriginValidator

pytestmark = pytest.mark.django_db(transaction=True)  # consumers close the connections of their thread


async def comes_in(origin: str | None, host: str = "localhost:8000") -> bool:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    scope = {"type": "websocket", "path": "/ws/projects/1/", "headers": headers, "subprotocols": []}
    communicator = ApplicationCommunicator(SameOriginValidator(AsyncWebsocketConsumer.as_asgi()), scope)
    await communicator.send_input({"type": "websocket.connect"})
    answer = await communicator.receive_output(5)
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
    await communicator.wait(5)
    return answer["type"] == "websocket.accept"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("https://maps.example.org", "10.0.0.3:8000"),  # a trusted origin, behind a proxy
    ],
)
async def test_own_pages_come_in(settings, origin, host):
    settings.CSRF_TRUSTED_ORIGINS = ["https://maps.example.org"]
    assert await comes_in(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "localhost:8000"),
        ("http://localhost:9999", "localhost:8000"),  # another server on this machine
        ("http://127.0.0.1:8000", "localhost:8001"),
        ("null", "localhost:8000"),
        (None, "localhost:8000"),
        ("http://rebound.example:8000", "rebound.example:8000"),  # a name that somebody pointed at us
    ],
)
async def test_other_pages_stay_out(settings, origin, host):
    settings.CSRF_TRUSTED_ORIGINS = []
    assert not await comes_in(origin, host)
