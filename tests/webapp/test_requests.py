"""Bodies of requests, spoken to the ASGI application as a server does."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from webapp import requests
from webapp.models import Scene
from webapp.requests import StreamingHandler
from webapp.storage import uploads_folder

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a" * 32
BOUNDARY = "xyz"
HEAD = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="fields.tif"\r\nContent-Type: image/tiff\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def session_key(user) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


def scope(
    path: str, session: str = "", length: int | None = None, method: str = "POST", kind: str = ""
) -> dict:
    kind = kind or f"multipart/form-data; boundary={BOUNDARY}"
    cookies = f"csrftoken={TOKEN}; {django_settings.SESSION_COOKIE_NAME}={session}"
    headers = [(b"host", b"testserver"), (b"content-type", kind.encode()), (b"cookie", cookies.encode())]
    headers.append((b"x-csrftoken", TOKEN.encode()))
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
    }


async def answer(communicator: ApplicationCommunicator) -> tuple[int, dict]:
    start = await communicator.receive_output(10)
    body = await communicator.receive_output(10)
    return start["status"], json.loads(body["body"])


async def send(communicator: ApplicationCommunicator, *pieces: bytes, more: bool = False) -> None:
    for piece in pieces[:-1]:
        await communicator.send_input({"type": "http.request", "body": piece, "more_body": True})
    await communicator.send_input({"type": "http.request", "body": pieces[-1], "more_body": more})


async def until(condition) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("waited for 10 s in vain")


def parts() -> list:
    return sorted(uploads_folder().iterdir())


async def test_upload_reaches_the_disk_while_it_is_sent(session_key, submitted):
    content = bytes(range(256)) * 4096 * 4  # 4 MiB
    total = len(HEAD) + len(content) + len(TAIL)
    communicator = ApplicationCommunicator(StreamingHandler(), scope("/api/scenes", session_key, total))
    half = len(content) // 2
    await send(communicator, HEAD, content[:half], more=True)
    # Nobody has sent the rest, so what lies on the disk has come straight through.
    await until(lambda: parts() and parts()[0].stat().st_size >= half - 2 * 1024**2)
    await send(communicator, content[half:], TAIL)
    status, body = await answer(communicator)
    await communicator.wait(10)
    assert status == 202, body
    assert body["state"] == "importing"
    [(scene, path)] = submitted["imports"]
    assert path.read_bytes() == content
    assert scene.size_bytes == len(content)


async def test_cancelled_upload_leaves_nothing(session_key, submitted):
    communicator = ApplicationCommunicator(StreamingHandler(), scope("/api/scenes", session_key, 10**8))
    await send(communicator, HEAD, b"x" * 3 * 1024**2, more=True)
    await until(lambda: len(parts()) == 1)
    await communicator.send_input({"type": "http.disconnect"})
    await until(lambda: not parts())
    await communicator.wait(10)
    assert not await Scene.objects.aexists()
    assert submitted["imports"] == []


async def test_silent_sender_is_taken_as_gone(session_key, monkeypatch, submitted):
    monkeypatch.setattr(requests, "IDLE_S", 0.3)
    communicator = ApplicationCommunicator(StreamingHandler(), scope("/api/scenes", session_key, 10**8))
    await send(communicator, HEAD, b"x" * 1024**2, more=True)
    status, _ = await answer(communicator)
    assert status >= 400
    await until(lambda: not parts())
    assert not await Scene.objects.aexists()


async def test_upload_without_sign_in_is_refused_before_its_body_is_read(data_dir):
    communicator = ApplicationCommunicator(StreamingHandler(), scope("/api/scenes", "", 10**9))
    status, body = await answer(communicator)  # nothing was sent yet
    assert status == 401
    assert body["detail"] == "Please sign in first."
    assert not (data_dir / "uploads").exists()
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(10)


async def test_upload_over_the_limit_is_refused_by_its_declared_length(session_key, settings):
    settings.MAX_UPLOAD_BYTES = 10**6
    communicator = ApplicationCommunicator(StreamingHandler(), scope("/api/scenes", session_key, 10**7))
    status, body = await answer(communicator)
    assert status == 413
    assert "larger than the 1 MB" in body["detail"]
    assert parts() == []


@pytest.mark.parametrize("declared", [True, False])
async def test_other_requests_are_bounded(session_key, settings, declared):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2
    length = 2 * 1024**2 if declared else None
    target = scope("/api/projects", session_key, length, kind="application/json")
    communicator = ApplicationCommunicator(StreamingHandler(), target)
    if not declared:
        await send(communicator, b"x" * 1024**2, b"x" * 1024, more=True)
    status, body = await answer(communicator)
    assert status == 413
    assert body["detail"] == "The request is longer than the 1 MiB it may have."


def test_streaming_read_gives_what_was_asked_for():
    class Source:
        pieces = [b"abc\n", b"", b"defgh", None, None]

        async def pull(self):
            return self.pieces.pop(0)

    async def run():
        stream = io.BufferedReader(requests.BodyStream(Source()))
        return await asyncio.to_thread(
            lambda: [stream.read(2), stream.readline(), stream.read(3), stream.read()]
        )

    assert asyncio.run(run()) == [b"ab", b"c\n", b"def", b"gh"]
