"""Where e-mail goes: EMAIL_URL as Django's settings. Imported by the settings, so nothing of Django's apps is used here."""

from __future__ import annotations

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

__all__ = ["mail_settings"]

PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}  # where the address names none
# The address is not repeated in the message: it may hold a password.
WRONG = (
    "EMAIL_URL is not the address of a mail server; write smtp+tls://user:password@mail.example.org:587 "
    "(or smtp+ssl:// with port 465, smtp:// without encryption)."
)


def mail_settings(url: str) -> dict[str, Any]:
    """EMAIL_* settings of an address; without one mail would only be printed, and none is sent."""
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    scheme = url.partition("://")[0]
    if scheme not in PORTS:
        raise ImproperlyConfigured(WRONG)
    try:
        found = environ.Env.email_url_config(url)
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(WRONG) from None
    if not found["EMAIL_HOST"]:
        raise ImproperlyConfigured(WRONG)
    return {
        "EMAIL_BACKEND": found["EMAIL_BACKEND"],
        "EMAIL_HOST": found["EMAIL_HOST"],
        "EMAIL_PORT": found["EMAIL_PORT"] or PORTS[scheme],
        "EMAIL_HOST_USER": found["EMAIL_HOST_USER"] or "",
        "EMAIL_HOST_PASSWORD": found["EMAIL_HOST_PASSWORD"] or "",
        "EMAIL_USE_TLS": found.get("EMAIL_USE_TLS", False),
        "EMAIL_USE_SSL": found.get("EMAIL_USE_SSL", False),
    }
