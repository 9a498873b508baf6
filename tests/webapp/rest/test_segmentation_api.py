"""REST of segmentations: start, list, cancel, delete, tree, statistics, spectrum."""

import gzip
import json

import numpy as np
import pytest

from tests.webapp import scenario
from webapp.jobs import door
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [550, 0], [550, 700], [0, 700], [0, 0]]]}


@pytest.fixture
def scene(user):
    return scenario.make_scene(user)


@pytest.fixture
def handed_over(monkeypatch):
    """Segmentations handed to the job engine, which does not run here."""
    rows = []
    monkeypatch.setattr(door, "submit_segmentation", rows.append)
    return rows


# What the row keeps where nothing is to be learned.
NOT_LEARNED = {"mode": "fast", "train_seconds": None, "network": None, "network_name": None}


def start(client, scene, **fields):
    return client.post(
        f"/api/scenes/{scene.pk}/segmentations", json.dumps(fields), content_type="application/json"
    )


def test_start_hands_over_a_queued_segmentation(signed_in, scene, handed_over):
    response = start(signed_in, scene, bands=[1, 3], superpixel_px=20, n_leaves=500, seed=4, aoi=SQUARE)
    assert response.status_code == 201
    described = response.json()
    assert handed_over == [Segmentation.objects.get()]
    assert (described["state"], described["tree_ready"], described["version"]) == ("queued", False, 0)
    assert described["parameters"] == {
        "bands": [1, 3],
        "superpixel_px": 20,
        "n_leaves": 500,
        "seed": 4,
        "aoi": {
            "type": "Polygon",
            "coordinates": [[[float(x), float(y)] for x, y in SQUARE["coordinates"][0]]],
        },
        **NOT_LEARNED,
    }
    assert described.keys() == {
        "id", "scene", "state", "stage", "progress", "message", "device", "n_leaves", "parameters", "size_bytes",
        "created_at", "version", "tree_ready", "automatic", "learned",
    }  # fmt: skip


def test_start_needs_nothing(signed_in, scene, handed_over):
    assert start(signed_in, scene).status_code == 201
    assert handed_over[0].parameters == {
        "bands": None,
        "superpixel_px": None,
        "n_leaves": None,
        "seed": 0,
        "aoi": None,
        **NOT_LEARNED,
    }


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"bands": [4]}, 400, "bands 1 to 3, and no band 4"),
        ({"bands": [0]}, 400, "no band 0"),
        ({"bands": []}, 400, "one band or more"),
        ({"bands": [1, 1]}, 400, "each once"),
        ({"bands": ["1"]}, 422, "integer"),
        ({"superpixel_px": 9}, 400, "10 to 40"),
        ({"superpixel_px": 41}, 400, "10 to 40"),
        ({"n_leaves": 1}, 400, "2 to 61,440"),
        ({"n_leaves": 61_441}, 400, "2 to 61,440"),
        ({"seed": -1}, 400, "seed cannot be -1"),
        ({"aoi": {"type": "Point"}}, 400, "Polygon or MultiPolygon"),
        ({"colour": 1}, 422, "colour"),
    ],
)
def test_start_refuses(signed_in, scene, handed_over, fields, status, sentence):
    response = start(signed_in, scene, **fields)
    assert response.status_code == status
    assert sentence in response.json()["detail"]
    assert handed_over == []


def test_start_on_a_scene_that_is_not_ready_is_refused(signed_in, scene, handed_over):
    scene.state = "importing"
    scene.save()
    response = start(signed_in, scene)
    assert (response.status_code, "not ready (importing)" in response.json()["detail"]) == (409, True)


def test_number_of_waiting_segmentations_is_limited(signed_in, scene, handed_over):
    for _ in range(8):
        assert start(signed_in, scene).status_code == 201
    response = start(signed_in, scene)
    assert response.status_code == 429
    assert "8 of your segmentations" in response.json()["detail"]


def test_start_beyond_the_quota_is_refused(signed_in, scene, handed_over, settings):
    settings.QUOTA_BYTES = 1000
    assert start(signed_in, scene).status_code == 507
    assert handed_over == []


def test_list_is_newest_first(signed_in, scene):
    rows = [scenario.make_segmentation(scene), scenario.make_segmentation(scene, state="running")]
    listed = signed_in.get(f"/api/scenes/{scene.pk}/segmentations").json()
    assert [row["id"] for row in listed] == [rows[1].pk, rows[0].pk]
    assert signed_in.get(f"/api/segmentations/{rows[0].pk}").json() == listed[1]


def test_cancel(signed_in, scene):
    row = Segmentation.objects.create(scene=scene)
    response = signed_in.post(f"/api/segmentations/{row.pk}/cancel")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    response = signed_in.post(f"/api/segmentations/{row.pk}/cancel")
    assert (response.status_code, response.json()["detail"]) == (
        409,
        f"Segmentation {row.pk} is cancelled; there is nothing to cancel.",
    )


def test_delete_frees_the_store(signed_in, scene):
    row = scenario.make_segmentation(scene)
    assert row.store_path.exists()
    assert signed_in.delete(f"/api/segmentations/{row.pk}").status_code == 204
    assert not row.store_path.exists()
    assert not Segmentation.objects.exists()


def test_delete_of_a_used_one_needs_force_and_drops_it_first(signed_in, user):
    project = scenario.make_project(user)
    url = f"/api/segmentations/{project.segmentation_id}"
    response = signed_in.delete(url)
    assert response.status_code == 409
    assert "in use (Fields)" in response.json()["detail"]
    assert signed_in.delete(f"{url}?force=1").status_code == 204
    project = Project.objects.get()
    assert project.segmentation is None
    assert scenario.newest(project).payload["segmentation"] is None


@pytest.mark.parametrize("path", ["", "/tree", "/statistics", "/spectrum?low=0&high=1"])
def test_others_find_nothing(other_client, client, scene, path):
    row = scenario.make_segmentation(scene)
    url = f"/api/segmentations/{row.pk}{path}"
    response = other_client.get(url)
    assert (response.status_code, "no segmentation" in response.json()["detail"]) == (404, True)
    assert client.get(url).status_code == 401


def test_others_can_neither_start_cancel_nor_delete(other_client, scene, handed_over):
    row = Segmentation.objects.create(scene=scene)
    assert start(other_client, scene).status_code == 404
    assert other_client.get(f"/api/scenes/{scene.pk}/segmentations").status_code == 404
    assert other_client.post(f"/api/segmentations/{row.pk}/cancel").status_code == 404
    assert other_client.delete(f"/api/segmentations/{row.pk}?force=1").status_code == 404
    assert Segmentation.objects.get().state == "queued"


# ---------------------------------------------------------------------------------------------------- numbers


def body_of(response):
    assert response.status_code == 200, response.content
    assert response["Content-Encoding"] == "gzip"
    return gzip.decompress(response.content)


def test_tree_is_laid_out_as_described(signed_in, scene):
    row = scenario.make_segmentation(scene, n_leaves=5)
    response = signed_in.get(f"/api/segmentations/{row.pk}/tree")
    body = body_of(response)
    n_leaves, version = np.frombuffer(body, "<u4", 2)
    assert (n_leaves, version) == (5, 0)
    parent, low, high = np.frombuffer(body, "<u4", 27, 8).reshape(3, 9)
    assert parent.tolist() == [5, 5, 6, 7, 8, 6, 7, 8, 8]
    assert low.tolist() == [0, 1, 2, 3, 4, 0, 0, 0, 0]
    assert high.tolist() == [1, 2, 3, 4, 5, 2, 3, 4, 5]
    assert len(body) == 8 + 27 * 4 + 9 * 3
    again = signed_in.get(f"/api/segmentations/{row.pk}/tree", headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def read_statistics(response):
    body = body_of(response)
    n_leaves, complete, *padding = np.frombuffer(body, "<u4", 4)
    assert padding == [0, 0]
    pixels, area = np.frombuffer(body, "<f8", 2 * n_leaves, 16).reshape(2, n_leaves)
    assert len(body) == 16 + 16 * n_leaves
    return bool(complete), pixels, area


def test_statistics_of_the_whole_scene(signed_in, scene):
    row = scenario.make_segmentation(scene, n_leaves=4)  # stripes of 275 columns
    complete, pixels, _ = read_statistics(signed_in.get(f"/api/segmentations/{row.pk}/statistics"))
    assert complete
    assert pixels.tolist() == [275 * 700.0] * 4


def test_statistics_inside_a_projects_area(signed_in, user):
    project = scenario.make_project(user, n_leaves=4)
    project.aoi = SQUARE
    project.save()
    url = f"/api/segmentations/{project.segmentation_id}/statistics"
    response = signed_in.get(f"{url}?project={project.pk}")
    _, pixels, area = read_statistics(response)
    assert pixels.tolist() == [275 * 700.0, 275 * 700.0, 0, 0]
    assert np.isnan(area).all()  # no CRS
    again = signed_in.get(f"{url}?project={project.pk}", headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304
    project.aoi = None
    project.save()
    changed = signed_in.get(f"{url}?project={project.pk}", headers={"If-None-Match": response["ETag"]})
    assert read_statistics(changed)[1].tolist() == [275 * 700.0] * 4


def test_statistics_that_grow_are_not_kept_for_good(signed_in, scene, monkeypatch):
    from webapp.rest import segmentation_numbers

    monkeypatch.setattr(segmentation_numbers, "FRESH_S", 1000.0)  # even what is fresh
    missing = frozenset({(0, 0, 2)})
    row = scenario.make_segmentation(scene, n_leaves=4, state="running", leave_out=missing)
    url = f"/api/segmentations/{row.pk}/statistics"
    first = signed_in.get(url)
    complete, pixels, _ = read_statistics(first)
    assert not complete
    assert pixels.sum() == 700 * 1100 - 512 * 76
    scenario.write_store(row.store_path, scenario.stripes(700, 1100, 4), 4)
    Segmentation.objects.update(state="complete")
    complete, pixels, _ = read_statistics(signed_in.get(url, headers={"If-None-Match": first["ETag"]}))
    assert complete
    assert pixels.sum() == 700 * 1100


def test_statistics_of_another_scenes_project_are_refused(signed_in, user, scene):
    row = scenario.make_segmentation(scene)
    project = scenario.make_project(user)
    response = signed_in.get(f"/api/segmentations/{row.pk}/statistics?project={project.pk}")
    assert (response.status_code, "another scene" in response.json()["detail"]) == (400, True)
    assert signed_in.get(f"/api/segmentations/{row.pk}/statistics?project=999").status_code == 404


def test_spectrum(signed_in, scene):
    row = scenario.make_segmentation(scene, n_leaves=4)
    response = signed_in.get(f"/api/segmentations/{row.pk}/spectrum?low=1&high=3")
    assert response.json() == {"mean": [1.0, 2.0, 3.0], "pixels": 2 * 275 * 700.0}


@pytest.mark.parametrize("query", ["low=0&high=5", "low=3&high=3", "low=-1&high=2"])
def test_spectrum_refuses_ranges(signed_in, scene, query):
    row = scenario.make_segmentation(scene, n_leaves=4)
    response = signed_in.get(f"/api/segmentations/{row.pk}/spectrum?{query}")
    assert response.status_code == 400
    assert "within the segmentation's 4 leaves" in response.json()["detail"]
    assert signed_in.get(f"/api/segmentations/{row.pk}/spectrum?low=a&high=1").status_code == 422


@pytest.mark.parametrize("path", ["tree", "statistics", "spectrum?low=0&high=1"])
def test_numbers_wait_for_the_codebook(signed_in, scene, path):
    row = Segmentation.objects.create(scene=scene, state="running")
    response = signed_in.get(f"/api/segmentations/{row.pk}/{path}")
    assert response.status_code == 409
    assert (
        response.json()["detail"]
        == f"Segmentation {row.pk} is running and has no clusters yet; wait a moment."
    )


@pytest.mark.parametrize("path", ["tree", "statistics", "spectrum?low=0&high=1"])
def test_store_that_is_gone_is_told(signed_in, scene, path):
    row = Segmentation.objects.create(scene=scene, state="complete", n_leaves=8)
    response = signed_in.get(f"/api/segmentations/{row.pk}/{path}")
    assert (response.status_code, "no segmentation at" in response.json()["detail"]) == (409, True)
