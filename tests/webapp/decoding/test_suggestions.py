"""Where to click next, over REST: ranked by the library, from what the project holds at the moment."""

import itertools
import json

import numpy as np
import pytest

from segmentation import Click, suggest
from segmentation.errors import InvalidArgumentError
from tests.webapp import scenario
from webapp import actions
from webapp.decoding import suggestions
from webapp.editing import undoing
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture(autouse=True)
def _afresh():
    suggestions.forget_suggestions()


@pytest.fixture
def project(user) -> Project:
    """Eight leaves in stripes of 137.5 pixels; classes 1 and 2, no click."""
    project = scenario.make_project(user)
    for name, color in (("Water", "#0072b2"), ("Soil", "#e69f00")):
        actions.create_class(user, project.pk, "", name=name, color=color)
    return Project.objects.get(pk=project.pk)


def leaf_point(leaf):
    return 300, int((leaf + 0.5) * 1100 / 8)


def leaf_of(one):
    return one["col"] * 8 // 1100


def click(project, leaf, number, point=True):
    project.refresh_from_db()
    actions.assign_leaves(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(leaf, leaf + 1)],
        class_number=number,
        point=leaf_point(leaf) if point else None,
    )
    project.refresh_from_db()


def ask(client, project, query=""):
    return client.get(f"/api/projects/{project.pk}/suggestions{query}")


def test_before_any_click_every_cluster_may_be_asked_about(signed_in, project):
    body = ask(signed_in, project, "?count=50").json()
    assert body["number"] == project.number
    assert sorted(leaf_of(one) for one in body["suggestions"]) == list(range(8))
    for one in body["suggestions"]:
        assert one.keys() == {"row", "col", "bounds", "area_px", "certainty", "class"}
        assert (one["class"], one["certainty"]) == (None, 0)
        row0, col0, row1, col1 = one["bounds"]
        assert 0 <= row0 <= one["row"] < row1 <= 700
        assert 0 <= col0 <= one["col"] < col1 <= 1100
        assert one["area_px"] in (137 * 700, 138 * 700)


def test_six_are_given_unless_a_number_is_asked_for(signed_in, project):
    assert len(ask(signed_in, project).json()["suggestions"]) == 6
    assert len(ask(signed_in, project, "?count=2").json()["suggestions"]) == 2


def test_clicks_count_as_examples_and_their_leaves_are_done(signed_in, project):
    click(project, 0, 1)
    click(project, 7, 2)
    body = ask(signed_in, project, "?count=50").json()
    store = scenario.blocks.open_store(project.segmentation_id)
    examples = [Click(*leaf_point(0), 1), Click(*leaf_point(7), 2)]
    decided = np.isin(np.arange(8), [0, 7])
    expected = suggest(store, store.classify(examples), examples, 50, decided=decided)
    assert body["number"] == project.number
    assert [(one["row"], one["col"], one["class"]) for one in body["suggestions"]] == [
        (one.row, one.col, one.class_id) for one in expected
    ]
    assert [one["certainty"] for one in body["suggestions"]] == pytest.approx(
        [one.certainty for one in expected], abs=1e-4
    )
    assert {leaf_of(one) for one in body["suggestions"]} == {1, 2, 3, 4, 5, 6}


def test_undo_brings_a_leaf_back_into_question(signed_in, project):
    click(project, 3, 1, point=False)
    assert 3 not in {leaf_of(one) for one in ask(signed_in, project, "?count=50").json()["suggestions"]}
    undoing.undo(project.owner, project.pk, "u")
    assert 3 in {leaf_of(one) for one in ask(signed_in, project, "?count=50").json()["suggestions"]}


def test_nothing_is_suggested_where_all_is_decided(signed_in, project):
    for leaf in range(8):
        click(project, leaf, 1, point=False)
    assert ask(signed_in, project).json()["suggestions"] == []


def test_area_of_interest_bounds_the_suggestions(signed_in, project):
    ring = [[550, 100], [820, 100], [820, 600], [550, 600], [550, 100]]
    actions.set_aoi(project.owner, project.pk, "a", geometry={"type": "Polygon", "coordinates": [ring]})
    found = ask(signed_in, project, "?count=50").json()["suggestions"]
    assert {leaf_of(one) for one in found} == {4, 5}
    assert all(100 <= one["row"] < 600 and 550 <= one["col"] < 820 for one in found)


def test_the_same_question_is_ranked_once(signed_in, project, monkeypatch):
    asked = []
    monkeypatch.setattr(
        suggestions, "suggest", lambda *args, **more: asked.append(args) or suggest(*args, **more)
    )
    first = ask(signed_in, project).json()
    assert ask(signed_in, project).json() == first
    assert len(asked) == 1
    ask(signed_in, project, "?count=5")
    click(project, 0, 1)
    assert ask(signed_in, project).json() != first
    assert len(asked) == 3


def test_while_blocks_are_missing_what_is_there_is_suggested_and_not_kept(signed_in, user):
    project = scenario.make_project(
        user, leave_out=frozenset({(0, 0, 0), (0, 1, 0)}), state=Segmentation.State.RUNNING
    )
    found = ask(signed_in, project, "?count=50").json()["suggestions"]
    assert found
    assert all(one["col"] >= 512 for one in found)
    assert not suggestions._answers
    assert not suggestions._places


@pytest.mark.parametrize("count", [0, -3, 51])
def test_a_count_out_of_range_is_refused(signed_in, project, count):
    response = ask(signed_in, project, f"?count={count}")
    assert response.status_code == 400
    assert response.json() == {"detail": f"There cannot be {count} suggestions; ask for 1 to 50."}


def test_a_count_that_is_no_number_is_refused(signed_in, project):
    response = ask(signed_in, project, "?count=many")
    assert response.status_code == 422
    assert "count" in json.loads(response.content)["detail"]


def test_without_clusters_there_is_nothing_to_suggest(signed_in, user):
    response = ask(signed_in, scenario.make_project(user, with_segmentation=False))
    assert response.status_code == 409
    assert response.json()["detail"] == (
        "The project has no clusters yet, so there is nothing to suggest; wait a moment."
    )


def test_a_store_that_is_gone_is_told(signed_in, project):
    scenario.blocks.forget_stores()
    (project.segmentation.store_path / "segmentation.json").unlink()
    response = ask(signed_in, project)
    assert response.status_code == 409
    assert "There is no segmentation" in response.json()["detail"]


def test_strangers_and_the_signed_out_learn_nothing(other_client, client, project):
    assert ask(other_client, project).status_code == 404
    assert ask(client, project).status_code == 401


def test_an_error_of_the_library_is_a_sentence(signed_in, project, monkeypatch):
    def fail(*args, **more):
        raise InvalidArgumentError("The moon is in the way.")

    monkeypatch.setattr(suggestions, "suggest", fail)
    response = ask(signed_in, project)
    assert (response.status_code, response.json()) == (400, {"detail": "The moon is in the way."})
