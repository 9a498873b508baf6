"""One project of the fixture: a small in-memory stand-in for the real server's edits."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.browser.map_fixture import history
from tests.browser.map_fixture.completion import predict
from tests.browser.map_fixture.examples import legend_classes, marks_of
from tests.browser.map_fixture.overrides import changed_blocks, listed, mask_of
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
    memory: history.Memory = field(default_factory=history.Memory)
    suggestions_error: str = ""
    overrides_error: str = ""
    segmentation_state: str = "complete"
    extra_segmentations: list[dict[str, Any]] = field(default_factory=list)
    offered: int | None = None
    completion: dict[str, Any] = field(default_factory=lambda: {"on": False, "threshold": 0.5})
    examples: dict[int, int] = field(default_factory=dict)  # clicked leaf -> class
    marks: list[dict[str, Any]] = field(default_factory=list)  # as the list of examples has them
    successor: bool = False  # whether there is another segmentation, of other leaves
    adopted: int = 0  # 1: the successor
    clusters: list[list[Any]] = field(
        default_factory=list
    )  # those that were split, as the protocol lists them

    role: str = "owner"  # of whoever looks at it
    members: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": 1, "name": "tester", "color": "#0b6e5f", "role": "owner"}]
    )
    drawn: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), "u1"))  # value of each pixel
    drawn_since: dict[tuple[int, int], int] = field(default_factory=dict)  # block -> number of an edit

    def __post_init__(self) -> None:
        self.drawn = np.zeros((self.world.height, self.world.width), "u1")

    @property
    def number(self) -> int:
        return len(self.edits)

    @property
    def leaves(self) -> World:
        """The world as the adopted segmentation sees it."""
        return replace(self.world, shift=9) if self.adopted else self.world

    def segmentations(self) -> list[dict[str, Any]]:
        both = (1, 0) if self.successor else (0,)
        return [*self.extra_segmentations, *(self.segmentation(index) for index in both)]

    def segmentation(self, index: int | None = None) -> dict[str, Any]:
        return {
            "id": self.world.number * 10 + (self.adopted if index is None else index),
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
            "role": self.role,
            "members": self.members,
            "classes": self.classes,
            "segmentation": self.segmentation(),
            "segmentations": self.segmentations(),
            "completion": self.completion,
            "splits": self.splits(),
            "overrides": listed(self.drawn, self.drawn_since),
            "clicks": self.clicks(),
            "table": base64.b64encode(zlib.compress(self.table.tobytes())).decode(),
            "can_undo": bool(self.before),
            "can_redo": bool(self.undone),
            "offered": self.offered,
        }

    def _snapshot(self) -> tuple:
        classes = [dict(label) for label in self.classes]
        return (
            self.table.copy(),
            classes,
            self.aoi,
            self.completion,
            dict(self.examples),
            self.adopted,
            list(self.marks),
            list(self.clusters),
            self.drawn,
        )

    def splits(self) -> dict[str, Any]:
        return {"version": 0, "leaves": [], "clusters": self.clusters}

    def clicks(self) -> list[list[int]]:
        """The clicks that are examples still, each with its leaf."""
        marks = [mark for mark in self.marks if mark["kind"] == "click"]
        points = [(mark, *mark["points"][0]) for mark in marks]
        leaves = self.leaves.leaves
        return [[mark["number"], row, col, mark["class"], int(leaves[row, col])] for mark, row, col in points]

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
            (
                self.table,
                self.classes,
                self.aoi,
                self.completion,
                self.examples,
                self.adopted,
                self.marks,
                self.clusters,
                self.drawn,
            ) = source.pop()
        else:
            self._change(kind, command)
            self.marks = [*self.marks, *marks_of(command, self.number + 1)]
            self.before.append(old)
            self.undone.clear()
        turned = changed_blocks(old[8], self.drawn)
        self.drawn_since |= dict.fromkeys(turned, self.number + 1)
        event = {
            "type": "edit.applied",
            "number": self.number + 1,
            "kind": kind,
            "client_id": command["client_id"],
            "user": command.get("by", "tester"),
            "at": history.AT,
            **history.told(self, command),
            "changes": self._changes(old[0]),
            "classes": self.classes if self.classes != old[1] else None,
            "project": {
                "id": self.world.number,
                "name": "Fixture project",
                "aoi": self.aoi,
                "completion": self.completion,
            }
            if (self.aoi, self.completion) != old[2:4]
            else None,
            "splits": self.splits(),
            "overrides": listed(self.drawn, self.drawn_since, turned) if turned else None,
            "clicks": {"all": self.clicks()},
            "reload": kind == "segmentation.adopt" or self.adopted != old[5],
            "can_undo": bool(self.before),
            "can_redo": bool(self.undone),
            "message": "",
        }
        self.edits.append(event)
        history.keep(self)
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
            self._learn(command, command["class"])
        elif kind == "leaves.unassign":
            for low, high in command["ranges"]:
                self.table[low:high] = 0
            self._learn(command, 0)
        elif kind == "override.add":
            if command["class"]:
                self._label(command["class"])
            mask = mask_of(self.leaves, command)
            self.drawn = np.where(mask, command["class"] or 0, self.drawn).astype("u1")
        elif kind == "class.merge":
            for source in command["sources"]:
                label = self._label(source)
                label |= {"deleted": True, "merged_into": command["class"]}
                self.table[self.table == source] = command["class"]
        elif kind == "state.restore":
            history.restore(self, command["number"])
        elif kind == "cluster.split":
            kept = [one for one in self.clusters if one[:2] != command["range"]]
            self.clusters = [*kept, [*command["range"], command["parts"]]]
        elif kind == "class.create":
            if command["name"] == "refuse me":
                raise RejectedError("conflict", "The name “refuse me” is refused, for the test.")
            self._create(command["name"], command["color"])
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
            self._adopt(command["segmentation"])
        elif kind == "completion.set":
            self.completion = {"on": command["on"], "threshold": command["threshold"]}
        elif kind == "legend.load":
            for label in legend_classes(command, self.classes):
                self._create(label["name"], label["color"])
        elif kind == "examples.add":
            for name, color in command.get("classes", []):
                self._create(name, color)
        elif kind == "examples.remove":
            self.marks = [mark for mark in self.marks if mark["number"] not in command["targets"]]
        else:
            raise RejectedError("invalid", f"There is no command {kind}.")

    def _create(self, name: str, color: str) -> None:
        number = len(self.classes) + 1
        label = {"number": number, "name": name, "color": color, "position": number, "deleted": False}
        self.classes.append(label)

    def live_marks(self) -> list[dict[str, Any]]:
        live = {label["number"] for label in self.classes if not label["deleted"]}
        return [mark for mark in self.marks if mark["class"] in live]

    def _learn(self, command: dict[str, Any], number: int) -> None:
        """The clicked pixel's leaf is an example of a class, or of none (0)."""
        if "point" not in command:
            return
        leaf = int(self.leaves.leaves[tuple(command["point"])])
        self.examples.pop(leaf, None)
        if number and leaf < N_LEAVES:
            self.examples[leaf] = number

    def _adopt(self, segmentation: int) -> None:
        """The new leaves take the class that most of their pixels have; examples stay where they were clicked."""
        if not self.successor or segmentation not in (self.world.number * 10, self.world.number * 10 + 1):
            return
        old = self.leaves.leaves
        self.adopted = segmentation % 10
        new = self.leaves.leaves
        known = (old < N_LEAVES) & (new < N_LEAVES)
        votes = np.zeros((N_LEAVES, 256), np.int64)
        np.add.at(votes, (new[known], self.table[old[known]]), 1)
        self.table = votes.argmax(1).astype("u1")
        firsts = {leaf: np.argwhere(old == leaf)[0] for leaf in self.examples}
        self.examples = {int(new[tuple(firsts[leaf])]): number for leaf, number in self.examples.items()}

    def prediction(self) -> tuple[np.ndarray, np.ndarray]:
        live = {label["number"] for label in self.classes if not label["deleted"]}
        return predict({leaf: number for leaf, number in self.examples.items() if number in live})
