"""Merging classes: their leaves, examples and races; drawings are in test_overriding.py."""

from __future__ import annotations

import pytest

from tests.webapp import scenario
from webapp import actions
from webapp.decoding import completion
from webapp.editing import clicks, example_actions, merging, undoing
from webapp.editing.examples import live_examples
from webapp.editing.snapshots import load_state, replay
from webapp.errors import ConflictError, InvalidInputError, MissingError
from webapp.live import events
from webapp.messages import ExampleStroke
from webapp.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

WATER, SOIL, WOOD = 1, 2, 3


@pytest.fixture
def project(user) -> Project:
    project = scenario.make_project(user, n_leaves=8)
    for name in ("Water", "Soil", "Wood"):
        actions.create_class(user, project.pk, "", name=name, color="#0072b2")
    for number, leaf in ((WATER, 0), (SOIL, 2), (WOOD, 4)):
        assign(project, leaf, number, (10, 137 * leaf + 20))
    return project


def now(project) -> Project:
    return Project.objects.select_related("scene", "segmentation", "owner").get(pk=project.pk)


def state_of(project):
    state, again = load_state(now(project)), replay(now(project))
    assert again.classes == state.classes
    assert again.table.tolist() == state.table.tolist()
    return state


def assign(project, leaf, number, point=None, user=None):
    return actions.assign_leaves(
        user or project.owner, project.pk, "", segmentation=project.segmentation_id, version=0,
        ranges=[(leaf, leaf + 1)], class_number=number, point=point,
    )  # fmt: skip


def merge(project, sources, number, user=None, client_id=""):
    return merging.merge_classes(
        user or project.owner, project.pk, client_id, sources=sources, class_number=number
    )


def undo(project, user=None):
    return undoing.undo(user or project.owner, project.pk, "")


def redo(project, user=None):
    return undoing.redo(user or project.owner, project.pk, "")


def shown(project):
    return state_of(project).visible_table().tolist()


def names(project):
    return [label.name for label in state_of(project).live_classes()]


def test_leaves_and_examples_become_the_targets(project):
    edit = merge(project, [WATER, WOOD], SOIL)
    assert shown(project) == [2, 0, 2, 0, 2, 0, 0, 0]
    assert names(project) == ["Soil"]
    assert [example.class_number for example in live_examples(now(project))] == [SOIL] * 3
    assert [click[3] for click in clicks.all_clicks(now(project))] == [SOIL] * 3
    order = completion.order_of(now(project))
    assert {example.class_number for example in order.examples} == {SOIL}
    told = events.edit_applied(now(project), edit, project.owner, True, False)
    assert told["changes"] == [[0, 1, 2], [4, 5, 2]]
    assert {label["number"]: label["merged_into"] for label in told["classes"]} == {1: 2, 2: None, 3: 2}
    assert [click[3] for click in told["clicks"]["all"]] == [SOIL] * 3


def test_undo_tells_them_apart_again_and_redo_joins_them(project):
    merge(project, [WATER], SOIL)
    edit = undo(project)
    assert shown(project) == [1, 0, 2, 0, 3, 0, 0, 0]
    assert names(project) == ["Water", "Soil", "Wood"]
    assert edit.payload["changes"] == [[0, 1, 1]]
    redo(project)
    assert shown(project) == [2, 0, 2, 0, 3, 0, 0, 0]


def test_what_was_meant_for_a_merged_class_is_the_targets(project):
    """Two people at once: one merges, the other's click comes a moment later."""
    other = scenario.join(project, scenario.make_user("ben"))
    merge(project, [WATER], SOIL)
    edit = assign(project, 6, WATER, user=other)
    assert edit.payload["class"] == SOIL
    assert shown(project)[6] == SOIL
    undo(project)  # the merge: what came after it was Soil's all the time
    assert shown(project) == [1, 0, 2, 0, 3, 0, 2, 0]


def test_what_is_not_of_a_class_says_nothing_of_a_larger_one(project):
    strokes = [
        ExampleStroke(**{"class": WATER, "points": [(5, 5)], "against": True}),
        ExampleStroke(**{"class": WATER, "points": [(6, 6)]}),
    ]
    example_actions.add_examples(project.owner, project.pk, "", examples=strokes)
    merge(project, [WATER], SOIL)
    found = [(e.row, e.class_number, e.against) for e in live_examples(now(project)) if e.row < 10]
    assert found == [(6, SOIL, False)]
    edit = example_actions.add_examples(project.owner, project.pk, "", examples=strokes[1:])
    assert edit.payload["examples"][0]["class"] == SOIL
    with pytest.raises(MissingError, match="The class 'Water' was merged into 'Soil'"):
        example_actions.add_examples(project.owner, project.pk, "", examples=strokes[:1])


def test_merges_of_merges_end_at_the_last(project):
    merge(project, [WATER], SOIL)
    merge(project, [SOIL], WOOD)
    assert shown(project) == [3, 0, 3, 0, 3, 0, 0, 0]
    actions.delete_class(project.owner, project.pk, "", class_number=WOOD)
    assert shown(project) == [0] * 8
    undo(project)
    undo(project)
    assert shown(project) == [2, 0, 2, 0, 3, 0, 0, 0]


def test_merges_against_one_another_make_no_circle(project):
    other = scenario.join(project, scenario.make_user("ben"))
    merge(project, [WATER], SOIL)
    undo(project)
    merge(project, [SOIL], WATER, user=other)
    redo(project)  # at its old place, before the other's
    assert names(project) == ["Soil", "Wood"]
    assert shown(project) == [2, 0, 2, 0, 3, 0, 0, 0]
    undo(project)
    assert names(project) == ["Water", "Wood"]


def test_a_target_whose_creation_is_undone_gives_its_parts_back(project):
    other = scenario.join(project, scenario.make_user("ben"))
    actions.create_class(other, project.pk, "", name="Land", color="#00ff00")
    merge(project, [SOIL, WOOD], 4)
    assert names(project) == ["Water", "Land"]
    undo(project, other)
    assert names(project) == ["Water", "Soil", "Wood"]
    assert shown(project) == [1, 0, 2, 0, 3, 0, 0, 0]


def test_the_name_of_a_merged_class_is_free_again(project):
    merge(project, [WATER], SOIL)
    actions.rename_class(project.owner, project.pk, "", class_number=SOIL, name="Water")
    assert names(project) == ["Water", "Wood"]
    with pytest.raises(MissingError, match="was merged into"):
        actions.rename_class(project.owner, project.pk, "", class_number=WATER, name="Lake")


def test_bad_merges_are_refused_and_change_nothing(project):
    merge(project, [WATER], SOIL)
    before = now(project).number
    for error, sentence, sources, target in [
        (InvalidInputError, "cannot be merged into itself", [SOIL, WOOD], SOIL),
        (InvalidInputError, "name each class once", [WOOD, WOOD], SOIL),
        (MissingError, "'Water' was merged into 'Soil'", [WATER], WOOD),
        (MissingError, "There is no class 9", [9], SOIL),
        (MissingError, "There is no class 9", [SOIL], 9),
        (ConflictError, "The class was merged into 'Soil' since", [SOIL], WATER),
    ]:
        with pytest.raises(error, match=sentence):
            merge(project, sources, target)
    assert now(project).number == before


def test_a_repeated_merge_is_done_once(project):
    first = merge(project, [WATER], SOIL, client_id="same")
    assert merge(project, [WATER], SOIL, client_id="same") == first
