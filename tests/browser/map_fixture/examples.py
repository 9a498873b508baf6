"""Examples, imports and legends of the fixture's projects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from affine import Affine

from segmentation.examples import parse_samples
from segmentation.rasters.georeference import Georeference
from tests.browser.map_fixture.world import World

LEGENDS = Path(__file__).resolve().parents[3] / "webapp" / "editing" / "legends.json"
NEW_COLOR = "#0072b2"


def legend_classes(command: dict[str, Any], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The classes that a `legend.load` adds."""
    wanted = [{"name": name, "color": color} for name, color in command.get("classes") or []]
    if "preset" in command:
        [wanted] = [
            one["classes"] for one in json.loads(LEGENDS.read_text()) if one["id"] == command["preset"]
        ]
    names = {label["name"].lower() for label in known if not label["deleted"]}
    return [label for label in wanted if label["name"].lower() not in names]


def marks_of(command: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a command gives examples of, as the list of examples has it."""
    if command["type"] == "leaves.assign" and "point" in command:
        given, kind = [{"class": command["class"], "against": False, "points": [command["point"]]}], "click"
    else:
        given, kind = command.get("examples", []), command.get("source", "stroke")
    return [{"number": number, "kind": kind, **one} for one in given]


def read_import(
    world: World, known: list[dict[str, Any]], body: bytes, field: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer to an import, and the command that it amounts to. Only scenes without CRS have a grid here."""
    found = parse_samples(
        body, Georeference(Affine.identity(), None, world.height, world.width), class_field=field or None
    )
    live = {label["name"].lower(): label for label in known if not label["deleted"]}
    classes: dict[str, dict[str, Any]] = {}
    for sample in found.samples:
        label = live.get(sample.label.lower(), {})
        entry = classes.setdefault(
            sample.label.lower(),
            {"name": sample.label, "class": label.get("number"), "color": label.get("color", NEW_COLOR)}
            | {"features": 0, "points": 0, "against": 0},
        )
        entry["features"] += 1
        entry["points"] += len(sample.points)
        entry["against"] += sample.against
    answer = {
        "number": None, "field": found.field, "fields": found.fields, "features": found.n_features,
        "points": found.n_points, "outside": found.outside, "without_class": found.without_class,
        "without_geometry": found.without_geometry, "per_polygon": found.per_polygon, "classes": list(classes.values()),
    }  # fmt: skip
    new = [one for one in classes.values() if one["class"] is None]
    first = len(known) + 1
    number_of = {one["name"].lower(): first + index for index, one in enumerate(new)}
    number_of |= {name: label["number"] for name, label in live.items()}
    examples = [
        {
            "class": number_of[sample.label.lower()],
            "against": sample.against,
            "points": [list(at) for at in sample.points],
        }
        for sample in found.samples
    ]
    command = {
        "type": "examples.add", "source": "import", "examples": examples,
        "classes": [[one["name"], one["color"]] for one in new],
    }  # fmt: skip
    return answer, command
