"""A web server that serves files by ranges, on loopback; and one that does it wrong in the ways that servers do."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Web", "running_web"]


class Web(ThreadingHTTPServer):
    """Serves files by ranges; what it should do wrong is told by their paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[int, int]] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        return None

    def handle(self) -> None:
        self.server.connections += 1
        with contextlib.suppress(ConnectionError):  # the reader has what it wanted
            super().handle()

    def do_GET(self) -> None:
        kind, _, name = self.path.lstrip("/").partition("/")
        content = self.server.files.get(name)
        if kind == "moved":
            self.answer(302, b"", Location=f"{self.server.url}/plain/{name}")
        elif kind == "secret":
            self.answer(403, b"")
        elif kind == "broken":
            self.answer(500, b"")
        elif content is None:
            self.answer(404, b"")
        elif kind == "whole":
            self.answer(200, content)
        elif kind == "sizeless":
            self.answer(206, content[:10])
        else:
            self.ranged(content, kind)

    def ranged(self, content: bytes, kind: str) -> None:
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        wanted = self.headers.get("If-Match")
        if wanted and wanted != tag:
            self.answer(412, b"")
            return
        start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        if start >= len(content):
            self.answer(416, b"")
            return
        part = content[start : end + 1]
        self.server.asked.append((start, start + len(part)))
        if kind == "short" and start:
            part = part[:-1]
        more = {} if kind == "tagless" else {"ETag": tag}
        self.answer(206, part, **{"Content-Range": f"bytes {start}-{end}/{len(content)}", **more})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def running_web() -> Iterator[Web]:
    server = Web()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
