"""One project of the fixture: a small in-memory stand-in for the real server's edits."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.browser.map_fixture.world import N_LEAVES, World


class RejectedError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Project:
    world: World
    computing: bool = False  # blocks appear one by one
    edits: list[dict[str, Any]] = field(default_factory=list)
    table: np.ndarray = field(default_factory=lambda: np.zeros(N_LEAVES, "u1"))
    classes: list[dict[str, Any]] = field(default_factory=list)
    aoi: dict | None = None
    undone: list[tuple] = field(default_factory=list)
    before: list[tuple] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    segmentation_state: str = "complete"
    extra_segmentations: list[dict[str, Any]] = field(default_factory=list)
    offered: int | None = None

    @property
    def number(self) -> int:
        return len(self.edits)

    def segmentation(self) -> dict[str, Any]:
        return {
            "id": self.world.number * 10,
            "scene": self.world.number,
            "state": self.segmentation_state,
            "stage": "leaves",
            "progress": 1 if self.segmentation_state == "complete" else 0.1,
            "message": "",
            "device": "cpu",
            "n_leaves": N_LEAVES,
            "parameters": {"bands": None, "superpixel_px": None, "n_leaves": None, "seed": 0, "aoi": None},
            "size_bytes": 1,
            "created_at": "2025-05-05T10:00:00+00:00",
            "version": 0,
            "tree_ready": True,
        }

    def state(self) -> dict[str, Any]:
        return {
            "type": "project.state",
            "number": self.number,
            "project": {"id": self.world.number, "name": "Fixture project", "aoi": self.aoi},
            "scene": self.world.scene(),
            "user": "tester",
            "classes": self.classes,
            "segmentation": self.segmentation(),
            "segmentations": [*self.extra_segmentations, self.segmentation()],
            "table": base64.b64encode(zlib.compress(self.table.tobytes())).decode(),
            "can_undo": bool(self.before),
            "can_redo": bool(self.undone),
            "offered": self.offered,
        }

    def _snapshot(self) -> tuple:
        return self.table.copy(), [dict(label) for label in self.classes], self.aoi

    def apply(self, command: dict[str, Any]) -> dict[str, Any]:
        """The event that answers a command; a repeat gets the first one again."""
        self.commands.append(command)
        for edit in self.edits:
            if edit["client_id"] == command["client_id"]:
                return edit
        old = self._snapshot()
        kind = command["type"]
        if kind in ("edit.undo", "edit.redo"):
            source, target = (self.before, self.undone) if kind == "edit.undo" else (self.undone, self.before)
            if not source:
                raise RejectedError("nothing", f"There is nothing to {kind[5:]}.")
            target.append(old)
            self.table, self.classes, self.aoi = source.pop()
        else:
            self._change(kind, command)
            self.before.append(old)
            self.undone.clear()
        event = {
            "type": "edit.applied",
            "number": self.number + 1,
            "kind": kind,
            "client_id": command["client_id"],
            "user": "tester",
            "at": "2025-05-05T10:00:00+00:00",
            "changes": self._changes(old[0]),
            "classes": self.classes if self.classes != old[1] else None,
            "project": {"id": self.world.number, "name": "Fixture project", "aoi": self.aoi}
            if self.aoi != old[2]
            else None,
            "reload": kind == "segmentation.adopt",
            "can_undo": bool(self.before),
            "can_redo": bool(self.undone),
            "message": "",
        }
        self.edits.append(event)
        return event

    def _changes(self, old: np.ndarray) -> list[list[int]]:
        return [[int(i), int(i) + 1, int(self.table[i])] for i in np.flatnonzero(old != self.table)]

    def _label(self, number: int) -> dict[str, Any]:
        found = [label for label in self.classes if label["number"] == number and not label["deleted"]]
        if not found:
            raise RejectedError("missing", f"There is no class {number}.")
        return found[0]

    def _change(self, kind: str, command: dict[str, Any]) -> None:
        self.classes = [dict(label) for label in self.classes]
        if kind == "leaves.assign":
            self._label(command["class"])
            for low, high in command["ranges"]:
                self.table[low:high] = command["class"]
        elif kind == "leaves.unassign":
            for low, high in command["ranges"]:
                self.table[low:high] = 0
        elif kind == "class.create":
            if command["name"] == "refuse me":
                raise RejectedError("conflict", "The name “refuse me” is refused, for the test.")
            number = len(self.classes) + 1
            new = {
                "number": number,
                "name": command["name"],
                "color": command["color"],
                "position": number,
                "deleted": False,
            }
            self.classes.append(new)
        elif kind == "class.rename":
            self._label(command["class"])["name"] = command["name"]
        elif kind == "class.recolor":
            self._label(command["class"])["color"] = command["color"]
        elif kind == "class.reorder":
            for position, number in enumerate(command["order"]):
                self._label(number)["position"] = position
        elif kind == "class.delete":
            self._label(command["class"])["deleted"] = True
        elif kind == "aoi.set":
            self.aoi = command["geometry"]
        elif kind == "segmentation.adopt":
            self.offered = None
        else:
            raise RejectedError("invalid", f"There is no command {kind}.")
