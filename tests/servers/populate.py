"""People, their sessions and projects, made with the settings of the environment; prints what a test needs of it."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402

from tests.webapp import scenario  # noqa: E402
from webapp.accounts import PASSWORD_BACKEND  # noqa: E402


def session_of(user: User) -> str:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = PASSWORD_BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


def account(name: str) -> User:
    return User.objects.filter(username=name).first() or scenario.make_user(name)


def project() -> dict[str, Any]:
    """One of ana's, in which boris is an editor."""
    ana, boris = account("ana"), account("boris")
    made = scenario.make_project(ana)
    scenario.join(made, boris)
    sessions = {user.username: {"id": user.pk, "session": session_of(user)} for user in (ana, boris)}
    return {"project": made.pk, **sessions}


if __name__ == "__main__":
    print(json.dumps([project() for _ in range(12)]))
