"""What browsers say on the socket: one type for each command (docs/protocol.md, "Commands").

A test compares the registry with the table of that page; what the server says is in webapp/live/event_types.py.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from segmentation.drawing import MAX_VERTICES
from webapp.editing.edits import MAX_CLASSES, MAX_RANGES
from webapp.editing.examples import MAX_POINTS
from webapp.editing.refinements import MAX_PARTS
from webapp.errors import InvalidInputError

__all__ = [
    "COMMANDS",
    "AddExamples",
    "AddOverride",
    "AdoptSegmentation",
    "AssignLeaves",
    "CancelSplit",
    "Command",
    "CreateClass",
    "DeleteClass",
    "EditCommand",
    "FetchState",
    "LoadLegend",
    "MergeClasses",
    "PreviewSplit",
    "RecolorClass",
    "RedoEdit",
    "Region",
    "RemoveExamples",
    "RenameClass",
    "ReorderClasses",
    "ResendEdits",
    "RestoreState",
    "SetAoi",
    "SetCompletion",
    "SplitCluster",
    "SplitLeaf",
    "TakeBlocks",
    "TellPresence",
    "UnassignLeaves",
    "UndoEdit",
    "WantBlocks",
    "looks_like_presence",
    "parse_command",
    "sender_of",
]

MAX_WANTED = 64  # blocks of one blocks.want


def _printable(text: str) -> str:
    # Also keeps out NUL, which PostgreSQL cannot store, and unpaired surrogates, which no file can.
    if not text.isprintable():
        raise ValueError("it holds control characters; use letters, digits and punctuation only")
    return text


ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]
Index = Annotated[int, Field(ge=0, le=2**31 - 1)]
ClassNumber = Annotated[int, Field(ge=1, le=MAX_CLASSES)]
ClassName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_printable)
]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)]
Ranges = Annotated[list[tuple[Index, Index]], Field(min_length=1, max_length=MAX_RANGES)]
Point = tuple[Index, Index]
NamesAndColors = Annotated[list[tuple[ClassName, Color]], Field(min_length=1, max_length=MAX_CLASSES)]


# ----------------------------------------------------------------------------------------------------
# commands


class Command(BaseModel):
    """Browser to server."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EditCommand(Command):
    """A command that changes the project, answered by ``edit.applied`` or ``command.rejected``."""

    client_id: ClientId


class AssignLeaves(EditCommand):
    type: Literal["leaves.assign"]
    segmentation: Id
    version: Index
    ranges: Ranges
    class_number: ClassNumber = Field(alias="class")
    point: Point | None = None
    seen: Index | None = None  # number of the newest edit that the page had when this was made


class UnassignLeaves(EditCommand):
    type: Literal["leaves.unassign"]
    segmentation: Id
    version: Index
    ranges: Ranges
    point: Point | None = None
    seen: Index | None = None


class SplitCluster(EditCommand):
    type: Literal["cluster.split"]
    segmentation: Id
    version: Index
    leaves: tuple[Index, Index] = Field(alias="range")
    parts: Annotated[list[tuple[Index, Index]], Field(min_length=1, max_length=64)]


class SplitLeaf(EditCommand):
    type: Literal["leaf.split"]
    segmentation: Id
    version: Index
    leaf: Index
    parts: Annotated[int, Field(ge=2, le=MAX_PARTS)] | None = None
    class_number: ClassNumber | None = Field(default=None, alias="class")
    point: Point | None = None


class PreviewSplit(Command):
    """Changes nothing for others, and is told to its sender alone."""

    type: Literal["split.preview"]
    client_id: ClientId
    segmentation: Id
    version: Index
    leaf: Index
    parts: Annotated[int, Field(ge=2, le=MAX_PARTS)]


class CancelSplit(Command):
    type: Literal["split.cancel"]


class CreateClass(EditCommand):
    type: Literal["class.create"]
    name: ClassName
    color: Color


class RenameClass(EditCommand):
    type: Literal["class.rename"]
    class_number: ClassNumber = Field(alias="class")
    name: ClassName


class RecolorClass(EditCommand):
    type: Literal["class.recolor"]
    class_number: ClassNumber = Field(alias="class")
    color: Color


class ReorderClasses(EditCommand):
    type: Literal["class.reorder"]
    order: Annotated[list[ClassNumber], Field(max_length=MAX_CLASSES)]


class DeleteClass(EditCommand):
    type: Literal["class.delete"]
    class_number: ClassNumber = Field(alias="class")


class MergeClasses(EditCommand):
    type: Literal["class.merge"]
    sources: Annotated[list[ClassNumber], Field(min_length=1, max_length=MAX_CLASSES)]
    class_number: ClassNumber = Field(alias="class")


class Region(BaseModel):
    """The pixels of some leaves that are connected with one pixel."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    segmentation: Id
    version: Index
    ranges: Ranges
    point: Point


Position = tuple[
    Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]
]  # row, col
Ring = Annotated[list[Position], Field(min_length=3, max_length=MAX_VERTICES)]
Polygon = Annotated[list[Ring], Field(min_length=1, max_length=1000)]


class AddOverride(EditCommand):
    type: Literal["override.add"]
    class_number: ClassNumber | None = Field(alias="class")
    polygons: Annotated[list[Polygon], Field(min_length=1, max_length=1000)] | None = None
    region: Region | None = None


class SetAoi(EditCommand):
    type: Literal["aoi.set"]
    geometry: dict[str, Any] | None


class AdoptSegmentation(EditCommand):
    type: Literal["segmentation.adopt"]
    segmentation: Id


class LoadLegend(EditCommand):
    type: Literal["legend.load"]
    preset: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    classes: NamesAndColors | None = None


class ExampleStroke(BaseModel):
    """Pixels that are of a class, or are not."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    class_number: ClassNumber = Field(alias="class")
    against: bool = False
    points: Annotated[list[Point], Field(min_length=1, max_length=MAX_POINTS)]


class AddExamples(EditCommand):
    type: Literal["examples.add"]
    examples: Annotated[list[ExampleStroke], Field(min_length=1, max_length=MAX_POINTS)]


class RemoveExamples(EditCommand):
    type: Literal["examples.remove"]
    targets: Annotated[list[Index], Field(min_length=1, max_length=MAX_POINTS)]


class SetCompletion(EditCommand):
    type: Literal["completion.set"]
    on: bool
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class UndoEdit(EditCommand):
    type: Literal["edit.undo"]


class RedoEdit(EditCommand):
    type: Literal["edit.redo"]


class RestoreState(EditCommand):
    type: Literal["state.restore"]
    number: Annotated[int, Field(ge=1, le=2**31 - 1)]


class WantBlocks(Command):
    type: Literal["blocks.want"]
    segmentation: Id
    level: Annotated[int, Field(ge=0, le=31)]
    blocks: Annotated[list[tuple[Index, Index]], Field(max_length=MAX_WANTED)]
    window: Annotated[int, Field(ge=1, le=64)] | None = None  # frames that may be on their way at once


class TakeBlocks(Command):
    """The browser has taken this many frames with leaf blocks since the connection was opened."""

    type: Literal["blocks.taken"]
    frames: Index


# Far beyond every scene: where a pointer is while the map is dragged off the scene's edge.
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class TellPresence(Command):
    """Where somebody is and what they point at; told to the others, never stored."""

    type: Literal["presence"]
    point: tuple[Coordinate, Coordinate] | None  # row, col
    leaf: Annotated[int, Field(ge=0, le=65_534)] | None
    view: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None  # row0, col0, row1, col1
    cut: Annotated[int, Field(ge=1, le=65_535)]
    idle: bool


class ResendEdits(Command):
    type: Literal["edits.since"]
    number: Index


class FetchState(Command):
    type: Literal["state.fetch"]


_MODELS: tuple[type[Command], ...] = (
    AssignLeaves,
    UnassignLeaves,
    SplitCluster,
    SplitLeaf,
    PreviewSplit,
    CancelSplit,
    CreateClass,
    RenameClass,
    RecolorClass,
    ReorderClasses,
    DeleteClass,
    MergeClasses,
    AddOverride,
    SetAoi,
    AdoptSegmentation,
    LoadLegend,
    AddExamples,
    RemoveExamples,
    SetCompletion,
    UndoEdit,
    RedoEdit,
    RestoreState,
    WantBlocks,
    TakeBlocks,
    TellPresence,
    ResendEdits,
    FetchState,
)
COMMANDS: dict[str, type[Command]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in _MODELS
}

_AnyCommand = Annotated[
    AssignLeaves
    | UnassignLeaves
    | SplitCluster
    | SplitLeaf
    | PreviewSplit
    | CancelSplit
    | CreateClass
    | RenameClass
    | RecolorClass
    | ReorderClasses
    | DeleteClass
    | MergeClasses
    | AddOverride
    | SetAoi
    | AdoptSegmentation
    | LoadLegend
    | AddExamples
    | RemoveExamples
    | SetCompletion
    | UndoEdit
    | RedoEdit
    | RestoreState
    | WantBlocks
    | TakeBlocks
    | TellPresence
    | ResendEdits
    | FetchState,
    Discriminator("type"),
]
_ADAPTER: TypeAdapter[Command] = TypeAdapter(_AnyCommand)


def parse_command(text: str) -> Command:
    """Read one text frame; InvalidInputError, with a sentence on what is wrong, where it is no command."""
    try:
        return _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidInputError(_explain(error)) from None


_PRESENCE = re.compile(r'\s*\{\s*"type"\s*:\s*"presence"')


def looks_like_presence(text: str) -> bool:
    """Whether a frame, not read yet, begins as the command ``presence`` does when pages send it."""
    return _PRESENCE.match(text) is not None


def sender_of(text: str) -> str | None:
    """The ``client_id`` of a frame that could not be read as a command, so that its sender can be told."""
    try:
        client_id = json.loads(text)["client_id"]
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        return None
    return client_id if isinstance(client_id, str) and 0 < len(client_id) <= 64 else None


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return f"The message is not JSON that can be read ({first['ctx']['error']})."
    if first["type"] == "union_tag_not_found":
        return "The message names no `type`; the types are listed in docs/protocol.md."
    if first["type"] == "union_tag_invalid":
        return f"There is no command {first['ctx']['tag']!r}; the types are listed in docs/protocol.md."
    if len(first["loc"]) < 2:
        return "The message is not a JSON object with a `type`."
    command, name, *path = first["loc"]
    where = f"`{name}`" + "".join(f"[{step}]" for step in path)
    if first["type"] == "missing":
        return f"{command} lacks its field {where}."
    if first["type"] == "extra_forbidden":
        return f"{command} has no field {where}; leave it out."
    shown = repr(first["input"])
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return f"The field {where} of {command} cannot be {shown}: {reason[:1].lower()}{reason[1:]}."
