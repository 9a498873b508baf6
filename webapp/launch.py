"""What `make run` does before and around the server: a free port, a scene to look at, one link to open."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, OutputWrapper

from webapp import hosts
from webapp.accounts import LOCAL_USER
from webapp.models import Project, Scene

__all__ = ["LOCAL_USER", "Server", "bind", "print_progress", "public_url", "server_url", "start_page"]

NO_SUCH_HOST = "HOST={host} is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all of them."
MAX_COMMAND_BYTES = 1024**2  # of a message from a browser; the longest are areas of interest


def server_url() -> str:
    """Where people find the server: behind a proxy its name there, else where the one started last here listens."""
    public = public_url()
    if public:
        return public
    try:
        return _url_file().read_text().strip()
    except FileNotFoundError:
        return f"http://{hosts.link_host(settings.HOST)}:{settings.PORT}"


def public_url() -> str:
    """The address behind a proxy that speaks TLS, where the settings name one."""
    if not settings.HTTPS:
        return ""
    return next((url for url in settings.CSRF_TRUSTED_ORIGINS if url.startswith("https://")), "")


def remember_url() -> str:
    """Keep the address for ``manage.py invite``, which runs beside the server."""
    url = f"http://{hosts.link_host(settings.HOST)}:{settings.PORT}"
    _url_file().write_text(url)
    return url


def _url_file() -> Path:
    return Path(settings.DATA_DIR) / "server_url"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; CommandError with a sentence where it cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CommandError(NO_SUCH_HOST.format(host=host)) from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise CommandError(_bind_sentence(host, port, error)) from error
    return listener


def _bind_sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken, perhaps by a ClusterNet that runs already; stop that program, or choose "
            f"another port: make run PORT={port + 1 if port < 65535 else 8000}"
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for the administrator; choose another: make run PORT=8000"
    if error.errno == errno.EADDRNOTAVAIL:
        return NO_SUCH_HOST.format(host=host)
    return f"The server cannot listen on {host}, port {port}: {error.strerror}."


@contextmanager
def print_progress(stream: OutputWrapper, text: str) -> Iterator[Callable[[float], None]]:
    """A line that counts to 100 % on a terminal, a plain one where the output goes to a file."""
    live = stream.isatty()
    stream.write(f"{text} ...", ending="" if live else "\n")

    def show(share: float) -> None:
        if live:
            stream.write(f"\r{text} ... {share:4.0%}", ending="")
            stream.flush()

    try:
        yield show
    finally:
        if live:
            stream.write("")


def start_page(user: User, project: Project | None) -> str:
    """The page to open: the project just made, the only one there is, else the list."""
    projects = list(Project.objects.filter(owner=user)[:2])
    chosen = project or (projects[0] if len(projects) == 1 else None)
    return f"/projects/{chosen.pk}/" if chosen else "/projects/"


class ImportRecord:
    """Which files became which scenes, so that `make run IMAGE=...` imports each once."""

    def __init__(self) -> None:
        self._path = Path(settings.DATA_DIR) / "imported.json"

    def find(self, user: User, image: Path) -> Scene | None:
        scene_id = self._read().get(self._key(image))
        return (
            Scene.objects.filter(pk=scene_id, owner=user, state=Scene.State.READY).first()
            if scene_id
            else None
        )

    def add(self, image: Path, scene: Scene) -> None:
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps({**self._read(), self._key(image): scene.pk}, indent=1))
        draft.replace(self._path)

    def _read(self) -> dict[str, int]:
        try:
            held = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}  # never written, or damaged: at worst an image is imported twice
        return held if isinstance(held, dict) else {}

    @staticmethod
    def _key(image: Path) -> str:
        stat = image.stat()
        return f"{image.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


class Server(uvicorn.Server):
    """Uvicorn that says so once it answers."""

    def __init__(self, application: Any, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            application,
            lifespan="on",
            log_config=None,
            access_log=False,  # it would print sign-in links
            server_header=False,
            ws_per_message_deflate=False,  # leaf blocks are compressed already
            ws_max_size=MAX_COMMAND_BYTES,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(application: Any, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Run until Ctrl+C. Raises CommandError where the server does not come up."""
    try:
        asyncio.run(Server(application, on_ready).serve([listener]))
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal again once it has shut down in order
    except SystemExit as error:
        raise CommandError("The server did not start; the lines above say why.") from error
    finally:
        listener.close()


def open_browser(link: str) -> None:
    """Open the link where there is a display; a text browser in this terminal would only be in the way."""
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform not in ("darwin", "win32") and not has_display:
        return
    threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
