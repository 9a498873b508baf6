"""Examples: the fold of them, the commands that change them, and what undo, adoption and copies make of them."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp import scenario
from webapp import actions, storage
from webapp.editing import adoption, example_actions, examples, projects, undoing
from webapp.editing.examples import Example, ExampleEdit, fold_examples, live_examples
from webapp.editing.snapshots import load_state, replay
from webapp.errors import InvalidInputError, LimitError, MissingError
from webapp.live import events
from webapp.models import Edit, Project

_ids = itertools.count(1)

# ---------------------------------------------------------------------------------------------------- the fold


def click(number, takes=(), live=True, row=0):
    return ExampleEdit(number, live, (Example(number, row, 0, 1),), frozenset(takes), is_click=True)


def test_later_click_in_the_same_leaf_replaces_the_earlier_one_while_it_is_live():
    assert [example.number for example in fold_examples([click(1), click(2, takes={1})])] == [2]
    assert [example.number for example in fold_examples([click(1), click(2, takes={1}, live=False)])] == [1]
    assert [example.number for example in fold_examples([click(1, live=False), click(2, takes={1})])] == [2]


def test_examples_come_in_the_order_of_their_edits():
    several = ExampleEdit(2, True, (Example(2, 5, 6, 1), Example(2, 7, 8, 2, against=True)))
    assert fold_examples([click(1), several, click(3)]) == [
        Example(1, 0, 0, 1),
        Example(2, 5, 6, 1),
        Example(2, 7, 8, 2, against=True),
        Example(3, 0, 0, 1),
    ]


def test_removal_takes_clicks_and_strokes_and_leaves_what_came_later():
    stroke = ExampleEdit(2, True, (Example(2, 5, 6, 1),))
    removal = ExampleEdit(3, True, takes=frozenset({1, 2}))
    assert [example.number for example in fold_examples([click(1), stroke, removal, click(4)])] == [4]


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(1, 12), max_size=3)), max_size=12))
def test_an_example_is_there_unless_a_later_live_edit_took_it(steps):
    edits = [
        click(number, takes={taken for taken in takes if taken < number}, live=live)
        for number, (live, takes) in enumerate(steps, 1)
    ]
    expected = [
        edit.number
        for edit in edits
        if edit.live and not any(later.live and edit.number in later.takes for later in edits)
    ]
    assert [example.number for example in fold_examples(edits)] == expected


def test_reading_skips_what_gives_no_example():
    assert ExampleEdit.read(1, "class.create", True, {}) is None
    assert ExampleEdit.read(1, "leaves.assign", True, {"class": 1}) is None
    assert ExampleEdit.read(1, "leaves.unassign", True, {"point": [1, 2]}) is None


# ---------------------------------------------------------------------------------------------------- the log


@dataclass
class Stroke:
    class_number: int
    points: list[tuple[int, int]] = field(default_factory=lambda: [(5, 5)])
    against: bool = False


@pytest.fixture
def project(transactional_db, data_dir) -> Project:
    """Eight leaves in stripes of 137.5 pixels; two classes."""
    project = scenario.make_project(scenario.make_user("ana"))
    for name in ("Water", "Soil"):
        actions.create_class(project.owner, project.pk, "", name=name, color="#000000")
    return project


def leaf_point(leaf, row=300):
    return row, int((leaf + 0.5) * 1100 / 8)


def assign(project, leaf, number=1, point=None, low=None, high=None):
    project.refresh_from_db()
    return actions.assign_leaves(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(leaf if low is None else low, leaf + 1 if high is None else high)],
        class_number=number,
        point=point or leaf_point(leaf),
    )


def unassign(project, low, high, point=None):
    return actions.unassign_leaves(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(low, high)],
        point=point,
    )


def add(project, *strokes):
    return example_actions.add_examples(project.owner, project.pk, f"c{next(_ids)}", examples=strokes)


def remove(project, *targets):
    return example_actions.remove_examples(project.owner, project.pk, f"c{next(_ids)}", targets=targets)


def undo(project):
    return undoing.undo(project.owner, project.pk, f"c{next(_ids)}")


def redo(project):
    return undoing.redo(project.owner, project.pk, f"c{next(_ids)}")


def held(project):
    """(row, col, class, against) of the examples, read with what is kept and read afresh."""
    project = Project.objects.get(pk=project.pk)
    kept = live_examples(project)
    examples.forget_examples()
    assert live_examples(project) == kept
    return [(example.row, example.col, example.class_number, example.against) for example in kept]


def test_click_is_an_example_and_an_assignment_without_point_is_none(project):
    assign(project, 2)
    actions.assign_leaves(
        project.owner, project.pk, "", segmentation=project.segmentation_id, version=0, ranges=[(5, 6)],
        class_number=2,
    )  # fmt: skip
    assert held(project) == [(*leaf_point(2), 1, False)]


def test_click_in_the_same_leaf_replaces_and_elsewhere_adds(project):
    first = assign(project, 2, point=leaf_point(2, 300))
    assign(project, 2, number=2, point=leaf_point(2, 40))
    edit = assign(project, 3, number=2, low=0, high=8)
    assert held(project) == [(*leaf_point(2, 40), 2, False), (*leaf_point(3), 2, False)]
    assert "supersedes" not in edit.payload
    assert Edit.objects.get(project=project, number=first.number + 1).payload["supersedes"] == [first.number]


def test_undo_of_a_click_brings_back_what_it_replaced_and_redo_does_not(project):
    assign(project, 2)
    assign(project, 2, number=2)
    undo(project)
    assert held(project) == [(*leaf_point(2), 1, False)]
    redo(project)
    assert held(project) == [(*leaf_point(2), 2, False)]


def test_click_that_was_undone_does_not_come_back_beside_a_later_one(project):
    boris = scenario.make_user("boris")
    scenario.join(project, boris)
    assign(project, 2)
    undo(project)
    actions.assign_leaves(
        boris, project.pk, "b", segmentation=project.segmentation_id, version=0, ranges=[(2, 3)],
        class_number=2, point=leaf_point(2),
    )  # fmt: skip
    redo(project)
    assert held(project) == [(*leaf_point(2), 2, False)]


@pytest.mark.parametrize("point", [None, leaf_point(5)])
def test_taking_leaves_out_of_their_class_takes_their_examples(project, point):
    for leaf in (1, 2, 5):
        assign(project, leaf)
    unassign(project, 1, 3, point)
    left = [] if point else [(*leaf_point(5), 1, False)]
    assert held(project) == left
    undo(project)
    assert len(held(project)) == 3


def test_deleted_class_hides_its_examples(project):
    assign(project, 2)
    add(project, Stroke(2, [(1, 2)], against=True))
    actions.delete_class(project.owner, project.pk, "", class_number=1)
    assert held(project) == [(1, 2, 2, True)]
    undo(project)
    assert len(held(project)) == 2


def test_strokes_are_added_and_removed_and_undone(project):
    edit = add(project, Stroke(1, [(1, 2), (3, 4)]), Stroke(2, [(5, 6)], against=True))
    assert edit.payload["examples"][1] == {"class": 2, "against": True, "points": [[5, 6]]}
    strokes = [(1, 2, 1, False), (3, 4, 1, False), (5, 6, 2, True)]
    assert held(project) == strokes
    removal = remove(project, edit.number)
    assert held(project) == []
    assert undo(project).payload["target"] == removal.number
    assert held(project) == strokes
    assert undo(project).payload["target"] == edit.number
    assert held(project) == []
    redo(project)
    assert held(project) == strokes


def test_removing_the_example_of_a_click_keeps_its_assignment(project):
    edit = assign(project, 2)
    remove(project, edit.number)
    project.refresh_from_db()
    assert held(project) == []
    assert load_state(project).visible_table().tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_undo_of_a_stroke_claims_nothing_of_the_map(project):
    add(project, Stroke(1))
    assert undo(project).payload["remark"] == ""


def test_snapshot_is_the_fold_with_all_new_edits(project):
    assign(project, 2)
    edit = add(project, Stroke(1))
    remove(project, edit.number)
    example_actions.set_completion(project.owner, project.pk, "", on=True, threshold=0.75)
    project.refresh_from_db()
    stored, folded = load_state(project), replay(project)
    assert stored.completion == folded.completion
    assert (stored.completion.on, stored.completion.threshold) == (True, 0.75)
    assert stored.table.tolist() == folded.table.tolist()


def test_examples_outlive_an_adoption_and_its_undoing(project):
    assign(project, 2, point=leaf_point(2, 300))
    assign(project, 2, number=2, point=leaf_point(2, 40))
    # Rows instead of columns: the two clicks lie in different leaves now, yet the first stays replaced.
    rows = np.broadcast_to((np.arange(700) * 8 // 700).astype(np.uint16)[:, None], (700, 1100))
    new = scenario.make_segmentation(project.scene, ids=rows)
    adoption.adopt_segmentation(project.owner, project.pk, "adopt", segmentation=new.pk)
    before = [(*leaf_point(2, 40), 2, False)]
    assert held(project) == before
    undo(project)
    assert held(project) == before


def test_click_replaces_one_made_on_an_earlier_segmentation(project):
    assign(project, 2, point=(10, 300))
    rows = np.broadcast_to((np.arange(700) * 8 // 700).astype(np.uint16)[:, None], (700, 1100))
    new = scenario.make_segmentation(project.scene, ids=rows)
    adoption.adopt_segmentation(project.owner, project.pk, "adopt", segmentation=new.pk)
    project.refresh_from_db()
    assign(project, 0, number=2, point=(20, 1000))
    assert held(project) == [(20, 1000, 2, False)]


def test_copy_has_the_examples_and_its_own_undo(project):
    assign(project, 2)
    edit = add(project, Stroke(2, [(1, 2)]))
    example_actions.set_completion(project.owner, project.pk, "", on=True, threshold=0.25)
    project.refresh_from_db()
    copy = projects.duplicate_project(project, project.owner, "copy")
    assert held(copy) == held(project)
    assert load_state(copy).completion == load_state(project).completion
    remove(copy, edit.number)
    assert len(held(copy)) == 1
    assert len(held(project)) == 2


def test_click_on_a_segmentation_whose_files_are_gone_is_still_recorded(project):
    assign(project, 2)
    storage.free(project.segmentation.store_path)
    scenario.blocks.forget_stores()
    assign(project, 2, number=2)
    assert len(held(project)) == 2


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("point", [(700, 0), (0, 1100), (-1, 5)])
def test_pixel_outside_the_scene_is_refused(project, point):
    with pytest.raises(InvalidInputError, match=f"{point[0]}, {point[1]} is outside the scene of 700 rows"):
        add(project, Stroke(1, [(0, 0), point]))
    with pytest.raises(InvalidInputError, match="outside the scene of 700 rows and 1100 columns"):
        assign(project, 2, point=point)
    assert held(project) == []


def test_class_that_is_not_there_is_refused(project):
    actions.delete_class(project.owner, project.pk, "", class_number=2)
    for number in (2, 9):
        with pytest.raises(MissingError, match=f"There is no class {number}"):
            add(project, Stroke(1), Stroke(number))


@pytest.mark.parametrize("strokes", [(), (Stroke(1, []),)])
def test_no_pixel_is_refused(project, strokes):
    with pytest.raises(InvalidInputError, match="No pixels were given"):
        add(project, *strokes)


def test_too_many_pixels_are_refused(project, monkeypatch):
    points = [(row, 5) for row in range(600)]
    with pytest.raises(LimitError, match="2400 pixels are more than the 2000 of one edit"):
        add(project, *[Stroke(1, points) for _ in range(4)])
    monkeypatch.setattr(example_actions, "MAX_EXAMPLES", 1000)
    add(project, Stroke(1, points))
    with pytest.raises(LimitError, match="would have 1200 examples, and at most 1000"):
        add(project, Stroke(1, points))
    undo(project)
    add(project, Stroke(1, points))


def test_removing_what_is_not_there_is_refused(project):
    edit = add(project, Stroke(1))
    remove(project, edit.number)
    for number in (edit.number, 1, 900):
        with pytest.raises(MissingError, match=f"Edit {number} has no example"):
            remove(project, number)
    with pytest.raises(InvalidInputError, match="No edits were given"):
        remove(project)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_certainty_out_of_range_is_refused(project, threshold):
    with pytest.raises(InvalidInputError, match=f"The certainty cannot be {threshold}"):
        example_actions.set_completion(project.owner, project.pk, "", on=True, threshold=threshold)


# ---------------------------------------------------------------------------------------------------- events


def test_settings_are_told_with_the_edit_and_with_its_undoing(project):
    edit = example_actions.set_completion(project.owner, project.pk, "x", on=True, threshold=0.75)
    project.refresh_from_db()
    told = events.edit_applied(project, edit, project.owner, True, False)
    assert told["project"]["completion"] == {"on": True, "threshold": 0.75}
    back = undo(project)
    project.refresh_from_db()
    told = events.edit_applied(project, back, project.owner, False, True)
    assert told["project"]["completion"] == {"on": False, "threshold": 0.5}
