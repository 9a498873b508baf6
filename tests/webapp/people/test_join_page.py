"""/join/<token>/ for whoever opens it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from tests.webapp import scenario
from webapp.models import Invite, Membership
from webapp.people import invites, join_page

pytestmark = pytest.mark.django_db

NEW = {"username": "nina", "email": "", "password1": "a long passphrase", "password2": "a long passphrase"}


@pytest.fixture(autouse=True)
def _fresh_counts():
    cache.clear()


@pytest.fixture
def project():
    return scenario.make_project(scenario.make_user("ana"), with_segmentation=False)


@pytest.fixture
def path(project) -> str:
    return f"/join/{invites.make(project.owner, project.pk, 'editor', None, None)[1]}/"


def test_page_says_what_is_offered_and_joins_nobody(client, project, path):
    response = client.get(path)
    text = response.content.decode()
    assert response.status_code == 200
    assert "Fields" in text
    assert "<b>ana</b> invites you" in text
    assert "<b>editor</b>: you can look at everything and change the map" in text
    assert f"/accounts/login/?next={path}" in text
    client.head(path)
    assert not Membership.objects.exists()


def test_signed_in_person_joins_with_one_button(project, path, other_client, stranger):
    assert b"Join as boris" in other_client.get(path).content
    assert not Membership.objects.exists()
    assert other_client.post(path)["Location"] == f"/projects/{project.pk}/"
    assert Membership.objects.get().user == stranger
    assert b"You take part already, as its editor" in other_client.get(path).content
    assert other_client.post(path).status_code == 302
    assert Invite.objects.get().uses == 1


def test_new_person_gets_an_account_and_joins(client, project, path):
    response = client.post(path, {**NEW, "email": "nina@example.org"})
    assert response["Location"] == f"/projects/{project.pk}/"
    nina = User.objects.get(username="nina")
    assert (nina.email, nina.is_staff, nina.check_password("a long passphrase")) == (
        "nina@example.org",
        False,
        True,
    )
    assert Membership.objects.get().role == "editor"
    assert response.wsgi_request.user == nina
    assert [row["name"] for row in client.get("/api/projects").json()] == ["Fields"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"username": "ANA"}, "Somebody has this name already"),
        ({"username": "local"}, "kept for whoever starts the server"),
        ({"username": "a b"}, "valid username"),
        ({"password2": "another passphrase"}, "match"),
        ({"password1": "short", "password2": "short"}, "at least 10 characters"),
        ({"password1": "1234567890", "password2": "1234567890"}, "too common"),
        ({"email": "nonsense"}, "valid email"),
    ],
)
def test_odd_accounts_are_refused(client, path, change, sentence):
    response = client.post(path, {**NEW, **change})
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not User.objects.filter(username="nina").exists()
    assert not Membership.objects.exists()


def test_no_account_without_a_link_that_works(client, path):
    Invite.objects.update(max_uses=1, uses=1)
    response = client.post(path, NEW)
    assert response.status_code == 410
    assert b"This invitation was used already; ask ana for a new one." in response.content
    assert User.objects.count() == 1


def test_account_is_not_made_where_the_link_was_spent_meanwhile(client, path, monkeypatch):
    def spent(user, token):
        raise invites.GoneError("This invitation was used already; ask ana for a new one.")

    monkeypatch.setattr(invites, "join", spent)
    assert client.post(path, NEW).status_code == 410
    assert not User.objects.filter(username="nina").exists()


def test_wrong_links_lock_the_address(client, monkeypatch, path):
    monkeypatch.setattr(join_page, "MAX_WRONG", 2)
    assert [client.get("/join/wrong/").status_code for _ in range(4)] == [410, 410, 429, 429]
    assert client.get(path).status_code == 200  # a good one still opens


def test_accounts_of_one_address_are_limited(client, monkeypatch, path):
    monkeypatch.setattr(join_page, "MAX_ACCOUNTS", 1)
    assert client.post(path, NEW).status_code == 302
    assert Client().post(path, {**NEW, "username": "olga"}).status_code == 429
    assert not User.objects.filter(username="olga").exists()


def test_joining_needs_our_own_page(path, stranger):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(stranger)
    assert strict.post(path).status_code == 403
    assert not Membership.objects.exists()


def test_page_is_not_kept(client, path):
    assert "no-store" in client.get(path)["Cache-Control"]
