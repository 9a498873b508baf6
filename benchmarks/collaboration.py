"""Many members in one project: how long an edit takes to each of the others, and what a connection costs.

    python benchmarks/collaboration.py                              # one server process, 50 members, 30 s
    python benchmarks/collaboration.py --members 10 --seconds 10    # smaller
    python benchmarks/collaboration.py --plain                      # edits that are no examples: the decoder rests
    REDIS_URL=redis://... DATABASE_URL=postgres://... python benchmarks/collaboration.py --processes 2

A server of its own, started as `make run` does, on this machine alone, with a data folder that is removed afterwards. It segments
a made-up scene; then the members connect, from client processes of their own, each with a viewport of leaf blocks. All together
they send 10 edits and 200 pointer moves a second while further segmentations of the scene are computed. Each edit has an id of its
own, by which it is looked for at every other member: "seen" is the time from before it is sent to after it was received, on the
clock that all processes share. An edit that somebody has not seen 20 s after the last one was sent is lost. With two processes
half of the members are at each, and their database and channel layer are those of the two addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import websockets
from serving import (
    CLASSES,
    PATIENCE_S,
    Computing,
    Server,
    call,
    make_classes,
    make_image,
    make_members,
    servers,
    set_up_django,
)

CLIENT_PROCESSES = 5
GRACE_S = 20.0  # after the last edit, for those still on their way
VIEWPORT = [[row, col] for row in range(2) for col in range(3)]


@dataclass(frozen=True)
class Load:
    """What the members do together."""

    members: int
    seconds: float
    edits_per_s: float
    moves_per_s: float
    plain: bool


@dataclass
class Seen:
    """What the members of one client process sent and received; times on the clock of the machine, in seconds."""

    sent: dict[str, float] = field(default_factory=dict)  # client id -> when
    received: list[dict[str, float]] = field(default_factory=list)  # of each member
    moves: int = 0
    presence: int = 0  # frames
    blocks: int = 0
    tables: int = 0
    gaps: int = 0  # edits that came out of order
    rejected: list[str] = field(default_factory=list)


class Member:
    """A browser's end of the socket."""

    def __init__(self, name: str, load: Load, seen: Seen, rng: random.Random) -> None:
        self.name, self.load, self.seen, self.rng = name, load, seen, rng
        self.received: dict[str, float] = {}
        seen.received.append(self.received)
        self.state: dict[str, Any] = {}
        self.number = 0
        self.frames = 0
        self.ready = asyncio.Event()

    async def open(self, address: str, cookies: str, project: int) -> None:
        self.connection = await websockets.connect(
            f"ws://{address}/ws/projects/{project}/",
            origin=f"http://{address}",
            additional_headers={"Cookie": cookies},
            max_size=None,
            compression=None,
            open_timeout=60,
            ping_interval=None,
        )
        self.listening = asyncio.create_task(self._listen())
        async with asyncio.timeout(PATIENCE_S):
            await self.ready.wait()
        await self._say(type="presence", point=None, leaf=None, view=None, cut=40, idle=False)
        segmentation = self.state["segmentation"]["id"]
        await self._say(type="blocks.want", segmentation=segmentation, level=0, blocks=VIEWPORT, window=6)

    async def close(self) -> None:
        self.listening.cancel()
        await self.connection.close()

    async def _say(self, **command: Any) -> None:
        await self.connection.send(json.dumps(command))

    async def _listen(self) -> None:
        async for message in self.connection:
            at = time.monotonic()
            if isinstance(message, bytes):
                await self._take(message)
            elif message.startswith('{"type":"presence"'):
                self.seen.presence += 1
            else:
                self._note(json.loads(message), at)

    async def _take(self, frame: bytes) -> None:
        if not frame.startswith(b"CNLB"):
            self.seen.tables += 1
            return
        self.seen.blocks += 1
        self.frames += 1
        if self.frames % 3 == 0:
            await self._say(type="blocks.taken", frames=self.frames)

    def _note(self, event: dict[str, Any], at: float) -> None:
        if event["type"] == "edit.applied":
            self.received.setdefault(event["client_id"], at)
            self.seen.gaps += event["number"] != self.number + 1
            self.number = event["number"]
        elif event["type"] == "project.state":
            self.state, self.number = event, event["number"]
            self.ready.set()
        elif event["type"] == "command.rejected":
            self.seen.rejected.append(event["message"])

    async def edit(self, begin: float, offset: float) -> None:
        """Assign small groups of leaves to classes, at an even pace of its own."""
        pause = self.load.members / self.load.edits_per_s
        segmentation = self.state["segmentation"]
        scene = self.state["scene"]["info"]
        count = 0
        while (at := begin + offset * pause + count * pause) < begin + self.load.seconds:
            await asyncio.sleep(at - time.monotonic())
            low = self.rng.randrange(segmentation["n_leaves"] - 8)
            command = {
                "type": "leaves.assign",
                "client_id": f"{self.name}-{count}",
                "segmentation": segmentation["id"],
                "version": segmentation["version"],
                "ranges": [[low, low + 1 + self.rng.randrange(8)]],
                "class": 1 + self.rng.randrange(len(CLASSES)),
                "seen": self.number,
            }
            if not self.load.plain:
                command["point"] = [self.rng.randrange(scene["height"]), self.rng.randrange(scene["width"])]
            self.seen.sent[command["client_id"]] = time.monotonic()
            await self._say(**command)
            count += 1

    async def move(self, begin: float, offset: float) -> None:
        """Move the pointer."""
        pause = self.load.members / self.load.moves_per_s
        count = 0
        while (at := begin + offset * pause + count * pause) < begin + self.load.seconds:
            await asyncio.sleep(at - time.monotonic())
            point = [round(500 * self.rng.random(), 2), round(500 * self.rng.random(), 2)]
            view = [0.0, 0.0, 500.0, 800.0]
            leaf = self.rng.randrange(1000)
            await self._say(type="presence", point=point, leaf=leaf, view=view, cut=40, idle=False)
            self.seen.moves += 1
            count += 1


def play(
    part: int, members: list[tuple[int, str, str]], project: int, load: Load, ready: Any, go: Any, done: Any
) -> Seen:
    """The members (number, address, cookies) of one client process."""
    return asyncio.run(_play(part, members, project, load, ready, go, done))


async def _play(
    part: int, members: list[tuple[int, str, str]], project: int, load: Load, ready: Any, go: Any, done: Any
) -> Seen:
    seen = Seen()
    players = [Member(f"m{number}", load, seen, random.Random(number)) for number, _, _ in members]
    for player, (_, address, cookies) in zip(players, members, strict=True):
        await player.open(address, cookies, project)
    loop = asyncio.get_running_loop()
    ready.release()
    await loop.run_in_executor(None, go.wait)
    begin = time.monotonic() + 1.0
    work = []
    for player, (number, _, _) in zip(players, members, strict=True):
        work.append(player.edit(begin, number / load.members))
        work.append(player.move(begin, number / load.members))
    await asyncio.gather(*work)
    ready.release()
    await loop.run_in_executor(None, done.wait)
    for player in players:
        await player.close()
    return seen


# ---------------------------------------------------------------------------------------------------- the run


@dataclass
class Outcome:
    """What came of a run."""

    load: Load
    processes: int
    latencies_ms: np.ndarray
    sent: int
    lost: int
    gaps: int
    rejected: list[str]
    connection_kib: float
    presence_per_s: float
    moves_per_s: float
    tables_per_s: float
    server_cores: float
    busy_share: float


def run(load: Load, n_processes: int, megapixels: float) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        image = Path(name) / "scene.tif"
        make_image(image, megapixels)
        set_up_django(folder)
        with servers(n_processes, folder, image) as (started, owner):
            address = started[0].address
            project = call(address, owner, "GET", "/api/projects")[0]
            project_id = project["id"]
            scene = call(address, owner, "GET", "/api/scenes")[0]["id"]
            wait_for_segmentation(address, owner, scene)
            cookies = make_members(project_id, load.members)
            make_classes(project_id)
            return play_all(load, started, owner, project_id, scene, cookies)


def wait_for_segmentation(address: str, cookies: str, scene: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        rows = call(address, cookies, "GET", f"/api/scenes/{scene}/segmentations")
        if rows and all(row["state"] == "complete" for row in rows):
            return
        time.sleep(0.5)
    raise SystemExit("The first segmentation did not complete in time.")


def play_all(
    load: Load, started: list[Server], owner: str, project_id: int, scene: int, cookies: list[str]
) -> Outcome:
    places = [
        (number, started[number % len(started)].address, cookies[number]) for number in range(load.members)
    ]
    parts = [places[index::CLIENT_PROCESSES] for index in range(min(CLIENT_PROCESSES, load.members))]
    context = multiprocessing.get_context("spawn")
    with multiprocessing.Manager() as manager, ProcessPoolExecutor(len(parts), context) as pool:
        warm_up(started, project_id, places)
        before = sum(server.rss_kib() for server in started)
        ready, go, done = manager.Semaphore(0), manager.Event(), manager.Event()
        futures: list[Future[Seen]] = [
            pool.submit(play, index, part, project_id, load, ready, go, done)
            for index, part in enumerate(parts)
        ]
        for _ in parts:
            wait_for(ready, futures)
        time.sleep(3.0)  # blocks and tables have come
        connection_kib = (sum(server.rss_kib() for server in started) - before) / load.members
        computing = Computing(started[0].address, owner, scene)
        computing.start()
        cpu, begun = sum(server.cpu_s() for server in started), time.monotonic()
        go.set()
        while time.monotonic() < begun + 1.0 + load.seconds:
            computing.look()
            time.sleep(0.5)
        elapsed = time.monotonic() - begun
        cpu = sum(server.cpu_s() for server in started) - cpu
        busy = computing.busy_s / elapsed
        for _ in parts:
            wait_for(ready, futures)
        time.sleep(GRACE_S)
        done.set()
        seen = [future.result(timeout=60) for future in futures]
    return conclude(load, len(started), seen, connection_kib, cpu / elapsed, busy)


def warm_up(started: list[Server], project_id: int, places: list[tuple[int, str, str]]) -> None:
    """One connection to each server: what it loads for the first one is no cost of the others."""

    async def visit() -> None:
        quiet = Load(1, 0, 1, 1, True)
        for server in started:
            number, address, cookies = next(place for place in places if place[1] == server.address)
            member = Member("warm", quiet, Seen(), random.Random(number))
            await member.open(address, cookies, project_id)
            await asyncio.sleep(2.0)
            await member.close()

    asyncio.run(visit())


def wait_for(ready: Any, futures: list[Future[Seen]]) -> None:
    """One more client process is ready; SystemExit where one has failed."""
    end = time.monotonic() + PATIENCE_S
    while not ready.acquire(timeout=1.0):
        broken = next((future for future in futures if future.done()), None)
        if broken is not None:
            broken.result()
        if time.monotonic() > end:
            raise SystemExit("The members did not get through in time.")


def conclude(
    load: Load, n_processes: int, seen: list[Seen], connection_kib: float, cores: float, busy: float
) -> Outcome:
    """Match every edit by its id at every other member."""
    sent = {client_id: at for part in seen for client_id, at in part.sent.items()}
    by_member = [
        (f"m{number}", received) for number, received in zip(numbers_of(load), _received(seen), strict=True)
    ]
    latencies, lost = [], 0
    for client_id, at in sent.items():
        author = client_id.partition("-")[0]
        for name, received in by_member:
            if name == author:
                continue
            if client_id in received:
                latencies.append(1000 * (received[client_id] - at))
            else:
                lost += 1
    return Outcome(
        load=load,
        processes=n_processes,
        latencies_ms=np.array(latencies),
        sent=len(sent),
        lost=lost,
        gaps=sum(part.gaps for part in seen),
        rejected=[message for part in seen for message in part.rejected],
        connection_kib=connection_kib,
        presence_per_s=sum(part.presence for part in seen) / load.members / load.seconds,
        moves_per_s=sum(part.moves for part in seen) / load.seconds,
        tables_per_s=sum(part.tables for part in seen) / load.members / load.seconds,
        server_cores=cores,
        busy_share=busy,
    )


def numbers_of(load: Load) -> list[int]:
    """Numbers of the members in the order of the client processes' answers."""
    parts = min(CLIENT_PROCESSES, load.members)
    return [number for index in range(parts) for number in range(load.members)[index::CLIENT_PROCESSES]]


def _received(seen: list[Seen]) -> list[dict[str, float]]:
    return [received for part in seen for received in part.received]


def show(outcome: Outcome) -> None:
    """Print a markdown table."""
    load = outcome.load
    p50, p95, p99 = np.percentile(outcome.latencies_ms, [50, 95, 99])
    kind = "no decoder" if load.plain else "clicks, decoder on"
    print(
        f"\n{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores, {load.members} members in "
        f"{min(CLIENT_PROCESSES, load.members)} client processes, {load.seconds:.0f} s ({kind}); "
        f"a segmentation was computing {outcome.busy_share:.0%} of the time.\n"
    )
    print("| server processes | edits | p50 ms | p95 ms | p99 ms | max ms | edits lost | KiB a connection |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {outcome.processes} | {outcome.sent} | {p50:.0f} | {p95:.0f} | {p99:.0f} | "
        f"{outcome.latencies_ms.max():.0f} | {outcome.lost} | {outcome.connection_kib:.0f} |"
    )
    print(
        f"\n{len(outcome.latencies_ms)} deliveries, {outcome.gaps} out of order, {len(outcome.rejected)} rejected; "
        f"{outcome.moves_per_s:.0f} moves/s sent, {outcome.presence_per_s:.1f} presence frames/s and "
        f"{outcome.tables_per_s:.1f} decoder's tables/s to each; servers {outcome.server_cores:.2f} cores."
    )
    for message in sorted(set(outcome.rejected))[:5]:
        print(f"rejected: {message}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=50, help="2 to 200")
    parser.add_argument("--seconds", type=float, default=30, help="of load, 5 to 120")
    parser.add_argument("--edits", type=float, default=10, help="a second, of all together, up to 50")
    parser.add_argument("--moves", type=float, default=200, help="pointer moves a second, up to 1,000")
    parser.add_argument("--plain", action="store_true", help="edits without a clicked pixel: no decoder")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2), help="server processes")
    parser.add_argument("--megapixels", type=float, default=9, help="of the made-up scene, 1 to 100")
    options = parser.parse_args()
    in_bounds = 2 <= options.members <= 200 and 5 <= options.seconds <= 120 and 1 <= options.megapixels <= 100
    if not (in_bounds and 0 < options.edits <= 50 and 0 < options.moves <= 1000):
        parser.error("one of the numbers is out of the bounds that --help names")
    missing = [name for name in ("REDIS_URL", "DATABASE_URL") if not os.environ.get(name)]
    if options.processes > 1 and missing:
        parser.error(f"two processes meet in Redis and PostgreSQL; set {' and '.join(missing)}")
    load = Load(options.members, options.seconds, options.edits, options.moves, options.plain)
    outcome = run(load, options.processes, options.megapixels)
    show(outcome)
    if outcome.lost:
        raise SystemExit(f"{outcome.lost} deliveries were lost.")


if __name__ == "__main__":
    main()
