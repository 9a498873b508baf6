"""Signing in."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from webapp.accounts import get_or_create_user, make_sign_in_path
from webapp.errors import InvalidInputError
from webapp.models import SignInToken

pytestmark = pytest.mark.django_db


def is_signed_in(client: Client) -> bool:
    return client.get("/projects/").status_code == 200


def test_link_signs_in_once(client, user):
    path = make_sign_in_path(user, "/projects/1/")
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == "/projects/1/"
    assert response.wsgi_request.user == user
    assert is_signed_in(client)
    second = Client()
    response = second.get(path)
    assert response.status_code == 403
    assert b"used already, or it is too old" in response.content
    assert not is_signed_in(second)


def test_spent_link_still_leads_on_for_who_is_signed_in(client, user):
    path = make_sign_in_path(user, "/projects/1/")
    client.get(path)
    assert client.get(path)["Location"] == "/projects/1/"


def test_old_link_does_not_sign_in(client, user):
    path = make_sign_in_path(user)
    SignInToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(path).status_code == 403
    assert not is_signed_in(client)


def test_link_of_a_user_who_is_switched_off_does_not_sign_in(client, user):
    path = make_sign_in_path(user)
    User.objects.update(is_active=False)
    assert client.get(path).status_code == 403


def test_only_the_hash_of_a_token_is_kept(user):
    token = urlsplit(make_sign_in_path(user)).path.split("/")[2]
    row = SignInToken.objects.get()
    assert row.token_hash == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(SignInToken.objects.values().get())
    assert len(token) >= 40


def test_head_does_not_spend_a_link(client, user):
    path = make_sign_in_path(user)  # link previews send HEAD
    client.head(path)
    assert client.get(path).status_code == 302


def test_link_replaces_another_sign_in(client, user, stranger):
    client.force_login(stranger)
    key = client.session.session_key
    response = client.get(make_sign_in_path(user))
    assert response.wsgi_request.user == user
    assert client.session.session_key != key


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_link_leads_only_to_local_pages(client, user, target):
    path = make_sign_in_path(user)
    assert client.get(path, {"next": target})["Location"] == "/projects/"


def test_unknown_link_is_refused(client):
    assert client.get("/enter/nonsense/").status_code == 403


def test_get_or_create_user_makes_a_user_without_password(db):
    user, created = get_or_create_user("ana.m")
    assert created
    assert not user.has_usable_password()
    assert get_or_create_user("ana.m") == (user, False)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "<b>", "x" * 151])
def test_get_or_create_user_refuses_odd_names(name):
    with pytest.raises(InvalidInputError, match="name"):
        get_or_create_user(name)


def test_password_sign_in_and_sign_out(client):
    User.objects.create_user("petra", password="right horse battery")
    response = client.post("/accounts/login/", {"username": "petra", "password": "wrong"})
    assert response.status_code == 200
    assert b'data-testid="login-error"' in response.content
    response = client.post(
        "/accounts/login/", {"username": "petra", "password": "right horse battery", "next": "/projects/7/"}
    )
    assert response["Location"] == "/projects/7/"
    assert is_signed_in(client)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert not is_signed_in(client)


def test_too_many_wrong_passwords_lock_the_address(client, settings):
    settings.AXES_ENABLED = True
    User.objects.create_user("petra", password="right horse battery")
    answers = [
        client.post("/accounts/login/", {"username": f"petra{i}", "password": "wrong"}).status_code
        for i in range(settings.AXES_FAILURE_LIMIT)
    ]
    assert answers[0] == 200
    assert answers[-1] == 429
    response = client.post("/accounts/login/", {"username": "petra", "password": "right horse battery"})
    assert response.status_code == 429
    assert b"try again in 15 minutes" in response.content
    assert not is_signed_in(client)
