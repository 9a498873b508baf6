"""Whose turn it is: pure rules over entries."""

from datetime import UTC, datetime

import pytest

from webapp.jobs.capacity import Capacity
from webapp.jobs.precedence import LARGE, MEDIUM, SMALL, size_class
from webapp.jobs.queueing import (
    EXPORTING,
    IMPORTING,
    LEARNING,
    PATIENCE_S,
    SEGMENTING,
    Entry,
    next_entry,
    places,
    who_yields,
)

WIDE = Capacity(workers=1, threads=8)
ANA, BORIS, CLEO = 1, 2, 3
WORK = {SMALL: 1_000_000, MEDIUM: 100_000_000, LARGE: 1_000_000_000}


def entry(number, owner, lane=SEGMENTING[SMALL], **more):
    work = next((WORK[size] for size, name in SEGMENTING.items() if name == lane), 5)
    return Entry(f"job-{number}", number, owner, f"user{owner}", lane, work, **more)


def order_of(waiting, computing=(), turns=None, per_user=2, capacity=WIDE):
    """Numbers in the order in which they are begun, each once the one before has ended."""
    rest, turns, found = list(waiting), dict(turns or {}), []
    while rest:
        chosen = next_entry(rest, list(computing), turns, per_user, capacity)
        if chosen is None:
            break
        rest.remove(chosen)
        found.append(chosen.number)
        turns[chosen.owner] = datetime(2026, 1, 1, 0, len(found), tzinfo=UTC)
    return found


def begun_at_once(waiting, per_user=2, capacity=WIDE, computing=()):
    """Numbers that compute at the same time."""
    rest, running = list(waiting), list(computing)
    while (chosen := next_entry(rest, running, {}, per_user, capacity)) is not None:
        rest.remove(chosen)
        running.append(chosen)
    return {one.number for one in running}


@pytest.mark.parametrize(
    ("pixels", "size"),
    [(0, SMALL), (16_000_000, SMALL), (16_000_001, MEDIUM), (256_000_000, MEDIUM), (256_000_001, LARGE)],
)
def test_sizes(pixels, size):
    assert size_class(pixels) == size


def test_users_take_turns_whoever_came_first():
    waiting = [entry(1, ANA), entry(2, ANA), entry(3, ANA), entry(4, BORIS), entry(5, CLEO)]
    assert order_of(waiting) == [1, 4, 5, 2, 3]


def test_whose_last_turn_is_longer_ago_goes_first():
    turns = {ANA: datetime(2026, 5, 1, tzinfo=UTC), BORIS: datetime(2026, 4, 1, tzinfo=UTC)}
    assert order_of([entry(1, ANA), entry(2, BORIS)], turns=turns) == [2, 1]


def test_who_has_fewer_computing_goes_first():
    computing = [entry(1, ANA, IMPORTING)]
    assert order_of([entry(2, ANA), entry(3, BORIS)], computing) == [3, 2]


def test_user_has_no_more_than_the_limit_at_a_time():
    lanes = [IMPORTING, EXPORTING, SEGMENTING[SMALL], SEGMENTING[LARGE]]
    own = [entry(number, ANA, lane) for number, lane in enumerate(lanes)]
    assert len(begun_at_once(own, per_user=2)) == 2
    assert len(begun_at_once(own, per_user=1)) == 1
    other = entry(9, BORIS, SEGMENTING[MEDIUM])
    assert 9 in begun_at_once([*own, other], per_user=2)


def test_what_the_server_learns_does_not_count_and_comes_last():
    learned = entry(1, ANA, LEARNING, automatic=True)
    asked = entry(2, ANA, LEARNING)
    assert order_of([learned, asked])[0] == 2
    assert begun_at_once([entry(3, ANA), entry(4, ANA, IMPORTING)], computing=[learned]) == {1, 3, 4}


def test_one_of_each_size_computes_and_small_ones_do_not_wait_for_large_ones():
    huge = [entry(number, number, SEGMENTING[LARGE]) for number in (1, 2)]
    small = [entry(number, number) for number in (3, 4)]
    assert begun_at_once([*huge, *small]) == {1, 3}


def test_a_thread_is_left_for_the_small():
    narrow = Capacity(workers=2, threads=2)
    huge = [entry(number, number, SEGMENTING[LARGE]) for number in (1, 2)]
    assert begun_at_once(huge, capacity=narrow) == {1}
    assert begun_at_once([*huge, entry(3, 3)], capacity=narrow) == {1, 3}


def test_the_only_thread_is_used_and_given_to_the_small_first():
    one = Capacity(workers=1, threads=1)
    huge, small = entry(1, ANA, SEGMENTING[LARGE]), entry(2, BORIS)
    assert begun_at_once([huge], capacity=one) == {1}
    assert begun_at_once([huge, small], capacity=one) == {2}


def test_nothing_is_begun_without_workers():
    assert next_entry([entry(1, ANA)], [], {}, 2, Capacity(0, 0)) is None


def test_larger_one_makes_room_where_threads_are_few():
    one = Capacity(workers=1, threads=1)
    huge, small = entry(1, ANA, SEGMENTING[LARGE]), entry(2, BORIS)
    assert who_yields([small], [huge], 2, one) == huge
    assert who_yields([small], [huge], 2, WIDE) is None  # there is a thread
    assert who_yields([entry(3, BORIS, SEGMENTING[LARGE])], [huge], 2, one) is None
    assert who_yields([small], [entry(4, CLEO)], 2, one) is None  # its own kind is not pushed aside
    assert who_yields([entry(5, ANA)], [huge], 1, one) is None  # it waits for its user, not for a thread


def test_the_server_s_own_learning_makes_room_first():
    two = Capacity(workers=2, threads=2)
    huge, learned = entry(1, ANA, SEGMENTING[LARGE]), entry(2, BORIS, LEARNING, automatic=True)
    assert who_yields([entry(3, CLEO)], [huge, learned], 2, two) == learned


def test_a_map_that_somebody_looks_at_goes_before_one_that_nobody_does():
    unseen, seen = entry(1, ANA), entry(2, BORIS, is_watched=True)
    assert order_of([unseen, seen]) == [2, 1]
    patient = entry(1, ANA, waited_s=PATIENCE_S)
    assert order_of([patient, seen]) == [1, 2]  # nobody waits for ever


def test_looking_brings_nobody_a_second_turn_before_others_have_one():
    computing = [entry(1, BORIS, IMPORTING)]
    assert order_of([entry(2, ANA), entry(3, BORIS, is_watched=True)], computing) == [2, 3]


def test_places_follow_the_turns_in_each_lane_and_say_why():
    computing = [entry(1, ANA), entry(2, ANA, IMPORTING)]
    waiting = [
        entry(3, ANA),
        entry(4, ANA),
        entry(5, BORIS),
        entry(6, BORIS, SEGMENTING[LARGE]),
    ]
    found = places(waiting, computing, {}, 2, WIDE)
    assert found["job-5"] == (1, "It waits for the job before it.")
    assert found["job-3"] == (2, "It waits for user1's other jobs: 2 are computing.")
    assert found["job-4"][0] == 3
    assert found["job-6"] == (1, "It waits for a free worker.")
    assert places([entry(1, ANA)], [], {}, 2, WIDE) == {"job-1": (1, "")}
