"""A small ASGI server that plays the real one for the map page: `python -m tests.browser.map_fixture.server PORT`.

It renders the page's own templates, serves static files (Leaflet from django-leaflet) and speaks docs/protocol.md over
synthetic scenes: project 1 north up, 2 rotated, 3 without CRS, 4 north up and still computing.
POST /control/<project>/<action> makes trouble on purpose; GET /control/<project>/commands tells what arrived.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import io
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import django
import numpy as np
import uvicorn
from django.conf import settings
from django.http import HttpResponse
from django.urls import path as url_path
from PIL import Image

from segmentation.errors import SegmentationError
from tests.browser.map_fixture import history, networks
from tests.browser.map_fixture.completion import certainty_answer, frame
from tests.browser.map_fixture.examples import LEGENDS, read_import
from tests.browser.map_fixture.overrides import block_bytes, counts_bytes
from tests.browser.map_fixture.project import Project, RejectedError
from tests.browser.map_fixture.suggestions import suggestions_answer
from tests.browser.map_fixture.world import N_LEAVES, World, statistics_bytes, tree_bytes

ROOT = Path(__file__).resolve().parents[3]
LEAFLET = Path(importlib.util.find_spec("leaflet").submodule_search_locations[0]) / "static"
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'"
)
HEARTBEAT_S = 1.0
COMPUTE_S = 0.25  # between two finished blocks of project 4

urlpatterns = [
    url_path("projects/", lambda request: HttpResponse(), name="projects"),
    url_path("jobs/", lambda request: HttpResponse(), name="jobs"),
    url_path("accounts/logout/", lambda request: HttpResponse(), name="logout"),
    url_path("accounts/", lambda request: HttpResponse(), name="account"),
]


class Live:
    """A project with its connections."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.sockets: dict[int, dict[str, Any]] = {}
        self.done: list[tuple[int, int]] = []  # level-0 blocks that are finished
        self.drop_events = 0  # so many events are lost on their way
        self.mute = False  # accept commands, answer none
        self.hold_blocks = False  # send no leaf block
        self.said: list[dict[str, Any]] = []  # presence, and leaf blocks taken
        self.told = b""  # the decoder's table that was sent last

    def is_ready(self, level: int, row: int, col: int) -> bool:
        if not self.project.computing:
            return True
        ratio = 2**level
        inside = [(r, c) for r, c in self.project.world.blocks(0) if (r // ratio, c // ratio) == (row, col)]
        return all(block in self.done for block in inside)


WORLDS = {1: World(1, "plain"), 2: World(2, "rotated"), 3: World(3, "pixels"), 4: World(4, "plain")}
PROJECTS: dict[int, Live] = {}


def reset(number: int) -> Live:
    sockets = PROJECTS[number].sockets if number in PROJECTS else {}
    live = Live(
        Project(
            WORLDS[number], computing=number == 4, segmentation_state="running" if number == 4 else "complete"
        )
    )
    live.sockets = sockets
    PROJECTS[number] = live
    return live


def page(number: int) -> bytes:
    from django.template.loader import render_to_string

    world = WORLDS[number]
    config = {
        "projectId": number,
        "sceneId": number,
        "prepareFromPx": 25_000_000,
        "wsPath": f"/ws/projects/{number}/",
        "tileUrl": f"/tiles/{number}/{{z}}/{{x}}/{{y}}",
        "basemap": None,
    }
    project = {"pk": number, "name": "Fixture project"}
    return render_to_string(
        "map/map.html", {"project": project, "scene": world.scene(), "config": config}
    ).encode()


def tile(z: int, x: int, y: int) -> bytes:
    yy, xx = np.mgrid[0:256, 0:256]
    shade = 110 + 20 * np.sin((xx + 256 * x) / 37) + 20 * np.cos((yy + 256 * y) / 29)
    rgb = np.stack([shade, shade + 12, shade - 8], -1).clip(0, 255).astype("u1")
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG")
    return out.getvalue()


# ---- HTTP ------------------------------------------------------------------------------------------------------


def answer(method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, str, bytes, bool]:
    """Status, content type, body, whether it is gzip-encoded."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["projects", number] if int(number) in WORLDS:
            return 200, "text/html; charset=utf-8", page(int(number)), False
        case ["static", *rest]:
            for folder in (ROOT / "static", LEAFLET):
                file = folder.joinpath(*rest)
                if file.is_file():
                    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                    return 200, "text/javascript" if file.suffix == ".js" else kind, file.read_bytes(), False
        case ["tiles", _, z, x, y]:
            return 200, "image/png", tile(int(z), int(x), int(y)), False
        case ["tests", "js", name]:
            kind = "text/html" if name.endswith(".html") else "text/javascript"
            return 200, kind, (ROOT / "tests" / "js" / name).read_bytes(), False
        case ["api", "segmentations", number, what] if method == "GET":
            return segmentation_answer(int(number) // 10, what, query)
        case ["api", "segmentations", number, "cancel"]:
            live = PROJECTS[int(number) // 10]
            live.project.commands.append({"type": "rest", "path": path})
            return 200, "application/json", b"{}", False
        case ["api", "scenes", number, "segmentations"] if method == "POST":
            PROJECTS[int(number)].project.commands.append(
                {"type": "rest", "path": path, "body": json.loads(body)}
            )
            return 201, "application/json", b"{}", False
        case ["api", "segmentations", number] if method == "DELETE":
            PROJECTS[int(number) // 10].project.commands.append(
                {"type": "rest", "path": path, "query": query}
            )
            return 409, "application/json", b'{"detail": "A project shows this segmentation."}', False
        case ["api", "projects", number, "overrides", "statistics"]:
            project = PROJECTS[int(number)].project
            segmentation = project.segmentation()["id"]
            data = counts_bytes(project.drawn, project.drawn_since, project.leaves, segmentation)
            return 200, "application/octet-stream", data, True
        case ["api", "projects", number, "overrides", level, row, col]:
            project = PROJECTS[int(number)].project
            if project.overrides_error:
                return (
                    409,
                    "application/json",
                    json.dumps({"detail": project.overrides_error}).encode(),
                    False,
                )
            data = block_bytes(project.drawn, project.drawn_since, int(level), int(row), int(col))
            return 200, "application/octet-stream", data, True
        case ["api", "projects", number, "suggestions"]:
            project = PROJECTS[int(number)].project
            project.commands.append({"type": "rest", "path": path, "query": query})
            if project.suggestions_error:
                return (
                    409,
                    "application/json",
                    json.dumps({"detail": project.suggestions_error}).encode(),
                    False,
                )
            found = suggestions_answer(project, int(query["count"][0]))
            return 200, "application/json", json.dumps(found).encode(), False
        case ["api", "projects", number, "certainty"]:
            project = PROJECTS[int(number)].project
            low, high = int(query["low"][0]), int(query["high"][0])
            data = certainty_answer(project.examples, project.number, low, high)
            return 200, "application/json", json.dumps(data).encode(), False
        case ["api", "projects", number, "members"]:
            listed = [{**member, "active": True} for member in PROJECTS[int(number)].project.members]
            return 200, "application/json", json.dumps(listed).encode(), False
        case ["api", "projects", _, "invites"]:
            return 200, "application/json", b"[]", False
        case ["api", "projects", number, "examples"]:
            project = PROJECTS[int(number)].project
            data = {"number": project.number, "examples": project.live_marks()}
            return 200, "application/json", json.dumps(data).encode(), False
        case ["api", "projects", number, "edits" | "states" | "comparison" | "versions" | "comments", *_]:
            project = PROJECTS[int(number)].project
            found = history.answer(project, method, parts[3:], query, body)
            if found is not None:
                return (
                    found[0],
                    "application/json",
                    b"" if found[0] == 204 else json.dumps(found[1]).encode(),
                    False,
                )
        case ["api", "projects", number, "examples.geojson"]:
            return 200, "application/geo+json", b'{"type": "FeatureCollection", "features": []}', False
        case ["api", "networks"] if method == "GET":
            return 200, "application/json", json.dumps(networks.listed()).encode(), False
        case ["api", "networks", *_]:
            return *networks.answer(method, parts[2:], query, body), False
        case ["api", "legends"]:
            return 200, "application/json", LEGENDS.read_bytes(), False
        case ["control", number, "said"]:
            return 200, "application/json", json.dumps(PROJECTS[int(number)].said).encode(), False
        case ["control", number, "commands"]:
            return 200, "application/json", json.dumps(PROJECTS[int(number)].project.commands).encode(), False
    return 404, "application/json", b'{"detail": "There is no such page."}', False


def segmentation_answer(number: int, what: str, query: dict[str, list[str]]) -> tuple[int, str, bytes, bool]:
    live = PROJECTS[number]
    world = live.project.leaves
    if what == "tree":
        return 200, "application/octet-stream", tree_bytes(), True
    if what == "statistics":
        return 200, "application/octet-stream", statistics_bytes(world, not live.project.computing), True
    low, high = int(query["low"][0]), int(query["high"][0])
    middle = (low + high) / 2 / N_LEAVES
    mean = [600 + 900 * middle, 900 + 300 * middle, 500 + 200 * middle, 3600 - 2500 * middle]
    return 200, "application/json", json.dumps({"mean": mean, "pixels": high - low}).encode(), False


async def http(scope, receive, send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path, method = scope["path"], scope["method"]
    if method == "POST" and path.startswith("/control/"):
        _, _, number, action = path.split("/")
        await control(int(number), action, json.loads(body or b"null"))
        status, kind, data, zipped = 200, "application/json", b"{}", False
    elif method == "POST" and path.endswith("/examples.geojson"):
        live = PROJECTS[int(path.split("/")[3])]
        status, told = await import_examples(live, parse_qs(scope["query_string"].decode()), body)
        kind, data, zipped = "application/json", json.dumps(told).encode(), False
    else:
        query = parse_qs(scope["query_string"].decode())
        status, kind, data, zipped = answer(method, path, query, body)
    headers = [
        (b"content-type", kind.encode()),
        (b"content-security-policy", POLICY.encode()),
        (b"cache-control", b"no-store"),
    ]
    if zipped:
        headers.append((b"content-encoding", b"gzip"))
        data = gzip.compress(data, 1)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def import_examples(live: Live, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, Any]]:
    project = live.project
    try:
        told, command = read_import(project.world, project.classes, body, query.get("field", [""])[0])
    except SegmentationError as error:
        return 400, {"detail": str(error)}
    if "dry_run" in query:
        return 200, told
    event = project.apply({**command, "client_id": query["client_id"][0]})
    await publish(live, event)
    return 201, {**told, "number": event["number"]}


async def control(number: int, action: str, value: Any) -> None:
    live = PROJECTS[number]
    if action == "reset":
        reset(number)
        networks.reset()
    elif action == "disconnect":
        for connection in list(live.sockets.values()):
            await connection["send"]({"type": "websocket.close", "code": value or 1012})
    elif action == "drop-events":
        live.drop_events = value
    elif action == "mute":
        live.mute = value
    elif action == "hold-blocks":
        live.hold_blocks = value
        for connection in list(live.sockets.values()):
            await send_blocks(live, connection)
    elif action == "bytes":
        for connection in list(live.sockets.values()):
            await connection["send"]({"type": "websocket.send", "bytes": bytes.fromhex(value)})
    elif action == "prediction":  # the same class and certainty everywhere
        classes, certainty = (np.full(N_LEAVES, value[name], "u1") for name in ("class", "certainty"))
        data = frame(value["segmentation"], value["number"], classes, certainty)
        for connection in list(live.sockets.values()):
            await connection["send"]({"type": "websocket.send", "bytes": data})
    elif action == "command":  # as if another browser had sent it
        await publish(live, live.project.apply(value))
    elif action == "set-memory":
        for name, given in value.items():
            setattr(live.project.memory, name, given)
    elif action == "note":  # as if somebody else had written it
        history.write(live.project.memory, value, value.get("by", "boris"))
        await publish(live, {"type": "comments.changed"})
    elif action == "event":
        await publish(live, value)
    elif action == "set":
        for name, given in value.items():
            setattr(live.project, name, given)


# ---- socket ----------------------------------------------------------------------------------------------------


async def publish(live: Live, event: dict[str, Any]) -> None:
    if live.drop_events and event["type"] == "edit.applied":
        live.drop_events -= 1
        return
    for connection in list(live.sockets.values()):
        await connection["send"]({"type": "websocket.send", "text": json.dumps(event)})
    await send_prediction(live)


async def send_prediction(live: Live) -> None:
    """The decoder's table, if it has changed."""
    project = live.project
    classes, certainty = project.prediction()
    table = bytes([project.adopted]) + classes.tobytes() + certainty.tobytes()
    if table == (live.told or bytes(len(table))):
        return
    live.told = table
    data = frame(project.segmentation()["id"], project.number, classes, certainty)
    for connection in list(live.sockets.values()):
        await connection["send"]({"type": "websocket.send", "bytes": data})


async def send_blocks(live: Live, connection: dict[str, Any]) -> None:
    """What the connection wants and has not got yet: whole blocks, and patches of overview blocks that are not whole."""
    if live.hold_blocks:
        return
    world, segmentation = live.project.leaves, live.project.segmentation()["id"]
    level, wanted = connection["want"]
    for row, col in wanted:
        if (level, row, col) in connection["sent"]:
            continue
        if live.is_ready(level, row, col):
            connection["sent"].add((level, row, col))
            await connection["send"](
                {"type": "websocket.send", "bytes": world.block(level, row, col, segmentation)}
            )
            continue
        for done in live.done:
            ratio = 2**level
            if (
                level
                and (done[0] // ratio, done[1] // ratio) == (row, col)
                and (level, done) not in connection["patches"]
            ):
                connection["patches"].add((level, done))
                await connection["send"](
                    {"type": "websocket.send", "bytes": world.patch(*done, level, segmentation)}
                )


async def compute(live: Live) -> None:
    """Finish project 4's blocks one by one, from its middle outwards."""
    blocks = live.project.world.blocks(0)
    for index, block in enumerate(blocks):
        await asyncio.sleep(COMPUTE_S)
        live.done.append(block)
        for connection in list(live.sockets.values()):
            await send_blocks(live, connection)
        share = (index + 1) / len(blocks)
        state = "complete" if share == 1 else "running"
        live.project.segmentation_state = state
        await publish(
            live,
            {"type": "segmentation.progress", "segmentation": live.project.segmentation()["id"], "state": state,
             "stage": "leaves", "progress": share, "message": "", "left_s": 5.0 * (1 - share)},
        )  # fmt: skip
        await publish(live, {"type": "statistics.changed", "segmentation": live.project.segmentation()["id"]})
    live.project.computing = False


async def websocket(scope, receive, send) -> None:
    number = int(scope["path"].strip("/").split("/")[-1])
    live = PROJECTS[number]
    await receive()
    await send({"type": "websocket.accept"})
    key = id(send)
    lock = asyncio.Lock()

    async def guarded(message: dict[str, Any]) -> None:
        async with lock:
            await send(message)

    connection = {"send": guarded, "want": (0, []), "sent": set(), "patches": set()}
    live.sockets[key] = connection
    await guarded({"type": "websocket.send", "text": json.dumps(live.project.state())})
    if live.project.examples:
        table = live.project.prediction()
        data = frame(live.project.segmentation()["id"], live.project.number, *table)
        await guarded({"type": "websocket.send", "bytes": data})

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            beat = {"type": "heartbeat", "number": PROJECTS[number].project.number}
            await guarded({"type": "websocket.send", "text": json.dumps(beat)})

    tasks = [asyncio.create_task(beat())]
    if live.project.computing and not live.done:
        tasks.append(asyncio.create_task(compute(live)))
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            await handle(PROJECTS[number], connection, json.loads(message["text"]))
    finally:
        for task in tasks:
            task.cancel()
        for one in PROJECTS.values():
            one.sockets.pop(key, None)


async def handle(live: Live, connection: dict[str, Any], command: dict[str, Any]) -> None:
    async def reply(event: dict[str, Any]) -> None:
        await connection["send"]({"type": "websocket.send", "text": json.dumps(event)})

    match command["type"]:
        case "blocks.want":
            live.project.commands.append(command)
            connection["want"] = (command["level"], [tuple(block) for block in command["blocks"]])
            # A browser may have dropped what it got before.
            connection["sent"] -= {(command["level"], *block) for block in connection["want"][1]}
            await send_blocks(live, connection)
        case "presence" | "blocks.taken":
            live.said.append(command)
        case "edits.since":
            live.project.commands.append(command)
            for edit in live.project.edits[command["number"] :]:
                await reply(edit)
        case "state.fetch":
            live.project.commands.append(command)
            await reply(live.project.state())
        case _ if live.mute:
            live.project.commands.append(command)
        case _:
            try:
                await publish(live, live.project.apply(command))
            except RejectedError as error:
                await reply(
                    {
                        "type": "command.rejected",
                        "client_id": command["client_id"],
                        "code": error.code,
                        "message": str(error),
                    }
                )


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await (http if scope["type"] == "http" else websocket)(scope, receive, send)


def main() -> None:
    settings.configure(
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [ROOT / "templates"]}
        ],
        STATIC_URL="/static/",
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.staticfiles"],
    )
    django.setup()
    for number in WORLDS:
        reset(number)
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws_per_message_deflate=False
    )


if __name__ == "__main__":
    main()
