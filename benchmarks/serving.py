"""Servers for benchmarks: ``manage.py run`` in processes of their own, members, a made-up scene, and segmentations that keep it busy."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ("Water", "Forest", "Field", "Town")
PATIENCE_S = 180.0


class Server:
    """``manage.py run`` in a process of its own."""

    def __init__(self, folder: Path, image: Path | None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        command = [sys.executable, "manage.py", "run", "--no-browser"]
        command += ["--image", str(image)] if image is not None else []
        environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port), "HOST": "127.0.0.1"}
        environment["LEARNING"] = "manual"
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait(self) -> str:
        """Cookies of its first user, signed in by the link that it prints."""
        for line in self.process.stdout:
            link = re.search(r"http://\S+/enter/\S+", line)
            if link:
                jar = CookieJar()
                opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
                opener.open(link[0]).close()
                return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
        raise SystemExit("The server did not start; what it says is above.")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def rss_kib(self) -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def servers(count: int, folder: Path, image: Path) -> Iterator[tuple[list[Server], str]]:
    """So many servers on one data folder; the cookies of their first user."""
    with ExitStack() as stack:
        first = Server(folder, image)
        stack.callback(first.stop)
        cookies = first.wait()
        started = [first]
        for _ in range(count - 1):  # one after the other: each finds the tables made
            another = Server(folder, None)
            stack.callback(another.stop)
            another.wait()
            started.append(another)
        yield started, cookies


def call(address: str, cookies: str, method: str, path: str, data: Any = None) -> Any:
    token = re.search(r"csrftoken=([^;]+)", cookies)
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    request.add_header("Cookie", cookies)
    request.add_header("Origin", f"http://{address}")
    if token:
        request.add_header("X-CSRFToken", token[1])
    if data is not None:
        request.data = json.dumps(data).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def set_up_django(folder: Path) -> None:
    import django

    os.environ["DATA_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    django.setup()


def make_members(project_id: int, count: int) -> list[str]:
    """Accounts that take part in the project; the cookies of each, signed in."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    from webapp.models import Membership, Project

    project = Project.objects.get(pk=project_id)
    cookies = []
    for number in range(count):
        user = User.objects.create_user(f"member{number}")
        Membership.objects.create(project=project, user=user, role="editor")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        cookies.append(f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
    return cookies


def make_classes(project_id: int) -> None:
    from webapp import actions
    from webapp.models import Project

    owner = Project.objects.get(pk=project_id).owner
    for number, name in enumerate(CLASSES, 1):
        color = f"#{number * 2_000_000:06x}"
        actions.create_class(owner, project_id, name, name=name, color=color)


def make_image(path: Path, megapixels: float) -> None:
    from segmentation.testing import synthetic_scene, write_scene

    side = round((megapixels * 1e6) ** 0.5)
    pixels, _ = synthetic_scene(side, side, 3, seed=0)
    write_scene(path, pixels)


class Computing:
    """Keeps segmentations of a scene being computed, one after the other."""

    def __init__(self, address: str, cookies: str, scene: int) -> None:
        self.address, self.cookies, self.scene = address, cookies, scene
        self.begun = 0
        self.busy_s = 0.0
        self._last = time.monotonic()

    def look(self) -> None:
        rows = call(self.address, self.cookies, "GET", f"/api/scenes/{self.scene}/segmentations")
        is_busy = any(row["state"] == "running" for row in rows)
        now = time.monotonic()
        self.busy_s += is_busy * (now - self._last)
        self._last = now
        if not any(row["state"] in ("queued", "running") for row in rows):
            self.begun += 1
            path = f"/api/scenes/{self.scene}/segmentations"
            call(self.address, self.cookies, "POST", path, {"mode": "fast", "seed": self.begun})

    def start(self) -> None:
        """Begin one, and wait until it computes."""
        end = time.monotonic() + PATIENCE_S
        while self.busy_s == 0.0 and time.monotonic() < end:
            self.look()
            time.sleep(0.5)
        self.busy_s, self._last = 0.0, time.monotonic()
