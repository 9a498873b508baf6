"""How fast a class map becomes GeoJSON: pixels per second, memory, polygons, and how many of them are invalid.

    python benchmarks/export.py                          # 1 and 10 megapixels, made up, beside GDAL's polygons
    python benchmarks/export.py --megapixels 100         # one size of your choice
    python benchmarks/export.py --store scene.zarr       # the leaves of a segmentation, in eight classes

Each row is a process of its own, so that memory is that of one export: what it adds to a warmed-up process. The peer is
rasterio.features.shapes on the same map, in memory, in the scene's CRS and without text, areas or junctions: its time
is polygons alone. "invalid" counts polygons that GEOS finds invalid after going to longitude and latitude as they are
written, "open" those whose edges do not match their neighbors' vertex by vertex.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from rasterio.crs import CRS

from segmentation import open_segmentation
from segmentation.rasters.georeference import Georeference
from segmentation.vectors import ArraySource, ClassSource, ClassStyle, class_source, geojson_chunks

N_CLASSES = 8
LEGEND = {number: ClassStyle(f"class {number}", "#808080") for number in range(1, N_CLASSES + 1)}
TRANSFORM = Affine(10, 0, 4e5, 0, -10, 5.5e6)
CHECKED_MEGAPIXELS = 12  # beyond, checking the polygons takes far longer than making them
COVERAGE_MEGAPIXELS = (
    1.5  # likewise for the coverage: GEOS takes minutes over polygons with thousands of holes
)


class FileSource:
    """A class map in a file of bytes, read as it is asked for."""

    def __init__(self, path: Path, side: int) -> None:
        self._path, self.shape = path, (side, side)

    def read(self, row: int, col: int, height: int, width: int) -> np.ndarray:
        side = self.shape[1]
        rows = np.fromfile(self._path, np.uint8, height * side, offset=row * side).reshape(height, side)
        return rows[:, col : col + width]


def make_map(path: Path, side: int) -> None:
    """Ragged cells of about 20 pixels, a ninth of them unclassified: what superpixels leave, junctions and all."""
    with path.open("wb") as out:
        for row in range(0, side, 256):
            height = min(256, side - row)
            rows, cols = np.mgrid[row : row + height, 0:side].astype(np.float32)
            rows += 16 * value_noise(row, height, side, 9)
            cols += 16 * value_noise(row, height, side, 7)
            cells = (rows // 20).astype(np.int64) * 7919 + (cols // 20).astype(np.int64)
            mixed = (cells * 2654435761) % 2**32 // 65536
            out.write((mixed % (N_CLASSES + 1)).astype(np.uint8).tobytes())


def value_noise(row: int, height: int, width: int, scale: int) -> np.ndarray:
    """Random numbers at lattice points, bilinear in between, the same for a pixel whatever the strip."""
    first, last = row // scale, (row + height) // scale + 2
    lattice = np.stack(
        [np.random.default_rng((line, scale)).random(width // scale + 2) for line in range(first, last)]
    ).astype(np.float32)
    rows, cols = np.arange(row, row + height) / scale - first, np.arange(width) / scale
    top, left = rows.astype(int), cols.astype(int)
    down, right = (rows - top)[:, None].astype(np.float32), (cols - left)[None].astype(np.float32)
    upper = lattice[top][:, left] * (1 - right) + lattice[top][:, left + 1] * right
    lower = lattice[top + 1][:, left] * (1 - right) + lattice[top + 1][:, left + 1] * right
    return upper * (1 - down) + lower * down


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def export(source: ClassSource, georeference: Georeference, out: Path) -> dict[str, Any]:
    """Time one export, after a small one that loads and compiles what is needed."""
    corner = np.random.default_rng(0).integers(0, N_CLASSES + 1, (64, 64), np.uint8)
    small = Georeference(georeference.transform, georeference.crs, 64, 64)
    for _ in geojson_chunks(ArraySource(corner), LEGEND, small):
        pass
    before, start = peak_mb(), time.perf_counter()
    with out.open("w", encoding="utf-8") as file:
        for chunk in geojson_chunks(source, LEGEND, georeference):
            file.write(chunk)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "memory_mb": peak_mb() - before, "file_mb": out.stat().st_size / 1e6}


def check(out: Path, megapixels: float) -> dict[str, Any]:
    features = json.loads(out.read_text(encoding="utf-8"))["features"]
    shapes = shapely.from_geojson([json.dumps(feature["geometry"]) for feature in features])
    return {"polygons": len(shapes), **faults(shapes, megapixels)}


def faults(shapes: np.ndarray, megapixels: float) -> dict[str, int]:
    found = {"invalid": int((~shapely.is_valid(shapes)).sum())}
    if megapixels <= COVERAGE_MEGAPIXELS:
        found["open_edges"] = int((~shapely.is_empty(shapely.coverage_invalid_edges(shapes))).sum())
    return found


def peer(classes: np.ndarray, georeference: Georeference) -> dict[str, Any]:
    """GDAL's polygons of the same map."""
    before, start = peak_mb(), time.perf_counter()
    found = list(rasterio.features.shapes(classes, mask=classes > 0, connectivity=4))
    seconds = time.perf_counter() - start
    memory = peak_mb() - before

    def lonlat(points: np.ndarray) -> np.ndarray:
        return np.round(np.stack(georeference.to_lonlat(points[:, 0], points[:, 1]), axis=1), 7)

    shapes = shapely.from_geojson([json.dumps(geometry) for geometry, _ in found])
    shapes = shapely.transform(shapes, lonlat)
    return {
        "seconds": seconds,
        "memory_mb": memory,
        "polygons": len(shapes),
        **faults(shapes, classes.size / 1e6),
    }


def run_one(task: str, path: str, side: int) -> dict[str, Any]:
    """What one process does; its result goes to standard output."""
    source: ClassSource
    if task == "store":
        segmentation = open_segmentation(path)
        table = (np.arange(segmentation.n_leaves) * N_CLASSES // segmentation.n_leaves + 1).astype(np.uint8)
        source, georeference = class_source(segmentation, table), segmentation.georeference
    else:
        source = FileSource(Path(path), side)
        georeference = Georeference(TRANSFORM, CRS.from_epsg(32633), side, side)
    height, width = source.shape
    result: dict[str, Any] = {"megapixels": height * width / 1e6}
    if task == "peer":
        return result | peer(source.read(0, 0, height, width), georeference)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map.geojson"
        result |= export(source, georeference, out)
        if result["megapixels"] <= CHECKED_MEGAPIXELS:
            result |= check(out, result["megapixels"])
    return result


def run(task: str, path: Path, side: int = 0) -> dict[str, Any]:
    command = [sys.executable, __file__, "--task", task, str(path), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def print_row(name: str, result: dict[str, Any]) -> None:
    rate = result["megapixels"] / result["seconds"]
    counts = [
        f"{result[key]:>10,}" if key in result else " " * 10 for key in ("polygons", "invalid", "open_edges")
    ]
    file_mb = f"{result['file_mb']:8.1f}" if "file_mb" in result else " " * 8
    print(
        f"{name:<12}{result['megapixels']:8.1f}{result['seconds']:9.2f}{rate:9.1f}{result['memory_mb']:9.0f}{file_mb}"
        + "".join(counts),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--store", type=Path, help="a segmentation store instead")
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task, path, side = options.task
        print(json.dumps(run_one(task, path, int(side))))
        return
    print("map              MP        s     MP/s   MB more file MB  polygons   invalid      open")
    if options.store:
        print_row("store", run("store", options.store))
        return
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            side = max(64, round(np.sqrt(megapixels * 1e6)))
            path = Path(folder) / f"{side}.bin"
            make_map(path, side)
            print_row("ours", run("map", path, side))
            if megapixels <= CHECKED_MEGAPIXELS:
                print_row("GDAL", run("peer", path, side))


if __name__ == "__main__":
    main()
