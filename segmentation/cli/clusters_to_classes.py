"""``clusters-to-classes``: clusters into classes by majority, scored honestly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.drafts import check_output, drafts
from segmentation.errors import InvalidArgumentError

__all__ = ["clusters_to_classes_command"]


@app.command("clusters-to-classes")
def clusters_to_classes_command(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Segmentation, as segment writes it: a folder or a URL.")
    ],
    truth: Annotated[
        Path, typer.Option(help="True classes (1-255) on the image's grid; 0 and nodata are ignored.")
    ],
    fraction: Annotated[
        float,
        typer.Option(help="Share of the tiles with truth that the classes are fitted on; the others score."),
    ] = 0.6,
    keep: Annotated[
        float,
        typer.Option(
            help="Keep clusters from the purest, by the fitted tiles, until they hold this share of the fitted pixels; "
            "1 keeps all."
        ),
    ] = 0.4,
    clusters: Annotated[int, typer.Option(help="Number of clusters; at most the number of leaves.")] = 100,
    tile_px: Annotated[int, typer.Option(help="Side of the tiles that are fitted or scored on.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the draw of tiles.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="GeoTIFF (COG) to write: the class map of the kept clusters, 0 = none."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="JSON to write: the class of every leaf of the kept clusters, for apply --classes."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give each cluster the class that most of its pixels have in TRUTH, and score that where it was not fitted.

    The image is divided into square tiles, drawn at random: in --fraction of them each cluster takes the class of most of its
    pixels; in the others the result is scored. No pixel, and no tile, is used for both. The purity of a cluster is the share of its
    fitted pixels that have its class. Scores are given for all clusters, and for the purest, which hold --keep of the fitted pixels:
    they cover less, and err less.
    """
    from segmentation.class_maps import write_maps
    from segmentation.majority import fit_majority
    from segmentation.rasters.class_map import ClassMap
    from segmentation.store import open_segmentation

    outputs = [path for path in (out, table) if path is not None]
    for path in outputs:
        check_output(path, truth)
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidArgumentError("Two outputs have the same name; give each a file of its own.")
    segmentation = open_segmentation(store)
    with ClassMap(truth) as true, share_bar("clusters to classes") as tell:
        found = fit_majority(
            segmentation,
            true,
            n_clusters=clusters,
            fraction=fraction,
            keep=keep,
            tile_px=tile_px,
            seed=seed,
            progress=tell,
        )
    if out is not None:
        write_maps(segmentation, found.kept_table, out, table_out=table)
    elif table is not None:
        with drafts(table) as (draft,):
            found.kept_table.write(draft)
    facts = {
        "clusters": found.n_clusters,
        "fitted_pixels": found.fitted_pixels,
        "scored_pixels": found.scored_pixels,
        "all": found.scores.as_dict(),
        "kept": {
            "clusters": found.n_kept,
            "share": found.kept_share,
            "least_purity": found.kept_purity,
            **found.kept_scores.as_dict(),
        },
        "map": None if out is None else str(out),
        "table": None if table is None else str(table),
    }
    text = (
        f"Fitted on {found.fitted_pixels:,} pixels, scored on {found.scored_pixels:,} others.\n\n"
        f"ALL {found.n_clusters} CLUSTERS\n{found.scores.as_text()}\n\n"
        f"THE {found.n_kept} PUREST CLUSTERS, with {found.kept_share:.1%} of the fitted pixels, each at least "
        f"{found.kept_purity:.1%} pure\n{found.kept_scores.as_text()}"
    )
    report(facts, text, as_json)
