"""A project's edits, read once for all connections of a process."""

import asyncio
import json

import pytest
from channels.db import database_sync_to_async

from tests.webapp import scenario
from webapp import actions
from webapp.editing import example_actions
from webapp.errors import MissingError
from webapp.live import feed
from webapp.live.feed import Feed, told_to
from webapp.models import Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project(scenario.make_user("ana"))


@pytest.fixture
def readings(monkeypatch):
    """What is asked of the database: the number after which, and how many came."""
    asked = []
    read = feed._read_edits

    def counted(project_id, number, most):
        found = read(project_id, number, most)
        asked.append((number, len(found)))
        return found

    monkeypatch.setattr(feed, "_read_edits", counted)
    return asked


async def create(project, *names):
    for name in names:
        call = database_sync_to_async(actions.create_class)
        await call(project.owner, project.pk, name, name=name, color="#000000")


def numbers(edits):
    return [edit.number for edit in edits]


async def test_all_who_ask_at_once_share_one_reading(project, readings):
    one = Feed(project.pk)
    await one.after(1)
    await create(project, "a", "b")
    one.heard(3)
    found = await asyncio.gather(*(one.after(1) for _ in range(20)))
    assert [numbers(edits) for edits in found] == [[2, 3]] * 20
    assert readings[1:] == [(1, 2)]


async def test_without_news_nothing_is_read(project, readings):
    one = Feed(project.pk)
    assert await one.after(1) == []
    count = len(readings)
    for _ in range(5):
        assert await one.after(1) == []
    assert len(readings) == count


async def test_an_edit_heard_of_during_a_reading_is_not_passed_over(project, monkeypatch):
    one = Feed(project.pk)
    await one.after(1)
    await create(project, "a")
    read = feed._read_edits

    def while_another_comes(project_id, number, most):
        found = read(project_id, number, most)
        if number == 1:
            actions.create_class(project.owner, project_id, "late", name="late", color="#000000")
            one.heard(3)
        return found

    monkeypatch.setattr(feed, "_read_edits", while_another_comes)
    one.heard(2)
    assert numbers(await one.after(1)) == [2, 3]


async def test_who_was_away_gets_what_is_not_kept_any_more(project, readings, monkeypatch):
    monkeypatch.setattr(feed, "KEPT", 2)
    one = Feed(project.pk)
    await one.after(1)
    await create(project, *"abcde")
    one.heard(6)
    assert numbers(await one.after(4)) == [5, 6]
    assert numbers(await one.after(1)) == [2, 3, 4, 5, 6]


async def test_what_is_kept_is_bounded_by_its_length_too(project, monkeypatch):
    monkeypatch.setattr(feed, "KEPT_BYTES", 10)
    one = Feed(project.pk)
    await one.after(1)
    await create(project, *"abc")
    one.heard(4)
    await one.after(3)
    assert len(one._kept) == 1


async def test_too_far_behind_is_none(project, monkeypatch):
    monkeypatch.setattr(feed, "MAX_RESENT", 3)
    one = Feed(project.pk)
    await create(project, *"abcde")
    one.heard(6)
    assert await one.after(1) is None
    assert numbers(await one.after(3)) == [4, 5, 6]


async def test_a_hint_of_what_does_not_exist_is_read_once(project, readings):
    one = Feed(project.pk)
    one.heard(50)
    assert await one.after(1) == []
    count = len(readings)
    assert await one.after(1) == []
    assert len(readings) <= count + 1


async def test_a_database_restored_to_an_earlier_state_is_read_afresh(project, readings):
    one = Feed(project.pk)
    await one.after(1)
    await create(project, "a", "b")
    one.heard(3)
    await one.after(1)

    def restore():
        from webapp.models import Edit

        Edit.objects.filter(project=project, number__gt=2).delete()
        Project.objects.filter(pk=project.pk).update(number=2)

    await database_sync_to_async(restore)()
    one.stands_at(2)
    await create(project, "c")
    one.heard(3)
    [edit] = await one.after(2)
    assert json.loads(edit.text)["client_id"] == "c"


async def test_a_project_that_is_gone_is_missing(project):
    one = Feed(project.pk)
    await database_sync_to_async(project.delete)()
    one.heard(2)
    with pytest.raises(MissingError, match="any more"):
        await one.after(1)
    with pytest.raises(MissingError, match="any more"):
        await one.order()


async def test_whoever_leaves_does_not_break_off_the_reading_of_others(project):
    one = Feed(project.pk)
    await one.after(1)
    await create(project, "a")
    one.heard(2)
    leaving, staying = (asyncio.create_task(one.after(1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert numbers(await staying) == [2]


async def test_the_order_for_the_decoder_is_as_new_as_the_newest_edit_heard_of(project):
    one = Feed(project.pk)
    assert (await one.order()).number == 1
    await create(project, "a")
    assert (await one.order()).number == 1, "nobody has heard of it"
    one.heard(2)
    orders = await asyncio.gather(*(one.order() for _ in range(5)))
    assert {order.number for order in orders} == {2}


async def test_each_is_told_of_their_own_steps_and_remarks(project):
    boris = await database_sync_to_async(scenario.make_user)("boris")
    one = Feed(project.pk)
    await create(project, "a")
    edits = await one.one(2)
    [mine], steps = await told_to(project.owner, project.pk, edits, (False, False))
    [theirs], others = await told_to(boris, project.pk, edits, (False, True))
    assert steps == (True, False)
    assert others == (False, True), "as before: it is somebody else's edit"
    assert json.loads(mine) == {**json.loads(theirs), "can_undo": True, "can_redo": False}


async def test_lists_are_never_older_than_the_edit_that_they_are_told_with(project, monkeypatch):
    read = feed._project

    def while_another_comes(project_id):
        found = read(project_id)
        example_actions.set_completion(project.owner, project_id, "late", on=True, threshold=0.75)
        monkeypatch.setattr(feed, "_project", read)
        return found

    monkeypatch.setattr(feed, "_project", while_another_comes)
    one = Feed(project.pk)
    await create(project, "a")
    one.heard(2)
    told = [json.loads(edit.text) for edit in await one.after(1)]
    one.heard(3)
    told += [json.loads(edit.text) for edit in await one.after(told[-1]["number"])]
    assert [event["number"] for event in told] == [2, 3]
    assert told[1]["project"]["completion"] == {"on": True, "threshold": 0.75}


async def test_the_list_of_segmentations_is_read_once_for_all_and_anew_after_each_change(
    project, monkeypatch
):
    asked = []
    read = feed._read_list
    monkeypatch.setattr(feed, "_read_list", lambda project_id: asked.append(project_id) or read(project_id))
    one = Feed(project.pk)
    one.listed_anew()
    texts = await asyncio.gather(*(one.segmentations() for _ in range(20)))
    assert len(set(texts)) == len(asked) == 1
    await one.segmentations()
    assert len(asked) == 1
    waiting = asyncio.create_task(one.segmentations())
    one.listed_anew()
    await database_sync_to_async(Segmentation.objects.create)(scene=project.scene)
    told = json.loads(await one.segmentations())
    await waiting
    assert len(told["segmentations"]) == 2
    assert told["segmentations"][0]["version"] == 0
    await database_sync_to_async(project.delete)()
    one.listed_anew()
    with pytest.raises(MissingError, match="no project"):
        await one.segmentations()
