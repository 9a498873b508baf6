"""What the fixture's projects remember: edits as the list of recent ones has them, earlier states, versions, notes."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.browser.map_fixture.project import Project

AT = "2025-05-05T10:00:00+00:00"
COLORS = {"tester": "#0b6e5f", "boris": "#9b2f8a"}
Answer = tuple[int, Any]  # status, JSON


def person(name: str) -> dict[str, Any]:
    return {"id": 1 + list(COLORS).index(name), "name": name, "color": COLORS[name]}


@dataclass
class Memory:
    """Beside the edits themselves."""

    states: dict[int, dict[str, Any]] = field(default_factory=dict)  # right after each edit
    live: list[int] = field(default_factory=list)  # numbers of edits that were not undone
    undone: list[int] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""  # with which every question is answered
    made: int = 0  # ids given

    def next_id(self) -> int:
        self.made += 1
        return self.made


def told(project: Project, command: dict[str, Any]) -> dict[str, Any]:
    """What an edit's event says beside its changes; called once its number is taken."""
    memory, kind, number = project.memory, command["type"], project.number + 1
    what = {
        "author": person(command.get("by", "tester")),
        "label": command.get("class"),
        "place": command.get("point"),
        "area": {"pixels": 1234.0, "area_m2": 32_000.0} if kind.startswith("leaves.") else None,
        "detail": {
            name: command[name] for name in ("name", "color", "number", "on", "threshold") if name in command
        },
    }
    if kind == "edit.undo":
        target = memory.live.pop()
        memory.undone.append(target)
        what |= {"died": [[target, target + 1]], "revived": []}
    elif kind == "edit.redo":
        target = memory.undone.pop()
        memory.live.append(target)
        what |= {"died": [], "revived": [[target, target + 1]]}
    elif kind == "state.restore":
        what |= {"died": [[command["number"] + 1, number]], "revived": []}
        memory.live = [one for one in memory.live if one <= command["number"]] + [number]
    else:
        memory.live.append(number)
        memory.undone.clear()
    if kind in ("edit.undo", "edit.redo"):
        of = project.edits[target - 1]
        what |= {name: of[name] for name in ("label", "place", "area")}
        what["detail"] = {"target": target, "what": {"kind": of["kind"], "detail": of["detail"]}}
    return what


def keep(project: Project) -> None:
    """Remember the state at the newest edit."""
    project.memory.states[project.number] = {
        "table": project.table.copy(),
        "classes": [dict(label) for label in project.classes],
        "aoi": project.aoi,
    }


def restore(project: Project, number: int) -> None:
    state = project.memory.states[number]
    project.table, project.aoi = state["table"].copy(), state["aoi"]
    project.classes = [dict(label) for label in state["classes"]]


def answer(
    project: Project, method: str, parts: list[str], query: dict[str, list[str]], body: bytes
) -> Answer | None:
    """To a request below /api/projects/<id>/; None where there is no such page."""
    asked = {name: int(values[0]) for name, values in query.items() if values[0].isdigit()}
    if project.memory.error and parts[0] in ("edits", "states", "comparison", "versions", "comments"):
        return 409, {"detail": project.memory.error}
    match parts:
        case ["edits"]:
            return 200, _edits(project, asked.get("before"), asked["limit"])
        case ["states", number]:
            return 200, _state(project, int(number))
        case ["comparison"]:
            return 200, _comparison(project, asked["before"], asked.get("after", project.number))
        case ["versions", *rest]:
            return _versions(project, method, rest, json.loads(body or b"{}"))
        case ["comments", *rest]:
            return _comments(project, method, rest, json.loads(body or b"{}"))
    return None


def _edits(project: Project, before: int | None, limit: int) -> dict[str, Any]:
    newest = project.number  # first: what comes in while the list is written is not promised by it
    names = ("number", "kind", "at", "author", "label", "place", "area", "detail")
    toggles = ("edit.undo", "edit.redo")
    listed = [
        {
            **{name: edit[name] for name in names},
            "live": edit["kind"] in toggles or edit["number"] in project.memory.live,
        }
        for edit in reversed(project.edits)
        if before is None or edit["number"] < before
    ]
    return {"number": newest, "edits": listed[:limit], "more": len(listed) > limit}


def _state(project: Project, number: int) -> dict[str, Any]:
    state = project.memory.states[number]
    edit = project.edits[number - 1]
    return {
        "number": number, "at": edit["at"], "user": edit["user"], "kind": edit["kind"], "classes": state["classes"],
        "table": base64.b64encode(zlib.compress(state["table"].tobytes())).decode(), "aoi": state["aoi"],
        "segmentation": project.segmentation()["id"], "exact": True, "completion": {"on": False, "threshold": 0.5},
        "overrides": {"version": 0, "blocks": []},
    }  # fmt: skip


def _comparison(project: Project, before: int, after: int) -> dict[str, Any]:
    old, new = (project.memory.states[number] for number in (before, after))
    pairs, counts = np.unique(np.stack((old["table"], new["table"])), axis=1, return_counts=True)
    edges = np.flatnonzero(
        np.diff(np.concatenate(([0], (old["table"] != new["table"]).astype(np.int8), [0])))
    )
    outline = [{"number": number, "at": AT, "user": "tester"} for number in (before, after)]
    return {
        "before": outline[0],
        "after": outline[1],
        "exact": True,
        "in_area": True,
        "classes": [label for label in new["classes"] if not label["deleted"]],
        "matrix": [
            {"before": int(i), "after": int(j), "pixels": 100.0 * count, "area_m2": 10_000.0 * count}
            for (i, j), count in zip(pairs.T, counts.tolist(), strict=True)
        ],
        "leaves": edges.reshape(-1, 2).tolist(),
        "blocks": [],
    }


def _versions(project: Project, method: str, rest: list[str], body: dict[str, Any]) -> Answer:
    memory = project.memory
    if method == "GET":
        return 200, sorted(memory.versions, key=lambda version: -version["number"])
    if method == "POST":
        if not body["name"].strip():
            return 400, {"detail": "A version needs a name of at least one character."}
        version = {
            "id": memory.next_id(), "number": body.get("number", project.number), "name": body["name"], "note": body["note"],
            "author": person("tester"), "created_at": AT, "can_change": True,
        }  # fmt: skip
        memory.versions.append(version)
        return 201, version
    [version] = [one for one in memory.versions if one["id"] == int(rest[0])]
    if method == "DELETE":
        memory.versions.remove(version)
        return 204, None
    version.update(body)
    return 200, version


def _comments(project: Project, method: str, rest: list[str], body: dict[str, Any]) -> Answer:
    memory = project.memory
    if method == "GET":
        return 200, memory.comments
    if method == "POST":
        if not body["text"].strip():
            return 400, {"detail": "A note needs some text."}
        return 201, write(memory, body)
    [comment] = [one for one in memory.comments if one["id"] == int(rest[0])]
    if method == "DELETE":
        memory.comments = [one for one in memory.comments if comment["id"] not in (one["id"], one["parent"])]
        return 204, None
    if "text" in body:
        comment.update(text=body["text"], edited_at=AT)
    else:
        comment.update(
            resolved_at=AT if body["resolved"] else None,
            resolved_by=person("tester") if body["resolved"] else None,
        )
    return 200, comment


def write(memory: Memory, body: dict[str, Any], by: str = "tester") -> dict[str, Any]:
    """A note, or an answer to one."""
    parents = [one for one in memory.comments if one["id"] == body.get("parent")]
    where = parents[0] if parents else body
    comment = {
        "id": memory.next_id(), "parent": body.get("parent"), "row": where["row"], "col": where["col"], "text": body["text"],
        "author": person(by), "created_at": AT, "edited_at": None, "resolved_at": None, "resolved_by": None,
        "can_edit": by == "tester", "can_delete": by == "tester", "can_resolve": not parents,
    }  # fmt: skip
    memory.comments.append(comment)
    return comment
