"""Signing in: one-time links, and passwords for those who have one."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.errors import InvalidInputError
from webapp.models import SignInToken

__all__ = [
    "LOCAL_USER",
    "PASSWORD_BACKEND",
    "enter",
    "get_or_create_user",
    "local_path",
    "locked_out",
    "make_sign_in_path",
]

LOCAL_USER = "local"  # whom `make run` signs in

PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 (a path, not a password)


def get_or_create_user(name: str) -> tuple[User, bool]:
    """The user called ``name``, made without a password where there is none; and whether it was made."""
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError as error:
        raise InvalidInputError(
            f"{name!r} is no user name: use letters, digits and @ . + - _ only."
        ) from error
    if len(name) > 150:
        raise InvalidInputError("A user's name has at most 150 characters.")
    user = User.objects.filter(username=name).first()
    if user is not None:
        return user, False
    return User.objects.create_user(name), True


def make_sign_in_path(user: User, next_path: str = "") -> str:
    """Path of a new link that signs ``user`` in once; only its hash is kept, so it is shown but now."""
    token = secrets.token_urlsafe(32)
    SignInToken.objects.create(
        user=user,
        token_hash=_hash(token),
        expires_at=timezone.now() + timedelta(hours=settings.SIGN_IN_LINK_HOURS),
    )
    path = reverse("enter", args=[token])
    return f"{path}?{urlencode({'next': next_path}, safe='/')}" if next_path else path


@login_not_required
@never_cache
@require_safe
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """Spend a sign-in link. Somebody who is signed in already just goes on, whatever became of the link."""
    user = None if request.method == "HEAD" else _spend(token)
    if user is not None:
        login(request, user, backend=PASSWORD_BACKEND)
    elif not request.user.is_authenticated:
        message = (
            "This link was used already, or it is too old. Start the server again to get a new one "
            "(or ask whoever runs it: manage.py invite NAME)."
        )
        context = {"status": 403, "title": "This link no longer works", "message": message}
        return render(request, "errors/error.html", context, status=403)
    return HttpResponseRedirect(local_path(request, request.GET.get("next", "")))


def _spend(token: str) -> User | None:
    found = SignInToken.objects.filter(token_hash=_hash(token), expires_at__gt=timezone.now())
    row = found.select_related("user").first()
    # Of two requests at once only one deletes the row, and only that one signs in.
    if row is None or found.delete()[0] != 1 or not row.user.is_active:
        return None
    return row.user


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def local_path(request: HttpRequest, path: str) -> str:
    safe = url_has_allowed_host_and_scheme(path, allowed_hosts=None, require_https=request.is_secure())
    return path if safe else reverse("projects")


def locked_out(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """What django-axes answers after too many wrong passwords."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    context = {
        "status": 429,
        "title": "Too many attempts",
        "message": f"There were too many wrong passwords from your address; try again in {minutes} minutes.",
    }
    return render(request, "errors/error.html", context, status=429)
