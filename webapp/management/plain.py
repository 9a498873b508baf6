"""Commands for people: an error is one sentence on stderr, without a class name or a traceback."""

from __future__ import annotations

import errno
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from segmentation.errors import SegmentationError
from webapp.errors import WebError
from webapp.services import ServiceError

__all__ = ["PlainCommand", "plain_errors"]

FULL = (errno.ENOSPC, errno.EDQUOT)


class PlainCommand(BaseCommand):
    def run_from_argv(self, argv: list[str]) -> None:
        if "--traceback" in argv:
            super().run_from_argv(argv)
            return
        try:
            # With this option Django raises the error instead of printing it with its class name.
            super().run_from_argv([*argv, "--traceback"])
        except CommandError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(error.returncode)
        except KeyboardInterrupt:
            sys.exit(130)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what can go wrong on a sound installation into a CommandError with a sentence."""
    try:
        yield
    except (WebError, SegmentationError, ServiceError) as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        if _is_full(error):
            raise CommandError(_disk_full()) from error
        raise CommandError(
            f"The database does not work ({error}); check DATABASE_URL, or DATA_DIR."
        ) from error
    except OSError as error:
        if error.errno in FULL:
            raise CommandError(_disk_full()) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise CommandError(
                f"{error.filename or settings.DATA_DIR} cannot be written ({error.strerror}); "
                "fix its permissions, or set DATA_DIR to another folder."
            ) from error
        raise


def _is_full(error: DatabaseError) -> bool:
    return isinstance(error.__cause__, sqlite3.Error) and "full" in str(error.__cause__)


def _disk_full() -> str:
    return (
        f"The disk that holds {settings.DATA_DIR} is full; free some space, or set DATA_DIR to another disk."
    )
