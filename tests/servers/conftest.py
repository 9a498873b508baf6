"""Two web processes on one PostgreSQL, one Redis and one data folder, as docs/deploy.md has them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.servers import programs
from tests.servers.__main__ import in_ci

ROOT = Path(__file__).resolve().parents[2]
START_S = 180
KEEP = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


def missing(error: programs.MissingError) -> None:
    """Skip where the servers cannot be had, but never pass in continuous integration for want of them."""
    text = f"{error}; `make test` installs it where it may"
    pytest.fail(text) if in_ci() else pytest.skip(text)


@pytest.fixture(scope="session")
def services() -> Iterator[programs.Servers]:
    try:
        with programs.servers() as found:
            yield found
    except programs.MissingError as error:
        missing(error)


class Web:
    """``manage.py serve`` in a process of its own."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = programs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {**environment, "PORT": str(self.port)}

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "serve"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=programs.dies_with_us,  # noqa: PLW1509 (it takes no lock)
            )

    def wait(self) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"The web process does not answer:\n{self.log.read_text()}")
                time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def children(self) -> list[int]:
        """Numbers of the processes that it has started."""
        found = []
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            found += [int(number) for number in path.read_text().split()]
        return found

    def ask(self, path: str, session: str = "", method: str = "GET", **fields: Any) -> tuple[int, Any]:
        """Status and answer of one request."""
        token = "t" * 32
        headers = {
            "Cookie": f"sessionid={session}; csrftoken={token}",
            "X-CSRFToken": token,
            "Referer": self.url,
        }
        data = None
        if fields:
            data, headers["Content-Type"] = json.dumps(fields).encode(), "application/json"
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with _opener.open(request, timeout=60) as answer:
                return answer.status, _read(answer)
        except urllib.error.HTTPError as error:
            return error.code, _read(error)

    def open(self, project: int, session: str) -> Page:
        return Page(self, project, session)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _read(answer: Any) -> Any:
    body = answer.read()
    return json.loads(body) if answer.headers.get_content_type() == "application/json" else body.decode()


class Page:
    """A browser's end of a socket."""

    def __init__(self, web: Web, project: int, session: str) -> None:
        self.socket: ClientConnection = connect(
            f"ws://127.0.0.1:{web.port}/ws/projects/{project}/",
            origin=web.url,
            additional_headers={"Cookie": f"sessionid={session}"},
            max_size=None,
            open_timeout=30,
        )
        self.state = self.until("project.state")

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def next(self, seconds: float = 30) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            message = self.socket.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(message, str):
                return json.loads(message)

    def until(
        self, kind: str, matches: Callable[[dict[str, Any]], bool] = lambda event: True
    ) -> dict[str, Any]:
        while True:
            event = self.next()
            if event["type"] == kind and matches(event):
                return event

    def edits(self, upto: int) -> list[dict[str, Any]]:
        """The edits told until one of number ``upto`` has come."""
        told: list[dict[str, Any]] = []
        while not told or told[-1]["number"] < upto:
            told.append(self.until("edit.applied"))
        return told

    def close(self) -> None:
        self.socket.close()


class Deployment:
    """Two web processes and what they share."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._projects: list[dict[str, Any]] = []  # made together: a process takes seconds to start
        self.webs = [Web(environment, folder / f"web-{number}.log") for number in (1, 2)]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def populate(self) -> dict[str, Any]:
        """A new project of ana's in which boris is an editor, and their sessions."""
        if not self._projects:
            self._projects = json.loads(self.run("-m", "tests.servers.populate").splitlines()[-1])
        return self._projects.pop()

    def start(self) -> None:
        for web in self.webs:
            web.start()
        for web in self.webs:
            web.wait()

    def stop(self) -> None:
        for web in self.webs:
            if hasattr(web, "process"):
                web.stop()


@pytest.fixture(scope="module")
def deployment(services: programs.Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    name = f"maps_{secrets.token_hex(4)}"
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    kept = {key: os.environ[key] for key in KEEP if key in os.environ}
    one = Deployment(
        folder,
        {
            **kept,
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": services.database_url.rpartition("/")[0] + f"/{name}",
            "REDIS_URL": services.redis_url,
            "SECRET_KEY": "k" * 50,
            "LEARNING": "manual",
            "PYTHONUNBUFFERED": "1",
            "MIN_FREE_BYTES": "0",
        },
    )
    try:
        one.run("manage.py", "migrate", "-v0")
        one.start()
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder / "data", ignore_errors=True)
