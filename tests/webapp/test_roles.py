"""Who may do what: every route and every command, for everybody, held to one table.

A route or command that is missing here fails the tests, so that none is added without saying who may use it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from tests.webapp import scenario
from tests.webapp.conftest import write_raster
from tests.webapp.socketry import Socket
from webapp import actions
from webapp.editing import comments, versions
from webapp.jobs import door, jobbook
from webapp.messages import COMMANDS, EditCommand
from webapp.models import Comment, Edit, Invite, Job, Network, Project, Segmentation, Upload, Version
from webapp.people import invites
from webapp.rest.api import api

# The project is the owner's; its scene belongs to somebody who takes no part in it.
VISITORS = ("anonymous", "stranger", "viewer", "editor", "owner", "scene_owner")
Answers = tuple[int, int, int, int, int, int]


def all_may(status: int = 200) -> Answers:
    return (401, status, status, status, status, status)


def members_may(status: int = 200) -> Answers:
    return (401, 404, status, status, status, 404)


def editors_may(status: int = 200) -> Answers:
    return (401, 404, 403, status, status, 404)


def owners_may(status: int = 200) -> Answers:
    return (401, 404, 403, 403, status, 404)


def who_sees_the_scene_may(status: int = 200) -> Answers:
    return (401, 404, status, status, status, status)


def scene_owner_may(status: int = 200) -> Answers:
    return (401, 404, 403, 403, 403, status)


@dataclass
class World:
    """One project with something of everything."""

    project: Project
    people: dict[str, User]
    ids: dict[str, Any] = field(default_factory=dict)

    def client(self, visitor: str) -> Client:
        client = Client()
        if visitor != "anonymous":
            client.force_login(self.people[visitor])
        return client


def make_world() -> World:
    people = {name: scenario.make_user(name) for name in VISITORS[1:]}
    project = scenario.make_project(people["scene_owner"])
    Project.objects.filter(pk=project.pk).update(owner=people["owner"])
    for name in ("viewer", "editor"):
        scenario.join(project, people[name], name)
    project = Project.objects.select_related("owner", "scene", "segmentation").get(pk=project.pk)
    scene, owner = project.scene, people["owner"]
    scene.info |= {"max_zoom": 3, "min_zoom": 0, "band_roles": [""] * 3, "percentiles": [[0, 1]] * 3}
    scene.info |= {"transform": [1, 0, 0, 0, 1, 0], "gsd_m": None}
    scene.save()
    write_raster(scene.cog_path, np.zeros((3, 700, 1100), np.uint8))
    scene.thumbnail_path.write_bytes(b"RIFF0000WEBP")
    actions.create_class(owner, project.pk, "w1", name="Water", color="#0000ff")
    actions.create_class(owner, project.pk, "w2", name="Soil", color="#884400")
    version = versions.save_version(owner, project.pk, "First", "", None)
    note = comments.pin(owner, project.pk, 5, 5, "Look here")
    link, token = invites.make(owner, project.pk, "viewer", None, None)
    running = Segmentation.objects.create(
        scene=scene, state="running", n_leaves=0, created_by=people["scene_owner"]
    )
    job = jobbook.ensure(running)
    prepared = Job.objects.create(
        kind="export", state="complete", owner=people["editor"], project=project, file_name="fields.geojson"
    )
    prepared.file_path.parent.mkdir()
    prepared.file_path.write_text("{}")
    lost = Job.objects.create(kind="export", state="failed", owner=people["editor"], project=project)
    network = Network.objects.create(owner=owner, name="mine", n_bands=3, fingerprint="0")
    network.path.parent.mkdir(parents=True)
    network.path.write_bytes(b"weights")
    upload = Upload.objects.create(
        pk="0" * 32, owner=owner, name="a.tif", total=9, length=9, touched_at=timezone.now()
    )
    ids = {
        "scene": scene.pk,
        "project": project.pk,
        "segmentation": project.segmentation_id,
        "running": running.pk,
        "version": version.pk,
        "comment": note.pk,
        "invite": link.pk,
        "token": token,
        "network": network.pk,
        "job": job.pk,
        "prepared": prepared.pk,
        "lost": lost.pk,
        "upload": upload.pk,
        "viewer": people["viewer"].pk,
        "number": Project.objects.get(pk=project.pk).number,
    }
    return World(project, people, ids)


@pytest.fixture
def world(db, monkeypatch) -> World:
    monkeypatch.setattr(door, "submit_segmentation", lambda segmentation: None)
    monkeypatch.setattr(door, "submit_import", lambda scene, path: None)
    # Channels would close the connection, and with it the transaction in which each visitor comes.
    monkeypatch.setattr("channels.db.close_old_connections", lambda **kwargs: None)
    cache.clear()
    return make_world()


# ---------------------------------------------------------------------------------------------------- routes

GEOJSON = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"class": "Water"},
                "geometry": {"type": "Point", "coordinates": [5, 5]},
            }
        ],
    }
)

# (method, route) -> path and body, with {names} of World.ids; who is answered what.
REST: dict[tuple[str, str], tuple[str, Any, Answers]] = {
    ("GET", "/api/storage"): ("/api/storage", None, all_may()),
    ("GET", "/api/legends"): ("/api/legends", None, all_may()),
    ("GET", "/api/scenes"): ("/api/scenes", None, all_may()),
    ("POST", "/api/scenes"): ("/api/scenes", {}, all_may(422)),  # without a file
    ("POST", "/api/scenes/link"): ("/api/scenes/link", {"url": "nowhere"}, all_may(400)),  # no URL
    # Of uploads, which belong to whoever began them: without the header of their protocol they are refused to their owner.
    ("GET", "/api/uploads"): ("/api/uploads", None, all_may()),
    ("OPTIONS", "/api/uploads"): ("/api/uploads", None, all_may(204)),
    ("POST", "/api/uploads"): ("/api/uploads", None, all_may(412)),
    ("DELETE", "/api/uploads"): ("/api/uploads?fingerprint=f", None, all_may(204)),
    ("HEAD", "/api/uploads/{}"): ("/api/uploads/{upload}", None, (401, 404, 404, 404, 412, 404)),
    ("PATCH", "/api/uploads/{}"): ("/api/uploads/{upload}", None, (401, 404, 404, 404, 412, 404)),
    ("DELETE", "/api/uploads/{}"): ("/api/uploads/{upload}", None, (401, 404, 404, 404, 412, 404)),
    ("GET", "/api/scenes/{}"): ("/api/scenes/{scene}", None, who_sees_the_scene_may()),
    ("PATCH", "/api/scenes/{}"): ("/api/scenes/{scene}", {"name": "x"}, scene_owner_may()),
    ("DELETE", "/api/scenes/{}"): ("/api/scenes/{scene}", None, scene_owner_may(204)),
    ("GET", "/api/scenes/{}/thumbnail"): ("/api/scenes/{scene}/thumbnail", None, who_sees_the_scene_may()),
    ("GET", "/api/scenes/{}/segmentations"): (
        "/api/scenes/{scene}/segmentations",
        None,
        who_sees_the_scene_may(),
    ),
    # Its owner takes no part in the project: nobody there may use their storage.
    ("POST", "/api/scenes/{}/segmentations"): (
        "/api/scenes/{scene}/segmentations",
        {},
        scene_owner_may(201),
    ),
    ("GET", "/api/segmentations/{}"): ("/api/segmentations/{segmentation}", None, who_sees_the_scene_may()),
    ("DELETE", "/api/segmentations/{}"): ("/api/segmentations/{running}", None, scene_owner_may(204)),
    ("POST", "/api/segmentations/{}/cancel"): (
        "/api/segmentations/{running}/cancel",
        None,
        scene_owner_may(),
    ),
    ("GET", "/api/segmentations/{}/tree"): (
        "/api/segmentations/{segmentation}/tree",
        None,
        who_sees_the_scene_may(),
    ),
    ("GET", "/api/segmentations/{}/statistics"): (
        "/api/segmentations/{segmentation}/statistics?project={project}",
        None,
        members_may(),
    ),
    ("GET", "/api/segmentations/{}/spectrum"): (
        "/api/segmentations/{segmentation}/spectrum?low=0&high=2",
        None,
        who_sees_the_scene_may(),
    ),
    ("GET", "/api/networks"): ("/api/networks", None, all_may()),
    ("POST", "/api/networks"): ("/api/networks", {}, all_may(400)),  # no network
    ("PATCH", "/api/networks/{}"): ("/api/networks/{network}", {"name": "x"}, (401, 404, 404, 404, 200, 404)),
    ("DELETE", "/api/networks/{}"): ("/api/networks/{network}", None, (401, 404, 404, 404, 204, 404)),
    ("GET", "/api/networks/{}/file"): ("/api/networks/{network}/file", None, (401, 404, 404, 404, 200, 404)),
    ("GET", "/api/projects"): ("/api/projects", None, all_may()),
    ("POST", "/api/projects"): ("/api/projects", {"scene": "{scene}"}, who_sees_the_scene_may(201)),
    ("GET", "/api/projects/{}"): ("/api/projects/{project}", None, members_may()),
    ("PATCH", "/api/projects/{}"): ("/api/projects/{project}", {"name": "x"}, owners_may()),
    ("DELETE", "/api/projects/{}"): ("/api/projects/{project}", None, owners_may(204)),
    ("POST", "/api/projects/{}/duplicate"): ("/api/projects/{project}/duplicate", None, members_may(201)),
    ("GET", "/api/projects/{}/members"): ("/api/projects/{project}/members", None, members_may()),
    ("POST", "/api/projects/{}/members"): (
        "/api/projects/{project}/members",
        {"user": "stranger", "role": "viewer"},
        owners_may(201),
    ),
    ("PATCH", "/api/projects/{}/members/{}"): (
        "/api/projects/{project}/members/{viewer}",
        {"role": "editor"},
        owners_may(),
    ),
    # Everybody may leave: the viewer is the one who goes here.
    ("DELETE", "/api/projects/{}/members/{}"): (
        "/api/projects/{project}/members/{viewer}",
        None,
        (401, 404, 204, 403, 204, 404),
    ),
    ("GET", "/api/projects/{}/invites"): ("/api/projects/{project}/invites", None, owners_may()),
    ("POST", "/api/projects/{}/invites"): ("/api/projects/{project}/invites", {}, owners_may(201)),
    ("DELETE", "/api/projects/{}/invites/{}"): (
        "/api/projects/{project}/invites/{invite}",
        None,
        owners_may(204),
    ),
    ("GET", "/api/projects/{}/certainty"): (
        "/api/projects/{project}/certainty?low=0&high=2",
        None,
        members_may(),
    ),
    ("GET", "/api/projects/{}/suggestions"): ("/api/projects/{project}/suggestions", None, members_may()),
    ("GET", "/api/projects/{}/export.geojson"): (
        "/api/projects/{project}/export.geojson",
        None,
        members_may(),
    ),
    ("GET", "/api/projects/{}/exports"): ("/api/projects/{project}/exports", None, members_may()),
    ("POST", "/api/projects/{}/exports"): ("/api/projects/{project}/exports", None, members_may(202)),
    ("GET", "/api/jobs"): ("/api/jobs", None, all_may()),
    ("GET", "/api/jobs/{}"): ("/api/jobs/{job}", None, who_sees_the_scene_may()),
    ("GET", "/api/jobs/{}/log"): ("/api/jobs/{job}/log", None, who_sees_the_scene_may()),
    ("POST", "/api/jobs/{}/cancel"): ("/api/jobs/{job}/cancel", None, scene_owner_may()),
    # The editor's own download; the project's owners may have it made, too.
    ("POST", "/api/jobs/{}/retry"): ("/api/jobs/{lost}/retry", None, (401, 404, 403, 200, 200, 404)),
    ("GET", "/api/jobs/{}/file"): ("/api/jobs/{prepared}/file", None, members_may()),
    ("GET", "/api/projects/{}/examples"): ("/api/projects/{project}/examples", None, members_may()),
    ("GET", "/api/projects/{}/examples.geojson"): (
        "/api/projects/{project}/examples.geojson",
        None,
        members_may(),
    ),
    ("POST", "/api/projects/{}/examples.geojson"): (
        "/api/projects/{project}/examples.geojson",
        GEOJSON,
        editors_may(201),
    ),
    ("GET", "/api/projects/{}/overrides/statistics"): (
        "/api/projects/{project}/overrides/statistics",
        None,
        members_may(),
    ),
    ("GET", "/api/projects/{}/overrides/{}/{}/{}"): (
        "/api/projects/{project}/overrides/0/0/0",
        None,
        members_may(),
    ),
    ("GET", "/api/projects/{}/edits"): ("/api/projects/{project}/edits", None, members_may()),
    ("GET", "/api/projects/{}/states/{}"): ("/api/projects/{project}/states/{number}", None, members_may()),
    ("GET", "/api/projects/{}/comparison"): (
        "/api/projects/{project}/comparison?before=1",
        None,
        members_may(),
    ),
    ("GET", "/api/projects/{}/versions"): ("/api/projects/{project}/versions", None, members_may()),
    ("POST", "/api/projects/{}/versions"): (
        "/api/projects/{project}/versions",
        {"name": "Second"},
        editors_may(201),
    ),
    ("PATCH", "/api/projects/{}/versions/{}"): (
        "/api/projects/{project}/versions/{version}",
        {"name": "Other"},
        owners_may(),  # it is the owner's own
    ),
    ("DELETE", "/api/projects/{}/versions/{}"): (
        "/api/projects/{project}/versions/{version}",
        None,
        owners_may(204),
    ),
    ("GET", "/api/projects/{}/comments"): ("/api/projects/{project}/comments", None, members_may()),
    # Who may only look may still say what they see.
    ("POST", "/api/projects/{}/comments"): (
        "/api/projects/{project}/comments",
        {"text": "a", "row": 1, "col": 1},
        members_may(201),
    ),
    ("PATCH", "/api/projects/{}/comments/{}"): (
        "/api/projects/{project}/comments/{comment}",
        {"resolved": True},
        editors_may(),
    ),
    ("DELETE", "/api/projects/{}/comments/{}"): (
        "/api/projects/{project}/comments/{comment}",
        None,
        owners_may(204),
    ),
}

TO_SIGN_IN = 302  # for the anonymous
REFUSED = (405,) * 6
SIGNED_IN = (TO_SIGN_IN, 200, 200, 200, 200, 200)

# name of the route -> path, answers to GET, answers to POST.
PAGES: dict[str, tuple[str, Answers, Answers]] = {
    "root": ("/", (302,) * 6, (302,) * 6),
    "projects": ("/projects/", SIGNED_IN, (302, 405, 405, 405, 405, 405)),
    "project": (
        "/projects/{project}/",
        (302, 404, 200, 200, 200, 404),
        (302, 405, 405, 405, 405, 405),
    ),
    "jobs": ("/jobs/", SIGNED_IN, (302, 405, 405, 405, 405, 405)),
    "login": ("/accounts/login/", (200, 302, 302, 302, 302, 302), (200, 302, 302, 302, 302, 302)),
    "logout": ("/accounts/logout/", REFUSED, (302,) * 6),
    "account": ("/accounts/", SIGNED_IN, SIGNED_IN),
    "password_change": ("/accounts/password/", SIGNED_IN, SIGNED_IN),
    "password_reset": ("/accounts/password/reset/", (200,) * 6, (503,) * 6),
    "password_reset_done": ("/accounts/password/reset/sent/", (200,) * 6, REFUSED),
    "password_reset_confirm": ("/accounts/password/reset/MQ/wrong/", (200,) * 6, (200,) * 6),
    "people": ("/accounts/people/", (302, 403, 403, 403, 403, 403), (302, 403, 403, 403, 403, 403)),
    "person": ("/accounts/people/{viewer}/", (302, 405, 405, 405, 405, 405), (302, 403, 403, 403, 403, 403)),
    # Whoever has the link may join; without an account only by making one.
    "join": ("/join/{token}/", (200,) * 6, (200, 302, 302, 302, 302, 302)),
    "enter": ("/enter/wrong/", (403, 302, 302, 302, 302, 302), REFUSED),
    "healthz": ("/healthz", (200,) * 6, REFUSED),
    "tile": (
        "/tiles/{scene}/0/0/0",
        (401, 404, 200, 200, 200, 200),
        (401, 405, 405, 405, 405, 405),
    ),
    "tile-suffix": (
        "/tiles/{scene}/0/0/0.png",
        (401, 404, 200, 200, 200, 200),
        (401, 405, 405, 405, 405, 405),
    ),
}
# Of the API's own making: its description, for who has signed in.
API_PAGES = {"openapi-json", "openapi-view", "api-root"}


def page_routes(patterns: Any = None, prefix: str = "") -> Iterator[str]:
    """Names of all routes but the API's."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if path != "api/":
                yield from page_routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield pattern.name or {"": "root"}[path]


def rest_routes() -> set[tuple[str, str]]:
    return {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, operations in api.get_openapi_schema()["paths"].items()
        for method in operations
    }


def digest() -> str:
    """Everything that there is, but for sign-ins."""
    told = hashlib.sha256()
    for model in apps.get_app_config("webapp").get_models():
        if model.__name__ != "Profile":
            for row in model.objects.order_by("pk").values_list():
                told.update(repr(row).encode())
    told.update(repr(list(User.objects.order_by("pk").values_list("username", "is_active"))).encode())
    return told.hexdigest()


def answers(world: World, method: str, path: str, body: Any) -> Answers:
    """The status for each visitor; each sees the world as it was, and who is refused changes nothing."""
    found = []
    path = path.format(**world.ids)
    if isinstance(body, dict):
        body = {
            name: world.ids[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value
            for name, value in body.items()
        }
    before = digest()
    for visitor in VISITORS:
        client = world.client(visitor)
        with transaction.atomic():
            data = body if isinstance(body, str) else json.dumps(body or {})
            sent = {} if method == "GET" else {"data": data, "content_type": "application/json"}
            response = client.generic(method, path, **sent)
            found.append(response.status_code)
            for close in response._resource_closers if response.streaming else ():
                close()  # nobody reads the download; it would keep its place among those at once
            if response.status_code >= 400:
                assert digest() == before, f"{visitor} was refused, and still changed something"
            transaction.set_rollback(True)
    return tuple(found)


def test_every_rest_route_is_in_the_table():
    assert rest_routes() == set(REST)


def test_every_page_is_in_the_table():
    assert set(page_routes()) == set(PAGES)


def test_rest_answers_by_role(world):
    expected = {f"{method} {route}": row[2] for (method, route), row in REST.items()}
    found = {
        f"{method} {route}": answers(world, method, path, body)
        for (method, route), (path, body, _) in REST.items()
    }
    assert found == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_answer_by_role(world, method):
    expected = {name: row[1 if method == "GET" else 2] for name, row in PAGES.items()}
    found = {name: answers(world, method, row[0], None) for name, row in PAGES.items()}
    assert found == expected


def test_lists_hold_what_one_may_see(world):
    for visitor, sees_project, sees_scene in (
        ("stranger", False, False),
        ("viewer", True, True),
        ("editor", True, True),
        ("owner", True, True),
        ("scene_owner", False, True),
    ):
        client = world.client(visitor)
        listed = client.get("/api/projects").json()
        assert [row["id"] for row in listed] == [world.project.pk] * sees_project, visitor
        assert [row["role"] for row in listed] == [visitor] * sees_project
        assert bool(client.get("/api/scenes").json()) == sees_scene, visitor
        kinds = {row["kind"] for row in client.get("/api/jobs").json()["jobs"]}
        assert kinds == {*["export"] * sees_project, *["segment"] * sees_scene}, visitor
        assert bool(client.get("/api/networks").json()) == (visitor == "owner"), visitor


def test_editors_compute_on_a_scene_whose_owner_takes_part(world):
    scenario.join(world.project, world.people["scene_owner"], "viewer")
    start = "/api/scenes/{scene}/segmentations"
    assert answers(world, "POST", start, {}) == (401, 404, 403, 201, 201, 201)
    assert answers(world, "POST", "/api/segmentations/{running}/cancel", None) == (
        401,
        404,
        403,
        200,
        200,
        200,
    )
    # Somebody else's is not theirs to delete.
    assert answers(world, "DELETE", "/api/segmentations/{running}", None) == (401, 404, 403, 403, 403, 204)
    Segmentation.objects.filter(pk=world.ids["running"]).update(created_by=world.people["editor"])
    assert answers(world, "DELETE", "/api/segmentations/{running}", None) == (401, 404, 403, 204, 403, 204)


def test_only_the_scene_owner_takes_a_segmentation_away_from_projects(world):
    scenario.join(world.project, world.people["scene_owner"], "viewer")
    Segmentation.objects.filter(pk=world.ids["segmentation"]).update(created_by=world.people["editor"])
    path = "/api/segmentations/{segmentation}?force=1"
    assert answers(world, "DELETE", path, None) == (401, 404, 403, 409, 403, 204)


def test_a_viewers_copy_brings_no_storage_of_others(world):
    scenario.join(world.project, world.people["scene_owner"], "owner")
    viewer = world.client("viewer")
    copy = viewer.post(f"/api/projects/{world.project.pk}/duplicate").json()
    assert (copy["role"], copy["owner"]["name"]) == ("owner", "viewer")
    response = viewer.post(
        f"/api/scenes/{world.ids['scene']}/segmentations", "{}", content_type="application/json"
    )
    assert response.status_code == 403
    assert "ask them to make you an editor" in response.json()["detail"]


def test_conflict_names_no_project_that_one_may_not_know(world):
    hidden = Project.objects.create(
        owner=world.people["stranger"],
        name="hidden",
        scene=world.project.scene,
        segmentation=world.project.segmentation,
    )
    detail = (
        world.client("scene_owner").delete(f"/api/segmentations/{hidden.segmentation_id}").json()["detail"]
    )
    assert "hidden" not in detail
    assert "2 of other people" in detail


# ---------------------------------------------------------------------------------------------------- socket

LOOK, CHANGE = "look", "change"
LEAVES: dict[str, Any] = {"segmentation": "{segmentation}", "version": 0}

# type -> who may send it (CHANGE: editors and owners), and fields.
SOCKET: dict[str, tuple[str, dict[str, Any]]] = {
    "leaves.assign": (CHANGE, {**LEAVES, "ranges": [[0, 1]], "class": 1, "point": [5, 5]}),
    "leaves.unassign": (CHANGE, {**LEAVES, "ranges": [[0, 1]]}),
    "cluster.split": (CHANGE, {**LEAVES, "range": [0, 2], "parts": [[0, 1], [1, 2]]}),
    "leaf.split": (CHANGE, {**LEAVES, "leaf": 99, "parts": 2}),
    "split.preview": (CHANGE, {**LEAVES, "leaf": 99, "parts": 2}),
    "split.cancel": (LOOK, {}),
    "class.create": (CHANGE, {"name": "Forest", "color": "#00ff00"}),
    "class.rename": (CHANGE, {"class": 1, "name": "Lake"}),
    "class.recolor": (CHANGE, {"class": 1, "color": "#0000aa"}),
    "class.reorder": (CHANGE, {"order": [2, 1]}),
    "class.delete": (CHANGE, {"class": 2}),
    "class.merge": (CHANGE, {"sources": [2], "class": 1}),
    "override.add": (CHANGE, {"class": 1, "polygons": [[[[1, 1], [1, 9], [9, 9]]]], "region": None}),
    "aoi.set": (CHANGE, {"geometry": None}),
    "segmentation.adopt": (CHANGE, {"segmentation": "{segmentation}"}),
    "legend.load": (CHANGE, {"classes": [["Ice", "#ffffff"]]}),
    "examples.add": (CHANGE, {"examples": [{"class": 1, "points": [[3, 3]]}]}),
    "examples.remove": (CHANGE, {"targets": [1]}),
    "completion.set": (CHANGE, {"on": False, "threshold": 0.4}),
    "edit.undo": (CHANGE, {}),
    "edit.redo": (CHANGE, {}),
    "state.restore": (CHANGE, {"number": 1}),
    "blocks.want": (LOOK, {"segmentation": "{segmentation}", "level": 0, "blocks": [[0, 0]]}),
    "blocks.taken": (LOOK, {"frames": 0}),
    "presence": (LOOK, {"point": [1, 1], "leaf": 0, "view": [0, 0, 9, 9], "cut": 2, "idle": False}),
    "edits.since": (LOOK, {"number": 1}),
    "state.fetch": (LOOK, {}),
}


def test_every_command_is_in_the_table():
    assert set(SOCKET) == set(COMMANDS)
    # What changes the project is for editors, whatever the table says.
    editing = {kind for kind, model in COMMANDS.items() if issubclass(model, EditCommand)}
    assert editing <= {kind for kind, (who, _) in SOCKET.items() if who == CHANGE}


async def open_as(world: World, user: Any) -> Socket:
    socket = Socket(user, f"/ws/projects/{world.project.pk}/")
    assert await socket.connect()
    return socket


async def next_event(socket: Socket) -> dict[str, Any]:
    while isinstance(message := await socket.receive(20), bytes):
        pass
    return scenario.read_event(message)


async def codes(world: World, user: User) -> dict[str, str]:
    """What becomes of each command: the code of its rejection, or "done"."""
    socket = await open_as(world, user)
    found: dict[str, str] = {}
    for kind, (_, fields) in SOCKET.items():
        told = {
            name: world.ids[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value
            for name, value in fields.items()
        }
        is_answered = "client_id" in COMMANDS[kind].model_fields
        if is_answered:
            told["client_id"] = kind
        await socket.send(json.dumps({"type": kind, **told}))
        while is_answered and kind not in found:
            event = await next_event(socket)
            if event["type"] == "command.rejected":
                found[event["client_id"] or "without"] = event["code"]
            elif event["type"] in ("edit.applied", "split.previewed") and event["client_id"] in SOCKET:
                found[event["client_id"]] = "done"
    # Answers to the rest come before this one's.
    await socket.send('{"type": "last", "client_id": "last"}')
    while "last" not in found:
        event = await next_event(socket)
        if event["type"] == "command.rejected":
            found[event["client_id"] or "without"] = event["code"]
    await socket.disconnect()
    assert found.pop("last") == "invalid"
    return found


@pytest.mark.django_db(transaction=True)
async def test_commands_by_role(data_dir):
    await get_channel_layer().flush()
    world = await database_sync_to_async(make_world)()
    before = await database_sync_to_async(digest)()
    found = await codes(world, world.people["viewer"])
    assert found == {
        kind: "forbidden"
        for kind, (who, _) in SOCKET.items()
        if who == CHANGE  # and nothing else is refused
    }
    assert await database_sync_to_async(digest)() == before
    found = await codes(world, world.people["editor"])
    assert "forbidden" not in found.values()
    assert list(found.values()).count("done") >= 15, found
    # The owner comes to what the editor has left, and repeats nothing of theirs.
    found = await codes(world, world.people["owner"])
    assert "forbidden" not in found.values()


@pytest.mark.django_db(transaction=True)
async def test_handshake_by_role(data_dir):
    await get_channel_layer().flush()
    world = await database_sync_to_async(make_world)()
    path = f"/ws/projects/{world.project.pk}/"
    assert not await Socket(AnonymousUser(), path).connect()
    for name in ("stranger", "scene_owner"):
        socket = Socket(world.people[name], path)
        await socket.connect()
        assert await socket.receive_output(timeout=5) == {"type": "websocket.close", "code": 4404}
    for name in ("viewer", "editor", "owner"):
        socket = await open_as(world, world.people[name])
        state = await next_event(socket)
        assert (state["type"], state["role"]) == ("project.state", name)
        assert [(one["name"], one["role"]) for one in state["members"]] == [
            ("owner", "owner"),
            ("viewer", "viewer"),
            ("editor", "editor"),
        ]
        await socket.disconnect()
    assert (
        await database_sync_to_async(Edit.objects.count)()
        == await database_sync_to_async(lambda: Project.objects.get().number)()
    )


def test_world_has_something_of_everything(world):
    for model in (Comment, Invite, Job, Network, Version):
        assert model.objects.exists()
