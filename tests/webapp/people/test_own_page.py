"""One's own account: name, e-mail, password, and a new password by e-mail."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.test import Client

from webapp.accounts import LOCAL_USER
from webapp.people import own_page

pytestmark = pytest.mark.django_db
OLD, NEW = "right horse battery", "wrong donkey charger"


@pytest.fixture(autouse=True)
def _fresh_counts():
    cache.clear()


@pytest.fixture
def petra() -> User:
    return User.objects.create_user("petra", "petra@example.org", OLD)


@pytest.fixture
def page(petra) -> Client:
    client = Client()
    client.force_login(petra)
    return client


def test_name_and_email_can_be_changed(page, petra):
    response = page.post("/accounts/", {"username": "Petra-M", "email": "p@example.org"}, follow=True)
    assert b"Your account was changed." in response.content
    petra.refresh_from_db()
    assert (petra.username, petra.email) == ("Petra-M", "p@example.org")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ana", "Somebody has this name"),
        ("Ana", "Somebody has this name"),
        ("LOCAL", "kept"),
        ("a b", "valid"),
    ],
)
def test_odd_names_are_refused(page, petra, user, name, sentence):
    response = page.post("/accounts/", {"username": name, "email": ""})
    assert sentence in response.content.decode()
    assert "Signed in as petra" in response.content.decode()
    petra.refresh_from_db()
    assert petra.username == "petra"


def test_capitals_of_ones_own_name_can_be_changed(page, petra):
    assert page.post("/accounts/", {"username": "Petra", "email": ""}).status_code == 302


def test_account_of_make_run_keeps_its_name(client):
    local = User.objects.create_user(LOCAL_USER)
    client.force_login(local)
    assert b"so it stays" in client.get("/accounts/").content
    assert b"this name stays" in client.post("/accounts/", {"username": "other", "email": ""}).content
    assert client.post("/accounts/", {"username": LOCAL_USER, "email": "a@example.org"}).status_code == 302
    assert User.objects.get().username == LOCAL_USER


def test_password_change_ends_other_sign_ins(page, petra):
    elsewhere = Client()
    elsewhere.force_login(petra)
    change = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    assert page.post("/accounts/password/", change)["Location"] == "/accounts/?saved=password"
    assert page.get("/projects/").status_code == 200
    assert elsewhere.get("/projects/").status_code == 302
    petra.refresh_from_db()
    assert petra.check_password(NEW)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"old_password": "wrong"}, "old password was entered incorrectly"),
        ({"new_password2": "another one here"}, "match"),
        ({"new_password1": "short", "new_password2": "short"}, "at least 10"),
    ],
)
def test_odd_passwords_are_refused(page, petra, change, sentence):
    data = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW, **change}
    assert sentence in page.post("/accounts/password/", data).content.decode()
    petra.refresh_from_db()
    assert petra.check_password(OLD)


def test_first_password_needs_no_old_one(client):
    nina = User.objects.create_user("nina")
    client.force_login(nina)
    assert b"Choose a password" in client.get("/accounts/password/").content
    assert client.post("/accounts/password/", {"new_password1": NEW, "new_password2": NEW}).status_code == 302
    nina.refresh_from_db()
    assert nina.check_password(NEW)
    # From now on the old one is asked for.
    assert b"Present password" in client.get("/accounts/password/").content


def test_without_mail_nothing_is_made_and_it_says_whom_to_ask(client, petra, settings):
    assert settings.CAN_SEND_MAIL is False
    for response in (
        client.get("/accounts/password/reset/"),
        client.post("/accounts/password/reset/", {"email": "petra@example.org"}),
    ):
        assert b"Ask whoever looks after it" in response.content
    assert response.status_code == 503
    assert mail.outbox == []


def test_new_password_by_mail(client, petra, settings):
    settings.CAN_SEND_MAIL = True
    response = client.post("/accounts/password/reset/", {"email": "PETRA@example.org"})
    assert response["Location"] == "/accounts/password/reset/sent/"
    [message] = mail.outbox
    assert message.to == ["petra@example.org"]
    assert message.subject == "ClusterNet: choose a new password"
    link = re.search(r"http://testserver(/accounts/password/reset/\S+)", message.body)[1]
    form = client.get(link)["Location"]
    response = client.post(form, {"new_password1": NEW, "new_password2": NEW})
    assert response["Location"] == "/projects/"
    assert client.get("/projects/").status_code == 200
    petra.refresh_from_db()
    assert petra.check_password(NEW)
    again = Client()
    assert b"This link no longer works" in again.get(link, follow=True).content


def test_reset_tells_nobody_which_addresses_there_are(client, petra, settings):
    settings.CAN_SEND_MAIL = True
    known = client.post("/accounts/password/reset/", {"email": "petra@example.org"})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert len(mail.outbox) == 1
    assert b"no link" not in client.get("/accounts/password/reset/sent/").content


def test_resets_of_one_address_are_limited(client, petra, settings, monkeypatch):
    settings.CAN_SEND_MAIL = True
    monkeypatch.setattr(own_page, "MAX_RESETS", 1)
    statuses = [
        client.post("/accounts/password/reset/", {"email": "petra@example.org"}).status_code for _ in range(2)
    ]
    assert statuses == [302, 429]
    assert len(mail.outbox) == 1


def test_only_administrators_are_shown_the_way_to_people(page, petra):
    assert b"account-people" not in page.get("/accounts/").content
    User.objects.update(is_staff=True)
    assert b"account-people" in page.get("/accounts/").content
