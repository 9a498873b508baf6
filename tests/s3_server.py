"""A server that speaks S3 (moto's), on loopback, in a process of its own for the time of the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.store import S3Store

__all__ = ["running_s3"]

# One process, its state in memory: what the tests store goes with it.
_PROGRAM = "from moto.server import main; import sys; main(sys.argv[1:])"


@contextmanager
def running_s3(bucket: str = "scenes") -> Iterator[str]:
    """The address of a server that has one empty bucket; credentials and address are in the environment meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
    }
    before = {name: os.environ.get(name) for name in settings}
    try:
        _wait(address, process)
        os.environ.update(settings)
        urllib.request.urlopen(urllib.request.Request(f"{address}/{bucket}", method="PUT")).close()
        yield address
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        process.terminate()
        process.wait(timeout=10)


def client(bucket: str = "scenes") -> S3Store:
    return S3Store(bucket, client_options={"allow_http": True})


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError("the S3 server did not start")
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the S3 server does not answer")
