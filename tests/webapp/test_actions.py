"""Edits of a project: what each does, and what it refuses."""

import pytest
from django.db import connection, transaction

from tests.webapp import scenario
from webapp import actions
from webapp.editing.edits import MAX_CLASSES, unpack_table
from webapp.editing.snapshots import load_state, replay
from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError, StaleError
from webapp.live import broadcast
from webapp.models import ClassLabel, Edit, Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)

SQUARE = {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]}


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project()


@pytest.fixture
def told(monkeypatch) -> list:
    """What was told to the sockets, and whether the transaction was over by then."""
    sent: list = []
    monkeypatch.setattr(
        broadcast,
        "send",
        lambda group, kind, **fields: sent.append((group, kind, fields, connection.in_atomic_block)),
    )
    return sent


def create(project, name="Water", color="#0072b2", client_id=""):
    return actions.create_class(
        project.owner, project.pk, client_id or f"create {name}", name=name, color=color
    )


def assign(project, *ranges, number=1, client_id="assign", **kwargs):
    fields = {"segmentation": project.segmentation_id, "version": 0, **kwargs}
    return actions.assign_leaves(
        project.owner, project.pk, client_id, ranges=ranges, class_number=number, **fields
    )


def table_of(project):
    project.refresh_from_db()
    return unpack_table(bytes(project.class_table)).tolist()


def test_first_segmentation_is_edit_one_of_nobody(project):
    edit = project.edits.get()
    assert (edit.number, edit.kind, edit.user, edit.payload["replaces"]) == (
        1,
        "segmentation.adopt",
        None,
        None,
    )
    assert project.number == 1
    assert table_of(project) == [0] * 8


def test_create_class_numbers_and_tells_after_commit(project, told):
    with transaction.atomic():
        edit = create(project)
        assert told == []
    assert (edit.number, edit.kind, edit.payload) == (
        2,
        "class.create",
        {"class": 1, "name": "Water", "color": "#0072b2"},
    )
    label = project.classes.get()
    assert (label.number, label.name, label.color, label.position, label.deleted) == (
        1,
        "Water",
        "#0072b2",
        0,
        False,
    )
    assert told == [(f"project.{project.pk}", "edit.recorded", {"number": 2}, False)]
    project.refresh_from_db()
    assert project.updated_by == project.owner


def test_assign_and_unassign_change_the_table(project):
    create(project)
    edit = assign(project, (6, 8), (0, 2), (1, 3), point=(5, 7))
    assert edit.payload["ranges"] == [[0, 3], [6, 8]]
    assert edit.payload["point"] == [5, 7]
    assert table_of(project) == [1, 1, 1, 0, 0, 0, 1, 1]
    actions.unassign_leaves(
        project.owner, project.pk, "u", segmentation=project.segmentation_id, version=0, ranges=[(1, 7)]
    )
    assert table_of(project) == [1, 0, 0, 0, 0, 0, 0, 1]


def test_repeated_client_id_gives_the_first_edit_and_changes_nothing(project, told):
    create(project)
    first = assign(project, (0, 2))
    told.clear()
    again = assign(project, (4, 8))
    assert again.pk == first.pk
    assert table_of(project) == [1, 1, 0, 0, 0, 0, 0, 0]
    assert told == []


def test_client_id_of_another_user_is_another_command(project):
    create(project, client_id="same")
    other = scenario.make_user()
    Project.objects.filter(pk=project.pk).update(owner=other)
    edit = actions.create_class(other, project.pk, "same", name="Soil", color="#000000")
    assert edit.payload["class"] == 2


def test_edits_are_numbered_without_gap(project):
    for i in range(5):
        create(project, name=f"c{i}")
    with pytest.raises(MissingError):
        assign(project, (0, 1), number=77)
    create(project, name="last")
    assert list(project.edits.values_list("number", flat=True)) == list(range(1, 8))


@pytest.mark.parametrize(
    ("ranges", "error", "sentence"),
    [
        ([], InvalidInputError, "No leaves were given"),
        ([(0, 9)], InvalidInputError, "leaves 0 to 9 are not a range within the segmentation's 8 leaves"),
        ([(3, 3)], InvalidInputError, "3 to 3"),
        ([(5, 2)], InvalidInputError, "5 to 2"),
        ([(-1, 2)], InvalidInputError, "-1 to 2"),
        ([(0, 1)] * 4097, LimitError, "4097 ranges are more than the 4096"),
    ],
)
def test_assign_refuses_ranges(project, ranges, error, sentence):
    create(project)
    with pytest.raises(error, match=sentence):
        assign(project, *ranges)
    assert scenario.newest(project).kind == "class.create"


def test_assign_to_another_segmentation_is_stale(project):
    create(project)
    with pytest.raises(
        StaleError, match=f"uses segmentation {project.segmentation_id} by now, and this was meant for 99"
    ):
        assign(project, (0, 1), segmentation=99)
    with pytest.raises(StaleError, match="are at version 0, and this was meant for 3"):
        assign(project, (0, 1), version=3)


def test_assign_without_segmentation_is_stale(data_dir):
    project = scenario.make_project(with_segmentation=False)
    create(project)
    with pytest.raises(StaleError, match="no segmentation yet"):
        assign(project, (0, 1), segmentation=1)


@pytest.mark.parametrize("number", [2, 250])
def test_unknown_class_is_missing(project, number):
    create(project)
    with pytest.raises(MissingError, match=f"no class {number}"):
        assign(project, (0, 1), number=number)
    with pytest.raises(MissingError):
        actions.rename_class(project.owner, project.pk, "r", class_number=number, name="x")
    with pytest.raises(MissingError):
        actions.recolor_class(project.owner, project.pk, "r", class_number=number, color="#000000")
    with pytest.raises(MissingError):
        actions.delete_class(project.owner, project.pk, "r", class_number=number)


def test_deleted_class_is_missing_and_its_number_stays_taken(project):
    create(project)
    assign(project, (0, 2))
    edit = actions.delete_class(project.owner, project.pk, "d", class_number=1)
    assert edit.payload == {"class": 1, "changes": [[0, 2, 0]]}
    assert ClassLabel.objects.get(project=project).deleted
    with pytest.raises(MissingError):
        assign(project, (0, 1), client_id="later")
    assert create(project, client_id="again").payload["class"] == 2  # and the name is free again


def test_class_names_are_unique_whatever_their_case(project):
    create(project, name="Water")
    create(project, name="Soil")
    with pytest.raises(ConflictError, match="There is a class 'Water' already"):
        create(project, name="WATER")
    with pytest.raises(ConflictError, match="'Water' already"):
        actions.rename_class(project.owner, project.pk, "r", class_number=2, name="water")
    edit = actions.rename_class(project.owner, project.pk, "r", class_number=1, name="water")
    assert edit.payload == {"class": 1, "name": "water", "was": "Water"}
    assert project.classes.get(number=1).name == "water"


def test_recolor_and_reorder(project):
    for name in "abc":
        create(project, name=name)
    actions.recolor_class(project.owner, project.pk, "c", class_number=2, color="#ffffff")
    actions.reorder_classes(project.owner, project.pk, "o", order=[3, 1, 2])
    assert [(c.number, c.color) for c in project.classes.all()] == [
        (3, "#0072b2"),
        (1, "#0072b2"),
        (2, "#ffffff"),
    ]


@pytest.mark.parametrize("order", [[], [1], [1, 2, 3], [1, 1]])
def test_reorder_needs_every_live_class_once(project, order):
    create(project, name="a")
    create(project, name="b")
    with pytest.raises(ConflictError, match="list of classes has changed"):
        actions.reorder_classes(project.owner, project.pk, "o", order=order)


def test_number_of_classes_is_limited(project):
    Edit.objects.bulk_create(
        Edit(
            project=project,
            number=number + 1,
            kind="class.create",
            payload={"class": number, "name": f"c{number}", "color": "#000000"},
        )
        for number in range(1, MAX_CLASSES + 1)
    )
    Project.objects.filter(pk=project.pk).update(number=MAX_CLASSES + 1)
    with pytest.raises(LimitError, match="at most 250 classes"):
        create(project, name="one more")


def test_set_aoi_and_clear_it(project):
    actions.set_aoi(project.owner, project.pk, "a", geometry=SQUARE)
    project.refresh_from_db()
    assert project.aoi == {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]}
    actions.set_aoi(project.owner, project.pk, "b", geometry=None)
    project.refresh_from_db()
    assert project.aoi is None


@pytest.mark.parametrize(
    ("geometry", "sentence"),
    [
        ({"type": "Point", "coordinates": [1, 1]}, "must be a GeoJSON Polygon or MultiPolygon, not 'Point'"),
        ({}, "not 'None'"),
        ({"type": "Polygon"}, "has no ring"),
        ({"type": "MultiPolygon", "coordinates": 5}, "has no coordinates"),
        ({"type": "Polygon", "coordinates": [[]]}, "needs four positions"),
        ({"type": "MultiPolygon", "coordinates": [[]]}, "has no ring"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "not closed"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}, "two finite numbers"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [1, 1], [0, 0]]]},
            "two finite numbers",
        ),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1e30, 0], [1, 1], [0, 0]]]}, "far outside any scene"),
        ({"type": "Polygon", "coordinates": [[[0, 0], 5, [1, 1], [0, 0]]]}, "5 is not a position"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]]}, "Self-intersection"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [2, 0], [0, 0]]]}, "not clean|no inside"),
        ({"type": "Polygon", "coordinates": [[[-9, -9], [-1, -9], [-1, -1], [-9, -9]]]}, "1100 x 700 pixels"),
        ({"type": "Polygon", "coordinates": [[[0, 0], *[[1, 0]] * 20_000, [1, 1], [0, 0]]]}, "at most 20000"),
    ],
)
def test_set_aoi_refuses(project, geometry, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        actions.set_aoi(project.owner, project.pk, "a", geometry=geometry)


@pytest.mark.parametrize(("turn", "fits"), [(0, True), (360, True), (-360, True), (90, False)])
def test_aoi_of_a_scene_on_earth_may_be_a_turn_away(data_dir, turn, fits):
    project = scenario.make_project(with_crs=True, with_segmentation=False)
    west = 15.05 + turn
    ring = [[west, 45.05], [west + 0.1, 45.05], [west + 0.1, 45.1], [west, 45.05]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    if fits:
        actions.set_aoi(project.owner, project.pk, "a", geometry=geometry)
        assert project.edits.count() == 1
    else:
        with pytest.raises(InvalidInputError, match=r"reaches from 15.0000, 45.0000 to 15.2000, 45.2000"):
            actions.set_aoi(project.owner, project.pk, "a", geometry=geometry)


def test_others_and_the_deleted_find_no_project(project):
    with pytest.raises(MissingError, match="deleted, or is no longer open to you"):
        actions.create_class(scenario.make_user(), project.pk, "x", name="a", color="#000000")
    owner, key = project.owner, project.pk
    project.delete()
    with pytest.raises(MissingError):
        actions.create_class(owner, key, "x", name="a", color="#000000")


def test_snapshot_is_the_replay(project):
    create(project, name="a")
    create(project, name="b")
    assign(project, (0, 5))
    assign(project, (3, 8), number=2, client_id="second")
    actions.delete_class(project.owner, project.pk, "d", class_number=1)
    actions.set_aoi(project.owner, project.pk, "aoi", geometry=SQUARE)
    project = Project.objects.get(pk=project.pk)
    snapshot, replayed = load_state(project), replay(project)
    assert snapshot.classes == replayed.classes
    assert snapshot.table.tolist() == replayed.table.tolist()
    assert snapshot.aoi == replayed.aoi
    assert snapshot.segmentation == replayed.segmentation == Segmentation.objects.get().pk
