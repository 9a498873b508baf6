"""Who is told that a classification of theirs was overwritten unseen."""

import itertools

import pytest

from tests.webapp import scenario
from webapp import actions
from webapp.editing import undoing
from webapp.editing.races import lost_by
from webapp.editing.snapshots import load_state
from webapp.live import events
from webapp.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_labeled_project(scenario.make_user("ana"))


@pytest.fixture
def ana(project):
    return project.owner


@pytest.fixture
def boris(project):
    return scenario.join(project, scenario.make_user("boris"))


def assign(user, project, low, high, number, seen):
    project.refresh_from_db()
    fields = {"segmentation": project.segmentation_id, "version": 0, "ranges": [(low, high)], "seen": seen}
    act = actions.assign_leaves if number else actions.unassign_leaves
    fields |= {"class_number": number} if number else {}
    return act(user, project.pk, f"c{next(_ids)}", **fields)


def told(project, edit, user):
    return events.edit_applied(Project.objects.get(pk=project.pk), edit, user, True, False).get("lost")


def test_the_first_of_two_is_told_by_the_second(project, ana, boris):
    assign(ana, project, 0, 4, 1, seen=3)
    edit = assign(boris, project, 2, 6, 2, seen=3)
    assert load_state(Project.objects.get(pk=project.pk)).table.tolist() == [1, 1, 2, 2, 2, 2, 0, 0]
    assert told(project, edit, ana) == {"leaves": 2, "label": 1}
    assert told(project, edit, boris) is None


def test_who_had_seen_it_meant_it(project, ana, boris):
    first = assign(ana, project, 0, 4, 1, seen=3)
    edit = assign(boris, project, 0, 4, 2, seen=first.number)
    assert lost_by(ana.pk, edit) is None
    assert lost_by(ana.pk, assign(boris, project, 0, 4, 1, seen=None)) is None


def test_the_same_class_is_no_loss(project, ana, boris):
    assign(ana, project, 0, 4, 1, seen=3)
    assert lost_by(ana.pk, assign(boris, project, 0, 4, 1, seen=3)) is None


def test_taking_back_overwrites_too(project, ana, boris):
    assign(ana, project, 0, 4, 1, seen=3)
    edit = assign(boris, project, 3, 4, 0, seen=3)
    assert lost_by(ana.pk, edit) == {"leaves": 1, "label": 1}
    edit = assign(ana, project, 3, 4, 2, seen=4)
    assert lost_by(boris.pk, edit) == {"leaves": 1, "label": 0}


def test_what_was_undone_or_overwritten_before_is_not_lost_now(project, ana, boris):
    assign(ana, project, 0, 4, 1, seen=3)
    undoing.undo(ana, project.pk, "u")
    assert lost_by(ana.pk, assign(boris, project, 0, 4, 2, seen=3)) is None
    carla = scenario.join(project, scenario.make_user("carla"))
    edit = assign(carla, project, 0, 4, 1, seen=3)
    assert lost_by(boris.pk, edit) == {"leaves": 4, "label": 2}
    assert lost_by(ana.pk, edit) is None


def test_one_late_edit_may_take_from_several(project, ana, boris):
    carla = scenario.join(project, scenario.make_user("carla"))
    assign(ana, project, 0, 2, 1, seen=3)
    assign(ana, project, 2, 4, 1, seen=3)
    assign(boris, project, 3, 6, 2, seen=5)
    actions.create_class(ana, project.pk, "", name="Town", color="#000000")
    edit = assign(carla, project, 0, 8, 3, seen=3)
    assert lost_by(ana.pk, edit) == {"leaves": 3, "label": 1}
    assert lost_by(boris.pk, edit) == {"leaves": 3, "label": 2}
