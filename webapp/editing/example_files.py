"""A project's examples as a list, as a GeoJSON file, and from one (docs/protocol.md, "Examples")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from affine import Affine
from django.contrib.auth.models import User
from django.utils.text import slugify
from pydantic import TypeAdapter, ValidationError

from segmentation.examples import Sample, SampleFile, WrittenExample, examples_to_geojson, parse_samples
from segmentation.rasters.georeference import Georeference
from webapp.actions import Payload, new_class_numbers, record
from webapp.editing.edits import LabelState, ProjectState
from webapp.editing.examples import MAX_EXAMPLES, fold_examples, live_examples, read_log
from webapp.editing.legends import missing_classes
from webapp.editing.palette import next_colors
from webapp.editing.snapshots import load_state
from webapp.errors import ConflictError, InvalidInputError, LimitError
from webapp.messages import ClassName
from webapp.models import Edit, Project, Scene

__all__ = [
    "MAX_IMPORTED",
    "ExampleGroup",
    "describe_examples",
    "example_groups",
    "export_examples",
    "georeference_of",
    "import_examples",
    "read_file",
    "report",
]

MAX_IMPORTED = 10_000  # pixels of one file: all of them are one edit
_NAME: TypeAdapter[str] = TypeAdapter(ClassName)


@dataclass(frozen=True)
class ExampleGroup:
    """What one edit says of one class: what people see as one example."""

    number: int  # of the edit
    class_number: int
    against: bool
    kind: str  # "click", "stroke" or "import"
    points: list[tuple[int, int]]  # row, col


# ---------------------------------------------------------------------------------------------------- out


def example_groups(project: Project) -> list[ExampleGroup]:
    """The examples of a project, in the order of their edits; those of deleted classes hide."""
    examples = live_examples(project)
    added = Edit.objects.filter(project=project, kind="examples.add")
    sources = dict(added.values_list("number", "payload__source"))
    return [
        ExampleGroup(
            number,
            class_number,
            against,
            (sources[number] or "stroke") if number in sources else "click",
            [(one.row, one.col) for one in group],
        )
        for (number, class_number, against), group in groupby(
            examples, key=lambda one: (one.number, one.class_number, one.against)
        )
    ]


def describe_examples(project: Project) -> dict[str, Any]:
    """The "Examples" of the protocol."""
    # The number first: what comes in between is then in the list already, and fetched once more.
    return {
        "number": project.number,
        "examples": [
            {
                "number": group.number,
                "class": group.class_number,
                "against": group.against,
                "kind": group.kind,
                "points": group.points,
            }
            for group in example_groups(project)
        ],
    }


def export_examples(project: Project) -> tuple[dict[str, Any], str]:
    """The examples as GeoJSON, and the name of the file."""
    labels: dict[int, LabelState] = load_state(project).classes
    written = [
        WrittenExample(
            group.points,
            labels[group.class_number].name,
            group.class_number,
            labels[group.class_number].color,
            group.against,
            group.kind,
            group.number,
        )
        for group in example_groups(project)
    ]
    name = f"{slugify(project.name) or f'project-{project.pk}'}-examples.geojson"
    return examples_to_geojson(written, georeference_of(project.scene)), name


def georeference_of(scene: Scene) -> Georeference:
    """Where the scene lies, from its description; ConflictError where it is not imported."""
    if scene.state != Scene.State.READY:
        raise ConflictError(
            f"The scene {scene.name} is not ready ({scene.state}), so nothing lies in it yet."
        )
    info = scene.info
    return Georeference(Affine(*info["transform"]), info["crs"], info["height"], info["width"])


# ---------------------------------------------------------------------------------------------------- in


def read_file(scene: Scene, data: bytes, class_field: str | None = None) -> SampleFile:
    """Read a file of examples for a scene; takes seconds for large ones, and no database.

    The names of classes are checked too; InvalidInputError or SegmentationError with the feature where
    something is wrong.
    """
    found = parse_samples(data, georeference_of(scene), class_field=class_field, most_points=MAX_IMPORTED)
    for sample in found.samples:
        _check_name(sample)
    return found


def report(project: Project, found: SampleFile, edit: Edit | None = None) -> dict[str, Any]:
    """What an import brings or would bring (docs/protocol.md); ``edit`` is the one that it made."""
    state = load_state(project)
    known = {label.name.casefold(): label for label in state.live_classes()}
    new = dict(zip(*_new_classes(state, found.samples), strict=True))
    classes: dict[str, dict[str, Any]] = {}
    for sample in found.samples:
        label = known.get(sample.label.casefold())
        entry = classes.setdefault(
            sample.label.casefold(),
            {
                "name": label.name if label else sample.label,
                "class": label.number if label else None,
                "color": label.color if label else new[sample.label.casefold()],
                "features": 0,
                "points": 0,
                "against": 0,
            },
        )
        entry["features"] += 1
        entry["points"] += len(sample.points)
        entry["against"] += sample.against
    return {
        "number": edit.number if edit else None,
        "field": found.field,
        "fields": found.fields,
        "features": found.n_features,
        "points": found.n_points,
        "outside": found.outside,
        "without_class": found.without_class,
        "without_geometry": found.without_geometry,
        "per_polygon": found.per_polygon,
        "classes": list(classes.values()),
    }


def import_examples(user: User, project_id: int, client_id: str, found: SampleFile) -> Edit:
    """Add what a file holds, and the classes that the project lacks, as one edit."""
    if found.field is None:
        known = ", ".join(found.fields)[:300] or "none at all"
        raise InvalidInputError(
            f"No property of the features is called like a class; say which one it is (they have: {known})."
        )
    if not found.samples:
        raise InvalidInputError(
            f"None of the {found.n_features} features has a class and lies in the scene, so there is nothing to "
            "import."
        )

    def make(project: Project, state: ProjectState) -> Payload:
        n_live = len(fold_examples(read_log(project)))
        if n_live + found.n_points > MAX_EXAMPLES:
            raise LimitError(
                f"With these {found.n_points} pixels the project would have {n_live + found.n_points} examples, and "
                f"at most {MAX_EXAMPLES} are learned from; remove some first."
            )
        _, colors = _new_classes(state, found.samples)
        added = missing_classes(state, [(sample.label, "") for sample in found.samples])
        numbers = new_class_numbers(project, len(added))
        created = [
            {"class": number, "name": name, "color": color}
            for number, (name, _), color in zip(numbers, added, colors, strict=True)
        ]
        number_of = {label.name.casefold(): label.number for label in state.live_classes()}
        number_of |= {label["name"].casefold(): label["class"] for label in created}
        payload: Payload = {"source": "import", "examples": _by_class(found.samples, number_of)}
        return {**payload, "classes": created} if created else payload

    return record(user, project_id, client_id, "examples.add", make)


def _by_class(samples: Sequence[Sample], number_of: dict[str, int]) -> list[dict[str, Any]]:
    """The pixels of each class as one example, those against it as another, each pixel once."""
    points: dict[tuple[int, bool], dict[tuple[int, int], None]] = {}
    for sample in samples:
        key = (number_of[sample.label.casefold()], sample.against)
        points.setdefault(key, {}).update(dict.fromkeys(sample.points))
    return [
        {"class": number, "against": against, "points": [list(point) for point in chosen]}
        for (number, against), chosen in points.items()
    ]


def _new_classes(state: ProjectState, samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Names (in lower case) and colors of the classes that the project lacks, in the file's order."""
    names = [
        name.casefold() for name, _ in missing_classes(state, [(sample.label, "") for sample in samples])
    ]
    given: dict[str, str] = {}
    for sample in samples:
        if sample.color:
            given.setdefault(sample.label.casefold(), sample.color)
    used = [label.color for label in state.live_classes()] + list(given.values())
    free = iter(next_colors(used, len(names)))
    return names, [given.get(name) or next(free) for name in names]


def _check_name(sample: Sample) -> None:
    try:
        _NAME.validate_python(sample.label)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InvalidInputError(
            f"Feature {sample.feature} has the class {sample.label[:40]!r}, which cannot be a name: "
            f"{reason[:1].lower()}{reason[1:].rstrip('.')}."
        ) from None
