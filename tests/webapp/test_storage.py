"""Freeing files, the orphan sweep, quotas."""

from __future__ import annotations

import os
import shutil
import time
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from webapp import quotas, storage
from webapp.errors import QuotaError
from webapp.imagery import serving
from webapp.models import Project, Scene, Segmentation, SignInToken

pytestmark = pytest.mark.django_db(transaction=True)


def make_store(segmentation: Segmentation) -> Path:
    path = segmentation.store_path
    path.mkdir(parents=True)
    (path / "block").write_bytes(b"x" * 100)
    return path


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_deleting_a_scene_frees_its_files_and_rows(signed_in, make_project):
    project = make_project()
    scene = project.scene
    segmentation = Segmentation.objects.create(scene=scene, state=Segmentation.State.COMPLETE)
    Project.objects.update(segmentation=segmentation)  # protects the segmentation
    store = make_store(segmentation)
    folder = scene.folder
    serving.cache().put(scene.pk, "ab" * 20, "jpg", b"tile")
    tiles = Path(settings.DATA_DIR) / "tiles" / str(scene.pk)
    assert tiles.exists()
    assert signed_in.delete(f"/api/scenes/{scene.pk}").status_code == 204
    assert not Scene.objects.exists()
    assert not Segmentation.objects.exists()
    assert not Project.objects.exists()
    assert not folder.exists()
    assert not store.exists()
    assert not tiles.exists()
    assert list((folder.parent.parent / "trash").iterdir()) == []


def test_files_stay_where_the_database_takes_the_deletion_back(make_scene):
    scene = make_scene()
    path = scene.cog_path
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        storage.delete_scene(scene)
        raise RuntimeError("something else in the transaction failed")
    assert path.exists()
    assert Scene.objects.exists()


def test_deleting_a_scene_stops_what_runs_on_it(make_scene, monkeypatch):
    stopped = []
    monkeypatch.setattr(storage.door, "cancel_import", lambda scene: stopped.append(scene.pk))
    monkeypatch.setattr(storage.door, "cancel", lambda segmentation: stopped.append(segmentation.pk))
    scene = make_scene()
    scene_id = scene.pk
    segmentation = Segmentation.objects.create(scene=scene, state=Segmentation.State.RUNNING)
    segmentation_id = segmentation.pk
    storage.delete_scene(scene)
    assert stopped == [scene_id, segmentation_id]


def test_deleting_a_project_leaves_its_scene(make_project):
    project = make_project()
    path = project.scene.cog_path
    storage.delete_project(project)
    assert path.exists()
    assert Scene.objects.exists()


def test_free_tells_what_it_could_not_remove(data_dir, monkeypatch, caplog):
    path = data_dir / "scenes" / "1"
    path.mkdir(parents=True)

    def fail(doomed):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", fail)
    storage.free(path)
    assert "could not remove" in caplog.text
    storage.free(data_dir / "nothing")  # gone already: nothing to tell


def test_folder_size_counts_every_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "y").write_bytes(b"12")
    assert storage.folder_size(tmp_path) == 7
    assert storage.folder_size(tmp_path / "y") == 2


@pytest.fixture
def litter(data_dir, make_scene):
    """Of each kind one thing to keep and one to sweep up, all of them old."""
    scene = make_scene()
    segmentation = Segmentation.objects.create(scene=scene)
    importing = make_scene(state=Scene.State.IMPORTING)
    uploads = storage.uploads_folder()
    keep = [
        scene.folder,
        importing.folder,
        make_store(segmentation),
        uploads / f"{importing.pk}-abc.tif",
    ]
    orphans = [
        data_dir / "scenes" / "999",
        data_dir / "segmentations" / "999.zarr",
        data_dir / "segmentations" / "draft",
        data_dir / "trash" / "abc",
        data_dir / "tiles" / "999",
        uploads / "abc.part",
        uploads / "999-abc.tif",
    ]
    for path in orphans[:5]:
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"x" * 10)
    for path in (keep[3], *orphans[5:]):
        path.write_bytes(b"x" * 10)
    for path in (*keep, *orphans):
        age(path, 2 * storage.HALF_UPLOAD_S)
    return keep, orphans


def test_sweep_removes_what_no_row_speaks_of(litter):
    keep, orphans = litter
    found, _ = storage.sweep()
    assert {orphan.path for orphan in found} == set(orphans)
    assert {orphan.size_bytes for orphan in found} == {10}
    assert all(path.exists() for path in keep)
    assert not any(path.exists() for path in orphans)
    assert storage.sweep() == ([], 0)


def test_sweep_leaves_what_is_young(litter):
    _, orphans = litter
    for path in orphans:
        age(path, 5)
    assert storage.find_orphans() == []


def test_sweep_removes_expired_links(user):
    now = timezone.now()
    SignInToken.objects.create(user=user, token_hash="a", expires_at=now - timedelta(hours=1))
    SignInToken.objects.create(user=user, token_hash="b", expires_at=now + timedelta(hours=1))
    assert storage.sweep() == ([], 1)
    assert [row.token_hash for row in SignInToken.objects.all()] == ["b"]


def test_check_room_counts_scenes_and_segmentations(user, make_scene, settings):
    scene = make_scene(size_bytes=600)
    Segmentation.objects.create(scene=scene, size_bytes=300)
    settings.QUOTA_BYTES = 1000
    quotas.check_room(user, 100)
    with pytest.raises(
        QuotaError, match="You have used 900 bytes of your 1 KB, and this needs 101 bytes more"
    ):
        quotas.check_room(user, 101)


def test_check_room_looks_at_the_disk(user, settings, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 9 * 10**8, 10**8))
    settings.MIN_FREE_BYTES = 5 * 10**7
    quotas.check_room(user, 5 * 10**7)
    with pytest.raises(QuotaError, match="disk is almost full \\(100 MB free, 50 MB needed\\)"):
        quotas.check_room(user, 5 * 10**7 + 1)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1536, "1.5 KB"),
        (123_456, "123 KB"),
        (4.6e6, "4.6 MB"),
        (2**50, "1126 TB"),
    ],
)
def test_format_bytes(count, text):
    assert quotas.format_bytes(count) == text
