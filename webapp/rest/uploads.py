"""Receiving rasters: straight to the data folder's disk, within the limits from the first byte."""

from __future__ import annotations

import errno
import re
import uuid
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.db import transaction
from django.http.multipartparser import MultiPartParser

from webapp import quotas
from webapp.errors import InvalidInputError, QuotaError, TooLargeError
from webapp.jobs import door
from webapp.models import Scene
from webapp.requests import UPLOAD_PATH
from webapp.storage import uploads_folder

__all__ = ["RasterUploadHandler", "ReceivedFile", "check_suffix", "clean_name", "receive_scene", "scene_of"]

FORM_BYTES = 64 * 1024  # what a form may add around its file
DISK_CHECK_BYTES = 64 * 1024**2  # the disk is looked at again after each of these
SUFFIXES = (".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg")


class ReceivedFile(UploadedFile):
    """A file on its way in; unless somebody keeps it, closing removes it."""

    def __init__(self, name: str, content_type: str | None, size: int = 0) -> None:
        self.path = uploads_folder() / f"{uuid.uuid4().hex}.part"
        super().__init__(self.path.open("w+b"), name, content_type, size)

    def keep(self, name: str) -> Path:
        """Close the file and give it its lasting name in the uploads folder."""
        if self.file is not None:
            self.file.close()
        return self.path.rename(self.path.with_name(name))

    def close(self) -> None:
        super().close()
        self.path.unlink(missing_ok=True)


class RasterUploadHandler(FileUploadHandler):
    """Receives uploads through DiskWriter; files sent to any other address are dropped."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> tuple[Any, Any] | None:
        if self.request is None or self.request.path.rstrip("/") != UPLOAD_PATH:
            return None
        if content_length > settings.MAX_UPLOAD_BYTES + FORM_BYTES:
            raise _too_large(content_length)
        quotas.check_room(self.request.user, content_length)
        # A parser of our own: Django's forgets the file it is at when the sender leaves or a limit is hit.
        writer = DiskWriter(self.request)
        try:
            return MultiPartParser(META, input_data, [writer], encoding or settings.DEFAULT_CHARSET).parse()
        except BaseException:
            writer.upload_interrupted()
            raise

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        raise AssertionError("every file is skipped")

    def file_complete(self, file_size: int) -> None:
        return None


class DiskWriter(FileUploadHandler):
    """Writes each file of an upload to disk piece by piece, within the limits."""

    chunk_size = 1024**2

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self._writing: ReceivedFile
        self._is_writing = False
        self._received = 0
        self._checked = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._writing = ReceivedFile(self.file_name, self.content_type)
        self._is_writing = True

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._received += len(raw_data)
        if self._received > settings.MAX_UPLOAD_BYTES:
            raise _too_large(self._received)
        if self._received - self._checked > DISK_CHECK_BYTES:
            self._checked = self._received
            quotas.check_room(self.request.user, DISK_CHECK_BYTES)
        try:
            self._writing.write(raw_data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise QuotaError(
                "The server's disk is full; delete a scene, or ask whoever runs the server for space."
            ) from error

    def file_complete(self, file_size: int) -> ReceivedFile:
        self._is_writing = False
        self._writing.size = file_size
        self._writing.flush()
        self._writing.seek(0)
        return self._writing

    def upload_interrupted(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._writing.close()


def receive_scene(user: User, file: UploadedFile, name: str = "") -> Scene:
    """Make a scene of a received file and hand it to the import."""
    source_name = check_suffix(file.name or "")
    if not isinstance(file, ReceivedFile) or not file.size:
        raise InvalidInputError(f"{source_name} is empty; choose the file again.")
    # Of uploads that ran beside each other the last one to end meets the quota here.
    quotas.check_room(user, file.size)
    with transaction.atomic():
        return scene_of(user, source_name, file.size, file.keep, name)


def scene_of(user: User, source_name: str, size: int, keep: Callable[[str], Path], name: str = "") -> Scene:
    """Make a scene of a file that is here, inside a transaction; ``keep`` gives the file its lasting name."""
    scene = Scene.objects.create(
        owner=user,
        name=clean_name(name or PurePath(source_name).stem),
        source_name=source_name,
        size_bytes=size,
    )
    # The sweep reads the scene's id from the name; nothing else of the user's file name reaches the disk.
    path = keep(f"{scene.pk}-{uuid.uuid4().hex}{PurePath(source_name).suffix.lower()}")
    transaction.on_commit(lambda: door.submit_import(scene, path))
    return scene


def check_suffix(file_name: str) -> str:
    """The file's name without its folders, of an image that we read."""
    source_name = PurePath(file_name).name[-255:]
    if PurePath(source_name).suffix.lower() not in SUFFIXES:
        raise InvalidInputError(
            f"{source_name or 'The file'} is not an image we read: send a GeoTIFF, JPEG 2000, PNG or JPEG "
            f"({', '.join(SUFFIXES)})."
        )
    return source_name


def clean_name(text: str) -> str:
    """``text`` as a name: no control characters, one line, at most 200 characters."""
    name = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()[:200]
    if not name:
        raise InvalidInputError("A name needs at least one character.")
    return name


def _too_large(size: int) -> TooLargeError:
    return TooLargeError(
        f"The file is larger than the {quotas.format_bytes(settings.MAX_UPLOAD_BYTES)} that may be sent "
        f"({quotas.format_bytes(size)} or more); crop it, or have it imported on the server itself."
    )
