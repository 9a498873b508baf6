"""``patches``: a folder of images into patches of one size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.drafts import check_output, drafts, write_text

__all__ = ["patches_command"]


@app.command("patches")
def patches_command(
    image_dir: Annotated[
        Path, typer.Argument(metavar="IMAGE_DIR", help="Folder with images in it, or one level deeper.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder to make: images/, masks/ and patches.json, which lists them."
        ),
    ],
    patch_shape: Annotated[tuple[int, int], typer.Option(help="Rows and columns of a patch.")] = (512, 512),
    stride: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Rows and columns from one patch to the next; by default the patch shape."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder with a mask of the same name for each image, cut alike."),
    ] = None,
    max_nodata: Annotated[
        float, typer.Option(help="Patches with a larger share of pixels without data are left out.")
    ] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Cut the images of a folder into GeoTIFF patches that keep their place on the ground.

    The last row and column are included: the last patch moves inward to end at the image's edge. Patches are called
    IMAGE_rROW_cCOLUMN.tif after the pixel they begin at. Images smaller than a patch are left out, which is told.
    """
    from segmentation.rasters.patches import cut_patches

    check_output(out, image_dir, folder=True)
    with drafts(out) as (draft,), share_bar("patches") as tell:
        cut = cut_patches(
            image_dir,
            draft,
            shape=patch_shape,
            stride=stride,
            masks=masks,
            max_nodata=max_nodata,
            progress=tell,
        )
        facts = {
            "patch_shape": list(patch_shape),
            "stride": list(stride or patch_shape),
            "patches": cut.patches,
            "skipped": cut.skipped,
            "too_small": cut.small,
        }
        write_text(draft / "patches.json", json.dumps(facts, indent=1) + "\n")
    for sentence in cut.small:
        typer.echo(sentence, err=True)
    left_out = f"; {cut.skipped} left out for lack of data" if cut.skipped else ""
    report({"folder": str(out), **facts}, f"{len(cut.patches)} patches written to {out}{left_out}.", as_json)
