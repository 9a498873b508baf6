"""/join/<token>/: what an invitation offers, and taking it up: signed in, or with a new account."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from webapp.accounts import PASSWORD_BACKEND
from webapp.errors import WebError
from webapp.people import invites, throttle
from webapp.people.forms import SignUpForm
from webapp.permissions import RANK, role_in

__all__ = ["join"]

# Of one address: a class in one room has one, too.
MAX_WRONG, WRONG_S = 60, 900
MAX_ACCOUNTS, ACCOUNTS_S = 100, 3600

MAY = {"viewer": "look at everything, live", "editor": "look at everything and change the map"}


@login_not_required
@never_cache
@ensure_csrf_cookie
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Nobody joins by opening the page: mail programs and chats open links, too."""
    address = throttle.address_of(request)
    try:
        offer = invites.find(token)
        if request.method == "POST" and request.user.is_authenticated:
            return _to_project(invites.join(request.user, token))
    except WebError as error:
        if not throttle.allow(f"join:{address}", MAX_WRONG, WRONG_S):
            return _too_many(request, "There were too many invitations that do not work from your address.")
        return _refused(request, error)
    if request.user.is_authenticated:
        own = role_in(request.user, offer.project)
        has_it = own is not None and RANK[own] >= RANK[offer.role]
        return _show(request, offer, None, own=own if has_it else None)
    if request.method != "POST":
        return _show(request, offer, SignUpForm())
    if not throttle.allow(f"sign-up:{address}", MAX_ACCOUNTS, ACCOUNTS_S):
        return _too_many(request, "There were too many new accounts from your address.")
    form = SignUpForm(request.POST)
    if not form.is_valid():
        return _show(request, offer, form)
    try:
        user, joined = _sign_up(form, token)
    except WebError as error:
        return _refused(request, error)
    login(request, user, backend=PASSWORD_BACKEND)
    return _to_project(joined)


def _sign_up(form: SignUpForm, token: str) -> tuple[User, invites.Joined]:
    # Both or none: of two people with a link for one, the later would have an account without a project.
    with transaction.atomic():
        user = form.save()
        return user, invites.join(user, token)


def _to_project(joined: invites.Joined) -> HttpResponse:
    return HttpResponseRedirect(reverse("project", args=[joined.project.pk]))


def _show(
    request: HttpRequest, offer: invites.Offer, form: SignUpForm | None, own: str | None = None
) -> HttpResponse:
    context = {
        "project": offer.project,
        "role": offer.role,
        "may": MAY[offer.role],
        "invited_by": offer.invited_by.username,
        "own": own,
        "form": form,
        "next": request.path,
    }
    return render(request, "accounts/join.html", context)


def _refused(request: HttpRequest, error: WebError) -> HttpResponse:
    context = {"status": error.status, "title": "This invitation does not work", "message": str(error)}
    return render(request, "errors/error.html", context, status=error.status)


def _too_many(request: HttpRequest, message: str) -> HttpResponse:
    context = {"status": 429, "title": "Too many attempts", "message": f"{message} Try again in an hour."}
    return render(request, "errors/error.html", context, status=429)
