"""``train``: one network from a folder of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from segmentation.cli.app import AsJson, app, integers, report
from segmentation.errors import InvalidArgumentError

__all__ = ["train_command"]


@app.command("train")
def train_command(
    patches: Annotated[
        Path,
        typer.Argument(
            metavar="PATCHES", help="Folder of images or patches, in it or one level deeper; or one image."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write, such as NETWORK.safetensors.")],
    clusters: Annotated[
        str, typer.Option(help="Numbers of pseudo-classes, all at once, with commas between.")
    ] = "32,128,512",
    rounds: Annotated[int, typer.Option(help="How often pseudo-classes are found anew, 1 to 50.")] = 3,
    seconds: Annotated[float, typer.Option(help="Budget; turned into steps by timing a few.")] = 600.0,
    steps: Annotated[
        int | None, typer.Option(help="Number of steps itself: the same result on a machine of any speed.")
    ] = None,
    bands: Annotated[
        str, typer.Option(help="Bands to use, from 1, with commas between; all by default.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Same seed, images, steps and device: same network.")] = 0,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn features from images without labels."""
    numbers = integers(clusters, "clusters", 2, 4096)
    if not numbers:
        raise InvalidArgumentError("No number of clusters was given; give one or more, such as 32,128,512.")
    if not 1 <= rounds <= 50:
        raise InvalidArgumentError(f"{rounds} rounds were asked for; choose 1 to 50.")
    if not 0 < seconds <= 7 * 86_400:
        raise InvalidArgumentError(f"{seconds:g} seconds were asked for; choose more than 0, at most a week.")
    if steps is not None and steps < rounds:
        raise InvalidArgumentError(
            f"{steps} steps were asked for; choose at least one for each of {rounds} rounds."
        )
    if out.is_dir():
        raise InvalidArgumentError(f"{out} is a folder; name the file to write.")
    chosen = integers(bands, "bands", 1, 250) or None

    from segmentation.learning.images import train_network
    from segmentation.learning.recipe import Recipe
    from segmentation.rasters.patches import find_images
    from segmentation.running import choose_device

    images = [patches] if patches.is_file() else find_images(patches)
    with tqdm(unit="step", disable=None, file=sys.stderr) as bar:

        def show(event: object) -> None:
            bar.total = event.steps  # type: ignore[attr-defined]
            bar.set_postfix(loss=f"{event.loss:.3f}", balance=f"{event.balance:.2f}", refresh=False)  # type: ignore[attr-defined]
            bar.update(event.step - bar.n)  # type: ignore[attr-defined]

        network = train_network(
            images,
            out,
            seed=seed,
            seconds=seconds,
            steps=steps,
            recipe=Recipe(clusters=tuple(numbers), rounds=rounds),
            bands=chosen,
            device=choose_device(device),
            resume=resume,
            progress=show,
        )
    facts = {
        "network": str(out),
        "fingerprint": network.fingerprint,
        "bands": network.n_bands,
        "parameters": network.encoder.n_parameters,
        "images": len(images),
        "steps": network.training["steps"],
        "superpixels": network.training["superpixels"],
        "device": network.training["device"],
    }
    report(
        facts,
        f"{facts['parameters']} weights for {facts['bands']} bands, learned in {facts['steps']} steps from {facts['images']} "
        f"images ({facts['superpixels']} superpixels) on {facts['device']}, written to {out}.",
        as_json,
    )
