"""Learning stands aside while a map is computed that somebody waits for."""

import threading

import pytest

from webapp.jobs import precedence
from webapp.jobs.precedence import Precedence, learns


@pytest.mark.parametrize(
    ("parameters", "does"),
    [
        ({}, False),
        ({"mode": "fast"}, False),
        ({"mode": "fast", "network": 3}, False),
        ({"mode": "best", "train_seconds": 0, "network": 3}, False),
        ({"mode": "best", "train_seconds": 5}, True),
        ({"mode": "best"}, True),
    ],
)
def test_which_parameters_learn(parameters, does):
    assert learns(parameters) is does


def test_nothing_to_give_way_to():
    Precedence().give_way(lambda: False)


def test_give_way_lasts_until_all_that_go_first_have_ended():
    turns, passed = Precedence(), threading.Event()

    def patient():
        turns.give_way(lambda: False)
        passed.set()

    thread = threading.Thread(target=patient)
    with turns.first():
        with turns.first():
            thread.start()
            assert not passed.wait(0.1)
        assert not passed.wait(0.1)
    assert passed.wait(10)
    thread.join()


def test_what_went_first_and_broke_holds_nobody_up():
    turns = Precedence()
    with pytest.raises(ZeroDivisionError), turns.first():
        raise ZeroDivisionError
    turns.give_way(lambda: False)


def test_who_was_cancelled_waits_no_longer(monkeypatch):
    monkeypatch.setattr(precedence, "LOOK_S", 0.01)
    turns, answers = Precedence(), iter([False, False, True])
    with turns.first():
        turns.give_way(lambda: next(answers))
    assert list(answers) == []


def test_who_ranks_lower_is_not_given_way_to():
    turns = Precedence()
    with turns.first(2.0):
        turns.give_way(lambda: False, rank=2.0)
        turns.give_way(lambda: False, rank=1.5)


def test_rank_may_change_on_the_way(monkeypatch):
    monkeypatch.setattr(precedence, "LOOK_S", 0.01)
    turns, passed = Precedence(), threading.Event()

    def patient():
        turns.give_way(lambda: False, rank=1.0)
        passed.set()

    thread = threading.Thread(target=patient)
    with turns.first(0.0) as turn:
        thread.start()
        assert not passed.wait(0.1)
        turn.rank = 1.5  # nobody looks any more
        assert passed.wait(10)
    thread.join()


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(precedence, "LOOK_S", 0.01)
    turns = Precedence()
    with turns.first():
        turns.give_way(lambda: False, rank=3.0, patience_s=0.03)


def test_small_goes_before_large_and_looked_at_before_not_by_one_size():
    small, medium, large = 1_000_000, 100_000_000, 1_000_000_000
    ranks = [
        precedence.rank_of(small, True),
        precedence.rank_of(medium, True),
        precedence.rank_of(small, False),
        precedence.rank_of(large, True),
        precedence.rank_of(medium, False),
        precedence.rank_of(large, False),
    ]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 6
