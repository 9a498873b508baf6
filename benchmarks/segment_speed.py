"""How fast a scene becomes leaves: pixels per second of read -> features -> leaves -> store, and peak memory.

    python benchmarks/segment_speed.py                        # 1, 10 and 100 megapixels, made up
    python benchmarks/segment_speed.py --image own.tif        # your own image
    python benchmarks/segment_speed.py --megapixels 10 --with-peer
    python benchmarks/segment_speed.py --megapixels 10 --with-network   # and with the embedding of a network, applied as it is

Each row is a process of its own, so that memory is that of one segmentation. The peer is scikit-image's SLIC with the
same superpixel size on the same blocks and threads: superpixels alone, no features and no store.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

NAMES = {
    "ours": "whole segmentation",
    "network": "whole segmentation, with embedding",
    "slic": "scikit-image SLIC alone",
}


def make_scene(path: Path, megapixels: float, bands: int) -> None:
    """Write fields with texture, block by block, as a tiled GeoTIFF."""
    side = round(np.sqrt(megapixels * 1e6))
    options = {
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "if_safer",
    }
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(400_000, 5_500_000, 1, 1), **options,
    ) as out:  # fmt: skip
        for row in range(0, side, 512):
            for col in range(0, side, 512):
                height, width = min(512, side - row), min(512, side - col)
                rng = np.random.default_rng((row, col))
                # Fields of 20 to 60 pixels: nearest of scattered seeds, on a coarse grid.
                seeds = rng.integers(0, 512, (120, 2))
                grid = np.stack(np.mgrid[0:512:4, 0:512:4], axis=-1).reshape(-1, 2)
                field = (
                    np.square(grid[:, None] - seeds)
                    .sum(-1)
                    .argmin(1)
                    .reshape(128, 128)
                    .repeat(4, 0)
                    .repeat(4, 1)
                )
                levels = rng.uniform(30, 220, (bands, 120))
                noise = rng.normal(0, 1, (bands, 512, 512)) * rng.uniform(2, 15, 120)[field]
                block = np.clip(levels[:, field] + noise, 1, 255).astype(np.uint8)[:, :height, :width]
                out.write(block, window=Window(col, row, width, height))


def run_ours(image: Path, threads: int, options: dict[str, Any]) -> dict[str, float]:
    from segmentation import segment

    begin, first = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        found = segment(
            image, Path(folder) / "store", device="cpu", threads=threads, **options,
            progress=lambda p: first.append(time.perf_counter() - begin) if p.block and not first else None,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "seconds": seconds,
        "first": first[0],
        "pixels": found.shape[0] * found.shape[1],
        "leaves": found.n_leaves,
        "store": size,
    }


def network_for(image: Path) -> dict[str, Any]:
    """Options of a segmentation with the network that comes along for this number of bands, without training."""
    from segmentation.learning.general import FOLDER

    with rasterio.open(image) as source:
        names = {3: "rgb", 4: "rgbn"}
        if source.count not in names:
            raise SystemExit(f"No network comes along for {source.count} bands; use --bands 3 or 4.")
        return {
            "mode": "best",
            "network": FOLDER / f"{names[source.count]}.safetensors",
            "train_steps": 0,
        }


def run_peer(image: Path, threads: int) -> dict[str, float]:
    from skimage.segmentation import slic

    with rasterio.open(image) as source:
        height, width = source.height, source.width

    def block(place: tuple[int, int]) -> None:
        with rasterio.open(image) as source:
            pixels = source.read(
                window=Window(place[1], place[0], min(512, width - place[1]), min(512, height - place[0]))
            )
        slic(
            np.moveaxis(pixels, 0, -1).astype(np.float32) / 255, n_segments=max(1, pixels[0].size // 25), compactness=0.1,
            max_num_iter=5, channel_axis=-1, convert2lab=False, start_label=0,
        )  # fmt: skip

    places = [(row, col) for row in range(0, height, 512) for col in range(0, width, 512)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(block, places))
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "first": float("nan"),
        "pixels": height * width,
        "leaves": float("nan"),
        "store": float("nan"),
    }


def measure(who: str, image: Path, threads: int) -> dict[str, float]:
    """One row, in a process of its own."""
    command = [sys.executable, __file__, "--image", str(image), "--threads", str(threads), "--child", who]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return json.loads(
        subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout.splitlines()[-1]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--with-peer", action="store_true")
    parser.add_argument("--with-network", action="store_true")
    parser.add_argument("--child", choices=list(NAMES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "slic":
        result = run_peer(options.image, options.threads)
    elif options.child:
        how = network_for(options.image) if options.child == "network" else {"mode": "fast"}
        result = run_ours(options.image, options.threads, how)
    if options.child:
        result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(result))
        return
    print(
        "| what | megapixels | bands | threads | s | megapixels/s | s to first block | leaves | peak MB | store MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        images = [options.image] if options.image else []
        for megapixels in [] if options.image else options.megapixels:
            images.append(Path(folder) / f"{megapixels:g}.tif")
            make_scene(images[-1], megapixels, options.bands)
        for image in images:
            with rasterio.open(image) as source:
                bands = source.count
            wanted = {"ours": True, "network": options.with_network, "slic": options.with_peer}
            for who in (who for who, is_wanted in wanted.items() if is_wanted):
                row = measure(who, image, options.threads)
                print(
                    f"| {NAMES[who]} | {row['pixels'] / 1e6:.1f} | {bands} | {options.threads} | {row['seconds']:.1f} "
                    f"| {row['pixels'] / 1e6 / row['seconds']:.2f} | {row['first']:.1f} | {row['leaves']:.0f} "
                    f"| {row['memory'] / 1e6:.0f} | {row['store'] / 1e6:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
