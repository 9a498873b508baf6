"""Runs the JavaScript tests: under Node where it is new enough, and in Chromium, which is what people use."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Playwright

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in Path(__file__).parent.glob("*.test.js"))
# From these on, Node tells ES modules from their syntax, without a package.json.
NODE_WITH_MODULES = {20: 19, 22: 7}
CHROMIUM_ARGS = ["--no-sandbox", "--disable-background-networking"]


def node() -> str | None:
    found = shutil.which("node")
    if not found:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = (int(part) for part in re.findall(r"\d+", version)[:2])
    return found if major > 22 or minor >= NODE_WITH_MODULES.get(major, 1000) else None


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Requests are no news in a test."""


@pytest.fixture
def served() -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(ROOT))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_there_are_files_to_run() -> None:
    assert len(FILES) >= 5


@pytest.mark.skipif(
    node() is None, reason="Node is absent or older than 20.19 / 22.7; Chromium runs the same files"
)
def test_modules_pass_in_node() -> None:
    command = [str(node()), "--test", *(str(Path(__file__).parent / name) for name in FILES)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


@pytest.mark.browser
def test_modules_pass_in_chromium(served: str, playwright: Playwright) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium or Chrome on this machine; `make test` installs one")
    browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
    page = browser.new_page()
    page.goto(f"{served}/tests/js/browser.html?{urlencode([('file', name) for name in FILES])}")
    page.wait_for_function("window.results")
    results = page.evaluate("window.results")
    browser.close()
    assert len(results) > 50
    failures = [f"{result['name']}: {result['error']}" for result in results if result["error"]]
    assert not failures, "\n".join(failures)
