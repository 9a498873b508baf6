"""The pure fold of edits."""

import base64
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.editing.edits import (
    EditRecord,
    ProjectState,
    apply_edit,
    changes,
    fold,
    merge_ranges,
    pack_table,
    ranges_overlap,
    unpack_table,
)

N = 12


def adopt(segmentation=1, n_leaves=N, table=None):
    return "segmentation.adopt", {"segmentation": segmentation, "n_leaves": n_leaves, "table": table}


def create(number, name="a"):
    return "class.create", {"class": number, "name": name, "color": "#000000"}


def assign(number, *ranges, segmentation=1):
    return "leaves.assign", {"segmentation": segmentation, "ranges": ranges, "class": number}


def log(*entries, dead=()):
    return [
        EditRecord(number, kind, payload, number not in dead)
        for number, (kind, payload) in enumerate(entries, 1)
    ]


def test_fold_latest_live_assignment_wins():
    entries = [adopt(), create(1), create(2), assign(1, (0, 6)), assign(2, (4, 8))]
    assert fold(log(*entries)).table.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0]
    assert fold(log(*entries, dead={5})).table.tolist() == [1] * 6 + [0] * 6
    assert fold(log(*entries, dead={4})).table.tolist() == [0] * 4 + [2] * 4 + [0] * 4


def test_fold_unassign_gives_none():
    state = fold(
        log(
            adopt(),
            create(1),
            assign(1, (0, 4)),
            ("leaves.unassign", {"segmentation": 1, "ranges": [(1, 3)]}),
        )
    )
    assert state.table[:5].tolist() == [1, 0, 0, 1, 0]


def test_deleted_class_hides_its_assignments_and_rewrites_nothing():
    entries = [
        adopt(),
        create(1),
        create(2, "b"),
        assign(1, (0, 4)),
        assign(2, (2, 3)),
        ("class.delete", {"class": 2}),
    ]
    state = fold(log(*entries))
    assert state.visible_table()[:4].tolist() == [1, 1, 0, 1]  # not the class that was there before
    assert state.table[:4].tolist() == [1, 1, 2, 1]
    assert [label.number for label in state.live_classes()] == [1]
    assert fold(log(*entries, dead={6})).visible_table()[:4].tolist() == [1, 1, 2, 1]


def test_class_whose_creation_is_dead_hides_too():
    state = fold(
        log(adopt(), create(1), assign(1, (0, 4)), ("class.rename", {"class": 1, "name": "b"}), dead={2})
    )
    assert state.classes == {}
    assert not state.visible_table().any()


def test_adoption_replaces_the_table_and_later_edits_of_the_old_leaves_rest():
    carried = base64.b64encode(pack_table(np.array([1, 0, 1], np.uint8))).decode()
    entries = [adopt(), create(1), assign(1, (0, 4)), adopt(2, 3, carried), assign(1, (1, 2), segmentation=1)]
    state = fold(log(*entries))
    assert state.segmentation == 2
    assert state.table.tolist() == [1, 0, 1]
    back = fold(log(*entries, dead={4}))
    assert back.segmentation == 1
    assert back.table.tolist() == [1] * 4 + [0] * 8


def test_adoption_without_table_starts_empty():
    assert fold(log(adopt(), create(1), assign(1, (0, 4)), adopt(2, 3))).table.tolist() == [0, 0, 0]


def test_classes_keep_their_order():
    entries = [
        create(1, "a"),
        create(2, "b"),
        create(3, "c"),
        ("class.reorder", {"order": [3, 1]}),
        create(4, "d"),
    ]
    state = fold(log(*entries))
    assert [label.name for label in state.ordered_classes()] == ["c", "a", "b", "d"]
    assert sorted(label.position for label in state.ordered_classes()) == [0, 1, 2, 3]


def test_rename_recolor_and_aoi():
    geometry = {"type": "Polygon", "coordinates": []}
    entries = [
        create(1),
        ("class.rename", {"class": 1, "name": "water"}),
        ("class.recolor", {"class": 1, "color": "#0000ff"}),
        ("aoi.set", {"geometry": geometry}),
    ]
    state = fold(log(*entries))
    assert (state.classes[1].name, state.classes[1].color, state.aoi) == ("water", "#0000ff", geometry)
    assert fold(log(*entries, dead={2, 4})).classes[1].name == "a"
    assert fold(log(*entries, dead={2, 4})).aoi is None


def test_apply_edit_refuses_undo():
    with pytest.raises(ValueError, match=r"'edit.undo' is not an edit that changes the state"):
        apply_edit(ProjectState(), "edit.undo", {"target": 1})


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([], []),
        ([(5, 7), (0, 2), (1, 3), (3, 4)], [(0, 4), (5, 7)]),
        ([(0, 9), (2, 3)], [(0, 9)]),
    ],
)
def test_merge_ranges(ranges, merged):
    assert merge_ranges(ranges) == merged


range_lists = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 6)).map(lambda r: (r[0], r[0] + r[1])), max_size=8
)


@given(range_lists)
def test_merge_ranges_keeps_the_leaves_and_leaves_gaps(ranges):
    merged = merge_ranges(ranges)
    assert {i for a, b in merged for i in range(a, b)} == {i for a, b in ranges for i in range(a, b)}
    assert all(first[1] < second[0] for first, second in itertools.pairwise(merged))


@given(range_lists, range_lists)
def test_ranges_overlap_agrees_with_sets(some, others):
    shared = {i for a, b in some for i in range(a, b)} & {i for a, b in others for i in range(a, b)}
    assert ranges_overlap(merge_ranges(some), merge_ranges(others)) == bool(shared)


tables = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(st.data())
def test_changes_lead_from_one_table_to_the_other(data):
    old = np.array(data.draw(tables), np.uint8)
    new = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(old), max_size=len(old))), np.uint8)
    runs = changes(old, new)
    result = old.copy()
    for low, high, number in runs:
        assert (old[low:high] != number).all()
        result[low:high] = number
    assert (result == new).all()
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(runs))


def test_changes_refuses_tables_of_different_segmentations():
    with pytest.raises(ValueError, match="3 and 4 leaves"):
        changes(np.zeros(3, np.uint8), np.zeros(4, np.uint8))


@given(tables)
def test_packed_table_comes_back(values):
    table = np.array(values, np.uint8)
    assert (unpack_table(pack_table(table)) == table).all()
    unpack_table(pack_table(table))[0] = 1  # and can be written to


def test_nothing_packed_is_a_table_of_no_leaves():
    assert unpack_table(b"").shape == (0,)


kinds = st.one_of(
    st.builds(lambda n, r: assign(n, *r), st.integers(1, 3), range_lists),
    st.builds(lambda n: ("class.delete", {"class": n}), st.integers(1, 3)),
    st.builds(lambda n: ("class.rename", {"class": n, "name": f"n{n}"}), st.integers(1, 3)),
    st.builds(lambda order: ("class.reorder", {"order": order}), st.permutations([1, 2, 3])),
    st.builds(adopt, st.integers(1, 2)),
)


@given(st.lists(kinds, max_size=15))
def test_one_edit_after_the_other_is_the_fold(entries):
    entries = [adopt(), create(1), create(2, "b"), create(3, "c"), *entries]
    state = ProjectState()
    for kind, payload in entries:
        state = state.copy()
        apply_edit(state, kind, payload)
    folded = fold(log(*entries))
    assert state.classes == folded.classes
    assert state.segmentation == folded.segmentation
    assert (state.table == folded.table).all()


@given(st.lists(kinds, max_size=12), st.data())
def test_a_dead_edit_is_as_if_it_had_not_been(entries, data):
    entries = [adopt(), create(1), create(2, "b"), create(3, "c"), *entries]
    dead = data.draw(st.integers(2, len(entries)))
    without = [entry for number, entry in enumerate(entries, 1) if number != dead]
    assert (fold(log(*entries, dead={dead})).table == fold(log(*without)).table).all()
