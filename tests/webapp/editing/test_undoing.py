"""Undo and redo, alone and among others."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webapp import scenario
from webapp import actions, permissions
from webapp.editing import adoption, history, undoing
from webapp.editing.edits import pack_table, unpack_table
from webapp.editing.snapshots import load_state, replay
from webapp.errors import ConflictError, NothingToDoError, WebError
from webapp.live import events
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture
def shared(data_dir, monkeypatch) -> Project:
    """A project with two classes that everybody may edit."""
    monkeypatch.setattr(permissions, "role_in", lambda user, project: "editor")
    monkeypatch.setattr(
        permissions, "require_project", lambda user, key, role="viewer": Project.objects.get(pk=key)
    )
    project = scenario.make_project(scenario.make_user("ana"))
    for name in ("Water", "Soil"):
        actions.create_class(project.owner, project.pk, "", name=name, color="#000000")
    return project


@pytest.fixture
def ana(shared):
    return shared.owner


@pytest.fixture
def boris(shared):
    return scenario.make_user("boris")


def assign(user, project, low, high, number=1):
    project.refresh_from_db()
    return actions.assign_leaves(
        user,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(low, high)],
        class_number=number,
    )


def undo(user, project, client_id=""):
    return undoing.undo(user, project.pk, client_id or f"c{next(_ids)}")


def redo(user, project):
    return undoing.redo(user, project.pk, f"c{next(_ids)}")


def adopt(user, project, segmentation):
    return adoption.adopt_segmentation(user, project.pk, f"c{next(_ids)}", segmentation=segmentation.pk)


def table_of(project):
    project.refresh_from_db()
    return load_state(project).visible_table().tolist()


def test_undo_then_redo_is_identity(shared, ana):
    assign(ana, shared, 0, 4)
    edit = undo(ana, shared)
    assert table_of(shared) == [0] * 8
    assert edit.kind == "edit.undo"
    assert edit.payload["changes"] == [[0, 4, 0]]
    assert not shared.edits.get(number=edit.payload["target"]).live
    edit = redo(ana, shared)
    assert table_of(shared) == [1] * 4 + [0] * 4
    assert edit.payload["changes"] == [[0, 4, 1]]


def test_undo_goes_back_through_everything_of_mine(shared, ana):
    assign(ana, shared, 0, 4)
    actions.delete_class(ana, shared.pk, "d", class_number=1)
    assert table_of(shared) == [0] * 8
    assert undo(ana, shared).payload["changes"] == [[0, 4, 1]]
    undo(ana, shared)
    assert table_of(shared) == [0] * 8
    undo(ana, shared)
    assert [label.name for label in shared.classes.all()] == ["Water"]
    undo(ana, shared)
    assert not shared.classes.exists()
    with pytest.raises(NothingToDoError, match="nothing of yours to undo"):
        undo(ana, shared)
    for _ in range(4):
        redo(ana, shared)
    assert [label.deleted for label in shared.classes.order_by("number")] == [True, False]
    with pytest.raises(NothingToDoError, match="nothing of yours to redo"):
        redo(ana, shared)


def test_undo_takes_back_mine_and_leaves_theirs(shared, ana, boris):
    assign(ana, shared, 0, 4)
    assign(boris, shared, 2, 6, number=2)
    edit = undo(ana, shared)
    assert table_of(shared) == [0, 0, 2, 2, 2, 2, 0, 0]
    assert edit.payload["remark"] == "2 of 4 leaves were left alone: boris has changed them since."


def test_undo_never_brings_back_what_somebody_has_undone(shared, ana, boris):
    assign(ana, shared, 0, 4)
    assign(boris, shared, 0, 4, number=2)
    undo(ana, shared)
    undo(boris, shared)
    assert table_of(shared) == [0] * 8
    redo(boris, shared)
    redo(ana, shared)
    assert table_of(shared) == [2] * 4 + [0] * 4  # at their old places: boris was later


def test_new_edit_ends_redo_of_mine_only(shared, ana, boris):
    assign(ana, shared, 0, 2)
    undo(ana, shared)
    assign(boris, shared, 4, 6)
    assert history.can_redo(shared, ana.pk)
    assert not history.can_redo(shared, boris.pk)
    assign(ana, shared, 6, 8)
    assert not history.can_redo(shared, ana.pk)


def test_undo_without_visible_effect_says_so(shared, ana, boris):
    actions.rename_class(ana, shared.pk, "r", class_number=1, name="Lake")
    actions.rename_class(boris, shared.pk, "r", class_number=1, name="Sea")
    edit = undo(ana, shared)
    assert "boris has renamed the class since, and that stands" in edit.payload["remark"]
    assert shared.classes.get(number=1).name == "Sea"


def test_undo_of_a_class_that_others_used_tells_what_hides(shared, ana, boris):
    assign(boris, shared, 0, 3, number=2)
    edit = undo(ana, shared)
    assert (
        edit.payload["remark"]
        == "With the class, its 3 assigned leaves show as unlabelled; redo brings them back."
    )
    assert table_of(shared) == [0] * 8
    redo(ana, shared)
    assert table_of(shared) == [2] * 3 + [0] * 5


def test_undo_repeated_with_its_client_id_is_done_once(shared, ana):
    assign(ana, shared, 0, 2)
    assign(ana, shared, 2, 4)
    first = undo(ana, shared, "once")
    assert undo(ana, shared, "once").pk == first.pk
    assert table_of(shared) == [1, 1, 0, 0, 0, 0, 0, 0]


# ---------------------------------------------------------------------------------------------------- adoption


@pytest.fixture
def finer(shared) -> Segmentation:
    """Another segmentation of the scene, with twice the leaves."""
    return scenario.make_segmentation(shared.scene, n_leaves=16)


def test_adoption_carries_classes_to_most_of_each_leaf(shared, ana, finer):
    assign(ana, shared, 0, 3)
    edit = adopt(ana, shared, finer)
    assert edit.payload["replaces"] != finer.pk
    assert table_of(shared) == [1] * 6 + [0] * 10
    assert shared.segmentation_id == finer.pk


def test_undo_past_ones_own_adoption_undoes_the_adoption_first(shared, ana, finer):
    old = shared.segmentation_id
    assign(ana, shared, 0, 3)
    adopt(ana, shared, finer)
    edit = undo(ana, shared)
    assert edit.payload["reload"]
    assert edit.payload["changes"] == []
    shared.refresh_from_db()
    assert shared.segmentation_id == old
    assert table_of(shared) == [1] * 3 + [0] * 5
    undo(ana, shared)
    assert table_of(shared) == [0] * 8
    redo(ana, shared)
    redo(ana, shared)
    assert table_of(shared) == [1] * 6 + [0] * 10


def test_somebody_elses_adoption_is_not_ones_to_undo(shared, ana, boris, finer):
    assign(boris, shared, 0, 3)
    assign(boris, shared, 5, 6)
    adopt(ana, shared, finer)
    assert not history.can_undo(shared, boris.pk)
    with pytest.raises(NothingToDoError, match=r"ana has changed the segmentation.*the history brings back"):
        undo(boris, shared)
    shared.refresh_from_db()
    assert shared.segmentation_id == finer.pk
    assert table_of(shared) == [1] * 6 + [0] * 4 + [1] * 2 + [0] * 4
    assign(boris, shared, 0, 1)
    undo(boris, shared)  # what he did since is his to undo, and no more
    assert not history.can_undo(shared, boris.pk)
    undo(ana, shared)
    assert table_of(shared) == [1] * 3 + [0] * 2 + [1] + [0] * 2
    undo(boris, shared)
    assert table_of(shared) == [1] * 3 + [0] * 5


def test_a_class_made_before_somebody_elses_adoption_can_be_undone_still(shared, ana, boris, finer):
    number = actions.create_class(boris, shared.pk, "c-rock", name="Rock", color="#000000").number
    assign(boris, shared, 0, 3)
    adopt(ana, shared, finer)
    assert undo(boris, shared).payload["target"] == number


def test_adoption_stays_while_others_work_on_its_leaves(shared, ana, boris, finer):
    adopt(ana, shared, finer)
    assign(boris, shared, 0, 1)
    with pytest.raises(ConflictError, match=r"boris has classified leaves since.*cannot be undone"):
        undo(ana, shared)


def test_redo_of_an_adoption_is_refused_after_work_on_the_old_leaves(shared, ana, boris, finer):
    adopt(ana, shared, finer)
    undo(ana, shared)
    assign(boris, shared, 0, 1)
    with pytest.raises(ConflictError, match="cannot be redone"):
        redo(ana, shared)


def test_leaf_edits_before_an_adoption_cannot_be_redone_across_it(shared, ana, boris, finer):
    assign(ana, shared, 0, 3)
    undo(ana, shared)
    adopt(boris, shared, finer)
    assert not history.can_redo(shared, ana.pk)


def test_undo_to_a_deleted_segmentation_is_refused(shared, ana, finer):
    old = shared.segmentation_id
    adopt(ana, shared, finer)
    Segmentation.objects.filter(pk=old).delete()
    with pytest.raises(ConflictError, match="was deleted"):
        undo(ana, shared)


def test_leaf_edits_before_the_segmentation_was_dropped_are_beyond_undo(shared, ana, finer):
    assign(ana, shared, 0, 3)
    adoption.drop_segmentation(shared.pk, shared.segmentation_id)
    adoption.adopt_first(shared.pk, finer)
    edit = undo(ana, shared)
    assert shared.edits.get(number=edit.payload["target"]).kind == "class.create"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": "running"}, "is running; only a complete one can be adopted"),
        ({"state": "failed"}, "is failed"),
    ],
)
def test_only_complete_segmentations_are_adopted(shared, ana, finer, change, sentence):
    Segmentation.objects.filter(pk=finer.pk).update(**change)
    with pytest.raises(ConflictError, match=sentence):
        adopt(ana, shared, finer)


def test_adopting_what_is_adopted_or_elsewhere_is_refused(shared, ana, finer):
    adopt(ana, shared, finer)
    with pytest.raises(ConflictError, match="already"):
        adopt(ana, shared, finer)
    elsewhere = scenario.make_segmentation(scenario.make_scene(ana))
    with pytest.raises(WebError, match=f"no segmentation {elsewhere.pk}"):
        adopt(ana, shared, elsewhere)


def test_adoption_is_computed_again_when_somebody_classified_meanwhile(
    shared, ana, boris, finer, monkeypatch
):
    from segmentation import transfer_classes

    assign(ana, shared, 0, 1)
    tables = []

    def slow(old, table, new):
        tables.append(table.tolist())
        if len(tables) == 1:
            assign(boris, shared, 4, 8, number=2)
        return transfer_classes(old, table, new)

    monkeypatch.setattr(adoption, "transfer_classes", slow)
    adopt(ana, shared, finer)
    assert len(tables) == 2
    assert table_of(shared) == [1] * 2 + [0] * 6 + [2] * 8


def test_adoption_gives_up_where_others_never_stop(shared, ana, boris, finer, monkeypatch):
    turn = itertools.count()

    def restless(old, table, new):
        assign(boris, shared, 0, 8, number=1 + next(turn) % 2)
        return np.zeros(16, np.uint8)

    assign(ana, shared, 0, 4, number=2)
    monkeypatch.setattr(adoption, "transfer_classes", restless)
    with pytest.raises(ConflictError, match="so fast"):
        adopt(ana, shared, finer)
    assert shared.edits.filter(kind="segmentation.adopt").count() == 1


def test_offered_is_the_newer_complete_one(shared, ana, finer):
    assert adoption.offered(shared) == finer
    running = scenario.make_segmentation(shared.scene, state="running")
    assert adoption.offered(shared) == finer
    Segmentation.objects.filter(pk=running.pk).update(state="complete")
    assert adoption.offered(shared) == running
    adopt(ana, shared, running)
    shared.refresh_from_db()
    assert adoption.offered(shared) is None


# ---------------------------------------------------------------------------------------------------- properties

steps = st.lists(
    st.tuples(
        st.integers(0, 1),  # who
        st.sampled_from(
            ["assign", "assign", "unassign", "create", "delete", "rename", "adopt", "undo", "undo", "redo"]
        ),
        st.integers(0, 7),
        st.integers(1, 4),
        st.integers(1, 3),
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_snapshot_is_the_replay_and_events_lead_to_it(shared, boris, steps):
    project = scenario.make_project(shared.owner)
    fine = scenario.make_segmentation(project.scene, n_leaves=16)
    users = (shared.owner, boris)
    table = load_state(project).visible_table()
    number = project.number
    for who, what, leaf, length, class_number in steps:
        user = users[who]
        project.refresh_from_db()
        try:
            if what == "assign":
                assign(user, project, leaf, min(8, leaf + length), class_number)
            elif what == "unassign":
                actions.unassign_leaves(
                    user,
                    project.pk,
                    "",
                    segmentation=project.segmentation_id,
                    version=0,
                    ranges=[(leaf, leaf + 1)],
                )
            elif what == "create":
                actions.create_class(user, project.pk, "", name=f"n{next(_ids)}", color="#000000")
            elif what == "delete":
                actions.delete_class(user, project.pk, "", class_number=class_number)
            elif what == "rename":
                actions.rename_class(user, project.pk, "", class_number=class_number, name=f"n{leaf}")
            elif what == "adopt":
                other = project.scene.segmentations.exclude(pk=project.segmentation_id).get()
                adopt(user, project, other)
            elif what == "undo":
                undo(user, project)
            else:
                redo(user, project)
        except WebError:
            continue
        project = Project.objects.get(pk=project.pk)
        snapshot, replayed = load_state(project), replay(project)
        assert snapshot.classes == replayed.classes
        assert snapshot.segmentation == replayed.segmentation
        assert snapshot.table.tolist() == replayed.table.tolist()
        for edit in events.edits_after(project.pk, number, 10):
            told = events.edit_applied(project, edit, users[0], False, False)
            assert told["number"] == number + 1
            number += 1
            if told["reload"]:
                table = snapshot.visible_table()
            for low, high, value in told["changes"]:
                table[low:high] = value
        assert table.tolist() == snapshot.visible_table().tolist()
    assert fine.n_leaves == 16


def test_tables_are_stored_packed(shared, ana):
    assign(ana, shared, 0, 3)
    shared.refresh_from_db()
    assert bytes(shared.class_table) == pack_table(unpack_table(bytes(shared.class_table)))
