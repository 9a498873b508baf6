"""REST: recent edits, earlier states, comparisons."""

import base64
import itertools
import zlib

import numpy as np
import pytest
from django.test import Client

from tests.webapp import scenario
from webapp import actions
from webapp.editing import adoption, example_actions, restoring, splits, timeline, undoing
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture
def project(data_dir) -> Project:
    timeline.forget_past()
    project = scenario.make_project(scenario.make_user("ana"), with_crs=True)
    for name, color in (("Water", "#0072b2"), ("Soil", "#d55e00")):
        actions.create_class(project.owner, project.pk, "", name=name, color=color)
    return project


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ana(project):
    return client_of(project.owner)


def assign(project, low, high, number=1, user=None, **more):
    project.refresh_from_db()
    return actions.assign_leaves(
        user or project.owner,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(low, high)],
        class_number=number,
        **more,
    )


def get(client, project, path, status=200):
    response = client.get(f"/api/projects/{project.pk}/{path}")
    assert response.status_code == status, response.content
    return response.json()


def table_of(body):
    return np.frombuffer(zlib.decompress(base64.b64decode(body["table"])), np.uint8).tolist()


# ---------------------------------------------------------------------------------------------------- edits


def test_edits_come_newest_first_in_pages(project, ana):
    for leaf in range(5):
        assign(project, leaf, leaf + 1)
    first = get(ana, project, "edits?limit=3")
    assert [edit["number"] for edit in first["edits"]] == [8, 7, 6]
    assert (first["number"], first["more"]) == (8, True)
    rest = get(ana, project, "edits?limit=200&before=6")
    assert [edit["number"] for edit in rest["edits"]] == [5, 4, 3, 2, 1]
    assert not rest["more"]


def test_edit_tells_who_what_where_and_how_much(project, ana):
    assign(project, 0, 4, point=(10, 20))
    [edit] = get(ana, project, "edits?limit=1")["edits"]
    assert edit["author"]["id"] == project.owner.pk
    assert edit["author"]["name"] == "ana"
    assert edit["author"]["color"].startswith("#")
    assert (edit["kind"], edit["label"], edit["place"], edit["live"]) == ("leaves.assign", 1, [10, 20], True)
    assert edit["area"] == {"pixels": 700 * 550, "area_m2": 700 * 550 * 100.0}


def test_what_the_server_did_has_no_author(project, ana):
    adopted = get(ana, project, "edits")["edits"][-1]
    assert (adopted["kind"], adopted["author"]) == ("segmentation.adopt", None)
    assert adopted["detail"] == {"segmentation": project.segmentation_id}


def test_details_of_each_kind(project, ana):
    owner = project.owner
    actions.rename_class(owner, project.pk, "", class_number=1, name="Lake")
    actions.recolor_class(owner, project.pk, "", class_number=1, color="#ffffff")
    actions.set_aoi(owner, project.pk, "", geometry=None)
    example_actions.set_completion(owner, project.pk, "", on=True, threshold=0.7)
    splits.split_cluster(
        owner,
        project.pk,
        "",
        segmentation=project.segmentation_id,
        version=0,
        leaves=(0, 2),
        parts=[(0, 1), (1, 2)],
    )
    undoing.undo(owner, project.pk, "u")
    assign(project, 0, 2)
    restoring.restore_state(owner, project.pk, "r", number=3)
    found = {edit["kind"]: edit for edit in get(ana, project, "edits")["edits"]}
    assert found["class.rename"]["detail"] == {"name": "Lake", "was": "Water"}
    assert found["class.rename"]["label"] == 1
    assert found["class.recolor"]["detail"] == {"color": "#ffffff", "was": "#0072b2"}
    assert found["aoi.set"]["detail"] == {"is_set": False}
    assert found["completion.set"]["detail"] == {"on": True, "threshold": 0.7}
    assert found["cluster.split"]["detail"]["parts"] == 2
    assert found["edit.undo"]["detail"] == {
        "target": 8,
        "what": {"kind": "cluster.split", "detail": found["cluster.split"]["detail"]},
    }
    assert found["state.restore"]["detail"] == {"number": 3}
    assert not found["cluster.split"]["live"]
    assert not found["leaves.assign"]["live"]


def test_undo_tells_class_and_place_of_what_it_took_back(project, ana):
    assign(project, 0, 4, point=(10, 20))
    undoing.undo(project.owner, project.pk, "u")
    [undone] = get(ana, project, "edits?limit=1")["edits"]
    assert (undone["label"], undone["place"], undone["area"]["pixels"]) == (1, [10, 20], 700 * 550)


def test_area_is_not_told_of_other_segmentations(project, ana):
    assign(project, 0, 4)
    finer = scenario.make_segmentation(project.scene, n_leaves=16)
    adoption.adopt_segmentation(project.owner, project.pk, "a", segmentation=finer.pk)
    assert [edit["area"] for edit in get(ana, project, "edits?limit=2")["edits"]] == [None, None]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=0", "before=x"])
def test_impossible_pages_are_refused(project, ana, query):
    assert get(ana, project, f"edits?{query}", 422)["detail"].startswith(query.split("=")[0])


def test_viewer_may_read_and_stranger_may_not(project):
    viewer = client_of(scenario.join(project, scenario.make_user("vera"), "viewer"))
    stranger = client_of(scenario.make_user("sol"))
    for path in ("edits", "states/3", "comparison?before=2"):
        get(viewer, project, path)
        assert "no project" in get(stranger, project, path, 404)["detail"]


# ---------------------------------------------------------------------------------------------------- states


def test_state_is_the_map_as_it_was(project, ana):
    then = assign(project, 0, 4)
    actions.rename_class(project.owner, project.pk, "", class_number=1, name="Lake")
    assign(project, 2, 8, 2)
    undoing.undo(project.owner, project.pk, "u")
    body = get(ana, project, f"states/{then.number}")
    assert table_of(body) == [1] * 4 + [0] * 4
    assert [label["name"] for label in body["classes"]] == ["Water", "Soil"]
    assert (body["number"], body["user"], body["kind"], body["exact"]) == (
        then.number,
        "ana",
        "leaves.assign",
        True,
    )
    assert table_of(get(ana, project, "states/6")) == [1, 1, 2, 2, 2, 2, 2, 2]  # before the undo


def test_deleted_classes_hide_in_the_past_too(project, ana):
    assign(project, 0, 4)
    actions.delete_class(project.owner, project.pk, "", class_number=1)
    actions.create_class(project.owner, project.pk, "", name="Town", color="#000000")
    assert table_of(get(ana, project, "states/4")) == [1] * 4 + [0] * 4
    assert table_of(get(ana, project, "states/5")) == [0] * 8


def test_completed_map_of_the_past_is_predicted_from_its_examples(project, ana):
    assign(project, 0, 1, 1, point=(5, 5))
    assign(project, 7, 8, 2, point=(5, 1090))
    done = example_actions.set_completion(project.owner, project.pk, "", on=True, threshold=0.0)
    then = table_of(get(ana, project, f"states/{done.number}"))
    assert set(then) == {1, 2}
    example_actions.set_completion(project.owner, project.pk, "", on=False, threshold=0.5)
    undoing.undo(project.owner, project.pk, "u1")
    undoing.undo(project.owner, project.pk, "u2")
    undoing.undo(project.owner, project.pk, "u3")  # of the second click
    timeline.forget_past()
    assert table_of(get(ana, project, f"states/{done.number}")) == then


def test_state_of_another_segmentation_is_carried_over(project, ana):
    then = assign(project, 0, 4)
    finer = scenario.make_segmentation(project.scene, n_leaves=16)
    adoption.adopt_segmentation(project.owner, project.pk, "a", segmentation=finer.pk)
    assign(project, 0, 16, 2)
    body = get(ana, project, f"states/{then.number}")
    assert not body["exact"]
    assert table_of(body) == [1] * 8 + [0] * 8
    Segmentation.objects.filter(pk=body["segmentation"]).delete()
    timeline.forget_past()
    assert (
        "segmentation of that time was deleted" in get(ana, project, f"states/{then.number}", 409)["detail"]
    )


def test_states_that_are_none_are_refused(project, ana):
    assert "numbers 1 to 3" in get(ana, project, "states/9", 404)["detail"]
    get(ana, project, "states/0", 404)
    bare = scenario.make_project(project.owner, with_segmentation=False)
    assert "Nothing was done" in get(ana, bare, "states/1", 404)["detail"]
    actions.create_class(project.owner, bare.pk, "", name="Water", color="#000000")
    assert "no segmentation now" in get(ana, bare, "states/1", 409)["detail"]
    adoption.adopt_first(bare.pk, scenario.make_segmentation(bare.scene))
    assert "no clusters yet" in get(ana, bare, "states/1", 409)["detail"]


# ---------------------------------------------------------------------------------------------------- comparing


def test_comparison_tells_how_much_went_from_which_class_to_which(project, ana):
    old = assign(project, 0, 4)
    assign(project, 2, 6, 2)
    body = get(ana, project, f"comparison?before={old.number}")
    cells = {(cell["before"], cell["after"]): cell["pixels"] for cell in body["matrix"]}
    counts = {leaf: (scenario.stripes(700, 1100, 8) == leaf).sum() for leaf in range(8)}
    assert cells == {
        (1, 1): counts[0] + counts[1],
        (1, 2): counts[2] + counts[3],
        (0, 2): counts[4] + counts[5],
        (0, 0): counts[6] + counts[7],
    }
    assert all(cell["area_m2"] == pytest.approx(100 * cell["pixels"]) for cell in body["matrix"])
    assert body["leaves"] == [[2, 6]]
    assert [label["name"] for label in body["classes"]] == ["Water", "Soil"]
    assert (body["before"]["number"], body["after"]["number"]) == (old.number, old.number + 1)
    assert body["in_area"]
    assert body["exact"]


def test_comparison_backwards_is_the_transpose(project, ana):
    old, new = assign(project, 0, 4), assign(project, 2, 6, 2)
    forth = get(ana, project, f"comparison?before={old.number}&after={new.number}")["matrix"]
    back = get(ana, project, f"comparison?before={new.number}&after={old.number}")["matrix"]
    assert sorted((cell["before"], cell["after"], cell["pixels"]) for cell in forth) == sorted(
        (cell["after"], cell["before"], cell["pixels"]) for cell in back
    )


def test_comparison_of_states_that_are_none_is_refused(project, ana):
    assert "numbers 1 to 3" in get(ana, project, "comparison?before=1&after=50", 404)["detail"]
    get(ana, project, "comparison", 422)
