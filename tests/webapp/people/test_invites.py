"""Links that invite: what they offer, when they end, and that each is spent by as many as it is for."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from tests.webapp import scenario
from webapp.errors import ForbiddenError, InvalidInputError, LimitError, MissingError
from webapp.models import Invite, Membership, Project
from webapp.people import invites, members
from webapp.permissions import role_in


@pytest.fixture
def project(db) -> Project:
    return scenario.make_project(scenario.make_user("ana"), with_segmentation=False)


@pytest.fixture
def ana(project):
    return project.owner


@pytest.fixture
def boris(db):
    return scenario.make_user("boris")


def make(
    project: Project, role: str = "editor", expires_in: float | None = None, max_uses: int | None = None
):
    return invites.make(project.owner, project.pk, role, expires_in, max_uses)[1]


def test_link_makes_a_member(project, ana, boris):
    token = make(project)
    offer = invites.find(token)
    assert (offer.project, offer.role, offer.invited_by) == (project, "editor", ana)
    assert not Membership.objects.exists()  # looking is not joining
    joined = invites.join(boris, token)
    assert (joined.role, joined.has_changed) == ("editor", True)
    row = Membership.objects.get()
    assert (row.user, row.role, row.invited_by) == (boris, "editor", ana)
    assert Invite.objects.get().uses == 1


def test_only_the_hash_is_kept(project):
    token = make(project)
    row = Invite.objects.values().get()
    assert row["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(row)
    assert len(token) >= 40


def test_link_raises_a_role_and_never_lowers_it(project, ana, boris):
    scenario.join(project, boris, "viewer")
    assert invites.join(boris, make(project, "editor")).has_changed
    assert role_in(boris, project) == "editor"
    viewers = make(project, "viewer", max_uses=1)
    joined = invites.join(boris, viewers)
    assert (joined.role, joined.has_changed) == ("editor", False)
    assert invites.join(ana, viewers).role == "owner"
    assert role_in(boris, project) == "editor"
    # Nobody has spent it.
    assert invites.join(scenario.make_user("carla"), viewers).has_changed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"revoked_at": timezone.now()}, "was taken back; ask ana"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "has expired; ask ana"),
        ({"max_uses": 1, "uses": 1}, "was used already; ask ana"),
        ({"max_uses": 3, "uses": 3}, "was used by all 3 it was for; ask ana"),
    ],
)
def test_link_that_ended_says_how(project, boris, change, sentence):
    token = make(project)
    Invite.objects.update(**change)
    for act in (lambda: invites.find(token), lambda: invites.join(boris, token)):
        with pytest.raises(invites.GoneError, match=sentence):
            act()
    assert not Membership.objects.exists()
    assert invites.invites_of(project.owner, project.pk) == []


def test_unknown_link(boris):
    with pytest.raises(invites.GoneError, match="no such invitation"):
        invites.join(boris, "nonsense")


@pytest.mark.parametrize("how", ["demoted", "removed", "closed"])
def test_link_ends_with_who_made_it(project, ana, boris, how):
    scenario.join(project, boris, "owner")
    token = invites.make(boris, project.pk, "viewer", None, None)[1]
    if how == "demoted":
        Membership.objects.update(role="editor")
    elif how == "removed":
        Membership.objects.all().delete()
    else:
        type(boris).objects.filter(pk=boris.pk).update(is_active=False)
    with pytest.raises(invites.GoneError, match="taken back"):
        invites.join(scenario.make_user("carla"), token)
    assert invites.invites_of(ana, project.pk) == []


@pytest.mark.parametrize(
    ("role", "expires_in", "max_uses", "sentence"),
    [
        ("owner", None, None, "viewers and editors"),
        ("king", None, None, "no role 'king'"),
        ("viewer", 0, None, "cannot hold for 0 hours"),
        ("viewer", float("nan"), None, "hours"),
        ("viewer", 1e6, None, "hours"),
        ("viewer", None, 0, "0 people"),
        ("viewer", None, 1001, "1001 people"),
    ],
)
def test_odd_links_are_refused(project, role, expires_in, max_uses, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        make(project, role, expires_in, max_uses)


def test_links_are_made_and_revoked_by_owners_only(project, boris):
    scenario.join(project, boris, "editor")
    link, token = invites.make(project.owner, project.pk, "viewer", 24, None)
    for act in (
        lambda: invites.make(boris, project.pk, "viewer", None, None),
        lambda: invites.revoke(boris, project.pk, link.pk),
        lambda: invites.invites_of(boris, project.pk),
    ):
        with pytest.raises(ForbiddenError):
            act()
    invites.revoke(project.owner, project.pk, link.pk)
    with pytest.raises(MissingError, match="revoked before"):
        invites.revoke(project.owner, project.pk, link.pk)
    with pytest.raises(invites.GoneError):
        invites.find(token)


def test_links_have_an_end(project, monkeypatch):
    monkeypatch.setattr(invites, "MAX_LINKS", 1)
    make(project)
    with pytest.raises(LimitError, match="at most 1 links"):
        make(project)
    Invite.objects.update(revoked_at=timezone.now())
    make(project)


def test_full_project_takes_nobody(project, boris, monkeypatch):
    token = make(project, max_uses=1)
    monkeypatch.setattr(members, "MAX_MEMBERS", 0)
    with pytest.raises(LimitError):
        invites.join(boris, token)
    assert Invite.objects.get().uses == 0


@pytest.mark.django_db(transaction=True)
def test_two_cannot_spend_a_link_for_one(project):
    token = make(project, max_uses=1)
    people = [scenario.make_user(f"p{i}") for i in range(4)]
    at_once = Barrier(len(people))

    def join(user) -> str:
        at_once.wait()
        try:
            return "joined" if invites.join(user, token).has_changed else "nothing"
        except invites.GoneError:
            return "gone"
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people)) as threads:
        found = sorted(threads.map(join, people))
    assert found == ["gone", "gone", "gone", "joined"]
    assert Membership.objects.count() == 1
    assert Invite.objects.get().uses == 1


def test_links_over_rest(project, ana, client):
    client.force_login(ana)
    path = f"/api/projects/{project.pk}/invites"
    made = client.post(
        path, {"role": "viewer", "max_uses": 1, "expires_in": 2}, content_type="application/json"
    )
    assert made.status_code == 201
    told = made.json()
    assert told["url"].startswith("http://testserver/join/")
    assert (told["role"], told["max_uses"], told["uses"]) == ("viewer", 1, 0)
    [listed] = client.get(path).json()
    assert {**listed, "url": told["url"]} == told  # the list never holds the link itself
    assert client.delete(f"{path}/{told['id']}").status_code == 204
    assert client.get(path).json() == []
    assert client.post(path, {"role": "owner"}, content_type="application/json").status_code == 400
    assert client.post(path, {"max_uses": "many"}, content_type="application/json").status_code == 422
