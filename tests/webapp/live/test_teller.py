"""What one browser is told, and what it is owed."""

import json

import pytest
from channels.db import database_sync_to_async

from tests.webapp import scenario
from webapp import actions
from webapp.editing import undoing
from webapp.live.feed import Feed
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


async def nothing(told):
    """Blocks and the decoder have their own tests."""


async def connected(project, user):
    tray = Tray()
    teller = Teller(user, project.pk, Feed(project.pk), tray, nothing, nothing)
    await teller.tell()
    assert [event["type"] for event in tray.taken()] == ["project.state"]
    return teller, tray


async def create(user, project, name):
    call = database_sync_to_async(actions.create_class)
    return (await call(user, project.pk, f"{user.username} {name}", name=name, color="#000000")).number


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
