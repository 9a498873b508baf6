"""``evaluate``: a class map against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from segmentation.cli.app import app, integers, share_bar
from segmentation.drafts import check_output, drafts, write_text
from segmentation.errors import InvalidArgumentError
from segmentation.legend import Legend

__all__ = ["evaluate_command"]

_PLOTS = (".png", ".svg", ".pdf")


@app.command("evaluate")
def evaluate_command(
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map, one band.")],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="True classes on the same grid; 0 and nodata are ignored.")
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", help='JSON file to write; "-" prints it instead of the tables.')
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: .png, .svg or .pdf.")] = None,
    legend: Annotated[
        Path | None,
        typer.Option(help="JSON with names of the classes; by default those that TRUTH or MAP carry."),
    ] = None,
    ignore: Annotated[
        str, typer.Option(help="More class numbers to ignore, with commas between, such as 255 (unknown).")
    ] = "",
    count_unclassified: Annotated[
        bool,
        typer.Option("--count-unclassified", help="Pixels without a class in MAP are wrong, not left out."),
    ] = False,
) -> None:
    """Score MAP against TRUTH: accuracy, kappa, and for each class IoU, Dice, precision and recall.

    Pixels that are 0 or nodata in TRUTH are ignored, and so are those of MAP unless --count-unclassified is given; how many
    MAP leaves out is told. Means are over the classes that TRUTH has.
    """
    from segmentation.evaluation import compare, score
    from segmentation.evaluation_plot import plot_scores
    from segmentation.rasters.class_map import ClassMap

    if plot is not None and plot.suffix.lower() not in _PLOTS:
        raise InvalidArgumentError(f"{plot} is to be a picture; let its name end in .png, .svg or .pdf.")
    to_stdout = json_file == Path("-")
    outputs = [path for path in (None if to_stdout else json_file, plot) if path is not None]
    for path in outputs:
        check_output(path, class_map, truth, *([] if legend is None else [legend]))
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidArgumentError("Two outputs have the same name; give each a file of its own.")
    names = None if legend is None else Legend.read(legend)
    ignored = [number for number in integers(ignore, "class numbers to ignore", 0, 1023) if number]
    with ClassMap(class_map) as mapped, ClassMap(truth) as true, share_bar("evaluate") as tell:
        confusion = compare(mapped, true, ignored=ignored, progress=tell)
        both = Legend({**mapped.legend.names, **true.legend.names})
        scores = score(confusion, names or both, count_unclassified=count_unclassified)
    with drafts(*outputs) as made:
        for draft, path in zip(made, outputs, strict=True):
            if path == plot:
                plot_scores(scores, draft, title=f"{class_map.name} against {truth.name}")
            else:
                write_text(draft, json.dumps(scores.as_dict(), indent=1, allow_nan=False) + "\n")
    typer.echo(json.dumps(scores.as_dict(), allow_nan=False) if to_stdout else scores.as_text())
