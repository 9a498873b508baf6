"""Memory that is freed and wanted again at once."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["reuse_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT_BYTES = 1 << 30
_USUAL_BYTES = 128 * 1024  # glibc's default of both


@contextmanager
def reuse_freed_memory() -> Iterator[None]:
    """Keep large blocks in the process instead of giving each back to the system and fetching it anew.

    A training step allocates and frees some tens of arrays of several megabytes; glibc maps each afresh, and clearing the pages
    takes as long as the arithmetic. Elsewhere than on glibc nothing is changed.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
    library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _USUAL_BYTES)
        library.mallopt(_TRIM_THRESHOLD, _USUAL_BYTES)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    has_both = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")  # musl lacks the latter
    return library if has_both else None
