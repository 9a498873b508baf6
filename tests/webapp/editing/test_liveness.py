"""Which edits are live, from the log alone."""

from hypothesis import given
from hypothesis import strategies as st

from webapp.editing.liveness import (
    REDO,
    RESTORE,
    TOGGLES,
    UNDO,
    Flips,
    LogEntry,
    flips_between,
    flips_of,
    live_numbers,
)


def log_of(*steps):
    """Numbered steps: "edit", ("undo", n), ("redo", n), ("restore", n)."""
    log = []
    for step in steps:
        number = len(log) + 1
        if step == "edit":
            log.append(LogEntry(number, "leaves.assign"))
        elif step[0] == "restore":
            log.append(LogEntry(number, RESTORE, restored=step[1], dead=dead_at(log, step[1])))
        else:
            log.append(LogEntry(number, UNDO if step[0] == "undo" else REDO, target=step[1]))
    return log


def dead_at(log, number):
    live = live_numbers(log[:number])
    kinds = (*TOGGLES, RESTORE)
    return [entry.number for entry in log[:number] if entry.kind not in kinds and entry.number not in live]


def test_restore_sets_later_edits_aside_and_brings_back_what_was_undone_since():
    log = log_of("edit", "edit", "edit", ("undo", 1), ("restore", 2))
    assert live_numbers(log) == {1, 2, 5}


def test_undone_restore_counts_as_never_made():
    log = log_of("edit", "edit", ("restore", 1), "edit", ("undo", 1), ("undo", 3))
    assert live_numbers(log) == {2, 4}  # the undo of 1 in between keeps its meaning


def test_redone_restore_holds_at_its_old_place():
    log = log_of("edit", "edit", ("restore", 1), "edit", ("undo", 3), ("redo", 3))
    assert live_numbers(log) == {1, 3, 4}


def test_later_restore_stands_whatever_becomes_of_the_earlier():
    steps = ("edit", "edit", "edit", ("restore", 1), "edit", ("restore", 2))
    assert live_numbers(log_of(*steps)) == {1, 2, 4, 6}
    assert live_numbers(log_of(*steps, ("undo", 4))) == {1, 2, 6}
    assert live_numbers(log_of(*steps, ("undo", 4), ("undo", 6))) == {1, 2, 3, 5}


def test_restore_of_a_restored_state():
    log = log_of("edit", "edit", ("restore", 1), "edit", ("restore", 3))
    assert live_numbers(log) == {1, 3, 5}


def test_flips_of_an_undo_are_its_target():
    assert flips_of(UNDO, {"target": 4}) == Flips(died=((4, 5),))
    assert flips_of(REDO, {"target": 4}) == Flips(revived=((4, 5),))
    assert flips_of("leaves.assign", {"class": 1}) == Flips()
    packed = Flips(((1, 3),), ((5, 6),)).pack()
    assert flips_of(RESTORE, packed) == Flips(((1, 3),), ((5, 6),))


def test_flips_are_few_ranges():
    log = log_of(*["edit"] * 50, ("undo", 7), ("undo", 30), *["edit"] * 48, ("restore", 10))
    flips = flips_between(log[:-1], live_numbers(log[:-1]), live_numbers(log))
    assert flips == Flips(died=((11, 101),), revived=((7, 8),))


steps = st.lists(
    st.tuples(st.sampled_from(["edit", "edit", "undo", "redo", "restore"]), st.integers(1, 30)), max_size=30
)


@given(steps)
def test_flips_lead_from_one_set_to_the_next(steps):
    taken = []
    for what, number in steps:
        if what == "edit" or not taken:
            taken.append("edit")
        else:
            taken.append((what, 1 + number % len(taken)))
    log = log_of(*taken)
    live = set()
    for index, entry in enumerate(log):
        now = live_numbers(log[: index + 1])
        kinds = {one.number: one.kind for one in log[: index + 1]}
        flips = flips_between(
            log[: index + 1], live | ({entry.number} if entry.kind not in TOGGLES else set()), now
        )
        live |= {entry.number} if entry.kind not in TOGGLES else set()
        for ranges, is_live in ((flips.died, False), (flips.revived, True)):
            for low, high in ranges:
                touched = {number for number in range(low, high) if kinds[number] not in TOGGLES}
                live = live | touched if is_live else live - touched
        assert live == now
