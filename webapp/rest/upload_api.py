"""REST: files in parts by tus 1.0 (https://tus.io): creation, checksum, concatenation, termination, expiration."""

from __future__ import annotations

import base64
from collections import defaultdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import http_date
from ninja import Router

from webapp.descriptions import describe_scene
from webapp.errors import InvalidInputError, UploadError
from webapp.models import Upload
from webapp.requests import PART_TYPE
from webapp.rest import parts
from webapp.storage import HALF_UPLOAD_S, drop_uploads

__all__ = ["router"]

router = Router(tags=["uploads"])

VERSION = "1.0.0"
PATH = "/api/uploads"
EXTENSIONS = "creation,checksum,concatenation,termination,expiration"


@router.api_operation(["OPTIONS"], "")
def capabilities(request: HttpRequest) -> HttpResponse:
    return _answer(
        204,
        **{
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.MAX_UPLOAD_BYTES),
            "Tus-Checksum-Algorithm": ",".join(parts.ALGORITHMS),
        },
    )


@router.get("")
def list_uploads(request: HttpRequest) -> list[dict[str, Any]]:
    """Not of tus: the user's unfinished files with what is here of them, so that any page can go on with them."""
    files: dict[str, list[Upload]] = defaultdict(list)
    for upload in Upload.objects.filter(owner=request.user, scene=None).order_by("part", "created_at"):
        if upload.fingerprint:
            files[upload.fingerprint].append(upload)
    return [_describe_file(fingerprint, uploads) for fingerprint, uploads in files.items()]


@router.delete("", response={204: None})
def cancel_file(request: HttpRequest, fingerprint: str) -> HttpResponse:
    """Not of tus: forget all parts of a file in one request."""
    parts.cancel(request.user, fingerprint)
    return _answer(204)


@router.post("")
def begin(request: HttpRequest) -> HttpResponse:
    _check_version(request)
    metadata = _metadata(request.headers.get("Upload-Metadata", ""))
    concat = request.headers.get("Upload-Concat", "")
    if concat.startswith("final;"):
        if "Upload-Length" in request.headers:
            raise InvalidInputError(
                "A file that is put together has the length of its parts; leave Upload-Length out."
            )
        ids = [urlsplit(path).path.rstrip("/").rpartition("/")[2] for path in concat[6:].split()]
        if not ids and metadata.get("fingerprint"):
            scene = parts.join_file(request.user, metadata["fingerprint"], metadata.get("filename", ""))
        else:
            scene = parts.join(request.user, ids, metadata.get("filename", ""))
        response: HttpResponse = JsonResponse(describe_scene(scene), status=201)
        return _with_headers(response, Location=f"/api/scenes/{scene.pk}")
    if concat not in ("", "partial"):
        raise InvalidInputError('Upload-Concat is "partial", or "final;" and the addresses of the parts.')
    length = _number(request.headers.get("Upload-Length", ""), "Upload-Length")
    if length < 1:
        raise InvalidInputError("The file is empty; choose it again.")
    part = metadata.get("part")
    wanted = parts.Wanted(
        length,
        concat == "partial",
        metadata.get("filename", ""),
        metadata.get("fingerprint", "")[:400],
        None if part is None else _number(part, "part"),
        _number(metadata["total"], "total") if "total" in metadata else length,
    )
    if wanted.part is not None and (not wanted.fingerprint or wanted.part >= parts.MAX_PARTS):
        raise InvalidInputError(
            f"A part needs the file's fingerprint beside it, and is one of the first {parts.MAX_PARTS}."
        )
    upload = parts.begin(request.user, wanted)
    return _answer(201, Location=f"{PATH}/{upload.pk}", **_state(upload))


@router.api_operation(["HEAD"], "/{upload_id}")
def state(request: HttpRequest, upload_id: str) -> HttpResponse:
    upload = parts.require(request.user, upload_id)
    _check_version(request)
    return _answer(
        200, **{"Upload-Length": str(upload.length), "Cache-Control": "no-store"}, **_state(upload)
    )


@router.patch("/{upload_id}")
def receive(request: HttpRequest, upload_id: str) -> HttpResponse:
    # Must stay sync: the thread that reads the body pulls it from the sender (webapp/requests.py).
    upload = parts.require(request.user, upload_id)
    _check_version(request)
    if request.headers.get("Content-Type", "") != PART_TYPE:
        raise UploadError(415, f"The bytes of an upload are sent as {PART_TYPE}.")
    offset = _number(request.headers.get("Upload-Offset", ""), "Upload-Offset")
    if upload.scene_id is not None:
        raise UploadError(409, "This upload is complete, and its scene was made.")
    upload = parts.receive(upload, offset, request, request.headers.get("Upload-Checksum", ""))
    more = {}
    if upload.offset == upload.length and not upload.is_partial:
        more["Scene-Location"] = f"/api/scenes/{parts.finish_single(upload).pk}"
    return _answer(204, **_state(upload), **more)


@router.delete("/{upload_id}", response={204: None})
def terminate(request: HttpRequest, upload_id: str) -> HttpResponse:
    upload = parts.require(request.user, upload_id)
    _check_version(request)
    drop_uploads(Upload.objects.filter(pk=upload.pk))
    return _answer(204)


def _describe_file(fingerprint: str, uploads: list[Upload]) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "name": uploads[0].name,
        "total": uploads[0].total,
        "received": sum(upload.offset for upload in uploads),
        "expires_at": _expiry(uploads[0]).isoformat(),
        "parts": [
            {
                "part": upload.part,
                "url": f"{PATH}/{upload.pk}",
                "length": upload.length,
                "offset": upload.offset,
                "checksum": upload.checksum,
            }
            for upload in uploads
        ],
    }


def _state(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": http_date(_expiry(upload).timestamp()),
        **({"Upload-Concat": "partial"} if upload.is_partial else {}),
    }


def _expiry(upload: Upload) -> Any:
    return upload.touched_at + timedelta(seconds=HALF_UPLOAD_S)


def _check_version(request: HttpRequest) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise UploadError(412, f"Uploads here speak tus {VERSION}; say so in the header Tus-Resumable.")


def _metadata(text: str) -> dict[str, str]:
    """Pairs of a key and a value in base64, with commas between."""
    found = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:  # of base64 and of UTF-8
            raise InvalidInputError(
                f'The value of "{key[:40]}" in Upload-Metadata is not text in base64.'
            ) from error
    return found


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise InvalidInputError(f"{name} must be a whole number from 0 on.")
    return int(text)


def _answer(status: int, **headers: str) -> HttpResponse:
    return _with_headers(HttpResponse(status=status), **headers)


def _with_headers(response: HttpResponse, **headers: str) -> HttpResponse:
    for name, value in {"Tus-Resumable": VERSION, **headers}.items():
        response[name] = value
    return response
