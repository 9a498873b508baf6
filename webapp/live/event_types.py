"""What the server tells browsers: one type for each event (docs/protocol.md, "Events")."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, TypedDict

__all__ = [
    "EVENTS",
    "AreaInfo",
    "AuthorInfo",
    "ClassInfo",
    "ClicksInfo",
    "CommandRejectedEvent",
    "CommentsChangedEvent",
    "CompletionFailedEvent",
    "CompletionInfo",
    "EditAppliedEvent",
    "EditInfo",
    "EditSummary",
    "HeartbeatEvent",
    "MemberInfo",
    "MembersChangedEvent",
    "OverrideProgressEvent",
    "OverridesInfo",
    "PresenceEvent",
    "PresenceInfo",
    "ProjectInfo",
    "ProjectResumedEvent",
    "ProjectStateEvent",
    "SegmentationProgressEvent",
    "SegmentationsChangedEvent",
    "SplitPreviewedEvent",
    "SplitProgressEvent",
    "SplitsInfo",
    "StatisticsChangedEvent",
    "VersionsChangedEvent",
    "event",
    "extended",
]


class ClassInfo(TypedDict):
    number: int
    name: str
    color: str
    position: int
    deleted: bool
    merged_into: int | None


class CompletionInfo(TypedDict):
    on: bool
    threshold: float


class ProjectInfo(TypedDict):
    id: int
    name: str
    aoi: dict[str, Any] | None
    completion: CompletionInfo


class SplitsInfo(TypedDict):
    version: int
    leaves: list[list[int]]
    clusters: list[list[Any]]


class OverridesInfo(TypedDict):
    version: int
    blocks: list[list[int]]


class ClicksInfo(TypedDict, total=False):
    all: list[list[int]]
    added: list[list[int]]
    removed: list[int]


class AuthorInfo(TypedDict):
    """Who somebody is to the other members."""

    id: int
    name: str
    color: str


class MemberInfo(AuthorInfo):
    role: str


class AreaInfo(TypedDict):
    pixels: float
    area_m2: float | None


class EditSummary(TypedDict):
    """What an edit did, without words."""

    kind: str
    label: int | None
    place: list[float] | None
    area: AreaInfo | None
    detail: dict[str, Any]


class EditInfo(EditSummary):
    number: int
    author: AuthorInfo | None
    at: str
    live: bool


class ProjectResumedEvent(TypedDict):
    """What stands beside the edits, to a page that knows those up to its mark; the ones after it follow."""

    number: int
    project: ProjectInfo
    scene: dict[str, Any]
    user: str
    role: str
    members: list[MemberInfo]
    segmentations: list[dict[str, Any]]
    can_undo: bool
    can_redo: bool
    offered: dict[str, Any] | None


class ProjectStateEvent(ProjectResumedEvent):
    at: str
    classes: list[ClassInfo]
    segmentation: dict[str, Any] | None
    table: str | None
    completion: CompletionInfo
    splits: SplitsInfo
    overrides: OverridesInfo
    clicks: list[list[int]]


class EditAppliedEvent(TypedDict, total=False):
    number: int
    kind: str
    client_id: str
    user: str | None
    at: str
    author: AuthorInfo | None
    label: int | None
    place: list[float] | None
    area: AreaInfo | None
    detail: dict[str, Any]
    died: list[list[int]]
    revived: list[list[int]]
    lost: dict[str, Any]
    changes: list[list[int]]
    classes: list[ClassInfo]
    project: ProjectInfo
    splits: SplitsInfo
    overrides: OverridesInfo
    clicks: ClicksInfo
    reload: bool
    can_undo: bool
    can_redo: bool
    message: str


class CommandRejectedEvent(TypedDict):
    client_id: str | None
    code: str
    message: str


class SegmentationProgressEvent(TypedDict):
    segmentation: int
    state: str
    stage: str
    progress: float
    message: str
    left_s: float | None
    training: dict[str, Any] | None


class SegmentationsChangedEvent(TypedDict):
    segmentations: list[dict[str, Any]]
    offered: dict[str, Any] | None


class CommentsChangedEvent(TypedDict):
    """Notes on the map were written, answered, settled or taken away."""


class MembersChangedEvent(TypedDict):
    """Somebody joined, left, or has another role or name."""

    members: list[MemberInfo]


class VersionsChangedEvent(TypedDict):
    """Named versions were made, renamed or deleted."""


class StatisticsChangedEvent(TypedDict):
    segmentation: int


class CompletionFailedEvent(TypedDict):
    number: int
    message: str


class OverrideProgressEvent(TypedDict):
    client_id: str
    progress: float


class SplitProgressEvent(TypedDict):
    client_id: str
    progress: float


class SplitPreviewedEvent(TypedDict):
    client_id: str
    leaf: int
    first: int
    pixels: list[int]


class PresenceInfo(TypedDict):
    """Where somebody is, by one of their connections."""

    connection: str
    user: int
    name: str
    color: str
    role: str
    point: list[float] | None
    leaf: int | None
    view: list[float] | None
    cut: int
    idle: bool


class PresenceEvent(TypedDict):
    people: list[PresenceInfo]
    gone: list[str]


class HeartbeatEvent(TypedDict):
    number: int


class EventType(NamedTuple):
    name: str
    payload: type


_EVENT_TYPES = (
    EventType("project.state", ProjectStateEvent),
    EventType("project.resumed", ProjectResumedEvent),
    EventType("edit.applied", EditAppliedEvent),
    EventType("command.rejected", CommandRejectedEvent),
    EventType("segmentation.progress", SegmentationProgressEvent),
    EventType("segmentations.changed", SegmentationsChangedEvent),
    EventType("statistics.changed", StatisticsChangedEvent),
    EventType("comments.changed", CommentsChangedEvent),
    EventType("members.changed", MembersChangedEvent),
    EventType("versions.changed", VersionsChangedEvent),
    EventType("completion.failed", CompletionFailedEvent),
    EventType("override.progress", OverrideProgressEvent),
    EventType("split.progress", SplitProgressEvent),
    EventType("split.previewed", SplitPreviewedEvent),
    EventType("presence", PresenceEvent),
    EventType("heartbeat", HeartbeatEvent),
)
EVENTS: dict[str, type] = {kind.name: kind.payload for kind in _EVENT_TYPES}


def event(kind: str, payload: Any) -> str:
    """One text frame for the browser."""
    if kind not in EVENTS:
        raise ValueError(f"{kind!r} is not an event of the protocol")
    return json.dumps({"type": kind, **payload}, separators=(",", ":"), allow_nan=False)


def extended(frame: str, fields: Any) -> str:
    """A text frame with more fields: what is the same for all who get an event is written once."""
    return f"{frame[:-1]},{json.dumps(fields, separators=(',', ':'), allow_nan=False)[1:]}"
