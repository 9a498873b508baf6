"""``rasterize``: shapes into a class map on an image's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.cli.classify import class_lines
from segmentation.drafts import check_output, drafts
from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend

__all__ = ["rasterize_command"]


@app.command("rasterize")
def rasterize_command(
    vector: Annotated[
        Path,
        typer.Argument(metavar="VECTOR", help="GeoJSON, GeoPackage, Shapefile (also zipped) or FlatGeobuf."),
    ],
    like: Annotated[Path, typer.Option(help="Image whose grid the map is to have.")],
    out: Annotated[Path, typer.Option(help="GeoTIFF (COG) to write: class numbers, 0 = none.")],
    field: Annotated[
        str, typer.Option(help="Attribute with the class: a number (1-255) or a name.")
    ] = "class",
    layer: Annotated[str | None, typer.Option(help="Layer, where VECTOR has several.")] = None,
    legend: Annotated[
        Path | None,
        typer.Option(help='JSON {"classes": {"1": "water", ...}}: numbers of the names.'),
    ] = None,
    all_touched: Annotated[
        bool,
        typer.Option(
            "--all-touched", help="Every pixel that a shape touches, not only those it holds the center of."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Burn the shapes of VECTOR into a class map on the grid of an image.

    Shapes are brought to the image's coordinate system; where they overlap, later ones lie on top. Names are numbered from 1 in
    alphabetical order unless --legend says otherwise; a legend OUT.json is written beside the map then.
    """
    from segmentation.rasters.class_map import write_byte_map
    from segmentation.rasters.georeference import Georeference
    from segmentation.rasters.scene import open_scene
    from segmentation.vectors.rasterize import read_shapes

    legend_out = out.with_suffix(".json")
    given = [] if legend is None else [legend]
    if legend_out == out:
        raise InvalidArgumentError(f"{out} is to be a GeoTIFF; let its name end in .tif.")
    check_output(out, vector, like, *given)
    known = None if legend is None else Legend.read(legend)
    with open_scene(like) as scene:
        georeference = Georeference(scene.transform, scene.crs, scene.height, scene.width)
    with share_bar("rasterize") as tell:
        shapes = read_shapes(
            vector,
            georeference,
            field=field,
            layer=layer,
            legend=known,
            all_touched=all_touched,
            progress=lambda done: tell(0.5 * done),
        )
        named = bool(shapes.legend.names) and legend is None
        if named:
            check_output(legend_out, vector, like)
        with drafts(out, *([legend_out] if named else [])) as (draft, *legend_draft):
            counts = write_byte_map(
                draft,
                shapes,
                georeference,
                legend=shapes.legend,
                description="class",
                progress=lambda done: tell(0.5 + 0.5 * done),
            )
            for path in legend_draft:
                shapes.legend.write(path)
    pixels = {number: int(counts[number]) for number in range(1, len(counts)) if counts[number]}
    facts = {
        "map": str(out),
        "legend": str(legend_out) if named else None,
        "shapes": len(shapes.numbers),
        "outside": shapes.outside,
        "classes": [
            {"class": number, "name": shapes.legend.name(number), "pixels": count}
            for number, count in pixels.items()
        ],
        "unclassified": int(counts[0]),
    }
    if shapes.outside:
        typer.echo(f"Left out, since they do not touch the image: {shapes.outside:,} shapes.", err=True)
    lines = class_lines(pixels, shapes.legend, int(counts[0]))
    report(facts, f"{lines}\nwritten to {out}{f' and {legend_out}' if named else ''}.", as_json)
