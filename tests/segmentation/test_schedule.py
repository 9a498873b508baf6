"""In which order blocks are computed."""

from segmentation.schedule import Schedule


def drain(schedule, wanted=None):
    taken = []
    while (place := schedule.take(wanted)) is not None:
        taken.append(place)
    return taken


def test_without_wishes_blocks_come_row_by_row():
    assert drain(Schedule(1200, 1100, 3)) == [(r, c) for r in range(3) for c in range(3)]


def test_wanted_blocks_come_first_then_outwards():
    schedule = Schedule(512 * 5, 512 * 5, 4)
    taken = drain(schedule, lambda: [(0, 4, 4), (0, 4, 3)])
    assert taken[:2] == [(4, 4), (4, 3)]
    distances = [(r - 4) ** 2 + (c - 4) ** 2 for r, c in taken[2:]]
    assert distances == sorted(distances)
    assert sorted(taken) == [(r, c) for r in range(5) for c in range(5)]


def test_a_wanted_overview_block_means_the_blocks_below_it():
    schedule = Schedule(512 * 4, 512 * 4, 3)
    assert set(drain(schedule, lambda: [(1, 1, 0)])[:4]) == {(2, 0), (2, 1), (3, 0), (3, 1)}


def test_wishes_may_change_and_may_be_nonsense():
    schedule = Schedule(512 * 3, 512 * 3, 3)
    assert schedule.take(lambda: [(0, 2, 2)]) == (2, 2)
    assert schedule.take(lambda: [(0, 0, 2)]) == (0, 2)
    assert schedule.take(lambda: [(0, 99, -5), (7, 0, 0)]) is not None


def test_an_overview_is_complete_after_its_last_child():
    schedule = Schedule(512 * 2, 512 * 3, 3)  # level 1: one row of two blocks, the second with two children
    complete = [schedule.done(*place) for place in drain(schedule)]
    assert [c for c in complete if c] == [(1, 0, 0), (1, 0, 1)]
    assert schedule.n_done == 6
    assert schedule.overview_done(1, 0, 0) is None
    assert schedule.overview_done(1, 0, 1) == (2, 0, 0)
    assert schedule.overview_done(2, 0, 0) is None


def test_a_stopped_schedule_gives_nothing_more():
    schedule = Schedule(2000, 2000, 3)
    schedule.stop()
    assert schedule.take(None) is None
