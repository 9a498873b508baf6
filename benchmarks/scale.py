"""Whether time grows with the scene and memory does not: each stage on scenes of 10, 100 and 1,000 megapixels.

    python benchmarks/scale.py                             # 10 and 100 megapixels, made up, RGB
    python benchmarks/scale.py --megapixels 10 100 1000    # about a quarter of an hour and 10 GB of disk on two cores
    python benchmarks/scale.py --megapixels 1000 --bands 4 --folder /big/disk

Each task is a process of its own: import (validated, copied into a tiled COG with overviews), segmentation, clicks, and the
download as GeoJSON. Memory is the largest resident set that a look every 20 ms saw in a stage, the interpreter and its
libraries included. A click is the decoder's answer to one more example, with 20 given: what a person waits for on top of the socket;
the first one reads the codebook and finds out which leaves touch. Rates are beside that of the first, smallest scene.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import rasterio
from segment_speed import make_scene

N_CLASSES = 4
N_CLICKS = 20
N_TIMED = 10
LOOK_S = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")
BYTES_A_PIXEL = 14  # of disk, made-up scene, its COG, store and download together, as measured


class Meter:
    """Seconds and the largest resident set of each stage of this process."""

    def __init__(self) -> None:
        self.stage = "start"
        self.seconds: dict[str, float] = {}
        self.peak: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            self.peak[self.stage] = max(self.peak.get(self.stage, 0), resident)

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        before, self.stage = self.stage, stage
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
            self.stage = before

    def begin(self, stage: str) -> None:
        """The stage before ends here."""
        now = time.perf_counter()
        if self.stage != "start":
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self._began
        self.stage, self._began = stage, now

    def result(self) -> dict[str, Any]:
        self._ended.set()
        self._thread.join()
        return {
            stage: {"seconds": seconds, "peak_mb": self.peak.get(stage, 0) / 1e6}
            for stage, seconds in self.seconds.items()
        }


# ---------------------------------------------------------------------------------------------------- tasks


def run_import(image: Path, folder: Path) -> dict[str, Any]:
    from segmentation.rasters.cog import Limits, ingest

    meter = Meter()
    with meter.measuring("import"):
        ingest(image, folder, limits=Limits(max_pixels=10**11, max_file_bytes=10**12))
    return meter.result()


def run_segment(image: Path, store: Path, threads: int) -> dict[str, Any]:
    from segmentation import Progress, segment

    meter = Meter()

    def follow(progress: Progress) -> None:
        if progress.stage != meter.stage:
            meter.begin(progress.stage)

    meter.begin("reading")
    found = segment(image, store, mode="fast", device="cpu", threads=threads, progress=follow)
    meter.begin("end")
    return {**meter.result(), "n_leaves": found.n_leaves}


def run_clicks(store: Path) -> dict[str, Any]:
    from segmentation import open_segmentation
    from segmentation.completion import warm_up

    warm_up()
    meter = Meter()
    segmentation = open_segmentation(store)
    rng = np.random.default_rng(0)
    height, width = segmentation.shape
    clicks = [
        _click(rng.integers(height), rng.integers(width), 1 + number % N_CLASSES)
        for number in range(N_CLICKS + N_TIMED)
    ]
    with meter.measuring("first click"):
        segmentation.classify(clicks[:N_CLICKS])
    times = []
    with meter.measuring("further clicks"):
        for number in range(N_CLICKS + 1, N_CLICKS + N_TIMED + 1):
            begin = time.perf_counter()
            segmentation.classify(clicks[:number])
            times.append(time.perf_counter() - begin)
    return {**meter.result(), "click_ms": 1000 * float(np.median(times))}


def _click(row: int, col: int, class_number: int) -> Any:
    from segmentation import Click

    return Click(int(row), int(col), class_number)


def run_export(store: Path, out: Path) -> dict[str, Any]:
    """The download of a map in four classes, as the clusters of a cut into four have them."""
    from segmentation import open_segmentation
    from segmentation.vectors import ClassStyle, class_source, geojson_chunks

    segmentation = open_segmentation(store)
    # Leaves are numbered along the merge tree: equal runs of them are clusters, or halves of some.
    table = (np.arange(segmentation.n_leaves) * N_CLASSES // segmentation.n_leaves + 1).astype(np.uint8)
    legend = {number: ClassStyle(f"class {number}", "#808080") for number in range(1, N_CLASSES + 1)}
    meter = Meter()
    with meter.measuring("download"), out.open("w", encoding="utf-8") as file:
        for chunk in geojson_chunks(class_source(segmentation, table), legend, segmentation.georeference):
            file.write(chunk)
    return {**meter.result(), "file_mb": out.stat().st_size / 1e6}


# ---------------------------------------------------------------------------------------------------- the run


def run(task: str, *arguments: Any) -> dict[str, Any]:
    """One task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The task {task} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def one_scene(folder: Path, megapixels: float, bands: int, threads: int) -> dict[str, Any]:
    image, scene, store, out = (folder / name for name in ("made.tif", "scene", "store.zarr", "map.geojson"))
    make_scene(image, megapixels, bands)
    with rasterio.open(image) as source:
        pixels = source.width * source.height
    stages = run("import", image, scene)
    image.unlink()
    stages |= run("segment", next(scene.glob("*.tif")), store, threads)
    shutil.rmtree(scene)
    stages |= run("clicks", store)
    stages |= run("export", store, out)
    return {"megapixels": pixels / 1e6, **stages}


STAGES = ("import", "reading", "codebook", "leaves", "overviews", "download")


def show(results: list[dict[str, Any]], threads: int) -> None:
    print(f"\n{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores, {threads} threads.\n")
    print("| megapixels | stage | s | megapixels/s | of the first | peak MB |")
    print("|---|---|---|---|---|---|")
    first = results[0]
    for result in results:
        whole = [stage for stage in STAGES if stage in result and stage not in ("import", "download")]
        rows = {stage: result[stage] for stage in STAGES if stage in result}
        rows["segmentation"] = {
            "seconds": sum(result[stage]["seconds"] for stage in whole),
            "peak_mb": max(result[stage]["peak_mb"] for stage in whole),
        }
        result["segmentation"] = rows["segmentation"]
        for stage, row in rows.items():
            rate = result["megapixels"] / max(row["seconds"], 1e-9)
            share = (
                rate / (first["megapixels"] / max(first[stage]["seconds"], 1e-9))
                if stage in first
                else np.nan
            )
            print(
                f"| {result['megapixels']:,.0f} | {stage} | {row['seconds']:.1f} | {rate:.2f} | {share:.0%} "
                f"| {row['peak_mb']:.0f} |"
            )
    print("\n| megapixels | leaves | first click ms | click ms | peak MB | download MB |")
    print("|---|---|---|---|---|---|")
    for result in results:
        print(
            f"| {result['megapixels']:,.0f} | {result['n_leaves']} | {1000 * result['first click']['seconds']:.0f} "
            f"| {result['click_ms']:.0f} | {result['further clicks']['peak_mb']:.0f} | {result['file_mb']:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[10, 100], help="1 to 20,000 each")
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where the scenes go; by default the system's")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        name, *arguments = options.task
        paths = [Path(argument) for argument in arguments]
        if name == "import":
            result = run_import(*paths)
        elif name == "segment":
            result = run_segment(*paths[:2], threads=int(arguments[2]))
        elif name == "clicks":
            result = run_clicks(*paths)
        else:
            result = run_export(*paths)
        print(json.dumps(result))
        return
    if not all(1 <= size <= 20_000 for size in options.megapixels):
        parser.error("scenes of 1 to 20,000 megapixels can be made")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        needed = max(options.megapixels) * 1e6 * BYTES_A_PIXEL * options.bands / 3
        free = shutil.disk_usage(name).free
        if free < needed:
            parser.error(f"{free / 1e9:.0f} GB are free in {name}, and about {needed / 1e9:.0f} are needed")
        results = []
        for megapixels in options.megapixels:
            folder = Path(name) / f"{megapixels:g}"
            folder.mkdir()
            results.append(one_scene(folder, megapixels, options.bands, options.threads))
            shutil.rmtree(folder)
            print(f"{megapixels:g} megapixels done", file=sys.stderr, flush=True)
        show(results, options.threads)


if __name__ == "__main__":
    main()
