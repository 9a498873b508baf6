"""What one browser is told, and what it is owed."""

import json

import pytest
from channels.db import database_sync_to_async

from tests.webapp import scenario
from webapp import actions
from webapp.editing import undoing
from webapp.live.feed import MAX_RESENT, Feed
from webapp.live.mark import Mark, mark_of, mark_text
from webapp.live.teller import Teller
from webapp.models import Project, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project(scenario.make_user("ana"))


@pytest.fixture
def boris(project) -> User:
    return scenario.join(project, scenario.make_user("boris"))


class Tray:
    def __init__(self):
        self.told = []

    def put(self, text):
        self.told.append(json.loads(text))

    def put_notice(self, key, text):
        raise AssertionError(f"no notice was to come, and {key} came")

    def taken(self):
        told, self.told = self.told, []
        return told


async def nothing(*told):
    """Blocks and the decoder have their own tests."""


def begun(project, user, mark=None):
    tray = Tray()
    return Teller(user, project.pk, Feed(project.pk), tray, nothing, nothing, mark), tray


async def connected(project, user):
    teller, tray = begun(project, user)
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]
    return teller, tray


async def create(user, project, name):
    call = database_sync_to_async(actions.create_class)
    return (await call(user, project.pk, f"{user.username} {name}", name=name, color="#000000")).number


async def mark_at(project, number):
    return Mark(number, await database_sync_to_async(mark_text)(project.pk, number))


async def test_who_made_an_edit_is_told_of_it_though_a_state_holds_it_already(project):
    teller, tray = await connected(project, project.owner)
    number = await create(project.owner, project, "Water")
    teller.start_anew()
    teller.made(number)
    await teller.tell()
    state, event = tray.taken()
    assert (state["type"], state["number"]) == ("project.state", number)
    assert (event["type"], event["client_id"]) == ("edit.applied", "ana Water")
    await teller.tell()
    assert not tray.taken()


async def test_the_same_where_the_state_was_quicker_than_the_word_of_the_edit(project):
    teller, tray = await connected(project, project.owner)
    number = await create(project.owner, project, "Water")
    teller.start_anew()
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]
    teller.made(number)
    await teller.tell()
    assert [event["client_id"] for event in tray.taken()] == ["ana Water"]


async def test_an_edit_that_was_told_is_not_told_again(project):
    teller, tray = await connected(project, project.owner)
    number = await create(project.owner, project, "Water")
    teller.heard(number)
    await teller.tell()
    teller.made(number)
    await teller.tell()
    assert [event["number"] for event in tray.taken()] == [number]
    teller.start_anew()
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]


async def test_a_repeat_says_nothing_of_what_can_be_undone_now(project, boris):
    number = await create(project.owner, project, "Water")
    await database_sync_to_async(undoing.undo)(project.owner, project.pk, "undo")
    teller, tray = await connected(project, project.owner)
    teller.tell_again(number)
    await teller.tell()
    assert [event["number"] for event in tray.taken()] == [number]
    teller.heard(await create(boris, project, "Soil"))
    await teller.tell()
    [event] = tray.taken()
    assert (event["can_undo"], event["can_redo"]) == (False, True)


async def test_a_page_that_comes_back_is_told_the_edits_that_it_missed_and_no_state(project, boris):
    first = await create(project.owner, project, "Water")
    await create(boris, project, "Soil")
    await create(project.owner, project, "Wood")
    teller, tray = begun(project, boris, await mark_at(project, first))
    await teller.tell()
    resumed, soil, wood = tray.taken()
    assert (resumed["type"], resumed["number"], resumed["role"]) == ("project.resumed", first + 2, "editor")
    assert not {"table", "classes", "clicks", "splits", "overrides"} & resumed.keys()
    assert [event["client_id"] for event in (soil, wood)] == ["boris Soil", "ana Wood"]
    assert (resumed["can_undo"], wood["can_undo"]) == (True, True)
    teller.made(first + 1)  # a repeat of what was told already
    await teller.tell()
    assert not tray.taken()
    teller.heard(await create(project.owner, project, "Rock"))
    await teller.tell()
    assert [event["number"] for event in tray.taken()] == [first + 3]


async def test_who_missed_nothing_is_told_so(project):
    number = await create(project.owner, project, "Water")
    teller, tray = begun(project, project.owner, await mark_at(project, number))
    await teller.tell()
    [resumed] = tray.taken()
    assert (resumed["type"], resumed["number"], resumed["can_undo"]) == ("project.resumed", number, True)


async def test_a_page_of_another_history_gets_the_state(project):
    """As after a database was brought back from a backup, and edits were made again from there."""
    number = await create(project.owner, project, "Water")
    at = (await mark_at(project, number)).at
    for mark in (
        Mark(number, "2020-01-01T00:00:00+00:00"),
        Mark(number + 1, at),
        Mark(number, ""),
        Mark(0, at),
    ):
        teller, tray = begun(project, project.owner, mark)
        await teller.tell()
        assert [event["type"] for event in tray.taken()] == ["project.state"], mark


async def test_who_missed_too_much_or_asks_for_the_state_gets_it(project, monkeypatch):
    first = await mark_at(project, await create(project.owner, project, "Water"))
    teller, tray = begun(project, project.owner, first)
    teller.start_anew()
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]
    rows = await database_sync_to_async(project.edits.count)()
    monkeypatch.setattr("webapp.live.feed.MAX_RESENT", 3)
    assert MAX_RESENT > 3
    for name in "ABCD":
        await create(project.owner, project, name)
    assert await database_sync_to_async(project.edits.count)() == rows + 4
    teller, tray = begun(project, project.owner, first)
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]


def test_a_mark_is_read_or_passed_over():
    at = "2026-11-02T10:00:00.123456+00:00"
    assert mark_of(f"since=12&at={at.replace('+', '%2B')}".encode()) == Mark(12, at)
    assert mark_of(b"since=0&at=") == Mark(0, "")
    for query in (
        b"",
        b"since=",
        b"since=-1&at=x",
        b"since=1e3",
        b"since=%FF",
        b"since=9999999999",
        b"\xff",
        b"&" * 99,
    ):
        assert mark_of(query) is None, query
