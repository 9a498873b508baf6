"""The page's own modules, driven from Python: in Node where there is one, else in Chromium."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent

Answer = dict[str, Any]


class Pages(Protocol):
    """``ask`` one of the pages in ``pages.js`` something; AssertionError where its code fails."""

    def ask(self, **request: Any) -> Answer: ...


@contextmanager
def pages_in_node(node: str) -> Iterator[Pages]:
    command = [node, str(HERE / "bridge.js")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    class InNode:
        def ask(self, **request: Any) -> Answer:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "Node has ended; its error output says why"
            return _checked(json.loads(line))

    try:
        yield InNode()
    finally:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


@contextmanager
def pages_in_chromium(chromium: str, address: str) -> Iterator[Pages]:
    """``address``: where the root of the checkout is served."""
    # Playwright has an event loop of its own, beside which the test could run none: it gets a thread.
    wanted: queue.Queue[tuple[Answer, Future[Answer]] | None] = queue.Queue()
    ready: Future[None] = Future()

    def browse() -> None:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(f"{address}/tests/js/browser.html")
                page.evaluate("import('/tests/collaboration/pages.js').then((it) => { window.pages = it; })")
                ready.set_result(None)
                while (asked := wanted.get()) is not None:
                    request, told = asked
                    try:
                        told.set_result(page.evaluate("(request) => window.pages.answer(request)", request))
                    except Exception as error:
                        told.set_exception(error)
                browser.close()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    class InChromium:
        def ask(self, **request: Any) -> Answer:
            told: Future[Answer] = Future()
            wanted.put((request, told))
            return _checked(told.result(timeout=60))

    thread = threading.Thread(target=browse)
    thread.start()
    ready.result(timeout=60)
    try:
        yield InChromium()
    finally:
        wanted.put(None)
        thread.join(timeout=60)


def _checked(told: Answer) -> Answer:
    assert "error" not in told, told["error"]
    assert not told.get("failed"), told["failed"]
    return told
