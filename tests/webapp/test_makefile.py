"""What `make` says on machines that lack something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # Not in the environment: what an outer make hands down would change what this one does.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), *arguments],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_help_names_the_targets():
    done = make()
    assert done.returncode == 0
    assert all(f"make {target}" in done.stdout for target in ("run", "test", "lint", "clean"))


def test_missing_python_is_told(tmp_path):
    done = make("run", f"VENV={tmp_path}/venv", "PYTHON=python-that-is-not-there")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and there is no python-that-is-not-there" in done.stderr


def test_old_python_is_told(tmp_path):
    old = script(tmp_path / "python", 'case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    done = make("run", f"VENV={tmp_path}/venv", f"PYTHON={old}")
    assert done.returncode != 0
    assert "ClusterNet needs Python 3.11 or newer, and this is Python 3.9.2" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_missing_venv_module_is_told(tmp_path):
    bare = script(tmp_path / "python", 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac')
    done = make("run", f"VENV={tmp_path}/venv", f"PYTHON={bare}")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr


def test_failed_installation_is_told_and_tried_again(tmp_path):
    broken = tmp_path / "venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    script(broken, 'echo "ERROR: no network"; exit 1')
    for _ in range(2):
        done = make("run", f"VENV={tmp_path}/venv")
        assert done.returncode != 0
        assert "ERROR: no network" in done.stdout
        assert "check the network and the disk space, then run make again" in done.stderr
    assert not (tmp_path / "venv" / ".installed").exists()


def test_second_run_installs_nothing_and_passes_its_variables_on(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    script(python, 'echo "$@ PORT=$PORT HOST=$HOST"')
    make("run", f"VENV={tmp_path}/venv")
    done = make("run", f"VENV={tmp_path}/venv", "PORT=9000", "HOST=0.0.0.0", "IMAGE=my image.tif")
    assert done.stdout == "manage.py run --image my image.tif PORT=9000 HOST=0.0.0.0\n"


def make_without_programs(tmp_path, target):
    """The target for somebody who is not root, on a machine that has a shell and nothing else."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for shell in ("bash", "sh"):
        (tools / shell).symlink_to(shutil.which(shell))
    script(tools / "id", "echo 1000")
    return subprocess.run(
        [shutil.which("make"), "-f", str(ROOT / "Makefile"), target, f"SHELL={tools}/bash"],
        cwd=ROOT,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_missing_chromium_is_told(tmp_path):
    done = make_without_programs(tmp_path, "chromium")
    assert done.returncode != 0
    assert "install it (Debian: sudo apt install --no-install-recommends chromium)" in done.stderr


def test_missing_servers_are_told_and_stop_nothing(tmp_path):
    done = make_without_programs(tmp_path, "servers")
    assert done.returncode == 0
    assert (
        "their tests are skipped (Debian: sudo apt install postgresql redis-server nginx-light)"
        in done.stderr
    )
