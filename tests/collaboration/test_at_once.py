"""Many at the same instant, with real transactions: threads, each with a connection of its own, against whatever database the
settings name (DATABASE_URL; by default SQLite). Nothing is lost, nothing is done twice, nobody is told of a lock."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections, transaction

from tests.webapp import scenario
from webapp.editing.snapshots import load_state, replay
from webapp.errors import WebError, describe
from webapp.live import feed, readings
from webapp.live.dispatch import perform
from webapp.messages import EditCommand, parse_command
from webapp.models import Edit, Project

pytestmark = pytest.mark.django_db(transaction=True)

N_THREADS, N_EACH, N_LEAVES = 6, 12, 64


@pytest.fixture
def project(data_dir) -> Project:
    project = scenario.make_project(scenario.make_user("ana"), n_leaves=N_LEAVES)
    do(project.owner, project, command("class.create", "first", name="Water", color="#000000"))
    return project


@pytest.fixture
def people(project: Project) -> list[User]:
    others = [scenario.join(project, scenario.make_user(f"user {index}")) for index in range(N_THREADS - 1)]
    return [project.owner, *others]


def command(kind: str, client_id: str, **fields: Any) -> EditCommand:
    found = parse_command(json.dumps({"type": kind, "client_id": client_id, **fields}))
    assert isinstance(found, EditCommand)
    return found


def assign(project: Project, client_id: str, low: int, high: int) -> EditCommand:
    fields = {"segmentation": project.segmentation_id, "version": 0, "ranges": [[low, high]]}
    return command("leaves.assign", client_id, **fields, **{"class": 1})


def do(user: User, project: Project, one: EditCommand) -> str:
    """Perform as a socket does: "done", "repeat" or the code of the rejection."""
    try:
        done = perform(user, project.pk, one)
    except WebError as error:  # anything else, a lock too, is no answer
        return describe(error).code
    return "repeat" if done.is_repeat else "done"


def at_once(works: Sequence[Callable[[], list[str]]]) -> Counter[str]:
    """Run all in threads that begin together, each of which closes its connection."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], list[str]]) -> list[str]:
        try:
            gate.wait(timeout=30)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return Counter(answer for found in pool.map(run, works) for answer in found)


def require_sound(project: Project) -> Project:
    """Numbers without a gap, and a snapshot that is the replay of the log."""
    project = Project.objects.get(pk=project.pk)
    numbers = list(Edit.objects.filter(project=project).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, project.number + 1))
    state, again = load_state(project), replay(project)
    assert state.table.tolist() == again.table.tolist()
    assert (state.classes, state.aoi, state.completion) == (again.classes, again.aoi, again.completion)
    return project


def test_edits_of_the_same_instant_all_come_through(project: Project, people: list[User]) -> None:
    def work(index: int) -> Callable[[], list[str]]:
        def edit() -> list[str]:
            leaves = [index * 10 % N_LEAVES + step % 4 for step in range(N_EACH)]
            return [
                do(people[index], project, assign(project, f"{index} {step}", leaf, leaf + 1))
                for step, leaf in enumerate(leaves)
            ]

        return edit

    assert at_once([work(index) for index in range(N_THREADS)]) == {"done": N_THREADS * N_EACH}
    project = require_sound(project)
    assert project.number == 2 + N_THREADS * N_EACH
    named = {index * 10 % N_LEAVES + step for index in range(N_THREADS) for step in range(4)}
    table = load_state(project).visible_table()
    assert {leaf for leaf in range(N_LEAVES) if table[leaf] == 1} == named


def test_a_command_that_comes_several_times_at_once_is_done_once(project: Project) -> None:
    def repeat() -> list[str]:
        return [
            do(
                project.owner,
                project,
                command("class.create", f"c{step}", name=f"Class {step}", color="#000000"),
            )
            for step in range(N_EACH)
        ]

    answers = at_once([repeat] * N_THREADS)
    assert set(answers) <= {"done", "repeat"}, "whoever came second is given the first one's edit"
    project = require_sound(project)
    assert project.number == 2 + N_EACH
    assert [label.number for label in load_state(project).live_classes()] == list(range(1, N_EACH + 2))


def test_of_two_who_take_one_name_one_is_told(project: Project, people: list[User]) -> None:
    def work(index: int) -> Callable[[], list[str]]:
        def create() -> list[str]:
            fields = {"name": "Forest", "color": "#000000"}
            return [do(people[index], project, command("class.create", f"{index}", **fields))]

        return create

    answers = at_once([work(index) for index in range(N_THREADS)])
    assert answers == {"done": 1, "conflict": N_THREADS - 1}
    require_sound(project)


def test_undo_and_redo_among_edits_of_others(project: Project, people: list[User]) -> None:
    def work(index: int) -> Callable[[], list[str]]:
        def edit() -> list[str]:
            found = []
            for step in range(N_EACH):
                kind = ("assign", "assign", "edit.undo", "edit.redo", "edit.undo")[step % 5]
                client_id = f"{index} {step}"
                one = (
                    assign(project, client_id, index * 8, index * 8 + 12)
                    if kind == "assign"
                    else command(kind, client_id)
                )
                found.append(do(people[index], project, one))
            return found

        return edit

    assert at_once([work(index) for index in range(N_THREADS)]) == {"done": N_THREADS * N_EACH}
    require_sound(project)


def test_whoever_reads_meanwhile_sees_whole_states(project: Project, people: list[User]) -> None:
    """A state, and the edits after it, make what the next state says."""
    ends = threading.Event()

    def write() -> list[str]:
        try:
            return [
                do(people[1], project, command("class.create", f"w{step}", name=f"W {step}", color="#000000"))
                for step in range(3 * N_EACH)
            ]
        finally:
            ends.set()

    def read() -> list[str]:
        seen = 0
        for _ in _until(ends):
            state = readings.state(people[0], project.pk)
            known = {label["number"] for label in state["classes"]}
            # Edit 2 made class 1, and each since has made the next one: never fewer than the number says.
            assert known >= set(range(1, state["number"]))
            assert state["number"] >= seen
            edits = feed._read_edits(project.pk, seen, 500)
            assert [edit.number for edit in edits] == list(range(seen + 1, seen + 1 + len(edits)))
            seen = state["number"]
        return ["read"]

    answers = at_once([write, read, read])
    assert answers == {"done": 3 * N_EACH, "read": 2}
    require_sound(project)


def _until(ends: threading.Event) -> Iterator[None]:
    while not ends.is_set():
        yield
    yield


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL waits for a row as long as it takes")
def test_a_lock_that_is_held_too_long_is_told_in_a_sentence(project: Project) -> None:
    held, enough = threading.Event(), threading.Event()

    def hold() -> list[str]:
        with transaction.atomic():
            held.set()
            enough.wait(timeout=30)
        return []

    def edit() -> list[str]:
        try:
            assert held.wait(timeout=30)
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 20")  # ms; 20 s as a rule
            with pytest.raises(OperationalError) as failure:
                perform(project.owner, project.pk, assign(project, "late", 0, 1))
            return [describe(failure.value).code]
        finally:
            enough.set()

    assert at_once([hold, edit]) == {"limit": 1}
    assert require_sound(project).number == 2
    assert do(project.owner, project, assign(project, "late", 0, 1)) == "done"
