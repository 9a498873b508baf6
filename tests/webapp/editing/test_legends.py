"""Preset legends, and bringing the classes of one into a project."""

from __future__ import annotations

import json

import pytest

from tests.webapp import scenario
from webapp import actions
from webapp.editing import undoing
from webapp.editing.edits import MAX_CLASSES
from webapp.editing.legends import legends, load_legend
from webapp.editing.snapshots import load_state, replay
from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError
from webapp.live.dispatch import perform
from webapp.live.events import edit_applied, project_state
from webapp.messages import parse_command
from webapp.models import Edit, Project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir):
    return scenario.make_project()


def load(project, client_id="load", **fields) -> Edit:
    return load_legend(project.owner, project.pk, client_id, **fields)


def names(project) -> list[str]:
    project.refresh_from_db()
    return [label.name for label in load_state(project).live_classes()]


@pytest.mark.parametrize(
    ("legend", "count", "known"),
    [
        ("worldcover-2021", 11, {10: "#006400", 80: "#0064c8", 95: "#00cf75", 100: "#fae6a0"}),
        ("corine-level-3", 44, {111: "#e6004d", 132: "#a64d00", 312: "#00a600", 523: "#e6f2ff"}),
        ("nlcd", 20, {11: "#466b9f", 24: "#ab0000", 82: "#ab6c28", 95: "#6c9fb8"}),
    ],
)
def test_presets_hold_the_published_codes_and_colors(legend, count, known):
    classes = legends()[legend].classes
    assert len(classes) == count
    codes = [label.code for label in classes]
    assert codes == sorted(set(codes))
    assert known.items() <= {label.code: label.color for label in classes}.items()


@pytest.mark.parametrize("legend", ["worldcover-2021", "corine-level-3", "nlcd"])
def test_every_class_of_a_preset_is_one_that_a_project_takes(legend):
    classes = [[label.name, label.color] for label in legends()[legend].classes]
    command = parse_command(json.dumps({"type": "legend.load", "client_id": "a", "classes": classes}))
    assert [list(pair) for pair in command.classes] == classes
    assert len({name.casefold() for name, _ in classes}) == len(classes)


def test_legends_are_listed_with_their_sources(signed_in):
    listed = signed_in.get("/api/legends").json()
    assert [legend["id"] for legend in listed] == ["worldcover-2021", "corine-level-3", "nlcd"]
    assert all(legend["source"] and legend["url"].startswith("https://") for legend in listed)
    assert listed[0]["classes"][0] == {"code": 10, "name": "Tree cover", "color": "#006400"}


def test_loading_a_preset_is_one_edit_that_skips_known_names(project):
    actions.create_class(project.owner, project.pk, "c", name="CROPLAND", color="#123456")
    edit = load(project, preset="worldcover-2021")
    assert (edit.kind, edit.payload["preset"]) == ("legend.load", "worldcover-2021")
    assert [label["class"] for label in edit.payload["classes"]] == list(range(2, 12))
    assert names(project)[:3] == ["CROPLAND", "Tree cover", "Shrubland"]
    assert len(names(project)) == 11
    project.refresh_from_db()
    told = edit_applied(project, edit, project.owner, True, False)
    assert len(told["classes"]) == 11
    assert project_state(project, project.owner)["classes"] == told["classes"]


def test_undo_takes_a_legend_back_as_a_whole_and_redo_brings_it_back(project):
    before = project_state(project, project.owner)
    load(project, preset="nlcd")
    after = names(project)
    actions.assign_leaves(
        project.owner, project.pk, "a", segmentation=project.segmentation_id, version=0, ranges=[(0, 3)],
        class_number=4,
    )  # fmt: skip
    undoing.undo(project.owner, project.pk, "u1")
    undone = undoing.undo(project.owner, project.pk, "u2")
    assert names(project) == []
    assert project_state(project, project.owner)["table"] == before["table"]
    assert undone.payload["remark"] == ""
    undoing.redo(project.owner, project.pk, "r")
    assert names(project) == after
    assert load_state(project).classes == replay(project).classes


def test_undo_of_a_legend_tells_of_assignments_that_go_with_it(project):
    load(project, preset="nlcd")
    other = scenario.make_user()
    mine = project.owner
    Project.objects.filter(pk=project.pk).update(owner=other)
    actions.assign_leaves(
        other,
        project.pk,
        "a",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(0, 3)],
        class_number=4,
    )
    Project.objects.filter(pk=project.pk).update(owner=mine)
    undone = undoing.undo(mine, project.pk, "u")
    assert undone.payload["remark"].startswith("With the classes, their 3 assigned leaves show as unlabelled")


def test_numbers_of_an_undone_legend_are_not_given_again(project):
    load(project, preset="worldcover-2021")
    undoing.undo(project.owner, project.pk, "u")
    edit = actions.create_class(project.owner, project.pk, "c", name="Water", color="#0000ff")
    assert edit.payload["class"] == 12
    edit = load(project, "again", preset="worldcover-2021")
    assert edit.payload["classes"][0]["class"] == 13


def test_a_legend_of_ones_own_is_loaded_once_each_name(project):
    edit = load(project, classes=[("Roof", "#ff0000"), ("roof", "#00ff00"), ("Road", "#0000ff")])
    assert [label["name"] for label in edit.payload["classes"]] == ["Roof", "Road"]
    assert "preset" not in edit.payload


def test_loading_the_same_legend_again_is_refused(project):
    load(project, preset="nlcd")
    with pytest.raises(ConflictError, match="every class of NLCD"):
        load(project, "again", preset="nlcd")
    assert scenario.newest(project).client_id == "load"


def test_a_repeated_client_id_gives_the_first_edit(project):
    assert load(project, preset="nlcd").pk == load(project, preset="corine-level-3").pk
    assert len(names(project)) == 20


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({}, InvalidInputError, "either a `preset` or a list of `classes`"),
        ({"preset": "nlcd", "classes": [("a", "#000000")]}, InvalidInputError, "one of the two"),
        (
            {"preset": "moon"},
            MissingError,
            "no legend 'moon'; there are worldcover-2021, corine-level-3, nlcd",
        ),
    ],
)
def test_load_refuses_what_is_no_legend(project, fields, error, sentence):
    with pytest.raises(error, match=sentence):
        load(project, **fields)


def test_load_refuses_more_classes_than_a_project_holds(project):
    load(project, classes=[(f"c{i}", "#000000") for i in range(MAX_CLASSES - 10)])
    with pytest.raises(LimitError, match=r"at most 250 classes.*11 more than its 240"):
        load(project, "more", preset="worldcover-2021")
    assert len(names(project)) == 240


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"preset": ""}, "at least 1 character"),
        ({"classes": []}, "at least 1 item"),
        ({"classes": [["Water", "blue"]]}, "cannot be 'blue'"),
        ({"classes": [["  ", "#000000"]]}, "at least 1 character"),
        ({"classes": [["a", "#000000"]] * 251}, "at most 250 items"),
    ],
)
def test_command_refuses_fields(change, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_command(json.dumps({"type": "legend.load", "client_id": "a", **change}))


def test_command_reaches_its_action(project):
    command = parse_command('{"type": "legend.load", "client_id": "a", "preset": "worldcover-2021"}')
    perform(project.owner, project.pk, command)
    assert len(names(project)) == 11
    assert perform(project.owner, project.pk, command).is_repeat
