"""The commands as people type them: in processes of their own, with a data folder of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from tests.webapp.conftest import write_raster

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


def manage(own_data: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(own_data, **variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], sentence: str, code: int = 1) -> bool:
    """One sentence on stderr, the right exit code, nothing of the inside."""
    assert "Traceback" not in done.stderr
    assert "CommandError" not in done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1], done.stderr
    return done.returncode == code


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_run_tells_a_taken_port(own_data):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert refused(manage(own_data, "run", PORT=port), f"Port {port} is taken")


def test_run_tells_a_missing_image(own_data, tmp_path):
    done = manage(own_data, "run", "--image", str(tmp_path / "none.tif"))
    assert refused(done, f"IMAGE={tmp_path}/none.tif does not exist; give the path of one image file.")


def test_run_tells_an_unreadable_image_and_leaves_nothing(own_data, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0 this is no image")
    assert refused(manage(own_data, "run", "--image", str(broken), PORT=free_port()), '"broken.tif"')
    assert list((own_data / "scenes").glob("*")) == []
    with sqlite3.connect(own_data / "clusternet.sqlite3") as database:
        assert database.execute("select count(*) from webapp_scene").fetchone() == (0,)


def test_run_tells_a_full_disk(own_data, image):
    done = manage(own_data, "run", "--image", str(image), PORT=free_port(), MIN_FREE_BYTES=str(2**50))
    assert refused(done, "disk is almost full")


def test_run_tells_bad_arguments(own_data):
    assert refused(manage(own_data, "run", "--speed", "9"), "unrecognized arguments: --speed", code=2)


def test_run_starts_serves_stops_and_starts_again(own_data, image):
    port = free_port()
    for turn in range(2):
        command = [sys.executable, "manage.py", "run", "--no-browser", "--image", str(image)]
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(own_data, PORT=port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
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
            if turn == 0:
                invited = manage(own_data, "invite", "ana")
                assert f"http://127.0.0.1:{port}/enter/" in invited.stdout
        finally:
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=60)
        assert server.returncode == 0
        # The image is imported once only.
        assert ("Importing" in errors) is (turn == 0)
    assert [path.name for path in (own_data / "scenes").iterdir()] == ["1"]


def test_import_scene_and_sweep(own_data, image):
    done = manage(own_data, "import_scene", str(image), "--owner", "ana", "--name", "North fields")
    assert done.returncode == 0, done.stderr
    assert "Scene 1, North fields: 300 x 200 pixels, 3 bands, EPSG:32633." in done.stdout
    assert (own_data / "scenes" / "1" / "scene.tif").exists()
    orphan = own_data / "scenes" / "77"
    orphan.mkdir()
    (orphan / "scene.tif").write_bytes(b"x" * 1500)
    os.utime(orphan, (1, 1))
    dry = manage(own_data, "sweep", "--dry-run")
    assert f"{orphan}  1.5 KB  no such scene" in dry.stdout
    assert "Would free 1.5 KB (1 items)." in dry.stdout
    assert orphan.exists()
    assert "Freed 1.5 KB (1 items); removed 0 expired sign-in links." in manage(own_data, "sweep").stdout
    assert not orphan.exists()
    assert (own_data / "scenes" / "1" / "scene.tif").exists()


def test_import_scene_tells_what_is_wrong(own_data, tmp_path):
    assert refused(manage(own_data, "import_scene", str(tmp_path / "none.tif")), "none.tif")
    assert refused(manage(own_data, "import_scene", "x.tif", "--owner", "a b"), "'a b' is no user name")


def test_sweep_tells_a_database_that_does_not_work(own_data):
    own_data.mkdir()
    (own_data / "clusternet.sqlite3").write_bytes(b"this is no database, and it is longer than a header" * 9)
    assert refused(manage(own_data, "sweep"), "The database does not work")
