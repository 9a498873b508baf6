"""Files that arrive in parts, over days if need be: rows that say how far each is, and their bytes on disk.

What counts is the row: bytes beyond its ``offset`` are of a request that broke off, and are written over.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, Sum
from django.http import UnreadablePostError
from django.utils import timezone

from webapp import quotas, storage
from webapp.errors import InvalidInputError, MissingError, QuotaError, TooLargeError, UploadError
from webapp.models import Scene, Upload
from webapp.rest.uploads import check_suffix, scene_of

__all__ = [
    "ALGORITHMS",
    "Wanted",
    "begin",
    "cancel",
    "file_of",
    "finish_single",
    "join",
    "join_file",
    "receive",
    "require",
]

PIECE_BYTES = 1024**2
MAX_PARTS = 10_000


class _Crc32:
    """zlib's checksum in the form of hashlib's: for browsers that give pages no better one over plain http."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# sha1 is the one that every tus server has to know; it guards against damage, not against malice.
ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "crc32": _Crc32,
}


class Wanted(NamedTuple):
    """An upload that somebody wants to begin."""

    length: int
    is_partial: bool
    name: str
    fingerprint: str
    part: int | None
    total: int


def require(user: User, upload_id: str) -> Upload:
    """The user's upload; to others there is none."""
    upload = Upload.objects.filter(pk=upload_id, owner=user).first()
    if upload is None:
        raise MissingError("There is no such upload (any more); send the file again.")
    return upload


def begin(user: User, wanted: Wanted) -> Upload:
    """Make room for an upload; of a part that was begun already, the one that is there."""
    storage.drop_stale_uploads()
    if wanted.total > settings.MAX_UPLOAD_BYTES or wanted.length > wanted.total:
        raise TooLargeError(
            f"The file has {quotas.format_bytes(max(wanted.total, wanted.length))}; at most "
            f"{quotas.format_bytes(settings.MAX_UPLOAD_BYTES)} can be sent, and no part is larger than its file."
        )
    name = check_suffix(wanted.name) if wanted.name or not wanted.is_partial else ""
    mine = Upload.objects.filter(owner=user, scene=None)
    same = mine.filter(fingerprint=wanted.fingerprint) if wanted.fingerprint else mine.none()
    existing = same.filter(part=wanted.part).first() if wanted.part is not None else None
    if existing is not None:
        if existing.length != wanted.length:
            raise UploadError(409, "The file's parts have other sizes by now; cancel it and send it again.")
        return existing
    if mine.count() >= 2 * MAX_PARTS:
        raise QuotaError(
            "You have too many unfinished uploads; cancel one, or send the file in larger parts."
        )
    received = same.aggregate(bytes=Sum("offset"))["bytes"] or 0
    quotas.check_room(user, wanted.total + _reserved(user, wanted.fingerprint), received)
    fields = {
        "owner": user,
        "fingerprint": wanted.fingerprint,
        "part": wanted.part,
        "is_partial": wanted.is_partial,
        "name": name,
        "total": wanted.total,
        "length": wanted.length,
        "touched_at": timezone.now(),
    }
    try:
        with transaction.atomic():
            return Upload.objects.create(pk=uuid.uuid4().hex, **fields)
    except IntegrityError:
        # Another tab begins the same part at this moment.
        return Upload.objects.get(owner=user, fingerprint=wanted.fingerprint, part=wanted.part)


def _reserved(user: User, fingerprint: str) -> int:
    """Bytes of the files that are on their way beside this one."""
    others = Upload.objects.filter(owner=user, scene=None)
    named = others.exclude(fingerprint="").exclude(fingerprint=fingerprint)
    by_file = named.values("fingerprint").annotate(bytes=Max("total"))
    unnamed = others.filter(fingerprint="").aggregate(bytes=Sum("length"))["bytes"] or 0
    return sum(int(row["bytes"]) for row in by_file) + int(unnamed)


def file_of(upload: Upload | str) -> Path:
    """Where an upload's bytes are."""
    key = upload if isinstance(upload, str) else upload.pk
    return storage.uploads_folder() / f"{key}.tus"


def cancel(user: User, fingerprint: str) -> int:
    """Forget all parts of a file."""
    return storage.drop_uploads(Upload.objects.filter(owner=user, fingerprint=fingerprint, scene=None))


def receive(upload: Upload, offset: int, body: Any, checksum: str = "") -> Upload:
    """Take in the bytes of a request from ``offset`` on. With a checksum they count as a whole or not at all."""
    wanted = _parse_checksum(checksum)
    with _locked(file_of(upload)) as file:
        upload = _current(upload)  # whoever had the lock before may have come further
        if offset != upload.offset:
            raise UploadError(
                409,
                f"The upload is at byte {upload.offset}, not at {offset}; ask for it, and go on from there.",
            )
        digest = None if wanted is None else ALGORITHMS[wanted[0]]()
        file.truncate(offset)
        file.seek(offset)
        received, is_broken = _write(file, body, upload.length - offset, digest)
        if digest is not None and wanted is not None and (is_broken or digest.digest() != wanted[1]):
            file.truncate(offset)
            raise UploadError(460, "The bytes arrived damaged (their checksum differs); send them again.")
        os.fsync(file.fileno())
        upload.offset = offset + received
        # Of a whole part only: what was put together from several requests has no checksum that was checked.
        upload.checksum = checksum.strip() if offset == 0 and upload.offset == upload.length else ""
        upload.touched_at = timezone.now()
        kept = {name: getattr(upload, name) for name in ("offset", "checksum", "touched_at")}
        if not Upload.objects.filter(pk=upload.pk).update(**kept):
            _current(upload)  # says that it was cancelled meanwhile
    if upload.fingerprint:
        Upload.objects.filter(owner=upload.owner, fingerprint=upload.fingerprint).update(
            touched_at=upload.touched_at
        )
    if is_broken:
        raise UploadError(400, "The line broke; ask how far it came, and go on from there.")
    return upload


def _current(upload: Upload) -> Upload:
    """The upload as the database has it; of one that was cancelled meanwhile nothing stays."""
    found = Upload.objects.filter(pk=upload.pk).select_related("owner").first()
    if found is None:
        file_of(upload).unlink(missing_ok=True)
        raise MissingError("This upload was cancelled; send the file again.")
    return found


def _write(file: BinaryIO, body: Any, room: int, digest: Any) -> tuple[int, bool]:
    """Copy a request's body; how many bytes, and whether it broke off."""
    received = 0
    while True:
        try:
            piece = body.read(PIECE_BYTES)
        except (UnreadablePostError, ConnectionError):
            return received, True
        if not piece:
            return received, False
        if received + len(piece) > room:
            raise TooLargeError("More bytes came than the upload was said to have; begin it anew.")
        try:
            file.write(piece)
        except OSError as error:
            raise _disk_error(error) from error
        if digest is not None:
            digest.update(piece)
        received += len(piece)


def _parse_checksum(text: str) -> tuple[str, bytes] | None:
    if not text.strip():
        return None
    algorithm, _, encoded = text.strip().partition(" ")
    try:
        value = base64.b64decode(encoded, validate=True)
    except ValueError:
        value = b""
    if algorithm not in ALGORITHMS or not value:
        raise InvalidInputError(
            f'The checksum must be one of {", ".join(ALGORITHMS)} and a value in base64, such as "sha256 47DE...".'
        )
    return algorithm, value


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, for one request at a time, whichever process has it."""
    try:
        file = path.open("r+b" if path.exists() else "w+b", buffering=0)
    except OSError as error:
        raise _disk_error(error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadError(
                423, "Another request is sending to this upload just now; try again in a moment."
            ) from error
        yield file


def _disk_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return QuotaError(
            "The server's disk is full; delete a scene, or ask whoever runs the server for space."
        )
    return error


def join(user: User, ids: list[str], name: str) -> Scene:
    """Put complete parts together and make a scene of them. A repeat gives the same scene."""
    if not 1 <= len(ids) <= MAX_PARTS or len(set(ids)) != len(ids):
        raise InvalidInputError(f"A file is put together of 1 to {MAX_PARTS} different parts.")
    done = Upload.objects.filter(pk=_key(user, ids), owner=user).select_related("scene").first()
    if done is not None and done.scene is not None:
        return done.scene
    found = {row.pk: row for row in Upload.objects.filter(owner=user, pk__in=ids, scene=None)}
    if len(found) < len(ids):
        raise MissingError("Parts of the file are not here (any more); send the file again.")
    return _joined(user, [found[part] for part in ids], name)


def join_file(user: User, fingerprint: str, name: str) -> Scene:
    """The same of all parts of a file, whose addresses would be too long for a request's headers."""
    mine = Upload.objects.filter(owner=user, fingerprint=fingerprint)
    found = list(mine.filter(scene=None, part__isnull=False).order_by("part"))
    if not found:
        done = mine.exclude(scene=None).order_by("-touched_at").select_related("scene").first()
        if done is not None and done.scene is not None:
            return done.scene
        raise MissingError("Parts of the file are not here (any more); send the file again.")
    if [part.part for part in found] != list(range(len(found))) or sum(part.length for part in found) != max(
        part.total for part in found
    ):
        raise UploadError(409, "Parts of the file are missing; send them first.")
    return _joined(user, found, name)


def _key(user: User, ids: list[str]) -> str:
    """What the whole is called, of these very parts."""
    return hashlib.sha256(f"{user.pk}:{','.join(ids)}".encode()).hexdigest()[:32]


def _joined(user: User, parts: list[Upload], name: str) -> Scene:
    lacking = [part for part in parts if part.offset != part.length or not part.is_partial]
    if lacking:
        raise UploadError(409, f"{len(lacking)} parts of the file are not complete; send them first.")
    name = check_suffix(name or next((part.name for part in parts if part.name), ""))
    size = sum(part.length for part in parts)
    quotas.check_room(user, size, received_bytes=size)
    key = _key(user, [part.pk for part in parts])
    target = file_of(key)
    with _locked(target) as file:
        start = 0
        for part in parts:
            # A part that was appended before the server stopped is not needed again.
            if os.fstat(file.fileno()).st_size < start + part.length:
                file.truncate(start)
                file.seek(start)
                _append(file, file_of(part), part.length)
            file_of(part).unlink(missing_ok=True)
            start += part.length
        with transaction.atomic():
            scene = scene_of(user, name, size, lambda lasting: target.rename(target.with_name(lasting)))
            now = timezone.now()
            Upload.objects.filter(pk__in=[part.pk for part in parts]).delete()
            # Who did not hear the answer asks again.
            Upload.objects.create(
                pk=key,
                owner=user,
                fingerprint=parts[0].fingerprint,
                name=name,
                total=size,
                length=size,
                offset=size,
                scene=scene,
                touched_at=now,
            )
    return scene


def _append(file: BinaryIO, path: Path, length: int) -> None:
    """Copy a part behind what is there, piece by piece, and have it on disk."""
    start = file.tell()
    try:
        with path.open("rb") as part:
            shutil.copyfileobj(part, file, PIECE_BYTES)
        if file.tell() != start + length:
            raise MissingError("Bytes of a part are gone from the server; send the file again.")
        os.fsync(file.fileno())
    except FileNotFoundError as error:
        raise MissingError("Parts of the file are not here any more; send the file again.") from error
    except OSError as error:
        raise _disk_error(error) from error


def finish_single(upload: Upload) -> Scene:
    """Make a scene of an upload that came whole by itself."""
    quotas.check_room(upload.owner, upload.length, received_bytes=upload.length)
    path = file_of(upload)
    with transaction.atomic():
        scene = scene_of(
            upload.owner,
            upload.name,
            upload.length,
            lambda lasting: path.rename(path.with_name(lasting)),
        )
        Upload.objects.filter(pk=upload.pk).update(scene=scene)
    return scene
