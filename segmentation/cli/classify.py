"""``classify``: clicks into a map of the whole scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.drafts import check_output
from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend

__all__ = ["class_lines", "classify_command"]


@app.command("classify")
def classify_command(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Segmentation, as segment writes it: a folder or a URL.")
    ],
    clicks: Annotated[
        Path,
        typer.Option(
            help="CSV with the columns row, col, class (or lon, lat, class), or GeoJSON points, lines and polygons with a "
            "class property. "
            'A column or property "against" that is true says: this pixel is NOT of that class.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="GeoTIFF (COG) to write: class numbers, 0 = none.")],
    certainty: Annotated[
        Path | None, typer.Option(help="GeoTIFF to write: certainty in percent, 255 = no data.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="JSON to write: the class of every leaf, for apply --classes.")
    ] = None,
    legend: Annotated[
        Path | None,
        typer.Option(
            help='JSON {"classes": {"1": "water", ...}}: numbers of the names. Without it names are numbered '
            "from 1 in alphabetical order."
        ),
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Column or property that holds the class; by default class.")
    ] = None,
    min_certainty: Annotated[
        float, typer.Option(help="Leaves that are less certain (0 to 1) stay without a class.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed and clicks: same map.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Turn clicks into a class map of the whole scene: every leaf takes the class that the decoder predicts."""
    from segmentation.class_maps import require_complete, table_of_clicks, write_maps
    from segmentation.clicks import read_clicks
    from segmentation.store import open_segmentation

    outputs = [path for path in (out, certainty, table) if path is not None]
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidArgumentError("Two outputs have the same name; give each a file of its own.")
    for path in outputs:
        check_output(path, clicks, *([] if legend is None else [legend]))
    segmentation = open_segmentation(store)
    require_complete(segmentation)
    given = read_clicks(
        clicks, segmentation.georeference, legend=None if legend is None else Legend.read(legend), field=field
    )
    with share_bar("classify") as tell:
        found, sure = table_of_clicks(
            segmentation, given.clicks, given.legend, seed=seed, min_certainty=min_certainty
        )
        written = write_maps(
            segmentation,
            found,
            out,
            certainty=None if certainty is None else (sure, certainty),
            table_out=table,
            progress=tell,
        )
    names = given.legend
    for sentence in given.remarks:
        typer.echo(sentence, err=True)
    facts = {
        "map": str(out),
        "clicks": len(given.clicks),
        "classes": [
            {"class": number, "name": names.name(number), "pixels": pixels}
            for number, pixels in written.pixels.items()
        ],
        "unclassified": written.unclassified,
        "certainty": None if certainty is None else str(certainty),
        "table": None if table is None else str(table),
    }
    report(facts, f"{class_lines(written.pixels, names, written.unclassified)}\nwritten to {out}.", as_json)


def class_lines(pixels: dict[int, int], names: Legend, unclassified: int) -> str:
    """A line for each class with its share of the pixels with data."""
    total = max(1, sum(pixels.values()) + unclassified)
    rows = [(names.name(number), count) for number, count in pixels.items()]
    rows += [("(no class)", unclassified)] if unclassified else []
    return "\n".join(f"{name:<24} {count:>14,} pixels {100 * count / total:6.2f} %" for name, count in rows)
