"""The commands as people type them; those that start a server in processes of their own."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import ManagementUtility
from django.db import DatabaseError
from rasterio.transform import from_origin

from segmentation.rasters.demo import Demo
from tests.webapp.conftest import write_raster
from webapp import launch, storage
from webapp.jobs import door, imports
from webapp.management.commands import run
from webapp.models import Project, Scene
from webapp.storage import folder_size

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
KEEP = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")


@pytest.fixture
def own_data(tmp_path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "fields.tif"
    pixels = np.random.default_rng(1).integers(0, 255, (3, 200, 300)).astype(np.uint8)
    write_raster(path, pixels, crs="EPSG:32633", transform=from_origin(500_000, 5_200_000, 10, 10))
    return path


def environment(own_data: Path, **variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEEP if name in os.environ}
    return {**kept, "DATA_DIR": str(own_data), **variables}


def start(own_data: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(own_data, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def manage(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as error:
            code = int(error.code or 0)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def assert_refused(outcome: tuple[int, str, str], sentence: str, code: int = 1) -> None:
    """One sentence on stderr, the right exit code, nothing of the inside."""
    exit_code, _, errors = outcome
    assert "Traceback" not in errors
    assert "CommandError" not in errors
    assert sentence in errors.strip().splitlines()[-1], errors
    assert exit_code == code


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def port(settings) -> int:
    settings.PORT = int(free_port())
    return settings.PORT


def test_run_tells_a_taken_port(own_data):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = start(own_data, "run", PORT=port)
        output, errors = command.communicate(timeout=300)
        assert_refused((command.returncode, output, errors), f"Port {port} is taken")
        assert len(errors.strip().splitlines()) == 1


def test_run_tells_a_missing_image(manage, tmp_path):
    assert_refused(
        manage("run", "--image", f"{tmp_path}/none.tif"), f"IMAGE={tmp_path}/none.tif does not exist"
    )
    assert_refused(manage("run", "--image", f"{tmp_path}"), f"IMAGE={tmp_path} is a folder")


def test_run_tells_an_unreadable_image_and_leaves_nothing(manage, port, tmp_path, data_dir):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0 this is no image")
    assert_refused(manage("run", "--image", str(broken)), '"broken.tif"')
    assert list((data_dir / "scenes").glob("*")) == []
    assert not Scene.objects.exists()
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))  # the port was given back


def test_run_tells_a_full_disk(manage, port, image, settings):
    settings.MIN_FREE_BYTES = 2**60
    assert_refused(manage("run", "--image", str(image)), "disk is almost full")


def test_run_tells_a_disk_that_fills_up_meanwhile(manage, port, image, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(imports, "ingest", fail)
    assert_refused(
        manage("run", "--image", str(image)), "is full; free some space, or set DATA_DIR to another disk"
    )
    assert not Scene.objects.exists()


def test_run_tells_a_data_folder_that_is_read_only(manage, port, image, monkeypatch):
    def fail(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/data")

    monkeypatch.setattr(imports, "ingest", fail)
    assert_refused(manage("run", "--image", str(image)), "/srv/data cannot be written (Permission denied)")


@pytest.mark.parametrize("arguments", [("--speed", "9"), ("--demo", "atlantis")])
def test_run_tells_bad_arguments(manage, arguments):
    code, _, errors = manage("run", *arguments)
    assert code == 2
    assert arguments[1] in errors or arguments[0] in errors
    assert "Traceback" not in errors


@pytest.fixture
def served(monkeypatch) -> list[str]:
    """Links that were printed by servers that did not really start."""
    links: list[str] = []

    def serve(application, listener, on_ready):
        on_ready()
        listener.close()

    monkeypatch.setattr(launch, "serve", serve)
    monkeypatch.setattr(launch, "open_browser", links.append)
    monkeypatch.setattr(door, "project_created", lambda project: None)
    return links


def test_run_without_network_shows_a_made_up_scene_and_says_so(manage, port, served, monkeypatch, image):
    remark = "The demo scene could not be downloaded. Until then a made-up scene is shown."
    demo = Demo(image, "Made-up landscape", "Made-up scene, not a real place", remark)
    monkeypatch.setattr(run, "fetch_demo", lambda folder, name: demo)
    code, output, errors = manage("run")
    assert code == 0, errors
    assert remark in errors
    scene = Scene.objects.get()
    assert (scene.name, scene.attribution, scene.state) == ("Made-up landscape", demo.attribution, "ready")
    project = Project.objects.get()
    assert served == [output.splitlines()[-1]]
    assert served[0].startswith(f"http://127.0.0.1:{port}/enter/")
    assert served[0].endswith(f"/?next=/projects/{project.pk}/")
    # Again: no second scene, another link.
    assert manage("run")[0] == 0
    assert Scene.objects.count() == 1
    assert served[1] != served[0]


def test_run_with_an_image_adds_it_once(manage, port, served, image):
    for _ in range(2):
        assert manage("run", "--image", str(image))[0] == 0
    assert Scene.objects.get().name == "fields"
    assert Project.objects.get().name == "fields"
    assert User.objects.get().is_staff  # whoever starts the server looks after its accounts


@pytest.mark.slow
def test_run_starts_serves_stops_and_starts_again(own_data, image):
    port = free_port()
    for turn in range(2):
        server = start(own_data, "run", "--no-browser", "--image", str(image), PORT=port)
        try:
            first, link = server.stdout.readline(), server.stdout.readline().strip()
            assert "Open this link" in first, server.stderr.read() if server.poll() is not None else first
            assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/enter/[\w-]{{40,}}/\?next=/projects/1/", link)
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            with opener.open(link, timeout=60) as page:
                assert page.url == f"http://127.0.0.1:{port}/projects/1/"
                assert 'data-testid="map"' in page.read().decode()
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(link, timeout=60)
        finally:
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=60)
        assert server.returncode == 0
        # The image is imported once only.
        assert ("Importing" in errors) is (turn == 0)
    assert [path.name for path in (own_data / "scenes").iterdir()] == ["1"]


def test_invite_prints_a_link_of_the_server_started_last(manage, settings):
    settings.PORT = 9123
    launch.remember_url()
    settings.PORT = 8000
    code, output, _ = manage("invite", "ana")
    assert code == 0
    assert "New user ana" in output
    assert "http://127.0.0.1:9123/enter/" in output
    assert (
        "https://maps.example.org/enter/" in manage("invite", "ana", "--url", "https://maps.example.org/")[1]
    )
    assert_refused(manage("invite", "a b"), "'a b' is no user name")


def test_invite_makes_administrators_where_asked(manage):
    assert manage("invite", "ana")[0] == 0
    assert not User.objects.get().is_staff
    assert manage("invite", "ana", "--admin")[0] == 0
    assert User.objects.get().is_staff
    assert manage("invite", "ana")[0] == 0
    assert User.objects.get().is_staff  # only People takes it away


def test_import_scene_and_sweep(manage, image, data_dir):
    code, output, errors = manage("import_scene", str(image), "--owner", "ana", "--name", "North fields")
    assert code == 0, errors
    scene = Scene.objects.get()
    assert f"Scene {scene.pk}, North fields: 300 x 200 pixels, 3 bands, EPSG:32633." in output
    assert scene.owner.username == "ana"
    assert scene.info["width"] == 300
    assert scene.size_bytes == folder_size(scene.folder) > 1000
    orphan = data_dir / "scenes" / "777"
    orphan.mkdir()
    (orphan / "scene.tif").write_bytes(b"x" * 1500)
    os.utime(orphan, (1, 1))
    dry = manage("sweep", "--dry-run")[1]
    assert f"{orphan}  1.5 KB  no such scene" in dry
    assert "Would free 1.5 KB (1 items)." in dry
    assert orphan.exists()
    assert "Freed 1.5 KB (1 items); removed 0 expired sign-in links." in manage("sweep")[1]
    assert not orphan.exists()
    assert scene.cog_path.exists()


def test_import_scene_tells_what_is_wrong(manage, tmp_path):
    assert_refused(manage("import_scene", str(tmp_path / "none.tif")), "none.tif")
    assert_refused(manage("import_scene", "x.tif", "--owner", "a b"), "'a b' is no user name")
    assert not Scene.objects.exists()


def test_interrupted_import_leaves_nothing(manage, image, monkeypatch, data_dir):
    def interrupt(source, folder, *others):
        Path(folder).mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "ingest", interrupt)
    assert manage("import_scene", str(image))[0] == 130
    assert not Scene.objects.exists()
    assert list((data_dir / "scenes").iterdir()) == []


@pytest.mark.parametrize(
    ("inner", "sentence"),
    [
        (
            sqlite3.DatabaseError("file is not a database"),
            "The database does not work (file is not a database)",
        ),
        (sqlite3.OperationalError("database or disk is full"), "is full; free some space"),
    ],
)
def test_commands_tell_a_database_that_does_not_work(manage, monkeypatch, inner, sentence):
    def fail():
        raise DatabaseError(str(inner)) from inner

    monkeypatch.setattr(storage, "sweep", fail)
    assert_refused(manage("sweep"), sentence)
