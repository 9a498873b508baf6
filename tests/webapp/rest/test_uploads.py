"""Receiving files through the REST interface."""

from __future__ import annotations

import errno
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from webapp import quotas
from webapp.errors import InvalidInputError
from webapp.live.colors import color_of
from webapp.models import Scene
from webapp.rest import uploads
from webapp.storage import uploads_folder

pytestmark = pytest.mark.django_db(transaction=True)


def send(client: Client, content: bytes = b"II*\0", file_name: str = "fields.tif", **fields):
    return client.post("/api/scenes", {"file": SimpleUploadedFile(file_name, content), **fields})


def test_upload_makes_a_scene_and_starts_its_import(signed_in, user, submitted):
    response = send(signed_in, b"x" * 5000, "Fields of 2026.TIF")
    assert response.status_code == 202
    scene = Scene.objects.get()
    assert response.json() == {
        "id": scene.pk,
        "name": "Fields of 2026",
        "state": "importing",
        "progress": 0.0,
        "message": "",
        "attribution": "",
        "owner": {"id": user.pk, "name": "ana", "color": color_of(user.pk)},
        "size_bytes": 5000,
        "created_at": scene.created_at.isoformat(),
        "info": None,
    }
    assert (scene.owner, scene.source_name) == (user, "Fields of 2026.TIF")
    [(submitted_scene, path)] = submitted["imports"]
    assert submitted_scene == scene
    assert path.read_bytes() == b"x" * 5000
    assert path.parent == uploads_folder()
    assert path.suffix == ".tif"
    assert path.name.startswith(f"{scene.pk}-")
    assert list(uploads_folder().iterdir()) == [path]


def test_message_of_a_failed_import_calls_the_file_as_its_sender_did(signed_in, submitted):
    send(signed_in, file_name=r"C:\\1 of 2.tif")
    [(scene, path)] = submitted["imports"]
    Scene.objects.update(state="failed", message=f'"{path.name}" is damaged or incomplete.')
    shown = signed_in.get(f"/api/scenes/{scene.pk}").json()["message"]
    assert shown == f'"{scene.source_name}" is damaged or incomplete.'
    assert path.stem not in shown


def test_upload_takes_a_name(signed_in, submitted):
    assert send(signed_in, file_name="a.png").json()["name"] == "a"
    assert send(signed_in, name="  My\n scene ").status_code == 202
    assert Scene.objects.filter(name="My scene").exists()


def test_upload_keeps_nothing_of_a_hostile_file_name(signed_in, submitted, data_dir):
    assert send(signed_in, file_name="../../etc/cron d\x07.tif").status_code == 202
    [(scene, path)] = submitted["imports"]
    assert path.parent == uploads_folder()
    assert "cron" not in path.name
    assert scene.name == "cron d"


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "empty.tif", "empty.tif is empty; choose the file again."),
        (b"x", "notes.txt", "notes.txt is not an image we read"),
        (b"x", "scene.vrt", "scene.vrt is not an image we read"),
        (b"x", "noname", "noname is not an image we read"),
    ],
)
def test_upload_of_the_wrong_thing_gets_a_sentence(signed_in, submitted, content, name, sentence):
    response = send(signed_in, content, name)
    assert response.status_code == 400
    assert sentence in response.json()["detail"]
    assert not Scene.objects.exists()
    assert list(uploads_folder().iterdir()) == []


def test_upload_without_a_file_gets_a_sentence(signed_in, submitted):
    response = signed_in.post("/api/scenes", {"name": "x"})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("file: ")


def test_damaged_upload_gets_a_sentence(signed_in, submitted):
    response = signed_in.post("/api/scenes", b"rubbish", content_type="multipart/form-data; boundary=")
    assert response.status_code == 400
    assert response.json()["detail"] == "The upload arrived damaged; send it again."


def test_upload_over_the_size_limit_is_stopped_while_it_comes(signed_in, submitted, settings):
    settings.MAX_UPLOAD_BYTES = 2 * 1024**2
    # Within what a form may add by its declared length, so that only counting finds it.
    response = send(signed_in, b"x" * (2 * 1024**2 + 1000))
    assert response.status_code == 413
    assert "larger than the 2.1 MB" in response.json()["detail"]
    assert list(uploads_folder().iterdir()) == []


def test_upload_over_the_quota_is_refused(signed_in, submitted, settings, make_scene):
    settings.QUOTA_BYTES = 10_000
    make_scene(size_bytes=8_000)
    response = send(signed_in, b"x" * 3_000)
    assert response.status_code == 507
    assert "You have used 8 KB of your 10 KB" in response.json()["detail"]
    assert Scene.objects.count() == 1


def test_uploads_beside_each_other_cannot_pass_the_quota_together(
    signed_in, submitted, settings, monkeypatch
):
    settings.QUOTA_BYTES = 10_000
    check = quotas.check_room
    calls = []

    def check_room(user, wanted):
        calls.append(wanted)
        if len(calls) == 2:
            Scene.objects.create(owner=user, name="the other", source_name="b.tif", size_bytes=9_000)
        check(user, wanted)

    monkeypatch.setattr(quotas, "check_room", check_room)
    response = send(signed_in, b"x" * 3_000)
    assert response.status_code == 507
    assert not Scene.objects.filter(name="fields").exists()
    assert list(uploads_folder().iterdir()) == []


def test_upload_to_a_full_disk_gets_a_sentence(signed_in, submitted, monkeypatch):
    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads.ReceivedFile, "write", write, raising=False)
    response = send(signed_in)
    assert response.status_code == 507
    assert response.json()["detail"].startswith("The server's disk is full")
    assert list(uploads_folder().iterdir()) == []


def test_upload_is_refused_where_the_disk_is_almost_full(signed_in, submitted, settings):
    settings.MIN_FREE_BYTES = 2**60
    response = send(signed_in)
    assert response.status_code == 507
    assert "disk is almost full" in response.json()["detail"]


def test_file_is_removed_where_the_scene_cannot_be_made(signed_in, submitted, monkeypatch):
    def create(**fields):
        raise InvalidInputError("not today")

    monkeypatch.setattr(Scene.objects, "create", create)
    assert send(signed_in).status_code == 400
    assert list(uploads_folder().iterdir()) == []


def test_files_sent_elsewhere_are_dropped(signed_in, data_dir):
    response = signed_in.post("/accounts/login/", {"username": "a", "file": io.BytesIO(b"x" * 100)})
    assert response.status_code in (200, 302)
    assert not (data_dir / "uploads").exists() or list(uploads_folder().iterdir()) == []


def test_upload_needs_a_csrf_token(user, submitted):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    response = send(client)
    assert response.status_code == 403
    assert "CSRF" in response.json()["detail"]
    assert not Scene.objects.exists()
    assert list(uploads_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [(" a  b ", "a b"), ("a\nb\tc", "a b c"), ("x" * 300, "x" * 200), ("Grüße \u202e!", "Grüße !")],
)
def test_clean_name_is_one_printable_line(text, name):
    assert uploads.clean_name(text) == name


@pytest.mark.parametrize("text", ["", "  ", "\n", "\x00"])
def test_clean_name_refuses_nothing(text):
    with pytest.raises(InvalidInputError, match="at least one character"):
        uploads.clean_name(text)
