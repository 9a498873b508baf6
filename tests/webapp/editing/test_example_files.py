"""Examples of a project as a list, as a file, and from one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from tests.webapp import scenario
from webapp import actions
from webapp.editing import undoing
from webapp.editing.edits import MAX_CLASSES
from webapp.editing.example_actions import add_examples, remove_examples
from webapp.editing.example_files import describe_examples
from webapp.editing.examples import live_examples
from webapp.editing.legends import load_legend
from webapp.editing.palette import PALETTE, next_colors
from webapp.editing.projects import duplicate_project
from webapp.editing.snapshots import load_state, replay
from webapp.errors import describe
from webapp.live.events import edit_applied, project_state
from webapp.messages import parse_command
from webapp.models import Edit, Project, Scene

pytestmark = pytest.mark.django_db(transaction=True)


def with_place(project: Project, crs: str | None) -> Project:
    info = project.scene.info
    info |= {"transform": list(scenario.LOCAL) if crs else [1.0, 0, 0, 0, 1, 0], "crs": crs}
    project.scene.save()
    return project


@pytest.fixture
def project(data_dir) -> Project:
    return with_place(scenario.make_project(), None)


@pytest.fixture
def client(project) -> Client:
    client = Client()
    client.force_login(project.owner)
    return client


def point(x, y, **properties) -> dict:
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]}, "properties": properties}


def collection(*features) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


def send(client, project, body, query=""):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    path = f"/api/projects/{project.pk}/examples.geojson{query}"
    return client.post(path, text, content_type="application/geo+json")


def command(**fields):
    return parse_command(json.dumps({"type": "examples.add", "client_id": "s", **fields}))


def stroke(project, number=1, against=False, points=((5, 6), (5, 7)), client_id="s") -> Edit:
    fields = {"class": number, "against": against, "points": [list(one) for one in points]}
    return add_examples(project.owner, project.pk, client_id, examples=command(examples=[fields]).examples)


def click(project, row, col, number=1, leaf=0) -> Edit:
    return actions.assign_leaves(
        project.owner, project.pk, f"click {row} {col}", segmentation=project.segmentation_id, version=0,
        ranges=[(leaf, leaf + 1)], class_number=number, point=(row, col),
    )  # fmt: skip


def create(project, name="Water", color="#0000ff") -> Edit:
    return actions.create_class(project.owner, project.pk, f"create {name}", name=name, color=color)


# ---------------------------------------------------------------------------------------------------- list, export


def test_clicks_strokes_and_imports_are_listed(project, client):
    create(project)
    clicked, drawn = click(project, 3, 4), stroke(project, against=True)
    imported = send(
        client, project, collection(point(9, 8, label="water"), point(1, 2, label="Forest"))
    ).json()
    listed = client.get(f"/api/projects/{project.pk}/examples").json()
    assert listed == {
        "number": imported["number"],
        "examples": [
            {"number": clicked.number, "class": 1, "against": False, "kind": "click", "points": [[3, 4]]},
            {
                "number": drawn.number,
                "class": 1,
                "against": True,
                "kind": "stroke",
                "points": [[5, 6], [5, 7]],
            },
            {
                "number": imported["number"],
                "class": 1,
                "against": False,
                "kind": "import",
                "points": [[8, 9]],
            },
            {
                "number": imported["number"],
                "class": 2,
                "against": False,
                "kind": "import",
                "points": [[2, 1]],
            },
        ],
    }


def test_list_follows_removal_undo_and_deleted_classes(project):
    create(project)
    edit = stroke(project)
    click(project, 3, 4)
    remove_examples(project.owner, project.pk, "r", targets=[edit.number])
    assert [one["kind"] for one in describe_examples(project)["examples"]] == ["click"]
    undoing.undo(project.owner, project.pk, "u")
    assert [one["kind"] for one in describe_examples(project)["examples"]] == ["stroke", "click"]
    actions.delete_class(project.owner, project.pk, "d", class_number=1)
    assert describe_examples(project)["examples"] == []


def test_export_is_a_file_of_points(project, client):
    create(project, "Água viva")
    click(project, 3, 4)
    stroke(project, against=True)
    Project.objects.filter(pk=project.pk).update(name="Rio / 2")
    response = client.get(f"/api/projects/{project.pk}/examples.geojson")
    assert response["Content-Type"] == "application/geo+json"
    assert response["Content-Disposition"] == 'attachment; filename="rio-2-examples.geojson"'
    first, second = response.json()["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [4.5, 3.5]}
    assert first["properties"] == {
        "class": "Água viva", "class_number": 1, "color": "#0000ff", "against": False, "kind": "click", "edit": 3
    }  # fmt: skip
    assert second["geometry"] == {"type": "MultiPoint", "coordinates": [[6.5, 5.5], [7.5, 5.5]]}
    assert second["properties"]["against"] is True


@pytest.mark.parametrize("crs", [None, "EPSG:32633"])
def test_an_exported_file_imports_into_another_project_to_the_same_examples(data_dir, crs):
    source, target = (with_place(scenario.make_project(with_crs=bool(crs)), crs) for _ in range(2))
    create(source)
    create(source, "Forest", "#00ff00")
    click(source, 3, 4)
    click(source, 600, 1000, number=2, leaf=7)
    stroke(source, against=True)
    client = Client()
    client.force_login(source.owner)
    text = client.get(f"/api/projects/{source.pk}/examples.geojson").content
    client.force_login(target.owner)
    assert send(client, target, text).status_code == 201

    def told(project):
        labels = {label.number: (label.name, label.color) for label in load_state(project).live_classes()}
        return sorted(
            (one.row, one.col, labels[one.class_number], one.against) for one in live_examples(project)
        )

    target.refresh_from_db()
    assert told(target) == told(source)
    assert len(told(target)) == 4


# ---------------------------------------------------------------------------------------------------- import


FILE = collection(
    point(5, 6, label="WATER"),
    point(7, 8, label="Roof", color="#123456"),
    point(9, 8, label="Road"),
    point(9, 9, label="Road", against=True),
    point(-9, 8, label="Road"),
    point(1, 1),
)


def test_a_dry_run_tells_what_would_come_and_changes_nothing(project, client):
    create(project)
    before = project_state(Project.objects.get(pk=project.pk), project.owner)
    response = send(client, project, FILE, "?dry_run=1")
    assert response.status_code == 200
    free = next(color for color in PALETTE if color not in ("#0000ff", "#123456"))
    assert response.json() == {
        "number": None,
        "field": "label",
        "fields": ["label", "color"],
        "features": 6,
        "points": 4,
        "outside": 1,
        "without_class": 1,
        "without_geometry": 0,
        "per_polygon": 25,
        "classes": [
            {"name": "Water", "class": 1, "color": "#0000ff", "features": 1, "points": 1, "against": 0},
            {"name": "Roof", "class": None, "color": "#123456", "features": 1, "points": 1, "against": 0},
            {"name": "Road", "class": None, "color": free, "features": 2, "points": 2, "against": 1},
        ],
    }
    assert project_state(Project.objects.get(pk=project.pk), project.owner) == before


def test_an_import_is_one_edit_with_its_classes_and_keeps_the_word_of_the_dry_run(project, client):
    create(project)
    promised = send(client, project, FILE, "?dry_run=1").json()
    response = send(client, project, FILE, "?client_id=import-1")
    assert response.status_code == 201
    project.refresh_from_db()
    edit = Edit.objects.get(project=project, number=project.number)
    assert (edit.kind, edit.client_id, edit.payload["source"]) == ("examples.add", "import-1", "import")
    assert response.json()["number"] == edit.number
    labels = load_state(project).live_classes()
    assert [(label.name, label.color) for label in labels] == [
        (one["name"], one["color"]) for one in promised["classes"]
    ]
    assert [one["class"] for one in response.json()["classes"]] == [1, 2, 3]
    told = edit_applied(project, edit, project.owner, True, False)
    assert [label["name"] for label in told["classes"]] == ["Water", "Roof", "Road"]
    assert told["changes"] == []
    assert load_state(project).classes == replay(project).classes


def test_undo_takes_the_import_back_with_its_classes_and_redo_brings_it_again(project, client):
    send(client, project, FILE)
    before = describe_examples(project)["examples"]
    undoing.undo(project.owner, project.pk, "u")
    assert describe_examples(project)["examples"] == []
    project.refresh_from_db()
    assert load_state(project).live_classes() == []
    undoing.redo(project.owner, project.pk, "r")
    assert describe_examples(project)["examples"] == before
    project.refresh_from_db()
    assert [label.name for label in load_state(project).live_classes()] == ["WATER", "Roof", "Road"]


def test_the_same_client_id_imports_once(project, client):
    first = send(client, project, FILE, "?client_id=once").json()
    again = send(client, project, FILE, "?client_id=once").json()
    assert again["number"] == first["number"]
    assert len(describe_examples(project)["examples"]) == 4


def test_a_duplicate_has_the_imported_examples(project, client):
    send(client, project, FILE)
    copy = duplicate_project(project, project.owner, "copy")
    assert describe_examples(copy)["examples"] == describe_examples(project)["examples"]


def test_a_class_created_after_an_import_gets_a_number_of_its_own(project, client):
    send(client, project, FILE)
    undoing.undo(project.owner, project.pk, "u")
    assert create(project).payload["class"] == 4


def test_the_field_can_be_chosen(project, client):
    body = collection(point(1, 1, what="Sand", zone=3))
    asked = send(client, project, body, "?dry_run=1").json()
    assert (asked["field"], asked["fields"], asked["classes"]) == (None, ["what", "zone"], [])
    refused = send(client, project, body)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("No property of the features is called like a class")
    taken = send(client, project, body, "?field=zone").json()
    assert [one["name"] for one in taken["classes"]] == ["3"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("nonsense", "The file is not JSON"),
        (collection(), "The file has no features"),
        (collection(point(-1, -1, label="a")), "None of the 1 features has a class and lies in the scene"),
        (collection(point(1, 1, label="x" * 81)), "Feature 1 has the class 'xxxx.*which cannot be a name: string should have at most 80"),
        (collection(point(1, 1, label="a\u0007b")), "Feature 1 .* control characters"),
        (collection(point(1, 1, label="a"), point("x", 1, label="a")), "Feature 2 has a position"),
    ],
)  # fmt: skip
def test_refuses_files_with_a_sentence(project, client, body, sentence):
    response = send(client, project, body)
    assert response.status_code == 400
    assert re.search(sentence, response.json()["detail"])
    assert scenario.newest(project).kind == "segmentation.adopt"


def test_refuses_forms_and_bodies_over_the_limit(project, client, settings):
    path = f"/api/projects/{project.pk}/examples.geojson"
    form = client.post(path, {"text": "x"})
    assert form.status_code == 400
    assert "Send the GeoJSON itself as the body" in form.json()["detail"]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2
    large = send(client, project, " " * (1024**2 + 1))
    assert large.status_code == 413
    assert "larger than the 1 MiB that are read at once" in large.json()["detail"]


def test_refuses_odd_query_fields(project, client):
    assert send(client, project, FILE, "?client_id=a%20b").status_code == 422
    assert send(client, project, FILE, "?dry_run=perhaps").status_code == 422
    assert send(client, project, FILE, f"?field={'x' * 201}").status_code == 422


def test_refuses_more_examples_than_a_project_learns_from(project, client, monkeypatch):
    monkeypatch.setattr("webapp.editing.example_files.MAX_EXAMPLES", 5)
    assert send(client, project, FILE).status_code == 201
    response = send(client, project, FILE)
    assert response.status_code == 429
    assert "would have 8 examples, and at most 5 are learned from" in response.json()["detail"]


def test_refuses_more_classes_than_a_project_holds(project, client):
    load_legend(
        project.owner, project.pk, "l", classes=[(f"c{i}", "#000000") for i in range(MAX_CLASSES - 1)]
    )
    response = send(client, project, FILE)
    assert response.status_code == 429
    assert "3 more than its 249" in response.json()["detail"]


def test_a_scene_that_is_not_ready_takes_no_examples(project, client):
    Scene.objects.filter(pk=project.scene_id).update(state=Scene.State.FAILED)
    response = send(client, project, FILE)
    assert response.status_code == 409
    assert "not ready (failed)" in response.json()["detail"]


def test_others_see_and_send_nothing(project, other_client):
    path = f"/api/projects/{project.pk}/examples"
    answers = [other_client.get(path), other_client.get(f"{path}.geojson"), send(other_client, project, FILE)]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert Client().get(path).status_code == 401


def test_csrf_token_is_needed(project):
    client = Client(enforce_csrf_checks=True)
    client.force_login(project.owner)
    assert send(client, project, FILE).status_code == 403


# ---------------------------------------------------------------------------------------------------- colors


def test_default_colors_are_those_of_the_page():
    text = (Path(__file__).parents[3] / "static" / "js" / "model" / "classes.js").read_text()
    listed = re.search(r"PALETTE = \[(.*?)\]", text, re.DOTALL)
    assert listed
    assert re.findall(r"#[0-9a-f]{6}", listed[1]) == list(PALETTE)


def test_next_colors_are_free_ones_and_go_round_when_all_are_taken():
    assert next_colors(["#E69F00"], 2) == ["#56b4e9", "#009e73"]
    assert len(next_colors(PALETTE, 3)) == 3
    assert set(next_colors([], 20)) == set(PALETTE)


def test_errors_of_the_library_become_bad_requests():
    from segmentation.errors import InvalidArgumentError

    assert describe(InvalidArgumentError("Feature 1 is bad.")).status == 400
