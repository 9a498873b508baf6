"""Passes: they save work, and let nobody see what Django would not show."""

from __future__ import annotations

import asyncio
import threading

import httpx
import numpy as np
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import AsyncClient, Client
from rasterio.transform import from_origin

from tests.webapp import scenario
from webapp.imagery import gate, serving, tile_render
from webapp.imagery.gate import TileGate
from webapp.models import Membership
from webapp.requests import StreamingHandler

pytestmark = pytest.mark.django_db(transaction=True)
SIDE = 2 * np.pi * 6378137.0 / 2**12
PLACE = {
    "crs": "EPSG:3857",
    "transform": from_origin(2200 * SIDE - 2**11 * SIDE, 2**11 * SIDE - 1400 * SIDE, SIDE / 256, SIDE / 256),
}


@pytest.fixture(autouse=True)
def no_passes():
    gate.end_passes()
    yield
    gate.end_passes()


@pytest.fixture
def asked(monkeypatch):
    """How often Django was asked."""
    calls = []

    class Noted(StreamingHandler):
        async def __call__(self, scope, receive, send):
            calls.append(scope["path"])
            await super().__call__(scope, receive, send)

    calls_app = TileGate(Noted())
    calls_app.calls = calls
    return calls_app


@pytest.fixture
def scene(make_scene):
    return make_scene(np.full((3, 256, 256), 90, np.uint8), **PLACE)


def browser(app, user=None) -> httpx.AsyncClient:
    client = Client()
    cookies = {}
    if user is not None:
        client.force_login(user)
        cookies = {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", cookies=cookies)


make_browser = sync_to_async(browser)


async def test_second_tile_passes_and_says_the_same(asked, user, scene):
    async with await make_browser(asked, user) as client:
        first = await client.get(f"/tiles/{scene.pk}/12/2200/1400.png")
        second = await client.get(f"/tiles/{scene.pk}/12/2200/1400.png")
        other = await client.get(f"/tiles/{scene.pk}/13/4400/2800.jpg")
        outside = await client.get(f"/tiles/{scene.pk}/12/0/0.png")
    assert len(asked.calls) == 1
    assert (first.status_code, second.status_code, other.status_code, outside.status_code) == (
        200,
        200,
        200,
        204,
    )
    assert first.content == second.content
    assert dict(first.headers) == dict(second.headers)
    assert second.headers["content-security-policy"]
    assert second.headers["x-content-type-options"] == "nosniff"
    assert other.headers["content-type"] == "image/jpeg"


async def test_pass_knows_etags_and_bad_requests_as_django_does(asked, user, scene):
    at = f"/tiles/{scene.pk}"
    async with await make_browser(asked, user) as client:
        first = await client.get(f"{at}/12/2200/1400")
        known = await client.get(f"{at}/12/2200/1400", headers={"if-none-match": first.headers["etag"]})
        bad = await client.get(f"{at}/12/2200/1400.gif")
        zoom = await client.get(f"{at}/40/0/0.png")
        head = await client.head(f"{at}/12/2200/1400")
    assert len(asked.calls) == 1
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["vary"] == first.headers["vary"]
    assert (bad.status_code, zoom.status_code, head.status_code) == (400, 400, 200)
    assert "not as .gif" in bad.json()["detail"]
    assert bad.headers["content-security-policy"]


async def test_nobody_else_passes(asked, user, stranger, scene):
    at = f"/tiles/{scene.pk}/12/2200/1400.png"
    async with (
        await make_browser(asked, user) as own,
        await make_browser(asked, stranger) as other,
        await make_browser(asked) as nobody,
    ):
        assert (await own.get(at)).status_code == 200
        for _ in range(2):
            assert (await other.get(at)).status_code == 404
            assert (await nobody.get(at)).status_code == 401
        own.headers["host"] = "evil.example"
        assert (await own.get(at)).status_code == 400


async def test_refused_scene_gives_no_pass_to_another(asked, user, stranger, scene, make_scene):
    theirs = await sync_to_async(make_scene)(owner=stranger)
    async with await make_browser(asked, user) as client:
        assert (await client.get(f"/tiles/{scene.pk}/12/2200/1400.png")).status_code == 200
        for _ in range(2):
            assert (await client.get(f"/tiles/{theirs.pk}/0/0/0.png")).status_code == 404
    assert len(asked.calls) == 3


async def test_pass_ends_with_time(asked, user, scene, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(gate.time, "monotonic", lambda: clock[0])
    async with await make_browser(asked, user) as client:
        for moment in (0, gate.PASS_S - 0.1, gate.PASS_S + 0.1):
            clock[0] = 1000 + moment
            assert (await client.get(f"/tiles/{scene.pk}/12/2200/1400.png")).status_code == 200
    assert len(asked.calls) == 2


async def test_removed_member_sees_no_further_tile(asked, stranger, make_project, scene):
    project = await sync_to_async(make_project)(scene)
    await sync_to_async(scenario.join)(project, stranger, "viewer")
    at = f"/tiles/{scene.pk}/12/2200/1400.png"
    async with await make_browser(asked, stranger) as client:
        assert (await client.get(at)).status_code == 200
        await Membership.objects.filter(project=project, user=stranger).adelete()
        assert (await client.get(at)).status_code == 404


async def test_signing_out_ends_passes(asked, user, scene):
    at = f"/tiles/{scene.pk}/12/2200/1400.png"
    async with await make_browser(asked, user) as client:
        assert (await client.get(at)).status_code == 200
        other = AsyncClient()
        other.cookies[settings.SESSION_COOKIE_NAME] = client.cookies[settings.SESSION_COOKIE_NAME]
        await other.alogout()
        assert (await client.get(at)).status_code == 401


async def test_deleted_scene_is_gone_at_once(asked, user, scene):
    at = f"/tiles/{scene.pk}/12/2200/1400.png"
    async with await make_browser(asked, user) as client:
        assert (await client.get(at)).status_code == 200
        await sync_to_async(scene.delete)()
        assert (await client.get(at)).status_code == 404


async def test_passes_are_bounded(monkeypatch, scene):
    monkeypatch.setattr(gate, "_MOST_PASSES", 3)
    for number in range(5):
        gate._keep((number,), gate._Pass(0, scene, []))
    assert list(gate._passes) == [(2,), (3,), (4,)]


async def test_browser_that_leaves_is_not_worked_for(user, scene, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    drawn = []

    def slow(image, info, z, *rest):
        drawn.append(z)
        begun.set()
        assert go.wait(20)
        return "png", b"tile"

    monkeypatch.setattr(tile_render, "render", slow)
    monkeypatch.setattr(serving.settings, "TILE_THREADS", 1)
    first = asyncio.create_task(serving.answer(scene, serving.Asked(12, 2200, 1400, "png", {}, "", "")))
    await asyncio.to_thread(begun.wait, 20)

    async def leave():
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    work = serving.answer(scene, serving.Asked(13, 4400, 2800, "png", {}, "", ""))
    assert await gate._unless_gone(work, leave) is None
    go.set()
    assert (await first).body == b"tile"
    assert drawn == [12]


async def test_busy_server_says_when_to_come_back(user, scene, monkeypatch):
    monkeypatch.setattr(serving.settings, "TILE_QUEUE", 1)
    go = threading.Event()
    monkeypatch.setattr(tile_render, "render", lambda *_: (go.wait(20), ("png", b"tile"))[1])
    asked = [serving.Asked(12 + n, 2200 << n, 1400 << n, "png", {}, "", "") for n in range(2)]
    first = asyncio.create_task(serving.answer(scene, asked[0]))
    async with asyncio.timeout(20):
        while serving._queue().waiting == 0:
            await asyncio.sleep(0.01)
    refused = await serving.answer(scene, asked[1])
    go.set()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert b"too many tiles" in refused.body
    assert (await first).status == 200


async def test_kept_tile_is_not_drawn_again_and_style_is_part_of_the_key(user, scene, monkeypatch):
    own, drawn = tile_render.render, []

    def noted(*args):
        drawn.append(args[5])
        return own(*args)

    monkeypatch.setattr(tile_render, "render", noted)
    at = serving.Asked(12, 2200, 1400, "png", {}, "", "")
    bodies = [(await serving.answer(scene, at)).body for _ in range(2)]
    assert bodies[0] == bodies[1]
    assert len(drawn) == 1
    for change in (
        {"query": {"bands": "1"}},
        {"query": {"stretch": "0,100"}},
        {"suffix": "webp"},
        {"suffix": "jpg"},
        {"z": 13, "x": 4400, "y": 2800},
    ):
        assert (await serving.answer(scene, at._replace(**change))).status == 200
    assert len(drawn) == 6
    scene.cog_path.touch()  # another image in its place
    await serving.answer(scene, at)
    assert len(drawn) == 7


async def test_tiles_are_drawn_where_nothing_can_be_kept(user, scene, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(serving, "cache", lambda: serving.TileCache(tmp_path / "file" / "x", 10**9))
    for _ in range(2):
        found = await serving.answer(scene, serving.Asked(12, 2200, 1400, "png", {}, "", ""))
        assert found.status == 200
        assert found.body.startswith(b"\x89PNG")
    assert "tiles cannot be kept" in caplog.text
