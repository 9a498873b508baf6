"""/accounts/people/: administrators (staff) look after the accounts of this server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts import make_sign_in_path
from webapp.errors import ConflictError, InvalidInputError, MissingError, WebError
from webapp.live.colors import color_of
from webapp.models import SignInToken
from webapp.people import members
from webapp.people.forms import NewAccountForm

__all__ = ["people", "person"]

PER_PAGE = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def people(request: HttpRequest) -> HttpResponse:
    """Who has an account; with a POST a new one, whose link shows once."""
    _require_staff(request)
    if request.method != "POST":
        return _show(request)
    form = NewAccountForm(request.POST)
    if not form.is_valid():
        return _show(request, form=form, status=400)
    return _show(request, linked=form.save())


@never_cache
@require_POST
def person(request: HttpRequest, user_id: int) -> HttpResponse:
    """Do one thing with an account: "activate", "deactivate", "promote", "demote", or make a "link"."""
    _require_staff(request)
    action = request.POST.get("action", "")
    try:
        user = User.objects.filter(pk=user_id).first()
        if user is None:
            raise MissingError(f"There is no account {user_id} (any more).")
        if action == "link":
            _require_open(user)
            return _show(request, linked=user)
        _change(request.user, user, action)
    except WebError as error:
        return _show(request, problem=str(error), status=error.status)
    return HttpResponseRedirect(reverse("people"))


def _change(by: User, user: User, action: str) -> None:
    changes = {
        "activate": ("is_active", True),
        "deactivate": ("is_active", False),
        "promote": ("is_staff", True),
        "demote": ("is_staff", False),
    }
    if action not in changes:
        raise InvalidInputError(f"There is no action {action[:20]!r}; use the buttons of the page.")
    field, value = changes[action]
    if user == by and not value:
        # So that there always is somebody who can look after the accounts.
        raise ConflictError("You cannot do this with your own account; ask another administrator.")
    setattr(user, field, value)
    user.save(update_fields=[field])
    if field == "is_active":
        SignInToken.objects.filter(user=user).delete()
        members.tell_projects_of(user)


def _require_staff(request: HttpRequest) -> None:
    if not request.user.is_staff:
        raise PermissionDenied("Only administrators of this server look after its accounts.")


def _is_here(user: User) -> bool:
    """Seen so lately that they may be looking at a page now: it is written down once a minute."""
    seen = getattr(user, "profile", None) and user.profile.last_seen
    return bool(seen) and timezone.now() - seen < timedelta(minutes=2)


def _require_open(user: User) -> None:
    if not user.is_active:
        raise ConflictError(f"The account {user.username} is switched off; switch it on first.")


def _show(
    request: HttpRequest,
    *,
    form: NewAccountForm | None = None,
    linked: User | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    # Control characters are in no name, and PostgreSQL refuses to look for some.
    query = "".join(letter for letter in request.GET.get("q", "") if letter.isprintable()).strip()[:150]
    rows = User.objects.select_related("profile").annotate(
        n_projects=Count("projects", distinct=True) + Count("memberships", distinct=True),
        n_scenes=Count("scenes", distinct=True),
    )
    if query:
        rows = rows.filter(Q(username__icontains=query) | Q(email__icontains=query))
    page = Paginator(rows.order_by("username", "pk"), PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "page": page,
        "rows": [(user, color_of(user.pk), _is_here(user)) for user in page],
        "query": query,
        "form": form or NewAccountForm(),
        "problem": problem,
        "linked": linked,
        # Made last: it is shown on this page and never again.
        "link": request.build_absolute_uri(make_sign_in_path(linked)) if linked else "",
    }
    return render(request, "accounts/people.html", context, status=status)
