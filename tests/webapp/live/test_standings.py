"""Where the members stand that are connected: read together, and right for each."""

from __future__ import annotations

import asyncio

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.cached_db import SessionStore as CachedStore
from django.contrib.sessions.backends.db import SessionStore

from tests.webapp import scenario
from webapp.live import standings
from webapp.live.standings import Guest, Standing, Standings, read
from webapp.models import Membership, Profile, Project
from webapp.people import seen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir) -> Project:
    seen.forget()
    return scenario.make_project(scenario.make_user("ana"))


def member(project: Project, name: str, role: str = "viewer") -> User:
    return scenario.join(project, scenario.make_user(name), role)


def signed_in(user: User, store: type = SessionStore):
    session = store()
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session


def roles(project: Project, *guests: Guest) -> list[str | None]:
    found = read(project.pk, guests)
    assert {standing.number for standing in found} <= {project.number, 0}
    return [standing.role for standing in found]


def test_everybody_is_told_their_own_role(project):
    boris, cleo, stranger = (
        member(project, "boris"),
        member(project, "cleo", "editor"),
        scenario.make_user("dora"),
    )
    guests = [Guest(user.pk, None) for user in (cleo, project.owner, stranger, boris, cleo)]
    assert roles(project, *guests) == ["editor", "owner", None, "viewer", "editor"]
    Membership.objects.filter(user=boris).update(role="owner")
    User.objects.filter(pk=cleo.pk).update(is_active=False)
    assert roles(project, *guests) == [None, "owner", None, "owner", None]
    assert set(Profile.objects.exclude(last_seen=None).values_list("user__username", flat=True)) >= {
        "ana",
        "boris",
    }
    assert not Profile.objects.filter(user=stranger).exclude(last_seen=None).exists()


def test_of_a_project_that_is_gone_nobody_stands_anywhere(project):
    guest = Guest(project.owner_id, None)
    project.delete()
    assert read(project.pk or 1, [guest]) == [Standing(0, None)]


@pytest.mark.parametrize("store", [SessionStore, CachedStore, CacheStore])
def test_a_sign_in_that_has_ended_counts_no_more(project, store):
    boris = member(project, "boris")
    mine, other = signed_in(boris, store), signed_in(boris, store)
    assert roles(project, Guest(boris.pk, mine), Guest(boris.pk, other)) == ["viewer", "viewer"]
    other.delete()
    assert roles(project, Guest(boris.pk, mine), Guest(boris.pk, other)) == ["viewer", None]
    boris.set_password("another one")
    boris.save()
    assert roles(project, Guest(boris.pk, mine), Guest(boris.pk, None)) == [None, "viewer"]


def test_many_cost_as_many_questions_as_one(project, django_assert_num_queries):
    users = [member(project, f"member{number}") for number in range(20)]
    sessions = [signed_in(user) for user in users]
    for session in sessions:
        session.get(HASH_SESSION_KEY)  # read at the handshake
    guests = [Guest(user.pk, session) for user, session in zip(users, sessions, strict=True)]
    read(project.pk, guests)
    with django_assert_num_queries(4):
        assert set(roles(project, *guests)) == {"viewer"}


async def test_those_who_ask_within_a_moment_share_one_reading(project, monkeypatch):
    asked = []

    def counted(project_id, guests):
        asked.append(len(guests))
        return read(project_id, guests)

    monkeypatch.setattr(standings, "read", counted)
    board = Standings(project.pk)
    for key in range(10):
        board.join(key, Guest(project.owner_id, None))
    found = await asyncio.gather(*(board.of(key, 60.0) for key in range(10)))
    assert found == [Standing(project.number, "owner")] * 10
    assert asked == [10]
    await board.of(3, 60.0)
    assert asked == [10]
    await board.of(3, 0.0)  # as of now
    assert asked == [10, 10]
    board.join("late", Guest(project.owner_id, None))
    assert (await board.of("late", 60.0)).role == "owner"
    assert asked == [10, 10, 11]


async def test_who_leaves_while_it_is_read_takes_only_their_own_wait_back(project):
    board = Standings(project.pk)
    for key in ("stays", "goes"):
        board.join(key, Guest(project.owner_id, None))
    goes = asyncio.create_task(board.of("goes", 0.0))
    stays = asyncio.create_task(board.of("stays", 0.0))
    await asyncio.sleep(0)
    goes.cancel()
    board.leave("goes")
    assert (await stays).role == "owner"
    assert goes.cancelled() or goes.cancelling()
    assert await board.of("goes", 60.0) == Standing(0, None)


async def test_a_reading_that_fails_is_told_and_tried_again(project, monkeypatch):
    board = Standings(project.pk)
    board.join("a", Guest(project.owner_id, None))

    def broken(project_id, guests):
        raise OSError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(standings, "read", broken)
        with pytest.raises(OSError, match="away"):
            await board.of("a", 0.0)
    assert (await board.of("a", 0.0)).role == "owner"
    await database_sync_to_async(project.delete)()
    assert (await board.of("a", 0.0)).role is None
