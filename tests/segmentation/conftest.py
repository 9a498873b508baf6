"""Fixtures for the tests of the library."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from segmentation import objects
from tests.s3_server import running_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server with an empty bucket "scenes"."""
    objects.forget_buckets()
    with running_s3() as address:
        yield address
    objects.forget_buckets()


@pytest.fixture
def memory_url() -> str:
    return f"memory://{uuid.uuid4().hex}/store"
