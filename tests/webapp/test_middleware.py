"""Headers, static files, and the sign-in that everything needs."""

from __future__ import annotations

import re

import pytest
from django.test import AsyncClient, Client
from django.urls import URLPattern, URLResolver, get_resolver

from webapp.middleware import basemap_source

RESET = {"password_reset", "password_reset_done", "password_reset_confirm"}
PUBLIC = {"healthz", "login", "logout", "enter", "join", *RESET}


def routes(patterns=None, prefix="/") -> list[tuple[str, str | None]]:
    found = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            found.append((re.sub(r"<[^>]+>", "1", path), pattern.name))
    return found


@pytest.mark.django_db
def test_every_route_needs_a_sign_in(client):
    seen = [path for path, name in routes() if name not in PUBLIC]
    assert len(seen) > 15
    for path in seen:
        response = client.get(path)
        if path.startswith(("/api/", "/tiles/")):
            assert response.status_code == 401, path
            assert response.json() == {"detail": "Please sign in first."}
        else:
            assert response.status_code == 302, path
            assert response["Location"].startswith("/accounts/login/?next="), path


@pytest.mark.django_db
def test_public_routes_need_none(client):
    assert client.get("/healthz").content == b"ok"
    assert client.get("/accounts/login/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/projects/", "/accounts/login/", "/healthz", "/nowhere/", "/static/css/base.css"]
)
def test_security_headers(signed_in, path):
    response = signed_in.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in response["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "strict-origin-when-cross-origin"
    if not path.startswith("/static/"):
        assert response["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://tiles.example.org/{z}/{x}/{y}.png", "https://tiles.example.org"),
        ("https://{s}.example.org/{z}/{x}/{y}.png", "https://*.example.org"),
        ("http://localhost:8080/{z}/{x}/{y}.png?key=a", "http://localhost:8080"),
        ("https://tile-{s}.example.org/{z}/{x}/{y}.png", "https:"),  # CSP has no wildcard inside a label
    ],
)
def test_base_map_is_the_only_other_source_of_pictures(url, source):
    assert basemap_source(url) == source


@pytest.mark.django_db
def test_pages_have_no_inline_scripts_or_styles(signed_in, make_project):
    project = make_project()
    for path in ("/projects/", f"/projects/{project.pk}/", "/nowhere/"):
        page = signed_in.get(path).content.decode()
        for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
            assert 'type="application/json"' in attributes or not content.strip(), path
        assert not re.search(r"\son\w+=", page), path
        assert not re.search(r"<style|\sstyle=", page), path


@pytest.mark.django_db
def test_writes_need_a_csrf_token(user, make_scene, submitted):
    scene = make_scene()
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    body = {"name": "x", "scene": scene.pk}
    refused = client.post("/api/projects", body, content_type="application/json")
    assert refused.status_code == 403
    assert "Reload" in refused.json()["detail"]
    assert client.delete(f"/api/scenes/{scene.pk}").status_code == 403
    client.get("/projects/")  # sets the cookie
    token = client.cookies["csrftoken"].value
    allowed = client.post(
        "/api/projects", body, content_type="application/json", headers={"x-csrftoken": token}
    )
    assert allowed.status_code == 201
    foreign = {"x-csrftoken": token, "origin": "https://evil.example"}
    assert (
        client.post("/api/projects", body, content_type="application/json", headers=foreign).status_code
        == 403
    )
    assert client.post("/accounts/logout/").status_code == 403


@pytest.mark.parametrize("path", ["/static/css/base.css", "/static/leaflet/leaflet.js", "/static/js/api.js"])
@pytest.mark.django_db
async def test_static_files_are_served_and_asked_for_again(path):
    client = AsyncClient()
    response = await client.get(path)
    assert response.status_code == 200
    assert len(response.content) == int(response["Content-Length"])
    assert response["Content-Type"].startswith(("text/css", "text/javascript"))
    assert "max-age=0" in response["Cache-Control"]
    again = await client.get(path, headers={"if-none-match": response["ETag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/static/../manage.py", "/static/%2e%2e/manage.py", "/static/nothing.js", "/manage.py"]
)
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.django_db
def test_static_files_work_without_async(client):
    assert b":root" in client.get("/static/css/base.css").content
