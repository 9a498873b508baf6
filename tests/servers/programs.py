"""Real PostgreSQL and Redis servers for tests: their own folder, a free port of this machine, stopped whatever happens."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

START_S = 60
PR_SET_PDEATHSIG = 1  # prctl(2)


class MissingError(Exception):
    """A program is not on this machine."""


class Servers(NamedTuple):
    database_url: str
    redis_url: str


@contextmanager
def servers() -> Iterator[Servers]:
    """Both, for as long as the context lasts."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis())
        yield Servers(stack.enter_context(postgresql()), redis_url)


@contextmanager
def postgresql() -> Iterator[str]:
    """Address of an empty database on a server of its own."""
    programs = _postgresql_programs()
    with _folder() as folder:
        password = secrets.token_hex(8)
        secret = folder / "password"
        secret.write_text(password)
        user = _unprivileged(folder)
        _run(
            [
                str(programs / "initdb"),
                f"--pgdata={folder}/data",
                "--username=clusternet",
                "--auth=scram-sha-256",
                f"--pwfile={secret}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            folder,
            user,
        )
        port = free_port()
        # What is written need not outlive this test run.
        quick = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB")
        settings = (*quick, "listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={port}")
        command = [str(programs / "postgres"), "-D", f"{folder}/data"]
        for setting in settings:
            command += ["-c", setting]
        url = f"postgres://clusternet:{password}@127.0.0.1:{port}/postgres"
        with _process(command, folder, user, signal.SIGINT) as process:
            _wait(process, folder, lambda: _postgresql_answers(url))
            yield url


@contextmanager
def redis(port: int = 0, password: str = "") -> Iterator[str]:
    """Address of an empty Redis; with the port and password of an earlier one it takes that one's place."""
    program = shutil.which("redis-server")
    if program is None:
        raise MissingError("redis-server is not installed (Debian: apt install redis-server)")
    with _folder() as folder:
        port, password = port or free_port(), password or secrets.token_hex(8)
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "no", "--requirepass", password]
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        with _process(command, folder, _unprivileged(folder), signal.SIGTERM) as process:
            _wait(process, folder, lambda: _redis_answers(url))
            yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dies_with_us() -> None:
    """In a child: end when the test run ends, even if that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _postgresql_programs() -> Path:
    found = shutil.which("initdb")
    if found is not None and (Path(found).parent / "postgres").exists():
        return Path(found).parent
    # Debian keeps them out of the way, one folder a version.
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if not folders:
        raise MissingError("PostgreSQL's server is not installed (Debian: apt install postgresql)")
    return max(folders, key=lambda path: int(path.parent.name))


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's: other users may not go through that, and PostgreSQL does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="clusternet-server-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """What to start a program with where we are root: another user, whose the folder then is."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        for path in (folder, *folder.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise MissingError(
        "there is no user postgres or nobody to run the server as; run the tests as another user than root"
    )


def _run(command: list[str], folder: Path, user: dict[str, Any]) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=_environment(), **user
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _process(
    command: list[str], folder: Path, user: dict[str, Any], stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,  # Ctrl+C is for the tests, which then stop it in order
            preexec_fn=dies_with_us,  # noqa: PLW1509 (it takes no lock)
            **user,
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


def _wait(process: subprocess.Popen[bytes], folder: Path, answers: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args} did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)


def _postgresql_answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers(url: str) -> bool:
    import redis as client

    connection = client.Redis.from_url(url)
    try:
        return bool(connection.ping())
    except client.ConnectionError:
        return False
    finally:
        connection.close()
