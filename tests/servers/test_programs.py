"""Where the servers cannot be had: skipped with a sentence, but a failure in continuous integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import __main__ as command
from tests.servers import programs
from tests.servers.conftest import missing


@pytest.fixture
def without_programs(monkeypatch):
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)


def test_missing_programs_are_named(without_programs, monkeypatch):
    with pytest.raises(programs.MissingError, match="redis-server is not installed"), programs.servers():
        pass
    monkeypatch.setattr(programs.Path, "glob", lambda self, pattern: [])
    with (
        pytest.raises(programs.MissingError, match="PostgreSQL's server is not installed"),
        programs.postgresql(),
    ):
        pass


@pytest.mark.parametrize(
    ("ci", "status", "word"), [("", 0, "skipped"), ("true", 1, "not run"), ("1", 1, "not run")]
)
def test_second_run_is_skipped_or_fails(without_programs, monkeypatch, capsys, ci, status, word):
    monkeypatch.setenv("CI", ci)
    assert command.main() == status
    assert (
        f"were {word}: redis-server is not installed (Debian: apt install redis-server)"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_tests_are_skipped_or_fail(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="redis-server is not installed; `make test` installs it"):
        missing(programs.MissingError("redis-server is not installed"))


def test_the_subset_exists():
    root = Path(__file__).resolve().parents[2]
    assert [name for name in command.SUBSET if not (root / name).exists()] == []
