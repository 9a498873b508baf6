"""``segment``: an image into a store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from segmentation.cli.app import AsJson, app, image_argument, report
from segmentation.errors import InvalidArgumentError

if TYPE_CHECKING:
    from segmentation.pipeline import Progress

__all__ = ["segment_command"]


@app.command("segment")
def segment_command(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="GeoTIFF, COG, JPEG 2000, PNG or JPEG: a file, or a URL such as https://host/image.tif or s3://bucket/key.",
        ),
    ],
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="Folder to write, or s3://bucket/prefix; an incomplete run with the same options is continued.",
        ),
    ],
    seed: Annotated[int, typer.Option(help="Same seed, image and device: same leaves.")] = 0,
    mode: Annotated[
        str, typer.Option(help='"best" learns from the image first, "fast" never does.')
    ] = "best",
    bands: Annotated[
        str, typer.Option(help="Band numbers from 1, with commas between; all by default.")
    ] = "",
    superpixel_px: Annotated[
        int | None, typer.Option(help="Area of a superpixel in pixels, 10 to 40.")
    ] = None,
    leaves: Annotated[int | None, typer.Option(help="Number of leaves, 2 to 61,440.")] = None,
    aoi: Annotated[Path | None, typer.Option(help="GeoJSON file with the area of interest.")] = None,
    network: Annotated[
        Path | None, typer.Option(help="Trained network whose features join the filter bank; see train.")
    ] = None,
    train_seconds: Annotated[
        float | None,
        typer.Option(help='Budget to learn from the image; by default 60 in mode "best" without a network.'),
    ] = None,
    train_steps: Annotated[
        int | None,
        typer.Option(help="Number of steps itself, 0 for none: the same on a machine of any speed."),
    ] = None,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Blocks computed at once; all cores by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Segment IMAGE into a Zarr store."""
    from segmentation.pipeline import segment
    from segmentation.store import open_segmentation

    with tqdm(unit="block", disable=None, file=sys.stderr) as bar:
        result = segment(
            image_argument(image),
            store,
            seed=seed,
            mode=mode,  # type: ignore[arg-type]  # checked there
            bands=_numbers(bands),
            superpixel_px=superpixel_px,
            n_leaves=leaves,
            aoi=None if aoi is None else _geometry(aoi),
            network=network,
            train_seconds=train_seconds,
            train_steps=train_steps,
            device=device,
            threads=threads,
            progress=lambda progress: _show(bar, progress),
        )
    tree = open_segmentation(store).tree
    facts = {
        "store": str(store),
        "height": result.shape[0],
        "width": result.shape[1],
        "leaves": result.n_leaves,
        "nodes": len(tree.parent),
        "pixels": int(result.statistics().pixels.sum()),
        "device": result.device,
        "learned_steps": (result.learned or {}).get("steps", 0),
    }
    report(
        facts,
        f"{facts['width']} x {facts['height']} pixels, {facts['pixels']} of them with data, "
        f"in {facts['leaves']} leaves; computed on {facts['device']}, written to {store}.",
        as_json,
    )


def _show(bar: tqdm, progress: Progress) -> None:  # type: ignore[type-arg]
    if bar.total != progress.total or bar.desc != progress.stage + ": ":
        bar.reset(total=progress.total)
        bar.set_description(progress.stage)
    if progress.training is not None:
        bar.set_postfix(loss=f"{progress.training.loss:.3f}", refresh=False)
    bar.update(progress.done - bar.n)


def _numbers(text: str) -> list[int] | None:
    if not text:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidArgumentError(
            f'The bands are "{text}"; give numbers from 1 with commas between, such as 3,2,1.'
        ) from error


def _geometry(path: Path) -> dict[str, object]:
    try:
        geometry = json.loads(path.read_text())
    except OSError as error:
        raise InvalidArgumentError(
            f"The area of interest {path} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise InvalidArgumentError(f"The area of interest {path} is not JSON: {error}.") from error
    if not isinstance(geometry, dict):
        raise InvalidArgumentError(f"The area of interest {path} is not a GeoJSON object.")
    return geometry
