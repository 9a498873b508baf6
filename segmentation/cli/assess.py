"""``sample`` and ``assess``: reference points for a class map, and what they say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from segmentation.cli.app import AsJson, app, report, share_bar
from segmentation.drafts import check_output, drafts, write_text
from segmentation.errors import InvalidArgumentError, UnreadableSceneError
from segmentation.legend import Legend

__all__ = ["assess_command", "sample_command"]

_MAX_POINTS = 50_000


@app.command("sample")
def sample_command(
    class_map: Annotated[
        Path, typer.Argument(metavar="MAP", help="Class map, one band; its classes are the strata.")
    ],
    points: Annotated[
        Path, typer.Argument(metavar="POINTS", help="GeoJSON of points to write, without classes.")
    ],
    standard_error: Annotated[
        float,
        typer.Option(help="Wanted of the overall accuracy; 0.01 means plus or minus two percent points."),
    ] = 0.02,
    expect: Annotated[
        float, typer.Option(help="How right each class is thought to be, 0 to 1, both left out.")
    ] = 0.8,
    n_points: Annotated[
        int | None,
        typer.Option("--points", help="Number of points, in place of --standard-error and --expect."),
    ] = None,
    least: Annotated[int, typer.Option(help="Points of each class at least, however rare it is.")] = 50,
    clicks: Annotated[
        Path | None,
        typer.Option(help="Clicks the map was made from (CSV or GeoJSON): none of their pixels is drawn."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same map, numbers and seed give the same points.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw a stratified random sample of MAP for people to label.

    POINTS holds no class of the map, and the points are in random order, so that nobody is led. Write what is there into the
    property "reference" of each, a name or a number, for example in QGIS, and give it to "assess".
    """
    from segmentation.assessment.points import points_to_geojson
    from segmentation.assessment.sampling import allocate, count_classes, draw_points, sample_size
    from segmentation.clicks import read_clicks
    from segmentation.rasters.class_map import ClassMap

    check_output(points, class_map, *([] if clicks is None else [clicks]))
    with ClassMap(class_map) as mapped:
        clicked = [] if clicks is None else read_clicks(clicks, mapped.georeference).clicks
        with share_bar("count") as tell:
            sizes = count_classes(mapped, tell)
        if not sizes:
            raise InvalidArgumentError(f"{class_map.name} has no class anywhere; classify some of it first.")
        wanted = n_points
        if wanted is None:
            wanted = sample_size(sizes, standard_error, dict.fromkeys(sizes, expect))
        given = allocate(sizes, wanted, least)
        total = sum(given.values())
        if total > _MAX_POINTS:
            raise InvalidArgumentError(
                f"That comes to {total:,} points, and at most {_MAX_POINTS:,} are drawn; ask for fewer, or for less precision."
            )
        with share_bar("draw") as tell:
            drawn = draw_points(
                mapped,
                sizes,
                given,
                seed=seed,
                but=[(click.row, click.col) for click in clicked],
                progress=tell,
            )
        with drafts(points) as (draft,):
            write_text(draft, json.dumps(points_to_geojson(drawn[:, :2], mapped.georeference)) + "\n")
        names = mapped.legend
    by_class = {names.name(number): count for number, count in given.items()}
    told = ", ".join(f"{count:,} {name}" for name, count in by_class.items())
    report(
        {
            "points": total,
            "by_class": by_class,
            "pixels": {names.name(number): size for number, size in sizes.items()},
        },
        f"{total:,} points written to {points}: {told}.",
        as_json,
    )


@app.command("assess")
def assess_command(
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map to judge, one band.")],
    points: Annotated[
        Path, typer.Argument(metavar="POINTS", help="GeoJSON of points with their true classes.")
    ],
    strata: Annotated[
        Path | None,
        typer.Option(help="Map that the points were drawn from, on the same grid; by default MAP itself."),
    ] = None,
    legend: Annotated[
        Path | None, typer.Option(help="JSON with names of the classes; by default those that MAP carries.")
    ] = None,
    field: Annotated[str, typer.Option(help="Property of the points with the true class.")] = "reference",
    confidence: Annotated[float, typer.Option(help="Of the intervals, 0.5 to 0.999.")] = 0.95,
    json_file: Annotated[
        Path | None, typer.Option("--json", help='JSON file to write; "-" prints it instead of the tables.')
    ] = None,
) -> None:
    """Estimate the accuracy of MAP and the areas of its classes, each with an interval.

    The points must be a random sample within the classes of the map that they were drawn from: then areas by reference (Olofsson et al.
    2014; Stehman 2014) are without bias, which counted pixels are not. Points without a class are left aside, and counted.
    """
    from segmentation.assessment.estimates import assess
    from segmentation.assessment.points import read_labeled_points
    from segmentation.assessment.report import as_dict, as_text
    from segmentation.assessment.sampling import count_classes, mapped_area_m2
    from segmentation.rasters.class_map import ClassMap, check_same_grid

    if not 0.5 <= confidence <= 0.999:
        raise InvalidArgumentError(
            f"A confidence of {confidence:g} was asked for; choose 0.5 to 0.999, such as 0.95."
        )
    to_stdout = json_file == Path("-")
    if json_file is not None and not to_stdout:
        inputs = [path for path in (strata, legend) if path is not None]
        check_output(json_file, class_map, points, *inputs)
    try:
        data = points.read_bytes()
    except OSError as error:
        raise UnreadableSceneError(f"The points {points} cannot be read: {error.strerror}.") from error
    with ClassMap(class_map) as mapped, ClassMap(strata or class_map) as drawn_from:
        check_same_grid(
            mapped.georeference, drawn_from.georeference, class_map.name, (strata or class_map).name
        )
        names = (
            Legend({**drawn_from.legend.names, **mapped.legend.names})
            if legend is None
            else Legend.read(legend)
        )
        labeled = read_labeled_points(data, mapped.georeference, names, field)
        with share_bar("count") as tell:
            sizes = count_classes(drawn_from, tell)
        area = mapped_area_m2(drawn_from, mapped.georeference)
        told: list[list[int]] = [
            [int(source.read(row, col, 1, 1)[0, 0]) for row, col in labeled.pixels.tolist()]
            for source in (drawn_from, mapped)
        ]
    found = assess(told[0], told[1], labeled.classes, sizes, {number: names.name(number) for number in sizes})
    facts: dict[str, Any] = as_dict(found, names, area, confidence)
    facts |= {"points_without_class": labeled.without_class, "points_outside": labeled.outside}
    if json_file is not None and not to_stdout:
        with drafts(json_file) as (draft,):
            write_text(draft, json.dumps(facts, indent=1, allow_nan=False) + "\n")
    text = as_text(found, names, area, confidence)
    aside = [
        f"{count:,} points {why}."
        for count, why in (
            (labeled.without_class, "have no class yet and do not count"),
            (labeled.outside, "lie outside the map"),
        )
        if count
    ]
    typer.echo(json.dumps(facts, allow_nan=False) if to_stdout else "\n".join([text, *aside]))
