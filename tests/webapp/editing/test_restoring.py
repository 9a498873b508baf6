"""Going back to earlier states, alone and among others."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webapp import scenario
from webapp import actions
from webapp.editing import adoption, example_actions, history, restoring, undoing
from webapp.editing.examples import forget_examples, live_examples
from webapp.editing.snapshots import load_state, replay, state_at
from webapp.errors import ConflictError, ForbiddenError, MissingError, NothingToDoError, WebError
from webapp.live import events
from webapp.models import Edit, Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture
def project(data_dir) -> Project:
    """A project of ana with two classes (edits 2 and 3), edited by boris too."""
    return scenario.make_labeled_project(scenario.make_user("ana"))


@pytest.fixture
def ana(project):
    return project.owner


@pytest.fixture
def boris(project):
    return scenario.join(project, scenario.make_user("boris"))


def assign(user, project, low, high, number=1, point=None):
    project.refresh_from_db()
    return actions.assign_leaves(
        user,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(low, high)],
        class_number=number,
        point=point,
    )


def restore(user, project, number, client_id=""):
    return restoring.restore_state(user, project.pk, client_id or f"c{next(_ids)}", number=number)


def undo(user, project):
    return undoing.undo(user, project.pk, f"c{next(_ids)}")


def redo(user, project):
    return undoing.redo(user, project.pk, f"c{next(_ids)}")


def table_of(project):
    project = Project.objects.get(pk=project.pk)
    return load_state(project).visible_table().tolist()


def test_restore_brings_back_table_classes_area_and_completion(project, ana):
    assign(ana, project, 0, 4)
    example_actions.set_completion(ana, project.pk, "", on=True, threshold=0.8)
    then = state_at(project, 5)
    actions.rename_class(ana, project.pk, "", class_number=1, name="Lake")
    actions.delete_class(ana, project.pk, "", class_number=2)
    actions.create_class(ana, project.pk, "", name="Town", color="#ff0000")
    area = {"type": "Polygon", "coordinates": [[[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]]}
    actions.set_aoi(ana, project.pk, "", geometry=area)
    example_actions.set_completion(ana, project.pk, "", on=False, threshold=0.5)
    assign(ana, project, 2, 8, 3)
    edit = restore(ana, project, 5)
    project = Project.objects.get(pk=project.pk)
    now = load_state(project)
    assert now.visible_table().tolist() == then.visible_table().tolist() == [1] * 4 + [0] * 4
    assert now.classes == then.classes
    assert [label.name for label in now.live_classes()] == ["Water", "Soil"]
    assert now.aoi is None
    assert (now.completion.on, now.completion.threshold) == (True, 0.8)
    assert edit.payload["changes"] == [[2, 4, 1], [4, 8, 0]]
    assert not edit.payload["reload"]
    assert edit.payload["remark"] == "6 edits since then are set aside; undo brings them back."


def test_restore_is_undone_and_redone_like_any_edit(project, ana):
    assign(ana, project, 0, 4)
    assign(ana, project, 4, 8, 2)
    restore(ana, project, 4)
    assert table_of(project) == [1] * 4 + [0] * 4
    undo(ana, project)
    assert table_of(project) == [1] * 4 + [2] * 4
    redo(ana, project)
    assert table_of(project) == [1] * 4 + [0] * 4
    undo(ana, project)
    undo(ana, project)  # goes on with what was done before
    assert table_of(project) == [1] * 4 + [0] * 4


def test_undo_of_mine_works_across_anothers_restore(project, ana, boris):
    mine = assign(ana, project, 0, 4)
    assign(boris, project, 4, 6, 2)
    assign(ana, project, 6, 8)
    restore(boris, project, mine.number)
    assert table_of(project) == [1] * 4 + [0] * 4
    undone = undo(ana, project)  # what of hers holds still: not the edit that the restore set aside
    assert undone.payload["target"] == mine.number
    assert table_of(project) == [0] * 8
    undo(boris, project)  # the restore: what it set aside is there again, and her undo stands
    assert table_of(project) == [0, 0, 0, 0, 2, 2, 1, 1]
    redo(ana, project)
    assert table_of(project) == [1, 1, 1, 1, 2, 2, 1, 1]


def test_restore_says_whose_edits_it_sets_aside(project, ana, boris):
    first = assign(ana, project, 0, 1)
    assign(boris, project, 1, 2)
    assert restore(ana, project, first.number).payload["remark"] == (
        "1 edit since then (also of boris) is set aside; undo brings it back."
    )


def test_what_was_undone_is_there_again_in_the_state_before_its_undo(project, ana):
    done = assign(ana, project, 0, 4)
    undo(ana, project)
    edit = restore(ana, project, done.number)
    assert edit.payload["revived"] == [[done.number, done.number + 1]]
    assert table_of(project) == [1] * 4 + [0] * 4
    assert Edit.objects.get(project=project, number=done.number).live


def test_earlier_restore_is_not_undone_under_a_later_one(project, ana, boris):
    first = assign(ana, project, 0, 2)
    second = assign(ana, project, 2, 4)
    restore(ana, project, first.number)
    restore(boris, project, second.number)
    assert table_of(project) == [1, 1, 1, 1, 0, 0, 0, 0]
    assert undo(ana, project).payload["target"] == second.number  # her restore counts no more
    undo(boris, project)
    assert history.undo_target(Project.objects.get(pk=project.pk), ana.pk).kind == "state.restore"


def test_examples_come_back_with_the_state(project, ana):
    clicked = assign(ana, project, 0, 1, point=(5, 5))
    assert len(live_examples(project)) == 1
    assign(ana, project, 7, 8, 2, point=(5, 1090))
    project.refresh_from_db()
    assert len(live_examples(project)) == 2
    restore(ana, project, clicked.number)
    project.refresh_from_db()
    for _ in range(2):  # read on from what is kept, and afresh
        assert [example.number for example in live_examples(project)] == [clicked.number]
        forget_examples()
    undo(ana, project)
    project.refresh_from_db()
    assert len(live_examples(project)) == 2


def test_restore_of_the_present_is_nothing_to_do(project, ana):
    assign(ana, project, 0, 4)
    with pytest.raises(NothingToDoError, match="in that state already"):
        restore(ana, project, 4)


@pytest.mark.parametrize("number", [0, 99])
def test_restore_of_an_unknown_edit_is_refused(project, ana, number):
    with pytest.raises(
        MissingError, match=f"no edit {number} in this project; its edits have the numbers 1 to 3"
    ):
        restore(ana, project, number)


def test_restore_before_there_were_clusters_is_refused_and_changes_nothing(data_dir):
    project = scenario.make_project(scenario.make_user("ana"), with_segmentation=False)
    actions.create_class(project.owner, project.pk, "", name="Water", color="#000000")
    adoption.adopt_first(project.pk, scenario.make_segmentation(project.scene))
    assign(project.owner, project, 0, 4)
    with pytest.raises(ConflictError, match="no clusters yet"):
        restore(project.owner, project, 1)
    assert table_of(project) == [1] * 4 + [0] * 4
    assert Edit.objects.filter(project=project, live=False).count() == 0


def test_viewer_cannot_restore(project, ana):
    assign(ana, project, 0, 4)
    viewer = scenario.join(project, scenario.make_user("vera"), "viewer")
    with pytest.raises(ForbiddenError):
        restore(viewer, project, 3)


def test_repeated_restore_is_done_once(project, ana):
    assign(ana, project, 0, 4)
    assign(ana, project, 4, 8)
    first = restore(ana, project, 4, "once")
    assert restore(ana, project, 4, "once").pk == first.pk


def test_class_whose_name_was_given_again_is_not_brought_back(project, ana, boris):
    made = actions.create_class(ana, project.pk, "", name="Town", color="#000000")
    undo(ana, project)
    actions.create_class(boris, project.pk, "", name="town", color="#000000")
    with pytest.raises(ConflictError, match="second class 'town'"):
        redo(ana, project)
    restore(ana, project, made.number)  # then boris's class goes
    assert [label.name for label in load_state(Project.objects.get(pk=project.pk)).live_classes()] == [
        "Water",
        "Soil",
        "Town",
    ]


# ---------------------------------------------------------------------------------------------------- adoption


def test_restore_across_an_adoption_takes_the_segmentation_back(project, ana, boris):
    old = project.segmentation_id
    assign(ana, project, 0, 4)
    finer = scenario.make_segmentation(project.scene, n_leaves=16)
    adoption.adopt_segmentation(boris, project.pk, "a", segmentation=finer.pk)
    assign(boris, project, 0, 16, 2)
    edit = restore(ana, project, 4)
    assert edit.payload["reload"]
    project.refresh_from_db()
    assert project.segmentation_id == old
    assert table_of(project) == [1] * 4 + [0] * 4
    undo(ana, project)
    project.refresh_from_db()
    assert project.segmentation_id == finer.pk
    assert table_of(project) == [2] * 16


def test_restore_across_an_adoption_is_not_undone_after_work_on_the_old_leaves(project, ana, boris):
    assign(ana, project, 0, 4)
    finer = scenario.make_segmentation(project.scene, n_leaves=16)
    adoption.adopt_segmentation(boris, project.pk, "a", segmentation=finer.pk)
    restore(ana, project, 4)
    assign(boris, project, 7, 8)
    with pytest.raises(ConflictError, match=r"boris has classified leaves since, so that the restore"):
        undo(ana, project)


def test_restore_to_a_deleted_segmentation_is_refused(project, ana):
    old = project.segmentation_id
    assign(ana, project, 0, 4)
    finer = scenario.make_segmentation(project.scene, n_leaves=16)
    adoption.adopt_segmentation(ana, project.pk, "a", segmentation=finer.pk)
    Segmentation.objects.filter(pk=old).delete()
    with pytest.raises(ConflictError, match="was deleted"):
        restore(ana, project, 4)


# ---------------------------------------------------------------------------------------------------- properties

steps = st.lists(
    st.tuples(
        st.integers(0, 1),  # who
        st.sampled_from(
            [
                "assign",
                "assign",
                "create",
                "delete",
                "rename",
                "adopt",
                "undo",
                "undo",
                "redo",
                "restore",
                "restore",
            ]
        ),
        st.integers(0, 7),
        st.integers(1, 4),
        st.integers(1, 3),
    ),
    min_size=3,
    max_size=14,
)


def do(user, project, what, leaf, length, class_number):
    if what == "assign":
        assign(user, project, leaf, min(8, leaf + length), class_number)
    elif what == "create":
        actions.create_class(user, project.pk, "", name=f"n{next(_ids)}", color="#000000")
    elif what == "delete":
        actions.delete_class(user, project.pk, "", class_number=class_number)
    elif what == "rename":
        actions.rename_class(user, project.pk, "", class_number=class_number, name=f"n{leaf}")
    elif what == "adopt":
        other = project.scene.segmentations.exclude(pk=project.segmentation_id).get()
        adoption.adopt_segmentation(user, project.pk, f"c{next(_ids)}", segmentation=other.pk)
    elif what == "restore":
        restore(user, project, max(1, project.number - leaf - length))
    else:
        (undo if what == "undo" else redo)(user, project)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_any_state_is_read_as_it_was_and_the_snapshot_is_the_replay(project, boris, steps):
    project = scenario.make_project(project.owner)
    scenario.join(project, boris)
    scenario.make_segmentation(project.scene, n_leaves=16)
    users = (project.owner, boris)
    then = {project.number: load_state(project)}
    for who, *step in steps:
        project = Project.objects.get(pk=project.pk)
        number = project.number
        try:
            do(users[who], project, *step)
        except WebError:
            continue
        project = Project.objects.get(pk=project.pk)
        snapshot, replayed = load_state(project), replay(project)
        then[project.number] = snapshot
        for state in (replayed, state_at(project, project.number)):
            assert state.classes == snapshot.classes
            assert state.segmentation == snapshot.segmentation
            assert state.table.tolist() == snapshot.table.tolist()
        if step[0] == "restore":
            past = then[Edit.objects.get(project=project, number=project.number).payload["number"]]
            assert snapshot.visible_table().tolist() == past.visible_table().tolist()
            assert snapshot.classes == past.classes
        for edit in events.edits_after(project.pk, number, 10):
            assert events.edit_applied(project, edit, users[0], False, False)["number"] == number + 1
    for number, state in then.items():
        again = state_at(project, number)
        assert again.classes == state.classes
        assert again.visible_table().tolist() == state.visible_table().tolist()
