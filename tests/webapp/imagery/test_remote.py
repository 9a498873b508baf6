"""Scenes whose image lies at a URL: from the request to tiles and a segmentation, without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from django.core.management import call_command
from django.core.management.base import CommandError
from rasterio.enums import Resampling

from segmentation import open_segmentation
from segmentation.testing import synthetic_scene, write_scene
from tests.web_server import Web, running_web
from webapp.imagery import remote
from webapp.jobs import door, jobrows, tasks
from webapp.jobs.jobfiles import JobFolder, import_job
from webapp.models import Scene

pytestmark = pytest.mark.django_db(transaction=True)


class Worker:
    """What a task asks of the worker that it runs on."""

    def log_event(self, topic, message) -> None:
        return None


@pytest.fixture
def web() -> Iterator[Web]:
    with running_web() as server:
        yield server


@pytest.fixture(autouse=True)
def listed(settings, monkeypatch) -> None:
    settings.IMAGERY_HOSTS = ["127.0.0.1"]
    settings.IMAGERY_BUCKETS = ["s3://scenes"]
    monkeypatch.setattr(tasks, "get_worker", Worker)


@pytest.fixture
def cog(tmp_path) -> Path:
    path = tmp_path / "fields.tif"
    write_scene(
        path, synthetic_scene(900, 700, 3, dtype="uint8")[0], tiled=True, blockxsize=256, blockysize=256
    )
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    return path


@pytest.fixture
def striped(tmp_path) -> Path:
    path = tmp_path / "strips.tif"
    write_scene(path, synthetic_scene(900, 4200, 3, dtype="uint8")[0])
    return path


def link(client, url: str, **fields):
    return client.post("/api/scenes/link", {"url": url, **fields}, content_type="application/json")


def carry_out(scene_id: int, data_dir: Path) -> dict:
    """Do the import of a scene as its job does, and write down what became of it."""
    scene = Scene.objects.get(pk=scene_id)
    job = import_job(scene_id)
    source = JobFolder(data_dir, job).description()["remote"]
    limits = {"max_file_bytes": 10**9, "max_pixels": 10**8, "max_bands": 20}
    result = tasks.run_ingest(str(data_dir), job, source, str(scene.folder), limits)
    if result["outcome"] == "finished":
        assert jobrows.finish_import(scene_id, result["info"], result["size_bytes"])
    return result


def test_scene_is_read_where_it_lies(signed_in, web, cog, data_dir):
    web.files["fields.tif"] = cog.read_bytes()
    response = link(signed_in, f"{web.url}/plain/fields.tif")
    assert response.status_code == 202
    assert response.json()["name"] == "fields"
    result = carry_out(response.json()["id"], data_dir)
    assert result["outcome"] == "finished"
    scene = Scene.objects.get()
    assert scene.info["source"]["in_place"] is True
    assert scene.info["source"]["url"] == f"{web.url}/plain/fields.tif"
    assert sorted(path.name for path in scene.folder.iterdir()) == ["thumbnail.webp"]
    assert scene.size_bytes < 100_000
    assert signed_in.get(f"/api/scenes/{scene.pk}/thumbnail").status_code == 200


def test_tiles_of_a_linked_scene_are_those_of_an_imported_one(signed_in, web, cog, data_dir, user):
    web.files["fields.tif"] = cog.read_bytes()
    linked = Scene.objects.get(pk=link(signed_in, f"{web.url}/plain/fields.tif").json()["id"])
    carry_out(linked.pk, data_dir)
    linked.refresh_from_db()
    copied = Scene.objects.create(owner=user, name="copy", source_name="fields.tif", state="ready")
    copied.folder.mkdir(parents=True)
    copied.cog_path.write_bytes(cog.read_bytes())
    copied.info = {key: value for key, value in linked.info.items() if key != "source"}
    copied.save()
    west, south, east, north = linked.info["bounds"]
    zoom = linked.info["max_zoom"]
    x = int((west + east) / 2 / 360 * 2**zoom + 2 ** (zoom - 1))
    lat = np.radians((south + north) / 2)
    y = int((1 - np.arcsinh(np.tan(lat)) / np.pi) / 2 * 2**zoom)
    tiles = [signed_in.get(f"/tiles/{scene.pk}/{zoom}/{x}/{y}.png") for scene in (linked, copied)]
    assert [tile.status_code for tile in tiles] == [200, 200]
    assert tiles[0].content == tiles[1].content


def test_segmentation_of_a_linked_scene_reads_it_where_it_lies(signed_in, web, cog, data_dir, tmp_path):
    web.files["fields.tif"] = cog.read_bytes()
    scene = Scene.objects.get(pk=link(signed_in, f"{web.url}/plain/fields.tif").json()["id"])
    carry_out(scene.pk, data_dir)
    scene.refresh_from_db()
    image = remote.job_image(scene)
    assert image["url"] == f"{web.url}/plain/fields.tif"
    store = tmp_path / "1.zarr"
    parameters = {"mode": "fast", "seed": 0, "n_leaves": 32}
    result = tasks.run_segment(str(data_dir), "segmentation-1", image, str(store), parameters, (900, 700))
    assert result["outcome"] == "finished"
    assert open_segmentation(store).complete


def test_changed_image_fails_the_job_and_the_tile_with_a_sentence(signed_in, web, cog, data_dir, tmp_path):
    web.files["fields.tif"] = cog.read_bytes()
    scene = Scene.objects.get(pk=link(signed_in, f"{web.url}/plain/fields.tif").json()["id"])
    carry_out(scene.pk, data_dir)
    scene.refresh_from_db()
    web.files["fields.tif"] += b"x"
    remote._open.clear()
    result = tasks.run_segment(
        str(data_dir),
        "segmentation-1",
        remote.job_image(scene),
        str(tmp_path / "s"),
        {"mode": "fast"},
        (900, 700),
    )
    assert result["outcome"] == "failed"
    assert "has changed since it was added as a scene" in result["message"]
    tile = signed_in.get(f"/tiles/{scene.pk}/0/0/0.png")
    assert tile.status_code == 400
    assert "has changed since it was added as a scene" in tile.json()["detail"]


def test_image_that_changes_before_its_import_is_refused(signed_in, web, cog, data_dir):
    web.files["fields.tif"] = cog.read_bytes()
    scene_id = link(signed_in, f"{web.url}/plain/fields.tif").json()["id"]
    web.files["fields.tif"] += b"x"
    assert "has changed" in carry_out(scene_id, data_dir)["message"]


def test_image_that_is_no_cog_is_copied_and_says_so(signed_in, web, striped, data_dir):
    web.files["strips.tif"] = striped.read_bytes()
    scene_id = link(signed_in, f"{web.url}/plain/strips.tif", name="Strips").json()["id"]
    assert carry_out(scene_id, data_dir)["outcome"] == "finished"
    scene = Scene.objects.get()
    assert scene.info["source"]["in_place"] is False
    assert "It was copied, because it has no reduced copies of itself (overviews)." in scene.info[
        "remarks"
    ] or ("It was copied, because it is not stored in tiles." in scene.info["remarks"])
    assert scene.cog_path.is_file()
    assert remote.image_of(scene) == scene.cog_path
    assert sorted(path.name for path in scene.folder.iterdir()) == ["scene.tif", "thumbnail.webp"]
    assert [path.name for path in scene.folder.parent.iterdir()] == [str(scene.pk)]


def test_image_that_is_no_cog_is_refused_where_it_may_not_be_copied(signed_in, web, striped, data_dir):
    web.files["strips.tif"] = striped.read_bytes()
    scene_id = link(signed_in, f"{web.url}/plain/strips.tif", copy_image=False).json()["id"]
    result = carry_out(scene_id, data_dir)
    assert result["outcome"] == "failed"
    assert '"strips.tif" cannot be read where it lies' in result["message"]
    assert "Have it copied instead" in result["message"]


def test_copy_is_made_where_it_is_asked_for(signed_in, web, cog, data_dir):
    web.files["fields.tif"] = cog.read_bytes()
    scene_id = link(signed_in, f"{web.url}/plain/fields.tif", copy_image=True).json()["id"]
    carry_out(scene_id, data_dir)
    assert Scene.objects.get().cog_path.is_file()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("fields.tif", "That is not a URL that images can be read from"),
        ("https://elsewhere.example/a.tif", "Images may not be read from elsewhere.example here"),
        ("s3://other/a.tif", "Images may not be read from the bucket s3://other here"),
        ("http://127.0.0.2/a.tif", "Images may not be read from 127.0.0.2 here"),
        ("https://u:p@127.0.0.1/a.tif", "holds a password"),
        ("{web}/plain/none.tif", "There is no file at"),
        ("{web}/secret/a.tif", "is refused"),
        ("{web}/moved/a.tif", "leads on to another address"),
    ],
)
def test_url_that_cannot_be_read_is_told_at_once(signed_in, web, url, sentence):
    response = link(signed_in, url.format(web=web.url))
    assert response.status_code == 400
    assert sentence in response.json()["detail"]
    assert not Scene.objects.exists()


def test_what_is_no_image_fails_with_its_name(signed_in, web, data_dir):
    web.files["page.html"] = b"<html>no image</html>"
    scene_id = link(signed_in, f"{web.url}/plain/page.html").json()["id"]
    assert '"page.html" is not an image that can be opened here' in carry_out(scene_id, data_dir)["message"]


def test_nothing_may_be_read_by_default(signed_in, web, settings):
    settings.IMAGERY_HOSTS = settings.IMAGERY_BUCKETS = []
    assert link(signed_in, f"{web.url}/plain/a.tif").status_code == 400
    assert not remote.can_link()
    assert web.asked == []


def test_host_that_is_no_longer_listed_is_not_read_any_more(signed_in, web, cog, data_dir, settings):
    web.files["fields.tif"] = cog.read_bytes()
    scene = Scene.objects.get(pk=link(signed_in, f"{web.url}/plain/fields.tif").json()["id"])
    carry_out(scene.pk, data_dir)
    settings.IMAGERY_HOSTS = []
    tile = signed_in.get(f"/tiles/{scene.pk}/0/0/0.png")
    assert tile.status_code == 400
    assert "Images may not be read from 127.0.0.1 here" in tile.json()["detail"]


def test_link_over_the_quota_is_refused(signed_in, web, cog, settings, make_scene):
    web.files["fields.tif"] = cog.read_bytes()
    settings.QUOTA_BYTES = 200_000
    make_scene(size_bytes=150_000)
    response = link(signed_in, f"{web.url}/plain/fields.tif", copy_image=True)
    assert response.status_code == 507
    assert Scene.objects.count() == 1


def test_link_is_handed_to_the_jobs_with_its_version(signed_in, web, cog, monkeypatch):
    web.files["fields.tif"] = cog.read_bytes()
    told: list[dict] = []
    monkeypatch.setattr(door, "submit_link", lambda scene, source: told.append(source))
    link(signed_in, f"{web.url}/plain/fields.tif")
    assert told[0]["size"] == cog.stat().st_size
    assert told[0]["etag"]
    assert told[0]["hosts"] == ["127.0.0.1"]


def test_command_imports_a_url(web, cog, capsys):
    web.files["fields.tif"] = cog.read_bytes()
    call_command("import_scene", f"{web.url}/plain/fields.tif", "--owner", "ana")
    scene = Scene.objects.get()
    assert scene.state == "ready"
    assert scene.info["source"]["in_place"] is True
    assert not scene.cog_path.exists()


def test_command_copies_a_url_where_asked(web, cog):
    web.files["fields.tif"] = cog.read_bytes()
    call_command("import_scene", f"{web.url}/plain/fields.tif", "--owner", "ana", "--copy")
    assert Scene.objects.get().cog_path.is_file()


def test_command_tells_what_it_may_not_read(web):
    with pytest.raises(CommandError, match=r"Images may not be read from elsewhere\.example here"):
        call_command("import_scene", "https://elsewhere.example/a.tif", "--owner", "ana")
    assert not Scene.objects.exists()
