"""Running commands: as a user does, or, quicker, inside the test."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmentation.cli import main

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def run():
    """``run(*arguments)`` in a process of its own."""

    def start(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "segmentation", *map(str, arguments)],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    return start


@pytest.fixture
def call(monkeypatch, capsys):
    """``call(*arguments)`` in this process: no seconds are lost on importing torch again."""

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["segmentation", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return start
