"""The fixture server and the browser of the map page's tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.browser.map_fixture.driver import PATIENCE_MS, PLAIN, MapPage

ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=PATIENCE_MS)  # five seconds are short on a machine that computes beside
# SwiftShader draws WebGL2 exactly on machines without a GPU.
ARGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture(scope="session")
def map_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser.map_fixture.server", str(port)], cwd=ROOT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/projects/1/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "the fixture server ended"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def map_browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium or Chrome on this machine; `make test` installs one")
    browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
    yield browser
    browser.close()


@pytest.fixture
def map_page(map_server: str, map_browser: Browser) -> Iterator[Callable[..., MapPage]]:
    opened: list[MapPage] = []

    def make(number: int = PLAIN, **context: Any) -> MapPage:
        page = map_browser.new_context(viewport={"width": 1200, "height": 800}, **context).new_page()
        one = MapPage(page, map_server, number)
        one.control("reset")
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.page.context.close()
        assert not one.errors, one.errors
