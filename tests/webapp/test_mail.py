"""Where e-mail goes."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from webapp.mail import mail_settings


def test_without_an_address_nothing_leaves_the_machine():
    assert mail_settings("") == {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp+tls://me:pass@mail.example.org", 587, True, False),
        ("smtp+ssl://me:pass@mail.example.org", 465, False, True),
        ("smtp://me:pass@mail.example.org:2525", 2525, False, False),
    ],
)
def test_address_is_read(url, port, tls, ssl):
    found = mail_settings(url)
    assert found["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example.org", port)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("me", "pass")
    assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (tls, ssl)


@pytest.mark.parametrize(
    "url", ["mail.example.org", "https://x", "smtp://", "smtp://me:secret@host:port", "filemail:///x"]
)
def test_wrong_address_is_refused_without_repeating_it(url):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL is not the address") as error:
        mail_settings(url)
    assert "secret" not in str(error.value)
