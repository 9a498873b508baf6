"""What the socket does when somebody's part in the project changes: at once, not at the next heartbeat."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from tests.webapp import scenario
from tests.webapp.socketry import Socket
from webapp.live import broadcast, consumers
from webapp.models import Membership, Project
from webapp.people import invites, members

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(data_dir) -> Project:
    return scenario.make_project(scenario.make_user("ana"))


@pytest.fixture
def boris(project) -> User:
    return scenario.join(project, scenario.make_user("boris"), "editor")


@pytest.fixture(autouse=True)
async def _empty_layer(monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 60.0)
    await get_channel_layer().flush()


async def opened(project: Project, user: User) -> Socket:
    socket = Socket(user, f"/ws/projects/{project.pk}/")
    assert await socket.connect()
    assert (await until(socket, "project.state"))["user"] == user.username
    return socket


async def until(socket: Socket, kind: str) -> dict[str, Any]:
    while True:
        message = await socket.receive(10)
        if isinstance(message, str) and (event := scenario.read_event(message))["type"] == kind:
            return event


async def closed_with(socket: Socket) -> int:
    while (output := await socket.receive_output(timeout=10))["type"] == "websocket.send":
        pass
    assert output["type"] == "websocket.close"
    return int(output["code"])


async def call(work, *args, **fields):
    return await database_sync_to_async(work)(*args, **fields)


async def test_removed_member_is_gone_and_the_others_are_told(project, boris):
    his, hers = await opened(project, boris), await opened(project, project.owner)
    await call(members.remove, project.owner, project.pk, boris.pk)
    assert await closed_with(his) == 4404
    told = await until(hers, "members.changed")
    assert [member["name"] for member in told["members"]] == ["ana"]
    again = Socket(boris, f"/ws/projects/{project.pk}/")
    await again.connect()
    assert await again.receive_output(timeout=5) == {"type": "websocket.close", "code": 4404}
    await hers.disconnect()


async def test_role_that_changes_counts_from_the_next_command(project, boris):
    his = await opened(project, boris)
    await call(members.change_role, project.owner, project.pk, boris.pk, "viewer")
    state = await until(his, "project.state")
    assert state["role"] == "viewer"
    assert {member["name"]: member["role"] for member in state["members"]} == {
        "ana": "owner",
        "boris": "viewer",
    }
    create = {"type": "class.create", "client_id": "a", "name": "Water", "color": "#0000ff"}
    await his.send(json.dumps(create))
    refused = await until(his, "command.rejected")
    assert (refused["client_id"], refused["code"]) == ("a", "forbidden")
    assert "ask one of its owners to make you an editor" in refused["message"]
    await call(members.change_role, project.owner, project.pk, boris.pk, "editor")
    assert (await until(his, "project.state"))["role"] == "editor"
    await his.send(json.dumps({**create, "client_id": "b"}))
    assert (await until(his, "edit.applied"))["client_id"] == "b"
    await his.disconnect()


async def test_command_is_judged_by_the_role_even_before_anybody_is_told(project, boris):
    his = await opened(project, boris)
    await call(Membership.objects.update, role="viewer")
    await his.send('{"type": "class.create", "client_id": "a", "name": "Water", "color": "#0000ff"}')
    assert (await until(his, "command.rejected"))["code"] == "forbidden"
    await call(Membership.objects.all().delete)
    await his.send('{"type": "class.create", "client_id": "b", "name": "Water", "color": "#0000ff"}')
    assert (await until(his, "command.rejected"))["code"] == "missing"
    await his.disconnect()


async def test_lost_hint_is_made_up_for_by_the_heartbeat(project, boris, monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.1)
    his = await opened(project, boris)
    await call(Membership.objects.update, role="viewer")
    assert (await until(his, "project.state"))["role"] == "viewer"
    await call(Membership.objects.all().delete)
    assert await closed_with(his) == 4404


async def test_who_joins_by_a_link_is_told_to_the_others(project):
    hers = await opened(project, project.owner)
    nina = await call(scenario.make_user, "nina")
    token = (await call(invites.make, project.owner, project.pk, "viewer", None, None))[1]
    await call(invites.join, nina, token)
    told = await until(hers, "members.changed")
    assert [(member["name"], member["role"]) for member in told["members"]] == [
        ("ana", "owner"),
        ("nina", "viewer"),
    ]
    await hers.disconnect()


async def test_account_that_is_switched_off_is_gone_everywhere(project, boris):
    his = await opened(project, boris)

    def switch_off() -> None:
        admin = scenario.make_user("admin")
        User.objects.filter(pk=admin.pk).update(is_staff=True)
        client = Client()
        client.force_login(admin)
        assert client.post(f"/accounts/people/{boris.pk}/", {"action": "deactivate"}).status_code == 302

    await call(switch_off)
    assert await closed_with(his) == 4404


async def test_deleted_project_closes_at_once(project, boris):
    his = await opened(project, boris)

    def delete() -> None:
        client = Client()
        client.force_login(project.owner)
        assert client.delete(f"/api/projects/{project.pk}").status_code == 204

    await call(delete)
    assert await closed_with(his) == 4404


async def test_new_password_ends_the_sockets_of_other_sign_ins(project, boris, monkeypatch):
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 0.1)

    def sign_in() -> SessionStore:
        session = SessionStore()
        session[HASH_SESSION_KEY] = boris.get_session_auth_hash()
        session.create()
        return session

    session = await call(sign_in)
    socket = Socket(boris, f"/ws/projects/{project.pk}/")
    socket.scope["session"] = session
    assert await socket.connect()
    await until(socket, "heartbeat")

    def change() -> None:
        fresh = User.objects.get(pk=boris.pk)
        fresh.set_password("another passphrase")
        fresh.save()

    await call(change)
    assert await closed_with(socket) == 4404


async def test_hint_to_strangers_of_the_group_does_no_harm(project, boris):
    hers = await opened(project, project.owner)
    await call(broadcast.send, broadcast.project_group(project.pk), "members.changed")
    assert len((await until(hers, "members.changed"))["members"]) == 2
    await hers.disconnect()
