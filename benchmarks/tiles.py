"""Imagery tiles and leaf blocks per second: ours beside TiTiler, on the same image, machine, tiles and number of processes.

    python3 -m venv /tmp/titiler && /tmp/titiler/bin/pip install -r requirements-benchmarks.txt
    python benchmarks/tiles.py --peer-python /tmp/titiler/bin/python           # 100 megapixels, three rounds
    python benchmarks/tiles.py --megapixels 10 --tiles 200 --rounds 1           # smaller, without the peer
    python benchmarks/tiles.py --data FOLDER ...                               # keep the scene for the next run

Everything runs on this machine alone, on ports of 127.0.0.1. A made-up RGB scene is imported, which makes it a cloud optimized
GeoTIFF; both servers read that file. A round starts our server processes with an empty tile cache, asks for a random list of
tiles (cold) and for the same list again (warm), stops them, and does the same with TiTiler, one format after the other, so that
whatever else the machine does falls on both. The list is of places drawn evenly over the image and all its zoom levels; eight
connections ask for one tile after the other. One tile of each process is asked for before, so that it has loaded its modules. The
operating system keeps the file in memory for both. Formats are encoded as each server does by default (ours: JPEG and WebP quality
88; rio-tiler's: 75), and both blend pixels (bilinear).

Then leaf blocks of a segmentation over one socket, beside a bare server that sends the same bytes; and tiles while a segmentation
of the scene is computing, with nothing cached.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import websockets
from segment_speed import make_scene
from serving import PATIENCE_S, ROOT, Computing, Server, call

CONNECTIONS = 8
FORMATS = ("jpg", "webp", "png")
LONGEST_S = 120.0  # of one pass over the list; what is not asked for by then is left out
COMPUTING_S = 40.0
BLOCK_ROUNDS = 4

Tile = tuple[int, int, int]


@dataclass
class Passed:
    """What one pass over a list of tiles gave."""

    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)  # status -> how often

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds


def random_tiles(info: dict[str, Any], count: int, seed: int = 0) -> list[Tile]:
    """Tiles over the image, each zoom level as often as the others."""
    rng = random.Random(seed)
    west, south, east, north = info["bounds"]
    tiles = []
    for number in range(count):
        z = info["min_zoom"] + number % (info["max_zoom"] - info["min_zoom"] + 1)
        # A little inside: the bounds of a projected scene reach beyond its corners.
        lon = west + (east - west) * rng.uniform(0.03, 0.97)
        lat = south + (north - south) * rng.uniform(0.03, 0.97)
        y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
        tiles.append((z, int((lon + 180) / 360 * 2**z), int(y * 2**z)))
    rng.shuffle(tiles)
    return tiles


# ------------------------------------------------------------------------------------------------- asking


async def ask_all(
    addresses: list[str], cookies: str, paths: list[str], longest_s: float = LONGEST_S
) -> Passed:
    """Ask for all paths over CONNECTIONS connections, shared evenly among the addresses."""
    waiting = iter(paths)
    passed = Passed(0)
    begin = time.perf_counter()

    async def work(address: str) -> None:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"Host: {address}\r\nAccept: image/webp,*/*\r\nCookie: {cookies}\r\n\r\n"
        for path in waiting:
            if time.perf_counter() - begin > longest_s:
                break
            asked = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\n{head}".encode())
            status, size = await _answer(reader)
            passed.latencies_ms.append((time.perf_counter() - asked) * 1000)
            passed.sizes.append(size)
            if status != 200:
                passed.refused[status] = passed.refused.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(work(addresses[n % len(addresses)]) for n in range(CONNECTIONS)))
    passed.seconds = time.perf_counter() - begin
    return passed


async def _answer(reader: asyncio.StreamReader) -> tuple[int, int]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
    status = int(head[9:12])
    size = 0
    for line in head.split("\r\n"):
        if line.startswith("content-length:"):
            size = int(line.split(":")[1])
        if line.startswith("transfer-encoding:"):
            raise SystemExit("A server answered in chunks, which this client does not read.")
    await reader.readexactly(size)
    return status, size


# ------------------------------------------------------------------------------------------------- servers


def prepare(folder: Path, megapixels: float) -> None:
    """A data folder with the scene in it, unless it is there already."""
    if (folder / "clusternet.sqlite3").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "made-up.tif"
    print(f"Making {megapixels:g} megapixels ...", file=sys.stderr)
    make_scene(image, megapixels, 3)
    environment = {**os.environ, "DATA_DIR": str(folder)}
    command = [sys.executable, "manage.py", "import_scene", str(image), "--name", "tiles"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    image.unlink()


@contextmanager
def our_servers(folder: Path, count: int) -> Iterator[tuple[list[Server], str]]:
    with ExitStack() as stack:
        started, cookies = [], ""
        for _ in range(count):  # one after the other: each finds the tables made
            server = Server(folder, None)
            stack.callback(server.stop)
            cookies = server.wait()
            started.append(server)
        yield started, cookies


@contextmanager
def peer_servers(python: str, count: int) -> Iterator[list[str]]:
    with ExitStack() as stack:
        addresses = []
        for _ in range(count):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = [python, "-m", "uvicorn", "titiler_app:app", "--port", str(port), "--no-access-log"]
            process = subprocess.Popen(
                [*command, "--log-level", "warning"], cwd=Path(__file__).parent, env=_peer_environment()
            )
            stack.callback(_stop, process)
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            _wait_for(f"http://{address}/openapi.json")
        yield addresses


def _peer_environment() -> dict[str, str]:
    """As TiTiler's documentation recommends for speed."""
    return {
        **os.environ,
        "GDAL_CACHEMAX": "200",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
        "VSI_CACHE": "TRUE",
        "VSI_CACHE_SIZE": "5000000",
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


def _wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer.")


# ------------------------------------------------------------------------------------------------- tiles


@dataclass
class Row:
    """Passes of one server in one format and state, over the rounds."""

    who: str
    suffix: str
    state: str
    passes: list[Passed] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return float(np.median([each.per_s for each in self.passes]))

    def cells(self) -> list[str]:
        times = np.concatenate([each.latencies_ms for each in self.passes])
        sizes = np.concatenate([each.sizes for each in self.passes])
        spread = " ".join(f"{each.per_s:.0f}" for each in self.passes)
        low, high = np.percentile(times, [50, 99])
        return [f"{self.per_s:.0f}", spread, f"{low:.1f}", f"{high:.1f}", f"{sizes.mean() / 1024:.1f}"]


def measure_ours(
    folder: Path, info: dict[str, Any], scene: int, tiles: list[Tile], processes: int, suffix: str
):
    paths = [f"/tiles/{scene}/{z}/{x}/{y}.{suffix}" for z, x, y in tiles]
    probe = f"/tiles/{scene}/{info['min_zoom'] - 1}"
    shutil.rmtree(folder / "tiles", ignore_errors=True)
    with our_servers(folder, processes) as (started, cookies):
        addresses = [server.address for server in started]
        for address in addresses:
            _probe(
                address,
                cookies,
                f"{probe}/{tiles[0][1] >> (tiles[0][0] - info['min_zoom'] + 1)}",
                tiles,
                info,
                suffix,
            )
        yield asyncio.run(ask_all(addresses, cookies, paths))
        yield asyncio.run(ask_all(addresses, cookies, paths))


def _probe(
    address: str, cookies: str, column: str, tiles: list[Tile], info: dict[str, Any], suffix: str
) -> None:
    row = tiles[0][2] >> (tiles[0][0] - info["min_zoom"] + 1)
    asked = asyncio.run(ask_all([address], cookies, [f"{column}/{row}.{suffix}"]))
    if asked.refused:
        raise SystemExit(f"Our server answered {asked.refused} to the first tile.")


def measure_peer(
    python: str, image: Path, info: dict[str, Any], tiles: list[Tile], processes: int, suffix: str
):
    stretch = "&".join(f"rescale={low},{high}" for low, high in info["percentiles"])
    query = f"url={urllib.parse.quote(str(image))}&{stretch}&resampling=bilinear&reproject=bilinear"
    at = "/tiles/WebMercatorQuad/{}/{}/{}." + suffix + "?" + query
    z, x, y = tiles[0]
    up = z - info["min_zoom"] + 1
    with peer_servers(python, processes) as addresses:
        for address in addresses:
            asked = asyncio.run(ask_all([address], "", [at.format(z - up, x >> up, y >> up)]))
            if asked.refused:
                raise SystemExit(f"TiTiler answered {asked.refused} to the first tile.")
        paths = [at.format(*tile) for tile in tiles]
        yield asyncio.run(ask_all(addresses, "", paths))
        yield asyncio.run(ask_all(addresses, "", paths))


def compare(folder: Path, scene: dict[str, Any], options: argparse.Namespace) -> list[Row]:
    info = scene["info"]
    tiles = random_tiles(info, options.tiles)
    image = folder / "scenes" / str(scene["id"]) / "scene.tif"
    rows: dict[tuple[str, str, str], Row] = {}
    for number in range(options.rounds):
        for suffix in options.formats:
            print(f"Round {number + 1}, {suffix} ...", file=sys.stderr)
            runs = {"ours": measure_ours(folder, info, scene["id"], tiles, options.processes, suffix)}
            if options.peer_python:
                runs["TiTiler"] = measure_peer(
                    options.peer_python, image, info, tiles, options.processes, suffix
                )
            names = list(runs) if number % 2 == 0 else list(reversed(runs))
            for who in names:
                for state, passed in zip(("cold", "warm"), runs[who], strict=True):
                    if passed.refused:
                        raise SystemExit(f"{who} refused tiles: {passed.refused}")
                    rows.setdefault((suffix, state, who), Row(who, suffix, state)).passes.append(passed)
    return [
        rows[key] for key in sorted(rows, key=lambda key: (options.formats.index(key[0]), key[1], key[2]))
    ]


def print_tiles(rows: list[Row]) -> None:
    print(
        "| format | state | server | tiles/s (median) | each round | ms p50 | ms p99 | KiB a tile | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    peers = {(row.suffix, row.state): row.per_s for row in rows if row.who == "TiTiler"}
    for row in rows:
        peer = peers.get((row.suffix, row.state))
        ratio = f"{row.per_s / peer:.1f}" if row.who == "ours" and peer else ""
        print("| " + " | ".join([row.suffix, row.state, row.who, *row.cells(), ratio]) + " |")


# ------------------------------------------------------------------------------------------------- leaf blocks


def segmented(address: str, cookies: str, scene: int) -> tuple[int, int]:
    """Project and segmentation of the scene, made the fast way where there is none."""
    path = f"/api/scenes/{scene}/segmentations"
    rows = call(address, cookies, "GET", path)
    if not any(row["state"] == "complete" for row in rows):
        print("Segmenting ...", file=sys.stderr)
        rows = [call(address, cookies, "POST", path, {"mode": "fast", "seed": 0})]
    end = time.monotonic() + 5 * PATIENCE_S
    while not any(row["state"] == "complete" for row in rows):
        if time.monotonic() > end or all(row["state"] in ("failed", "cancelled") for row in rows):
            raise SystemExit(f"The segmentation did not complete: {rows}")
        time.sleep(0.5)
        rows = call(address, cookies, "GET", path)
    done = next(row["id"] for row in rows if row["state"] == "complete")
    projects = call(address, cookies, "GET", "/api/projects")
    if not projects:
        projects = [call(address, cookies, "POST", "/api/projects", {"name": "tiles", "scene": scene})]
    return projects[0]["id"], done


async def pull_blocks(
    url: str, cookies: str, origin: str, wishes: list[dict[str, Any]], cpu_s: Callable[[], float]
) -> list[tuple[float, int, float]]:
    """Seconds, bytes, and the server's processor time, until all blocks were received, time after time on one connection."""
    headers = {"Cookie": cookies} if cookies else {}
    rounds = []
    async with websockets.connect(
        url, origin=origin, additional_headers=headers, max_size=None, compression=None, ping_interval=None
    ) as line:
        await line.send(json.dumps({**wishes[0], "blocks": []}))
        await asyncio.sleep(2)  # whatever a new connection is told is on its way
        for _ in range(BLOCK_ROUNDS):
            begin, cpu, size = time.perf_counter(), cpu_s(), 0
            for wish in wishes:
                await line.send(json.dumps(wish))
                left = len(wish["blocks"])
                async with asyncio.timeout(PATIENCE_S):
                    while left:
                        message = await line.recv()
                        if isinstance(message, bytes) and message.startswith(b"CNLB"):
                            size += len(message)
                            left -= 1
            rounds.append((time.perf_counter() - begin, size, cpu_s() - cpu))
            await line.send(json.dumps({**wishes[0], "blocks": []}))  # so that they are sent again
    return rounds


def measure_blocks(folder: Path, scene: dict[str, Any]) -> None:
    info = scene["info"]
    with our_servers(folder, 1) as (started, cookies):
        server = started[0]
        project, segmentation = segmented(server.address, cookies, scene["id"])
        blocks = [[r, c] for r in range(-(-info["height"] // 512)) for c in range(-(-info["width"] // 512))]
        want = {"type": "blocks.want", "segmentation": segmentation, "level": 0}
        wishes = [{**want, "blocks": blocks[k : k + 64]} for k in range(0, len(blocks), 64)]
        url, origin = f"ws://{server.address}/ws/projects/{project}/", f"http://{server.address}"
        ours = asyncio.run(pull_blocks(url, cookies, origin, wishes, server.cpu_s))
        bare = asyncio.run(_bare(ours[0][1] // len(blocks), wishes))
    inflating = _inflating_ms(folder, segmentation, blocks)
    print("| round | blocks/s | MB/s | server ms of processor time a block | bare socket, blocks/s |")
    print("|---|---|---|---|---|")
    for number, ((seconds, size, cpu), (bare_s, _, _)) in enumerate(zip(ours, bare, strict=True), 1):
        count = len(blocks)
        cells = [f"{count / seconds:.0f}", f"{size / seconds / 1e6:.1f}", f"{cpu / count * 1000:.2f}"]
        print(f"| {number} | {' | '.join(cells)} | {count / bare_s:.0f} |")
    print(
        f"\nInflating a block takes whoever reads it {inflating:.2f} ms; the server sends it as it is stored."
    )
    measure_patches(folder, segmentation)


def _inflating_ms(folder: Path, segmentation: int, blocks: list[list[int]]) -> float:
    from segmentation import open_segmentation

    store = open_segmentation(folder / "segmentations" / f"{segmentation}.zarr")
    members = [store.block(0, row, col) for row, col in blocks[:100]]
    begin = time.perf_counter()
    for member in members:
        gzip.decompress(member)
    return (time.perf_counter() - begin) / len(members) * 1000


async def _bare(size: int, wishes: list[dict[str, Any]]) -> list[tuple[float, int, float]]:
    """The same bytes from a server that does nothing else, in this process: what socket and client allow."""
    frame = b"CNLB" + os.urandom(size - 4)

    async def serve(line: Any) -> None:
        async for message in line:
            for _ in json.loads(message)["blocks"]:
                await line.send(frame)

    async with websockets.serve(serve, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"ws://127.0.0.1:{port}/"
        return await pull_blocks(url, "", f"http://127.0.0.1:{port}", wishes, time.process_time)


def measure_patches(folder: Path, segmentation: int) -> None:
    """Reduced copies made while a scene computes: how much of their time is gzip."""
    from segmentation import open_segmentation
    from segmentation.rasters.windows import BLOCK

    store = open_segmentation(folder / "segmentations" / f"{segmentation}.zarr")
    print("\n| patch of level | ms | of it inflating | of it deflating | of it reducing and the rest |")
    print("|---|---|---|---|---|")
    rows, cols = (-(-side // BLOCK) for side in store.shape)
    places = [(row, col) for row in range(rows) for col in range(cols)][:64]
    for level in range(1, min(4, store.n_levels)):
        whole = inflating = deflating = 0.0
        for row, col in places:
            member = store.block(0, row, col)
            begin = time.perf_counter()
            gzip.decompress(member)
            inflating += time.perf_counter() - begin
            begin = time.perf_counter()
            patch = store.patch(row, col, level)
            reduced = time.perf_counter()
            gzip.compress(np.ascontiguousarray(patch[4], "<u2").tobytes(), 1, mtime=0)
            end = time.perf_counter()
            whole += end - begin
            deflating += end - reduced
        share = [f"{value / len(places) * 1000:.2f}" for value in (whole, inflating, deflating)]
        rest = (whole - inflating - deflating) / len(places) * 1000
        print(f"| {level} | {' | '.join(share)} | {rest:.2f} |")


# ------------------------------------------------------------------------------------------------- while computing


def measure_computing(folder: Path, scene: dict[str, Any], processes: int) -> None:
    info = scene["info"]
    tiles = random_tiles(info, 4000, seed=1)
    shutil.rmtree(folder / "tiles", ignore_errors=True)
    with our_servers(folder, processes) as (started, cookies):
        computing = Computing(started[0].address, cookies, scene["id"])
        computing.start()
        paths = [f"/tiles/{scene['id']}/{z}/{x}/{y}" for z, x, y in tiles]
        addresses = [server.address for server in started]
        passed = asyncio.run(ask_all(addresses, cookies, paths, COMPUTING_S))
        computing.look()
        low, high = np.percentile(passed.latencies_ms, [50, 99])
        share = computing.busy_s / passed.seconds
        print(
            "\n| while a segmentation computes | tiles/s | ms p50 | ms p99 | share of the time that it computed |"
        )
        print("|---|---|---|---|---|")
        print(f"| ours, cold | {passed.per_s:.0f} | {low:.1f} | {high:.1f} | {share:.0%} |")
        for row in call(addresses[0], cookies, "GET", f"/api/scenes/{scene['id']}/segmentations"):
            if row["state"] in ("queued", "running"):
                call(addresses[0], cookies, "POST", f"/api/segmentations/{row['id']}/cancel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--tiles", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--peer-python", default="", help="Python of an environment with TiTiler")
    parser.add_argument("--data", type=Path, help="folder with the scene, kept for the next run")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("tiles", "blocks", "computing"),
        default=["tiles", "blocks", "computing"],
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.data or Path(temporary) / "data").resolve()
        prepare(folder, options.megapixels)
        with our_servers(folder, 1) as (started, cookies):
            scene = call(started[0].address, cookies, "GET", "/api/scenes")[0]
        load = os.getloadavg()[0]
        print(
            f"{os.cpu_count()} cores, load {load:.1f} before; {scene['info']['width']} x {scene['info']['height']} pixels\n"
        )
        if "tiles" in options.parts:
            print_tiles(compare(folder, scene, options))
            print()
        if "blocks" in options.parts:
            measure_blocks(folder, scene)
        if "computing" in options.parts:
            measure_computing(folder, scene, options.processes)


if __name__ == "__main__":
    main()
