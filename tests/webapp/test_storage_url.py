"""A server whose images and segmentations lie in a bucket, on a real S3 server of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from segmentation import objects
from segmentation.objects import ObjectPath, bucket_of
from segmentation.testing import synthetic_scene, write_scene
from tests.s3_server import running_s3
from webapp import places, storage
from webapp.editing.leaves import forget_leaves, leaves_key, open_leaves
from webapp.imagery import remote
from webapp.jobs import door, imports, jobrows, tasks
from webapp.models import Project, Scene, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)
PARAMETERS = {"mode": "fast", "seed": 0, "n_leaves": 32}


class Worker:
    """What a task asks of the worker that it runs on."""

    def log_event(self, topic, message) -> None:
        return None


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    objects.forget_buckets()
    with running_s3() as address:
        yield address
    objects.forget_buckets()


@pytest.fixture(autouse=True)
def in_bucket(s3, settings, monkeypatch, tmp_path) -> None:
    settings.STORAGE_URL = f"s3://scenes/{tmp_path.name}"
    monkeypatch.setattr(tasks, "get_worker", Worker)
    monkeypatch.setattr(door, "project_created", lambda project: None)
    remote._open.clear()
    forget_leaves()


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "fields.tif"
    write_scene(path, synthetic_scene(700, 600, 3, dtype="uint8")[0])
    return path


def keys(settings) -> set[str]:
    root = places.storage_root()
    assert isinstance(root, ObjectPath)
    return {key.removeprefix(f"{root.key}/") for key, _ in root.below()}


@pytest.fixture
def scene(user, image, settings, data_dir) -> Scene:
    """Imported by a job, as after an upload."""
    scene = Scene.objects.create(owner=user, name="fields", source_name="fields.tif")
    result = tasks.run_ingest(
        str(data_dir),
        f"import-{scene.pk}",
        str(image),
        str(scene.folder),
        {"max_file_bytes": 10**9, "max_pixels": 10**8, "max_bands": 20},
        settings.STORAGE_URL,
    )
    assert result["outcome"] == "finished", result
    assert jobrows.finish_import(scene.pk, result["info"], result["size_bytes"])
    scene.refresh_from_db()
    return scene


@pytest.fixture
def segmented(scene, data_dir) -> Segmentation:
    row = Segmentation.objects.create(scene=scene, parameters=PARAMETERS, state="running")
    result = tasks.run_segment(
        str(data_dir),
        f"segmentation-{row.pk}",
        remote.job_image(scene),
        str(row.store_path),
        PARAMETERS,
        (700, 600),
    )
    assert result["outcome"] == "finished", result
    assert jobrows.finish_segmentation(row.pk, result)
    row.refresh_from_db()
    return row


def test_image_goes_to_the_bucket_and_its_thumbnail_stays(scene, signed_in, settings):
    assert keys(settings) == {f"scenes/{scene.pk}/scene.tif"}
    assert [path.name for path in scene.folder.iterdir()] == ["thumbnail.webp"]
    assert scene.size_bytes > 100_000
    assert storage.scene_size(scene) == pytest.approx(scene.size_bytes, abs=1)
    assert "source" not in signed_in.get(f"/api/scenes/{scene.pk}").json()["info"]
    assert signed_in.get(f"/tiles/{scene.pk}/0/0/0.png").status_code in (200, 204)
    zoom = scene.info["max_zoom"]
    west, south, east, north = scene.info["bounds"]
    x = int(((west + east) / 2 + 180) / 360 * 2**zoom)
    from math import asinh, pi, radians, tan

    y = int((1 - asinh(tan(radians((south + north) / 2))) / pi) / 2 * 2**zoom)
    assert signed_in.get(f"/tiles/{scene.pk}/{zoom}/{x}/{y}.png").status_code == 200


def test_own_storage_is_read_though_nothing_is_listed(scene, settings):
    assert settings.IMAGERY_BUCKETS == []
    assert remote.image_of(scene).name == "scene.tif"
    assert remote.job_image(scene)["buckets"] == [f"{settings.STORAGE_URL}/scenes/{scene.pk}/scene.tif"]


def test_segmentation_is_made_in_the_bucket_and_seen_from_there(segmented, scene, user, signed_in, settings):
    assert f"segmentations/{segmented.pk}.zarr/segmentation.json" in keys(settings)
    assert not (Path(settings.DATA_DIR) / "segmentations").exists()
    assert segmented.size_bytes > 10_000
    project = Project.objects.create(owner=user, scene=scene, name="map")
    with transaction.atomic():
        jobrows.start_project(project)
    project.refresh_from_db()
    assert project.segmentation == segmented
    leaves = open_leaves(leaves_key(project))
    assert leaves.complete
    assert leaves.block(0, 0, 0) is not None
    assert signed_in.get(f"/api/segmentations/{segmented.pk}/tree").status_code == 200
    assert signed_in.get(f"/api/segmentations/{segmented.pk}/statistics").status_code == 200
    assert signed_in.get(f"/api/projects/{project.pk}/export.geojson").status_code == 200


def test_deleting_leaves_nothing_in_the_bucket(segmented, scene, signed_in, settings):
    assert signed_in.delete(f"/api/segmentations/{segmented.pk}").status_code == 204
    assert keys(settings) == {f"scenes/{scene.pk}/scene.tif"}
    assert signed_in.delete(f"/api/scenes/{scene.pk}").status_code == 204
    assert keys(settings) == set()


def test_store_of_a_failed_job_is_removed(scene, data_dir, settings):
    row = Segmentation.objects.create(scene=scene, parameters=PARAMETERS, state="running")
    (row.store_path / "leaves/0/c/0/0").write_bytes(b"half")
    jobrows.fail_segmentation(row.pk, "no")
    assert keys(settings) == {f"scenes/{scene.pk}/scene.tif"}


def test_image_of_a_scene_that_is_gone_is_removed(scene, settings):
    number = scene.pk
    Scene.objects.filter(pk=number).delete()
    jobrows.fail_import(number, "cancelled")
    assert keys(settings) == set()


def test_sweep_finds_what_no_row_speaks_of(segmented, scene, settings, monkeypatch):
    root = places.storage_root()
    lost = [root / "segmentations/999.zarr/zarr.json", root / "scenes/998/scene.tif"]
    for place in lost:
        place.write_bytes(b"lost")
    before = keys(settings)
    assert storage.find_orphans() == []  # too young: they may still get their rows
    monkeypatch.setattr(storage.time, "time", lambda: 4_000_000_000.0)
    orphans, _ = storage.sweep()
    assert {str(one.path).removeprefix(f"{root}/") for one in orphans} >= {
        "segmentations/999.zarr",
        "scenes/998",
    }
    assert keys(settings) == {key for key in before if "999" not in key and "998" not in key}


def test_store_that_was_made_before_stays_where_it_is(scene, settings, data_dir):
    row = Segmentation.objects.create(scene=scene, parameters=PARAMETERS)
    here = Path(data_dir) / "segmentations" / f"{row.pk}.zarr"
    assert str(row.store_path).startswith("s3://")
    here.mkdir(parents=True)
    assert row.store_path == here


def test_command_line_imports_into_the_bucket(user, image, settings):
    scene = imports.import_file(user, image)
    assert keys(settings) == {f"scenes/{scene.pk}/scene.tif"}
    assert scene.size_bytes > 100_000


def test_image_that_was_replaced_in_the_bucket_is_told(scene, signed_in):
    place = objects.store_path(scene.info["source"]["url"])
    obstore.put(bucket_of(place.bucket), place.key, b"something else")
    remote._open.clear()
    answer = signed_in.get(f"/tiles/{scene.pk}/{scene.info['max_zoom']}/0/0.png")
    assert answer.status_code in (204, 400)  # 204 only where the tile lies outside, which needs no image
    with pytest.raises(Exception, match="has changed since it was added"):
        remote.image_of(scene)


@pytest.mark.parametrize("url", ["bucket/prefix", "file:///data", "s3://user:word@bucket", "s3://bucket?x=1"])
def test_places_that_are_none_are_refused_at_the_start(url, monkeypatch):
    import importlib.util

    monkeypatch.setenv("STORAGE_URL", url)
    found = importlib.util.find_spec("webapp.settings")
    fresh = importlib.util.module_from_spec(found)
    with pytest.raises(ImproperlyConfigured, match="STORAGE_URL must be a place in a bucket"):
        found.loader.exec_module(fresh)
