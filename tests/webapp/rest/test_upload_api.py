"""Uploads in parts, spoken as any client of tus 1.0 would."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import zlib
from datetime import timedelta

import pytest
from django.utils import timezone

from webapp import quotas, storage
from webapp.models import Scene, Upload
from webapp.rest import parts
from webapp.storage import uploads_folder

pytestmark = pytest.mark.django_db(transaction=True)

TUS = {"Tus-Resumable": "1.0.0"}
KIND = "application/offset+octet-stream"


def encoded(**metadata: object) -> str:
    return ",".join(
        f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in metadata.items()
    )


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    digest = (
        zlib.crc32(data).to_bytes(4, "big") if algorithm == "crc32" else hashlib.new(algorithm, data).digest()
    )
    return f"{algorithm} {base64.b64encode(digest).decode()}"


def begin(client, length: int, *, partial: bool = True, **metadata):
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": encoded(**metadata)}
    if partial:
        headers["Upload-Concat"] = "partial"
    return client.post("/api/uploads", headers=headers)


def begin_part(client, data: bytes, part: int, total: int, **metadata) -> str:
    fields = {"filename": "big.tif", "fingerprint": "big.tif|9|1", "part": part, "total": total, **metadata}
    response = begin(client, len(data), **fields)
    assert response.status_code == 201, response.content
    return response["Location"]


def send(client, url: str, data: bytes, offset: int = 0, **headers):
    return client.patch(
        url, data, content_type=KIND, headers={**TUS, "Upload-Offset": str(offset), **headers}
    )


def finish(client, urls: list[str], **metadata):
    headers = {**TUS, "Upload-Concat": f"final;{' '.join(urls)}"}
    if metadata:
        headers["Upload-Metadata"] = encoded(**metadata)
    return client.post("/api/uploads", headers=headers)


PIECES = [b"a" * 5000, b"b" * 5000, b"c" * 1234]
TOTAL = sum(map(len, PIECES))


@pytest.fixture
def sent(signed_in) -> list[str]:
    """Addresses of three complete parts, the last sent first."""
    urls = [begin_part(signed_in, data, number, TOTAL) for number, data in enumerate(PIECES)]
    for url, data in reversed(list(zip(urls, PIECES, strict=True))):
        assert send(signed_in, url, data, **{"Upload-Checksum": checksum(data)}).status_code == 204
    return urls


def files() -> list[str]:
    return sorted(path.name for path in uploads_folder().iterdir())


def test_options_tell_what_is_spoken(signed_in, settings):
    response = signed_in.options("/api/uploads")
    assert response.status_code == 204
    assert response["Tus-Version"] == "1.0.0"
    assert response["Tus-Extension"] == "creation,checksum,concatenation,termination,expiration"
    assert response["Tus-Max-Size"] == str(settings.MAX_UPLOAD_BYTES)
    assert response["Tus-Checksum-Algorithm"] == "sha256,sha1,crc32"


def test_parts_become_one_scene(signed_in, sent, submitted, user):
    response = finish(signed_in, sent, filename="big.tif")
    assert response.status_code == 201
    scene = Scene.objects.get()
    assert response["Location"] == f"/api/scenes/{scene.pk}"
    assert response.json()["name"] == "big"
    assert (scene.owner, scene.size_bytes) == (user, TOTAL)
    [(submitted_scene, path)] = submitted["imports"]
    assert submitted_scene == scene
    assert path.read_bytes() == b"".join(PIECES)
    assert path.name.startswith(f"{scene.pk}-")
    assert files() == [path.name]


def test_who_did_not_hear_the_end_asks_again_and_gets_the_same_scene(signed_in, sent, submitted):
    first, second = finish(signed_in, sent), finish(signed_in, sent)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert len(submitted["imports"]) == 1


def test_putting_together_goes_on_after_a_crash(signed_in, sent, submitted, monkeypatch):
    calls = []
    append = parts._append

    def crash(file, path, length):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(file, path, length)

    monkeypatch.setattr(parts, "_append", crash)
    with pytest.raises(KeyboardInterrupt):
        finish(signed_in, sent)
    assert not Scene.objects.exists()
    monkeypatch.setattr(parts, "_append", append)
    assert finish(signed_in, sent).status_code == 201
    [(_, path)] = submitted["imports"]
    assert path.read_bytes() == b"".join(PIECES)
    assert files() == [path.name]


def test_part_goes_on_where_it_broke(signed_in, submitted):
    url = begin_part(signed_in, b"x" * 100, 0, 100)
    assert send(signed_in, url, b"x" * 40)["Upload-Offset"] == "40"
    state = signed_in.head(url, headers=TUS)
    assert (state["Upload-Offset"], state["Upload-Length"], state["Cache-Control"]) == (
        "40",
        "100",
        "no-store",
    )
    assert send(signed_in, url, b"y" * 60, 40)["Upload-Offset"] == "100"
    assert parts.file_of(url.rpartition("/")[2]).read_bytes() == b"x" * 40 + b"y" * 60


def test_line_that_breaks_keeps_what_came(signed_in, user, submitted):
    url = begin_part(signed_in, b"x" * 100, 0, 100)
    upload = Upload.objects.get()

    class Broken(io.BytesIO):
        def read(self, size=-1):
            piece = super().read(size)
            if not piece:
                raise ConnectionResetError
            return piece

    with pytest.raises(parts.UploadError, match="line broke"):
        parts.receive(upload, 0, Broken(b"x" * 30))
    assert signed_in.head(url, headers=TUS)["Upload-Offset"] == "30"
    with pytest.raises(parts.UploadError, match="damaged"):
        parts.receive(upload, 30, Broken(b"x" * 30), checksum(b"x" * 70))
    assert signed_in.head(url, headers=TUS)["Upload-Offset"] == "30"


def test_bytes_of_a_request_that_a_crash_cut_off_do_not_count(signed_in, submitted):
    url = begin_part(signed_in, PIECES[0], 0, len(PIECES[0]))
    parts.file_of(url.rpartition("/")[2]).write_bytes(b"rubbish" * 2000)
    assert send(signed_in, url, PIECES[0]).status_code == 204
    assert parts.file_of(url.rpartition("/")[2]).read_bytes() == PIECES[0]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "crc32"])
def test_damaged_part_is_dropped(signed_in, algorithm):
    url = begin_part(signed_in, PIECES[0], 0, TOTAL)
    damaged = b"z" + PIECES[0][1:]
    response = send(signed_in, url, damaged, **{"Upload-Checksum": checksum(PIECES[0], algorithm)})
    assert response.status_code == 460
    assert "arrived damaged" in response.json()["detail"]
    assert signed_in.head(url, headers=TUS)["Upload-Offset"] == "0"
    assert (
        send(signed_in, url, PIECES[0], **{"Upload-Checksum": checksum(PIECES[0], algorithm)}).status_code
        == 204
    )


@pytest.mark.parametrize("value", ["md5 aGk=", "sha256", "sha256 ***", "nonsense"])
def test_checksum_that_is_none_is_told(signed_in, value):
    url = begin_part(signed_in, PIECES[0], 0, TOTAL)
    response = send(signed_in, url, PIECES[0], **{"Upload-Checksum": value})
    assert response.status_code == 400
    assert "must be one of sha256, sha1, crc32" in response.json()["detail"]


def test_same_part_is_begun_once(signed_in):
    first = begin_part(signed_in, PIECES[0], 0, TOTAL)
    send(signed_in, first, PIECES[0])
    again = begin(signed_in, 5000, filename="big.tif", fingerprint="big.tif|9|1", part=0, total=TOTAL)
    assert again["Location"] == first
    assert again["Upload-Offset"] == "5000"
    other = begin(signed_in, 6000, filename="big.tif", fingerprint="big.tif|9|1", part=0, total=TOTAL)
    assert other.status_code == 409
    assert "other sizes" in other.json()["detail"]


def test_part_that_is_cancelled_while_it_comes_leaves_nothing(signed_in, user):
    begin_part(signed_in, PIECES[0], 0, TOTAL)
    upload = Upload.objects.get()

    class Cancelled(io.BytesIO):
        def read(self, size=-1):
            parts.cancel(user, upload.fingerprint)
            return super().read(size)

    with pytest.raises(parts.MissingError, match="was cancelled"):
        parts.receive(upload, 0, Cancelled(PIECES[0]))
    assert files() == []
    with pytest.raises(parts.MissingError, match="was cancelled"):
        parts.receive(upload, 0, io.BytesIO(PIECES[0]))
    assert files() == []


def test_list_tells_what_is_here_for_any_page(signed_in, other_client):
    done = begin_part(signed_in, PIECES[0], 0, TOTAL)
    begin_part(signed_in, PIECES[1], 1, TOTAL)
    send(signed_in, done, PIECES[0], **{"Upload-Checksum": checksum(PIECES[0])})
    [file] = signed_in.get("/api/uploads").json()
    assert (file["name"], file["total"], file["received"]) == ("big.tif", TOTAL, 5000)
    assert file["fingerprint"] == "big.tif|9|1"
    assert file["parts"][0] == {
        "part": 0, "url": done, "length": 5000, "offset": 5000, "checksum": checksum(PIECES[0]),
    }  # fmt: skip
    assert file["parts"][1]["checksum"] == ""
    assert other_client.get("/api/uploads").json() == []


def test_single_upload_of_any_client_becomes_a_scene(signed_in, submitted):
    response = begin(signed_in, 30, partial=False, filename="small.tif")
    url = response["Location"]
    send(signed_in, url, b"x" * 10)
    assert not Scene.objects.exists()
    last = send(signed_in, url, b"y" * 20, 10)
    assert last["Scene-Location"] == f"/api/scenes/{Scene.objects.get().pk}"
    [(_, path)] = submitted["imports"]
    assert path.read_bytes() == b"x" * 10 + b"y" * 20
    assert send(signed_in, url, b"z", 30).status_code == 409


def test_part_and_file_can_be_cancelled(signed_in, sent):
    assert signed_in.delete(sent[0], headers=TUS).status_code == 204
    assert len(files()) == 2
    assert signed_in.head(sent[0], headers=TUS).status_code == 404
    assert signed_in.delete("/api/uploads?fingerprint=big.tif|9|1").status_code == 204
    assert files() == []
    assert not Upload.objects.exists()


def test_uploads_of_others_are_not_there(signed_in, other_client, sent):
    assert other_client.head(sent[0], headers=TUS).status_code == 404
    assert send(other_client, sent[0], b"z").status_code == 404
    assert other_client.delete(sent[0], headers=TUS).status_code == 404
    assert other_client.delete("/api/uploads?fingerprint=big.tif|9|1").status_code == 204
    response = finish(other_client, sent, filename="big.tif")
    assert response.status_code == 404
    assert "Parts of the file are not here" in response.json()["detail"]
    assert Upload.objects.count() == 3


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "5"}, 412, "speak tus 1.0.0"),
        ({**TUS}, 400, "Upload-Length must be a whole number"),
        ({**TUS, "Upload-Length": "-5"}, 400, "Upload-Length must be a whole number"),
        ({**TUS, "Upload-Length": "0"}, 400, "The file is empty"),
        ({**TUS, "Upload-Length": "5", "Upload-Concat": "other"}, 400, "Upload-Concat is"),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": "filename ***"}, 400, 'value of "filename"'),
        ({**TUS, "Upload-Length": "5", "Upload-Metadata": encoded(filename="a.txt")}, 400, "a.txt is not an image"),
        ({**TUS, "Upload-Length": "5"}, 400, "The file is not an image"),
        (
            {**TUS, "Upload-Length": "5", "Upload-Concat": "partial", "Upload-Metadata": encoded(part=1)},
            400,
            "A part needs the file's fingerprint",
        ),
        ({**TUS, "Upload-Length": str(10**17), "Upload-Metadata": encoded(filename="a.tif")}, 413, "at most"),
        (
            {**TUS, "Upload-Length": "50", "Upload-Metadata": encoded(filename="a.tif", total=5)},
            413,
            "no part is larger than its file",
        ),
        ({**TUS, "Upload-Length": "5", "Upload-Concat": "final;/a"}, 400, "leave Upload-Length out"),
        ({**TUS, "Upload-Concat": "final;"}, 400, "1 to 10000 different parts"),
        ({**TUS, "Upload-Concat": "final;/api/uploads/nothing"}, 404, "send the file again"),
    ],
)  # fmt: skip
def test_creation_that_makes_no_sense_is_told(signed_in, headers, status, sentence):
    response = signed_in.post("/api/uploads", headers=headers)
    assert response.status_code == status
    assert sentence in response.json()["detail"]
    assert not Upload.objects.exists()


def test_patch_that_makes_no_sense_is_told(signed_in):
    url = begin_part(signed_in, PIECES[0], 0, TOTAL)
    wrong = signed_in.patch(url, b"x", content_type="text/plain", headers={**TUS, "Upload-Offset": "0"})
    assert wrong.status_code == 415
    ahead = send(signed_in, url, b"x", 7)
    assert ahead.status_code == 409
    assert "at byte 0, not at 7" in ahead.json()["detail"]
    long = send(signed_in, url, b"x" * 5001)
    assert long.status_code == 413
    assert "More bytes came" in long.json()["detail"]
    assert send(signed_in, url, b"x", **{"Upload-Offset": "x"}).status_code == 400


def test_two_requests_do_not_write_the_same_part_at_once(signed_in):
    url = begin_part(signed_in, PIECES[0], 0, TOTAL)
    with parts._locked(parts.file_of(url.rpartition("/")[2])):
        response = send(signed_in, url, PIECES[0])
    assert response.status_code == 423
    assert send(signed_in, url, PIECES[0]).status_code == 204


def test_file_with_lacking_parts_is_not_put_together(signed_in, sent, submitted):
    Upload.objects.filter(part=1).update(offset=100)
    response = finish(signed_in, sent)
    assert response.status_code == 409
    assert "1 parts of the file are not complete" in response.json()["detail"]
    assert not Scene.objects.exists()


def test_lost_bytes_are_told_when_it_is_put_together(signed_in, sent, submitted):
    parts.file_of(sent[1].rpartition("/")[2]).unlink()
    response = finish(signed_in, sent)
    assert response.status_code == 404
    assert "send the file again" in response.json()["detail"]
    assert not Scene.objects.exists()


def test_quota_counts_the_whole_file_at_the_start(signed_in, settings):
    settings.QUOTA_BYTES = 10_000
    response = begin(signed_in, 5000, filename="a.tif", fingerprint="f", part=0, total=12_000)
    assert response.status_code == 507
    assert "this needs 12 KB more" in response.json()["detail"]


def test_quota_counts_files_that_are_on_their_way(signed_in, settings):
    settings.QUOTA_BYTES = 10_000
    begin_part(signed_in, b"x" * 1000, 0, 6000)
    begin_part(signed_in, b"x" * 1000, 1, 6000)  # of the same file: it counts once
    assert begin(signed_in, 5000, partial=False, filename="other.tif").status_code == 507


def test_quota_is_looked_at_again_at_the_end(signed_in, sent, submitted, settings, make_scene):
    settings.QUOTA_BYTES = 20_000
    make_scene(size_bytes=15_000)
    response = finish(signed_in, sent)
    assert response.status_code == 507
    assert Scene.objects.count() == 1
    assert len(files()) == 3


def test_bytes_that_are_here_need_no_room_on_the_disk_again(user, settings, monkeypatch):
    usage = type("Usage", (), {"free": 6000})
    monkeypatch.setattr(quotas.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(quotas.QuotaError, match="disk is almost full"):
        quotas.check_room(user, 10_000)
    quotas.check_room(user, 10_000, received_bytes=5_000)


def test_full_disk_is_told(signed_in, monkeypatch):
    url = begin_part(signed_in, PIECES[0], 0, TOTAL)

    def full(file, body, room, digest):
        raise parts._disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(parts, "_write", full)
    response = send(signed_in, url, PIECES[0])
    assert response.status_code == 507
    assert "disk is full" in response.json()["detail"]


def test_uploads_that_nobody_went_on_with_for_a_day_are_dropped(signed_in, sent):
    day = timedelta(hours=24, minutes=1)
    Upload.objects.update(touched_at=timezone.now() - day)
    fresh = begin(signed_in, 10, partial=False, filename="new.tif")
    assert fresh.status_code == 201
    assert Upload.objects.count() == 1
    assert files() == []


def test_part_that_comes_keeps_the_others_of_its_file(signed_in, sent):
    old = timezone.now() - timedelta(hours=23)
    Upload.objects.update(touched_at=old)
    late = begin_part(signed_in, b"late", 3, TOTAL)
    send(signed_in, late, b"late")
    assert Upload.objects.filter(touched_at__lte=old).count() == 0


def test_sweep_keeps_parts_that_have_their_row_and_drops_others(signed_in, sent):
    lost = uploads_folder() / f"{'0' * 32}.tus"
    lost.write_bytes(b"x")
    for path in uploads_folder().iterdir():
        os.utime(path, (0, 0))
    orphans, _ = storage.sweep()
    assert [orphan.path for orphan in orphans] == [lost]
    assert len(files()) == 3
    Upload.objects.update(touched_at=timezone.now() - timedelta(days=2))
    storage.sweep()
    assert files() == []


def test_parts_need_a_csrf_token(user):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert begin(client, 10, filename="a.tif").status_code == 403
    assert client.get("/api/uploads").status_code == 200
