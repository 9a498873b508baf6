"""The entry point: what the server is told about the job engine's life."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from asgiref.testing import ApplicationCommunicator

from webapp.asgi import application
from webapp.jobs import door


def communicator() -> ApplicationCommunicator:
    return ApplicationCommunicator(application, {"type": "lifespan", "asgi": {"version": "3.0"}})


async def test_engine_lives_as_long_as_the_server(monkeypatch):
    seen = []

    @asynccontextmanager
    async def engine():
        seen.append("started")
        yield
        seen.append("stopped")

    monkeypatch.setattr(door, "engine_lifespan", engine)
    server = communicator()
    await server.send_input({"type": "lifespan.startup"})
    assert await server.receive_output() == {"type": "lifespan.startup.complete"}
    assert seen == ["started"]
    await server.send_input({"type": "lifespan.shutdown"})
    assert await server.receive_output() == {"type": "lifespan.shutdown.complete"}
    assert seen == ["started", "stopped"]
    await server.wait()


async def test_engine_that_does_not_start_stops_the_server(monkeypatch):
    @asynccontextmanager
    async def engine():
        raise RuntimeError("no scheduler at tcp://example.org")
        yield

    monkeypatch.setattr(door, "engine_lifespan", engine)
    server = communicator()
    await server.send_input({"type": "lifespan.startup"})
    answer = await server.receive_output()
    assert answer["type"] == "lifespan.startup.failed"
    assert "no scheduler at tcp://example.org" in answer["message"]
    await server.wait()


@pytest.mark.django_db
async def test_http_reaches_django():
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request"})
    assert (await server.receive_output(10))["status"] == 200
    assert (await server.receive_output(10))["body"] == b"ok"
    await server.wait(10)
