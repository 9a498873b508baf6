"""Sharing a project: the dialog, links, joining with a new account, and what the others see."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_projects_page import add_scene
from webapp.accounts import make_sign_in_path
from webapp.models import Invite, Membership, Project

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ana(db) -> User:
    cache.clear()
    return User.objects.create_user("ana")


@pytest.fixture
def project(ana) -> Project:
    return Project.objects.create(owner=ana, scene=add_scene(ana, "coast"), name="Coast 2026", updated_by=ana)


@pytest.fixture
def sign_in(live_server, browser: Browser):
    """Open a page as somebody, in a browser of their own; anything on its console is an error."""
    problems: list[str] = []
    contexts = []

    def watch(page: Page) -> Page:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        return page

    def make(user: User | None, path: str = "/projects/") -> Page:
        contexts.append(browser.new_context())
        page = watch(contexts[-1].new_page())
        page.goto(live_server.url + (make_sign_in_path(user, path) if user else path))
        return page

    yield make
    for context in contexts:
        context.close()
    # A refused request, and the socket that this server does not have, are written there by the browser itself.
    ours = [text for text in problems if "Failed to load" not in text and "WebSocket" not in text]
    assert ours == []


def dialog_of(page: Page):
    page.get_by_test_id("project-share").first.click()
    dialog = page.get_by_test_id("sharing-dialog")
    expect(dialog.get_by_test_id("member").first).to_be_visible()
    return dialog


def test_owner_invites_by_name_changes_roles_and_removes(sign_in, ana, project):
    boris = User.objects.create_user("boris")
    page = sign_in(ana)
    dialog = dialog_of(page)
    expect(dialog.get_by_role("heading", name="Share Coast 2026")).to_be_visible()
    dialog.get_by_test_id("invite-name").fill("borsi")
    dialog.get_by_test_id("invite-submit").click()
    expect(dialog.get_by_test_id("sharing-error")).to_contain_text("Nobody here is called 'borsi'")
    dialog.get_by_test_id("invite-name").fill("boris")
    dialog.get_by_test_id("invite-role").select_option("viewer")
    dialog.get_by_test_id("invite-submit").click()
    row = dialog.get_by_test_id("member").filter(has_text="boris")
    expect(row).to_be_visible()
    expect(dialog.get_by_test_id("sharing-error")).to_be_hidden()
    expect(dialog.get_by_test_id("invite-name")).to_have_value("")
    expect(page.get_by_test_id("project-shared")).to_have_text("Yours · 2 members")

    theirs = sign_in(boris)
    expect(theirs.get_by_test_id("project-shared")).to_have_text(
        "Shared by ana, you are a viewer · 2 members"
    )
    expect(theirs.get_by_test_id("scene-owner")).to_have_text("Belongs to ana")
    for missing in ("project-rename", "project-delete", "scene-rename", "scene-delete"):
        expect(theirs.get_by_test_id(missing)).to_have_count(0)
    seen = dialog_of(theirs)
    expect(seen.get_by_test_id("invite-name")).to_be_hidden()
    expect(seen.get_by_test_id("link-make")).to_be_hidden()
    expect(seen.locator("select[data-testid=member-role]")).to_have_count(0)
    expect(seen.get_by_test_id("member-remove")).to_have_text("Leave")

    row.get_by_test_id("member-role").select_option("editor")
    expect(page.get_by_test_id("sharing-error")).to_be_hidden()
    page.wait_for_function("() => document.querySelectorAll('[data-testid=member]').length === 2")
    expect(row.get_by_test_id("member-role")).to_have_value("editor")
    assert Membership.objects.get().role == "editor"
    row.get_by_test_id("member-remove").click()
    page.get_by_test_id("dialog-confirm").click()
    expect(row).to_have_count(0)
    assert not Membership.objects.exists()


def test_last_owner_is_told_why_they_cannot_leave(sign_in, ana, project):
    page = sign_in(ana)
    dialog = dialog_of(page)
    dialog.get_by_test_id("member-remove").click()
    page.get_by_test_id("dialog-confirm").click()
    expect(dialog.get_by_test_id("sharing-error")).to_contain_text("ana is the only owner of this project")
    dialog.get_by_test_id("member-role").select_option("viewer")
    page.get_by_test_id("dialog-confirm").click()
    expect(dialog.get_by_test_id("sharing-error")).to_contain_text("only owner")
    expect(dialog.get_by_test_id("member-role")).to_have_value("owner")


def test_member_leaves(sign_in, ana, project):
    boris = User.objects.create_user("boris")
    Membership.objects.create(project=project, user=boris, role="viewer")
    page = sign_in(boris)
    dialog_of(page).get_by_test_id("member-remove").click()
    page.get_by_test_id("dialog-confirm").click()
    expect(page.get_by_test_id("project-card")).to_have_count(0)
    expect(page.get_by_test_id("sharing-dialog")).to_be_hidden()


def test_link_brings_a_new_person_into_the_project(sign_in, ana, project, live_server):
    page = sign_in(ana)
    dialog = dialog_of(page)
    dialog.get_by_test_id("link-role").select_option("viewer")
    dialog.get_by_test_id("link-uses").select_option("1")
    dialog.get_by_test_id("link-make").click()
    url = dialog.get_by_test_id("link-url")
    expect(url).to_have_value(re.compile(rf"^{re.escape(live_server.url)}/join/[\w-]+/$"))
    link = url.input_value()
    expect(dialog.get_by_test_id("link")).to_have_text(
        re.compile(r"Viewers · for one person · ends in 7 days · by anaRevoke")
    )

    theirs = sign_in(None, link.removeprefix(live_server.url))
    expect(theirs.get_by_test_id("join-offer")).to_contain_text(
        "ana invites you to this land-cover map as a viewer"
    )
    theirs.get_by_test_id("join-name").fill("nina")
    theirs.get_by_test_id("password-new").fill("a long passphrase")
    theirs.get_by_test_id("password-again").fill("a long passphrase!")
    theirs.get_by_test_id("join-create").click()
    expect(theirs.get_by_test_id("form-error")).to_contain_text("match")
    expect(theirs.get_by_test_id("join-name")).to_have_value("nina")
    for field in ("password-new", "password-again"):
        theirs.get_by_test_id(field).fill("a long passphrase")
    theirs.get_by_test_id("join-create").click()
    theirs.wait_for_url(f"**/projects/{project.pk}/")
    expect(theirs.get_by_test_id("nav-user")).to_contain_text("nina")
    assert Membership.objects.get().role == "viewer"

    late = sign_in(None, link.removeprefix(live_server.url))
    expect(late.get_by_role("heading", name="This invitation does not work")).to_be_visible()
    expect(late.get_by_text("was used already; ask ana for a new one")).to_be_visible()

    dialog.get_by_test_id("sharing-close").click()
    dialog = dialog_of(page)
    expect(dialog.get_by_test_id("link")).to_have_count(0)
    expect(dialog.get_by_test_id("link-url")).to_be_hidden()  # shown but once


def test_link_is_revoked(sign_in, ana, project):
    page = sign_in(ana)
    dialog = dialog_of(page)
    dialog.get_by_test_id("link-expires").select_option("")
    dialog.get_by_test_id("link-make").click()
    expect(dialog.get_by_test_id("link")).to_contain_text("Editors · not used yet · until revoked · by ana")
    dialog.get_by_test_id("link-revoke").click()
    expect(dialog.get_by_test_id("link")).to_have_count(0)
    expect(dialog.get_by_test_id("link-url")).to_be_hidden()
    assert Invite.objects.get().revoked_at is not None


def test_somebody_with_an_account_signs_in_and_joins(sign_in, ana, project, live_server):
    from webapp.people import invites

    User.objects.create_user("boris", password="right horse battery")
    token = invites.make(ana, project.pk, "editor", None, None)[1]
    page = sign_in(None, f"/join/{token}/")
    page.get_by_test_id("join-sign-in").click()
    page.get_by_test_id("login-username").fill("boris")
    page.get_by_test_id("login-password").fill("right horse battery")
    page.get_by_test_id("login-submit").click()
    assert not Membership.objects.exists()
    page.get_by_test_id("join-submit").click()
    page.wait_for_url(f"**/projects/{project.pk}/")
    assert Membership.objects.get().role == "editor"


def test_administrator_makes_an_account_and_its_link(sign_in, ana, project):
    ana.is_staff = True
    ana.save()
    page = sign_in(ana, "/accounts/")
    page.get_by_test_id("account-people").click()
    page.get_by_test_id("people-name").fill("nina")
    page.get_by_test_id("people-create").click()
    link = page.get_by_test_id("people-link").input_value()
    page.get_by_test_id("people-link-copy").click()
    expect(page.get_by_test_id("people-link-copy")).to_have_text(re.compile("Copied|Ctrl"))
    expect(page.get_by_test_id("people-row")).to_have_count(2)
    theirs = sign_in(None, link[link.index("/enter/") :])
    expect(theirs.get_by_test_id("nav-user")).to_contain_text("nina")
    theirs.get_by_test_id("nav-user").click()
    theirs.get_by_test_id("account-password").click()
    for field in ("password-new", "password-again"):
        theirs.get_by_test_id(field).fill("a long passphrase")
    theirs.get_by_test_id("password-save").click()
    expect(theirs.get_by_test_id("account-saved")).to_have_text("Your password was changed.")
