"""How long a click takes until its class is on the map, and until the completed map follows, through a real socket.

    python benchmarks/completion.py                          # 16 megapixels, made up, 40 clicks, 2 members
    python benchmarks/completion.py --megapixels 4 --clicks 20 --members 10
    python benchmarks/completion.py --store scene.zarr       # clicks on the leaves of a segmentation that is there

A server of its own runs on a data folder of its own, which is removed afterwards. The first member clicks a cluster (of 40)
at a pixel whose class is known, waits until every member has the decoder's table for it, and clicks on. "answer" is the
time from sending the command to edit.applied, "table" to the first table that takes the edit in, "decoder" what the server
itself measured, "decoder CPU" what the same examples cost a processor alone, whatever else the machine does. Times are
milliseconds; the clicks before the decoder has two classes are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import websockets

from segmentation import Click, open_segmentation, segment
from segmentation.completion import warm_up
from segmentation.testing import CLASSES, synthetic_scene, write_scene

ROOT = Path(__file__).resolve().parent.parent
CUT = 40  # clusters that a person sees at first
PATIENCE_S = 120.0
HEADER = struct.Struct("<4sB3xIIIIII")


def make_store(path: Path, megapixels: float) -> np.ndarray:
    """Segment a made-up scene without learning; the class of each pixel."""
    side = round((megapixels * 1e6) ** 0.5)
    pixels, truth = synthetic_scene(side, side, 4, seed=0)
    image = path.with_name("scene.tif")
    write_scene(image, pixels)
    segment(image, path, seed=0, mode="fast")
    return truth


def fill_database(data_dir: Path, store: Path) -> int:
    """A user, a scene and a project over the store; the project's id."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    django.setup()
    from django.core.management import call_command

    from webapp.accounts import get_or_create_user
    from webapp.editing.adoption import adopt_first
    from webapp.launch import LOCAL_USER
    from webapp.models import Project, Scene, Segmentation

    call_command("migrate", verbosity=0)
    user, _ = get_or_create_user(LOCAL_USER)
    leaves = open_segmentation(store)
    info = {"width": leaves.shape[1], "height": leaves.shape[0], "n_bands": 4, "bounds": None, "crs": None}
    scene = Scene.objects.create(owner=user, name="scene", source_name="s.tif", state="ready", info=info)
    row = Segmentation.objects.create(scene=scene, state="complete", n_leaves=leaves.n_leaves)
    row.store_path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(store, row.store_path)
    project = Project.objects.create(owner=user, scene=scene, name="scene")
    adopt_first(project.pk, row)
    return int(project.pk)


@contextmanager
def running_server(data_dir: Path) -> Iterator[tuple[str, str]]:
    """Start the app on a free port; its address, and the cookies of a signed-in browser."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "run", "--no-browser"]
    environment = {**os.environ, "DATA_DIR": str(data_dir), "PORT": str(port), "HOST": "127.0.0.1"}
    environment["LEARNING"] = "manual"  # a training beside it would be timed too
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        link = None
        for line in server.stdout:
            link = re.search(r"http://\S+/enter/\S+", line)
            if link:
                break
        if not link:
            raise SystemExit("The server did not start; what it says is above.")
        jar = CookieJar()
        urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(link[0])
        yield f"127.0.0.1:{port}", "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
    finally:
        server.terminate()
        server.wait(timeout=30)


class Member:
    """A browser's end of the socket, which notes when what came."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.state: dict[str, Any] = {}
        self.applied: dict[str, tuple[int, float]] = {}  # client id: number, when
        self.tables: list[tuple[int, float, int, int]] = []  # number, when, the server's own ms, bytes
        self.news = asyncio.Condition()

    async def listen(self) -> None:
        async for message in self.connection:
            at = time.perf_counter()
            async with self.news:
                if isinstance(message, bytes):
                    magic, _, _, _, number, n_leaves, elapsed_ms, _ = HEADER.unpack_from(message)
                    if magic == b"CNDT":
                        assert len(gzip.decompress(message[HEADER.size :])) == 2 * n_leaves
                        self.tables.append((number, at, elapsed_ms, len(message)))
                else:
                    event = json.loads(message)
                    if event["type"] == "project.state":
                        self.state = event
                    elif event["type"] == "edit.applied":
                        self.applied[event["client_id"]] = (event["number"], at)
                    elif event["type"] in ("command.rejected", "completion.failed"):
                        raise SystemExit(f"The server says: {event['message']}")
                self.news.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(condition)

    async def answer(self, client_id: str) -> tuple[int, float]:
        await self.until(lambda: client_id in self.applied)
        return self.applied[client_id]

    async def table(self, number: int) -> tuple[int, float, int, int]:
        """The first table that takes in an edit."""
        await self.until(lambda: any(table[0] >= number for table in self.tables))
        return next(table for table in self.tables if table[0] >= number)


async def click_through(
    address: str, cookies: str, project: int, clicks: list[dict[str, Any]], n_members: int
) -> list[dict[str, float]]:
    """Click one after the other; times of each, in milliseconds."""
    url = f"ws://{address}/ws/projects/{project}/"
    headers = {"Cookie": cookies}
    options = {"origin": f"http://{address}", "additional_headers": headers, "max_size": None}
    connections = [await websockets.connect(url, compression=None, **options) for _ in range(n_members)]
    members = [Member(connection) for connection in connections]
    listeners = [asyncio.create_task(member.listen()) for member in members]
    work = asyncio.create_task(_click(members, clicks))
    try:
        # A listener ends early only where something is wrong, which it then says.
        done, _ = await asyncio.wait([work, *listeners], return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in (work, *listeners):
            task.cancel()
        for connection in connections:
            await connection.close()


async def _click(members: list[Member], clicks: list[dict[str, Any]]) -> list[dict[str, float]]:
    first = members[0]
    for member in members:
        await member.until(lambda member=member: bool(member.state))
    for number, name in enumerate(CLASSES, 1):
        color = f"#{number * 2_000_000:06x}"
        command = {"type": "class.create", "client_id": name, "name": name, "color": color}
        await first.connection.send(json.dumps(command))
    await first.until(lambda: len(first.applied) == len(CLASSES))
    segmentation = first.state["segmentation"]["id"]
    rows = []
    for index, click in enumerate(clicks):
        name = f"click-{index}"
        command = {"type": "leaves.assign", "client_id": name, "segmentation": segmentation, "version": 0}
        begun = time.perf_counter()
        await first.connection.send(json.dumps({**command, **click}))
        answers = [await member.answer(name) for member in members]
        tables = [await member.table(answers[0][0]) for member in members]
        _, _, elapsed_ms, size = tables[0]
        answered = [1000 * (at - begun) for _, at in answers]
        completed = [1000 * (at - begun) for _, at, _, _ in tables]
        times = {"answer": answered[0], "last answer": max(answered)}
        times |= {"table": completed[0], "last table": max(completed)}
        rows.append({**times, "decoder": elapsed_ms, "KiB": size / 1024})
    return rows


def choose_clicks(store: Path, truth: np.ndarray | None, n_clicks: int) -> list[dict[str, Any]]:
    """Clusters clicked at pixels, each class in turn first; without truth the classes are those of a coarse cut."""
    leaves = open_segmentation(store)
    tree, n = leaves.tree, leaves.n_leaves
    rng = np.random.default_rng(0)
    top = 2 * n - min(CUT, n)
    nodes = np.flatnonzero((np.arange(2 * n - 1) < top) & (tree.parent >= top))
    chosen: list[dict[str, Any]] = []
    while len(chosen) < n_clicks:
        row, col = (int(rng.integers(size)) for size in leaves.shape)
        leaf = leaves.leaf_at(row, col)
        if leaf >= n:
            continue
        node = nodes[(tree.low[nodes] <= leaf) & (leaf < tree.high[nodes])][0]
        number = int(truth[row, col]) + 1 if truth is not None else 1 + leaf * len(CLASSES) // n
        if len(chosen) < len(CLASSES) and number != 1 + len(chosen):
            continue
        ranges = [[int(tree.low[node]), int(tree.high[node])]]
        chosen.append({"ranges": ranges, "point": [row, col], "class": number})
    return chosen


def processor_times(store: Path, clicks: list[dict[str, Any]]) -> list[float]:
    """Processor time of decoding the first one, two, ... clicks, in milliseconds."""
    leaves = open_segmentation(store)
    examples = [Click(*click["point"], click["class"]) for click in clicks]
    warm_up()
    times = []
    for count in range(1, len(examples) + 1):
        begun = time.process_time()
        leaves.classify(examples[:count])
        times.append(1000 * (time.process_time() - begun))
    return times


def show(rows: list[dict[str, float]], n_leaves: int, n_members: int) -> None:
    """Print quantiles."""
    print(f"{n_leaves} leaves, {len(rows)} clicks, {n_members} members\n")
    print(f"{'':12}{'p50':>8}{'p95':>8}{'max':>8}")
    for name in rows[0]:
        values = [row[name] for row in rows]
        low, high = np.percentile(values, [50, 95])
        print(f"{name:12}{low:8.0f}{high:8.0f}{max(values):8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=16, help="of the made-up scene")
    parser.add_argument("--store", type=Path, help="click on this segmentation instead")
    parser.add_argument("--clicks", type=int, default=40, help=f"more than {len(CLASSES)}")
    parser.add_argument("--members", type=int, default=2, help="browsers on the project")
    options = parser.parse_args()
    if options.clicks <= len(CLASSES) or options.members < 1 or not 0.1 <= options.megapixels <= 500:
        parser.error(f"at least {len(CLASSES) + 1} clicks, 1 member and 0.1 to 500 megapixels are needed")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        os.environ["DATA_DIR"] = str(data_dir)
        truth, store = None, options.store
        if store is None:
            store = Path(folder) / "scene.zarr"
            truth = make_store(store, options.megapixels)
        clicks = choose_clicks(store, truth, options.clicks)
        project = fill_database(data_dir, store)
        with running_server(data_dir) as (address, cookies):
            rows = asyncio.run(click_through(address, cookies, project, clicks, options.members))
        for row, cpu_ms in zip(rows, processor_times(store, clicks), strict=True):
            row["decoder CPU"] = cpu_ms
        show(rows[2:], open_segmentation(store).n_leaves, options.members)


if __name__ == "__main__":
    main()
