"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(autouse=True)
def data_dir(settings, tmp_path: Path) -> Path:
    """Each test has a data folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    settings.DATA_DIR = folder
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The machine's own Chromium; Playwright's would have to be downloaded."""
    found = next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)
    if found is None:
        pytest.fail("The browser tests need Chromium: apt install --no-install-recommends chromium")
    return found


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium_path: str) -> dict:
    flags = ["--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root otherwise
    return {"executable_path": chromium_path, "args": flags}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Playwright's event loop runs in the main thread, where Django would then refuse every query.

    A hook, because the test database is made and dropped in fixtures of the session.
    """
    if item.get_closest_marker("browser"):
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    else:
        os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
