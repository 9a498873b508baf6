"""``apply``: what was found and said of one scene, carried to another."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.cli.classify import class_lines
from segmentation.drafts import check_output, drafts
from segmentation.errors import InvalidArgumentError
from segmentation.legend import ClassTable, Legend

__all__ = ["apply_command"]


@app.command("apply")
def apply_command(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="Segmentation of the first scene, as segment writes it.")
    ],
    image: Annotated[Path, typer.Argument(metavar="OTHER_IMAGE", help="Another image with the same bands.")],
    out_store: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT_STORE",
            help="Folder to write: the segmentation of OTHER_IMAGE, with the same leaves.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="GeoTIFF (COG) to write: the class map of OTHER_IMAGE.")
    ] = None,
    clicks: Annotated[
        Path | None, typer.Option(help="Clicks on the FIRST scene, as classify takes them.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Instead of clicks: classes of the leaves, as classify or clusters-to-classes --table writes."
        ),
    ] = None,
    legend: Annotated[
        Path | None, typer.Option(help="JSON with the numbers of the names in the clicks.")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(help="Column or property of the clicks that holds the class; by default class."),
    ] = None,
    known: Annotated[
        float,
        typer.Option(
            help="Percentage of the first scene that would count as known if it were new (50-100); lower means more unknown."
        ),
    ] = 99.5,
    rescale: Annotated[
        bool,
        typer.Option(
            "--rescale",
            help="Scale bands by OTHER_IMAGE's own percentiles: for other light, season or sensor over like ground.",
        ),
    ] = False,
    source_image: Annotated[
        Path | None, typer.Option(help="Image that STORE was made from, if it was moved.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the decoder.")] = 0,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda".')] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Blocks computed at once; all cores by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Carry the leaves of STORE, and the classes that clicks or a table give them, to another image.

    Each superpixel of OTHER_IMAGE takes the nearest leaf of STORE. One that lies farther from it than the leaf's spread times a factor
    is unknown (class 255): the factor is such that --known percent of the first scene lie nearer. OUT_STORE has the same leaves, and
    one more, the last, for what is unknown; ids, merge tree and classes keep their meaning.
    """
    from segmentation.class_maps import write_maps
    from segmentation.store import open_segmentation
    from segmentation.transfer import carry_to, table_with_unknown

    _check(out_store, out, clicks, classes, image, store, legend)
    source = open_segmentation(store)
    table, remarks = _table(source, clicks, classes, legend, field, seed)
    if table is not None:
        table = table_with_unknown(table)
    with tempfile.TemporaryDirectory(prefix="clusternet-") as scratch:
        # Without OUT_STORE a store is made all the same, and thrown away: the map is read from it.
        target = Path(scratch) / "carried.zarr" if out_store is None else out_store
        with drafts(target) as (draft,), share_bar("apply") as tell:
            carried = carry_to(
                source,
                image,
                draft,
                source_image=source_image,
                percentile=known,
                rescale=rescale,
                device=device,
                threads=threads,
                progress=tell,
            )
            written = None
            if out is not None and table is not None:
                written = write_maps(open_segmentation(draft), table, out)
    for sentence in (*remarks, *carried.remarks):
        typer.echo(sentence, err=True)
    facts: dict[str, Any] = {
        "store": None if out_store is None else str(out_store),
        "map": None if out is None else str(out),
        "pixels": carried.pixels,
        "unknown": carried.unknown_pixels,
        "factor": carried.factor,
    }
    text = f"{carried.unknown_pixels / max(carried.pixels, 1):.1%} of {carried.pixels:,} pixels are unknown"
    if written is not None and table is not None:
        facts["classes"] = [
            {"class": number, "name": table.legend.name(number), "pixels": pixels}
            for number, pixels in written.pixels.items()
        ]
        facts["unclassified"] = written.unclassified
        text = f"{class_lines(written.pixels, table.legend, written.unclassified)}\n{text}"
    names = " and ".join(str(path) for path in (out_store, out) if path is not None)
    report(facts, f"{text}; written to {names}.", as_json)


def _check(
    out_store: Path | None,
    out: Path | None,
    clicks: Path | None,
    classes: Path | None,
    image: Path,
    store: Path,
    legend: Path | None,
) -> None:
    if out_store is None and out is None:
        raise InvalidArgumentError("Nothing is to be written; give OUT_STORE, or --out for a class map.")
    if clicks is not None and classes is not None:
        raise InvalidArgumentError("Both --clicks and --classes are given; choose one.")
    if out is not None and clicks is None and classes is None:
        raise InvalidArgumentError("A class map needs classes; give --clicks, or --classes with a table.")
    if out is None and (clicks is not None or classes is not None):
        raise InvalidArgumentError("Classes are given, but no map to write them to; give --out.")
    if out_store is not None:
        check_output(out_store, image, store, folder=True)
    if out is not None:
        check_output(out, image, *(path for path in (clicks, classes, legend) if path is not None))


def _table(
    source: Any, clicks: Path | None, classes: Path | None, legend: Path | None, field: str | None, seed: int
) -> tuple[ClassTable | None, list[str]]:
    """The class of every leaf of the first scene, and sentences on what was left aside."""
    from segmentation.class_maps import require_complete, table_of_clicks
    from segmentation.clicks import read_clicks

    require_complete(source)
    if classes is not None:
        return ClassTable.read(classes, source.n_leaves), []
    if clicks is None:
        return None, []
    names = None if legend is None else Legend.read(legend)
    given = read_clicks(clicks, source.georeference, legend=names, field=field)
    return table_of_clicks(source, given.clicks, given.legend, seed=seed)[0], given.remarks
