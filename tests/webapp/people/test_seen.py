"""When somebody was last seen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from webapp.models import Profile
from webapp.people import seen

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh():
    seen.forget()
    yield
    seen.forget()


def test_request_notes_it(signed_in, user):
    before = timezone.now()
    signed_in.get("/projects/")
    assert before <= Profile.objects.get(user=user).last_seen <= timezone.now()


def test_it_is_written_once_a_minute(signed_in, user, django_assert_num_queries):
    signed_in.get("/projects/")
    first = Profile.objects.get(user=user).last_seen
    signed_in.get("/projects/")
    with django_assert_num_queries(0):
        seen.note(user.pk)
    seen.forget()  # as another process, which has noted nothing
    signed_in.get("/projects/")
    assert Profile.objects.get(user=user).last_seen == first
    earlier = first - timedelta(minutes=2)
    Profile.objects.update(last_seen=earlier)
    seen.forget()
    signed_in.get("/api/projects")
    assert Profile.objects.get(user=user).last_seen > earlier


def test_who_does_not_sign_in_is_not_noted(client, user):
    client.get("/healthz")
    client.get("/accounts/login/")
    client.get("/projects/")
    assert not Profile.objects.exists()
