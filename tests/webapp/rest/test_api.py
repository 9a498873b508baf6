"""REST: scenes and projects."""

from __future__ import annotations

import pytest

from webapp.models import ClassLabel, Edit, Project, Scene, Segmentation
from webapp.rest.segmentation_api import router as segmentation_router  # noqa: F401  (its routes are part of the same API)

pytestmark = pytest.mark.django_db(transaction=True)
JSON = {"content_type": "application/json"}


def test_scenes_lists_only_ones_own_newest_first(signed_in, make_scene, stranger):
    first, second = make_scene(name="first"), make_scene(name="second")
    make_scene(owner=stranger, name="foreign")
    listed = signed_in.get("/api/scenes").json()
    assert [scene["id"] for scene in listed] == [second.pk, first.pk]
    assert listed[0]["info"]["n_bands"] == 3
    assert signed_in.get(f"/api/scenes/{first.pk}").json() == listed[1]


def test_scene_can_be_renamed(signed_in, make_scene):
    scene = make_scene()
    response = signed_in.patch(f"/api/scenes/{scene.pk}", {"name": " New  name "}, **JSON)
    assert response.json()["name"] == "New name"
    assert Scene.objects.get().name == "New name"
    refused = signed_in.patch(f"/api/scenes/{scene.pk}", {"name": " "}, **JSON)
    assert refused.status_code == 400
    assert refused.json()["detail"] == "A name needs at least one character."


def test_thumbnail_is_served_once_there_is_one(signed_in, make_scene):
    scene = make_scene()
    response = signed_in.get(f"/api/scenes/{scene.pk}/thumbnail")
    assert response["Content-Type"] == "image/webp"
    assert response.content == scene.thumbnail_path.read_bytes()
    importing = make_scene(state=Scene.State.IMPORTING)
    refused = signed_in.get(f"/api/scenes/{importing.pk}/thumbnail")
    assert refused.status_code == 404
    assert "no thumbnail yet" in refused.json()["detail"]


def test_storage_adds_up_scenes_and_segmentations(signed_in, make_scene, settings, stranger):
    scene = make_scene(size_bytes=500)
    Segmentation.objects.create(scene=scene, size_bytes=70)
    make_scene(owner=stranger, size_bytes=9_000)
    assert signed_in.get("/api/storage").json() == {"used_bytes": 570, "quota_bytes": settings.QUOTA_BYTES}


def test_project_is_created_over_a_scene(signed_in, user, make_scene, submitted):
    scene = make_scene(name="delta")
    response = signed_in.post("/api/projects", {"name": "wetlands", "scene": scene.pk}, **JSON)
    assert response.status_code == 201
    project = Project.objects.get()
    assert (project.owner, project.scene, project.name, project.updated_by) == (user, scene, "wetlands", user)
    assert submitted["projects"] == [project]
    body = response.json()
    assert body["url"] == f"/projects/{project.pk}/"
    assert body["updated_by"] == "ana"
    unnamed = signed_in.post("/api/projects", {"scene": scene.pk}, **JSON)
    assert unnamed.json()["name"] == "delta"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [("importing", "is still being imported; wait for it"), ("failed", "failed to import")],
)
def test_project_needs_a_ready_scene(signed_in, make_scene, submitted, state, sentence):
    scene = make_scene(state=state)
    response = signed_in.post("/api/projects", {"name": "x", "scene": scene.pk}, **JSON)
    assert response.status_code == 409
    assert sentence in response.json()["detail"]
    assert not Project.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"name": "x"}, 422, "scene: Field required."),
        ({"name": "x", "scene": "ten"}, 422, "scene: Input should be a valid integer"),
        ({"name": "x", "scene": 999}, 404, "There is no scene 999 among yours."),
    ],
)
def test_project_refuses_with_a_sentence(signed_in, body, status, sentence):
    response = signed_in.post("/api/projects", body, **JSON)
    assert response.status_code == status
    assert sentence in response.json()["detail"]


def test_malformed_json_gets_a_sentence(signed_in):
    response = signed_in.post("/api/projects", "{", **JSON)
    assert response.status_code == 400
    assert response.json()["detail"]


def test_project_can_be_renamed_and_deleted(signed_in, make_project, stranger):
    project = make_project()
    Project.objects.update(updated_by=stranger)
    response = signed_in.patch(f"/api/projects/{project.pk}", {"name": "dunes"}, **JSON)
    assert response.json()["name"] == "dunes"
    assert response.json()["updated_by"] == "ana"
    assert signed_in.delete(f"/api/projects/{project.pk}").status_code == 204
    assert not Project.objects.exists()
    assert Scene.objects.exists()


def test_duplicate_copies_classes_and_edits(signed_in, user, make_project):
    project = make_project()
    segmentation = Segmentation.objects.create(scene=project.scene, state="complete", n_leaves=4)
    Project.objects.update(segmentation=segmentation, number=2, class_table=b"abc", aoi={"type": "Polygon"})
    ClassLabel.objects.create(project=project, number=1, name="water", color="#0000ff")
    for number in (1, 2):
        Edit.objects.create(
            project=project,
            number=number,
            kind="class.create",
            payload={"n": number},
            user=user,
            client_id=f"c{number}",
            live=number == 1,
        )
    response = signed_in.post(f"/api/projects/{project.pk}/duplicate")
    assert response.status_code == 201
    assert response.json()["name"] == "map (copy)"
    copy = Project.objects.get(pk=response.json()["id"])
    assert (copy.segmentation, copy.number, bytes(copy.class_table), copy.aoi) == (
        segmentation,
        2,
        b"abc",
        {"type": "Polygon"},
    )
    assert [(label.number, label.name, label.color) for label in copy.classes.all()] == [
        (1, "water", "#0000ff")
    ]
    fields = ("number", "kind", "payload", "user", "client_id", "live")
    assert list(copy.edits.values_list(*fields)) == list(project.edits.values_list(*fields))
    copy.classes.update(name="sea")
    assert project.classes.get().name == "water"


def test_what_belongs_to_others_does_not_exist(other_client, make_project):
    project = make_project()
    scene = project.scene_id
    attempts = [
        other_client.get(f"/api/scenes/{scene}"),
        other_client.patch(f"/api/scenes/{scene}", {"name": "mine"}, **JSON),
        other_client.delete(f"/api/scenes/{scene}"),
        other_client.get(f"/api/scenes/{scene}/thumbnail"),
        other_client.post("/api/projects", {"name": "x", "scene": scene}, **JSON),
        other_client.get(f"/api/projects/{project.pk}"),
        other_client.patch(f"/api/projects/{project.pk}", {"name": "mine"}, **JSON),
        other_client.delete(f"/api/projects/{project.pk}"),
        other_client.post(f"/api/projects/{project.pk}/duplicate"),
        other_client.get(f"/projects/{project.pk}/"),
    ]
    assert [response.status_code for response in attempts] == [404] * len(attempts)
    assert other_client.get("/api/projects").json() == []
    assert Project.objects.get().name == "map"


def test_pages_carry_what_their_scripts_need(signed_in, make_project, settings):
    settings.BASEMAP_URL = "https://tiles.example.org/{z}/{x}/{y}.png"
    project = make_project(name="</script><b>")
    page = signed_in.get(f"/projects/{project.pk}/")
    assert page.context["config"] == {
        "projectId": project.pk,
        "sceneId": project.scene_id,
        "prepareFromPx": settings.EXPORT_JOB_PIXELS,
        "wsPath": f"/ws/projects/{project.pk}/",
        "tileUrl": f"/tiles/{project.scene_id}/{{z}}/{{x}}/{{y}}",
        "basemap": {"url": settings.BASEMAP_URL, "attribution": ""},
    }
    assert b"</script><b>" not in page.content
    assert b'data-testid="upload-drop"' in signed_in.get("/projects/").content
    assert signed_in.get("/")["Location"] == "/projects/"


def test_unforeseen_errors_tell_nothing_of_the_inside(user, monkeypatch, caplog):
    from django.test import Client

    def broken(*args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("webapp.rest.api.scenes_of", broken)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    response = client.get("/api/scenes")
    assert response.status_code == 500
    assert "secret" not in response.content.decode()
    assert "The server ran into an error of its own" in response.json()["detail"]
    assert "secret detail" in caplog.text
