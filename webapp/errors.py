"""Which error becomes which HTTP status and which rejection code on the socket: here, and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.db import DataError, IntegrityError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from segmentation.errors import CancelledError, SegmentationError, StorageFullError, StoreError

__all__ = [
    "BusyError",
    "CompletionError",
    "ConflictError",
    "ForbiddenError",
    "InvalidInputError",
    "LimitError",
    "MissingError",
    "NothingToDoError",
    "Problem",
    "QuotaError",
    "StaleError",
    "TooLargeError",
    "UploadError",
    "WebError",
    "describe",
]

logger = logging.getLogger(__name__)

COLLIDED = "Somebody changed or deleted this in the same instant; look at it as it is now, and do it again if need be."
NOT_STORABLE = (
    "A value in it cannot be stored: it holds a control character, or is too long or too large. Correct it."
)
DATABASE_BUSY = "The database is busy or cannot be reached just now; wait a moment and do it again."
SERVER_ERROR = "The server ran into an error of its own; it is in its log. Please try again."


class WebError(Exception):
    """Base of what a person did that cannot be done; ``str()`` of it is a sentence for that person."""

    status = 400
    code = "invalid"


class InvalidInputError(WebError, ValueError):
    """A value is not of the form it must have."""


class MissingError(WebError):
    """No such thing, or nothing that this user may know of."""

    status, code = 404, "missing"


class ForbiddenError(WebError):
    """The user may see it, yet not do this with it."""

    status, code = 403, "forbidden"


class ConflictError(WebError):
    """It cannot be done in the present state of things."""

    status, code = 409, "conflict"


class CompletionError(WebError):
    """The decoder broke; the log says how."""

    status, code = 500, "internal"

    def __init__(self) -> None:
        super().__init__(
            "The server ran into an error of its own while completing the map; it is in its log. What you "
            "classified is kept, and the next click tries again."
        )


class StaleError(ConflictError):
    """The command speaks of a segmentation or version that is not the adopted one."""

    code = "stale"


class NothingToDoError(ConflictError):
    """There is nothing to undo or redo."""

    code = "nothing"


class LimitError(WebError):
    """Too many of them, or too fast."""

    status, code = 429, "limit"


class BusyError(WebError):
    """The server has more to do than it can take on now."""

    status, code = 503, "limit"


class TooLargeError(WebError):
    """The file or request is over a limit on its size."""

    status, code = 413, "limit"


class QuotaError(WebError):
    """The user's storage, or the disk, has no room for it."""

    status, code = 507, "limit"


class UploadError(WebError):
    """An upload in parts was not spoken as its protocol (tus) says; the status is the protocol's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Problem:
    """An error as the outside sees it."""

    status: int  # of an HTTP response
    code: str  # of ``command.rejected`` (docs/protocol.md)
    message: str  # a sentence for the user


def describe(error: BaseException) -> Problem:
    """What to tell the outside about ``error``; the text of one that nobody foresaw goes to the log only."""
    if isinstance(error, WebError):
        return Problem(error.status, error.code, str(error))
    if isinstance(error, StorageFullError):
        return Problem(507, "limit", str(error))
    if isinstance(error, (StoreError, CancelledError)):
        return Problem(409, "conflict", str(error))
    if isinstance(error, SegmentationError):
        return Problem(400, "invalid", str(error))
    if isinstance(error, DataError):
        # PostgreSQL is stricter than SQLite: no NUL in texts, numbers and texts of the column's size.
        logger.warning("the database refused a value", exc_info=error)
        return Problem(400, "invalid", NOT_STORABLE)
    if isinstance(error, IntegrityError):
        # What was checked a moment before was undone by another process: PostgreSQL locks rows, not the database.
        logger.warning("two changes collided", exc_info=error)
        return Problem(409, "conflict", COLLIDED)
    if isinstance(error, OperationalError):
        # A lock that was waited for in vain, a server that restarts: the next try may well succeed.
        logger.error("the database failed", exc_info=error)
        return Problem(503, "limit", DATABASE_BUSY)
    logger.error("unforeseen error", exc_info=error)
    return Problem(500, "internal", SERVER_ERROR)


def wants_json(request: HttpRequest) -> bool:
    """True for the paths that programs read rather than people."""
    return request.path.startswith(("/api/", "/tiles/"))


def _page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"detail": message}, status=status)
    return render(
        request, "errors/error.html", {"status": status, "title": title, "message": message}, status=status
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A write that did not come from our own pages, or from a page older than the sign-in."""
    return _page(
        request,
        403,
        "Please try again",
        "This page is older than your sign-in. Reload it, and do it once more.",
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400, "That did not work", "The server did not understand the request.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403, "Not allowed", str(exception) or "You may not do this.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(
        request,
        404,
        "Nothing here",
        "There is no such page, or it belongs to somebody else. Look in your projects.",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    # No template here: it may be what failed.
    if wants_json(request):
        return JsonResponse({"detail": SERVER_ERROR}, status=500)
    return HttpResponse(f"<!doctype html><title>ClusterNet: error</title><p>{SERVER_ERROR}</p>", status=500)
