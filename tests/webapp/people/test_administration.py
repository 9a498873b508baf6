"""/accounts/people/: what administrators do."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from webapp.accounts import make_sign_in_path
from webapp.models import Profile, SignInToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(user) -> User:
    user.is_staff = True
    user.save()
    return user


@pytest.fixture
def page(admin, signed_in) -> Client:
    return signed_in


def act(page: Client, user: User, action: str):
    return page.post(f"/accounts/people/{user.pk}/", {"action": action})


def test_list_tells_who_there_is(page, stranger):
    text = page.get("/accounts/people/").content.decode()
    assert re.findall(r'data-user="(\d+)"', text) == [
        str(User.objects.get(username="ana").pk),
        str(stranger.pk),
    ]
    assert "never" in text
    Profile.objects.update_or_create(user=stranger, defaults={"last_seen": "2026-01-01T00:00:00Z"})
    assert 'title="2026-01-01 00:00 UTC"' in page.get("/accounts/people/").content.decode()


def test_search_and_pages(page):
    for i in range(120):
        User.objects.create(username=f"person{i:03}")
    assert b"1 to 100 of 121" in page.get("/accounts/people/").content
    found = page.get("/accounts/people/?q=PERSON11").content.decode()
    assert len(re.findall("data-user", found)) == 10
    assert b"Nobody is called so." in page.get("/accounts/people/?q=zzz").content
    assert b"person11" in page.get("/accounts/people/?q=%00PERSON11").content
    assert page.get("/accounts/people/?page=nonsense").status_code == 200


def test_account_is_switched_off_and_on(page, stranger, other_client):
    path = make_sign_in_path(stranger)
    assert other_client.get("/projects/").status_code == 200
    assert act(page, stranger, "deactivate").status_code == 302
    assert other_client.get("/projects/").status_code == 302
    assert Client().get(path).status_code == 403
    assert act(page, stranger, "link").status_code == 409
    assert act(page, stranger, "activate").status_code == 302
    assert Client().get(path).status_code == 403  # links from before stay dead
    assert not SignInToken.objects.exists()


def test_administrators_are_made_and_unmade(page, stranger, other_client):
    act(page, stranger, "promote")
    assert other_client.get("/accounts/people/").status_code == 200
    act(page, stranger, "demote")
    assert other_client.get("/accounts/people/").status_code == 403


@pytest.mark.parametrize("action", ["deactivate", "demote"])
def test_nobody_locks_themselves_out(page, admin, action):
    response = act(page, admin, action)
    assert response.status_code == 409
    assert b"You cannot do this with your own account" in response.content
    admin.refresh_from_db()
    assert admin.is_active
    assert admin.is_staff


def link_on(response) -> str:
    return re.search(r'value="http://testserver(/enter/[^"]+)"', response.content.decode())[1]


def test_one_time_link_signs_in_once(page, stranger):
    response = act(page, stranger, "link")
    assert "no-store" in response["Cache-Control"]
    link = link_on(response)
    client = Client()
    assert client.get(link).wsgi_request.user == stranger
    assert Client().get(link).status_code == 403
    assert link.encode() not in page.get("/accounts/people/").content


def test_new_account(page):
    response = page.post("/accounts/people/", {"username": "nina", "email": "nina@example.org"})
    nina = User.objects.get(username="nina")
    assert not nina.has_usable_password()
    assert not nina.is_staff
    assert Client().get(link_on(response)).wsgi_request.user == nina
    page.post("/accounts/people/", {"username": "olga", "is_staff": "on"})
    assert User.objects.get(username="olga").is_staff


@pytest.mark.parametrize(
    ("name", "sentence"), [("ANA", "Somebody has this name"), ("", "required"), ("local", "kept for")]
)
def test_odd_names_are_refused(page, name, sentence):
    response = page.post("/accounts/people/", {"username": name})
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert User.objects.count() == 1


def test_odd_actions_are_refused(page, stranger):
    assert b"There is no action" in act(page, stranger, "explode").content
    assert page.post("/accounts/people/999/", {"action": "link"}).status_code == 404
