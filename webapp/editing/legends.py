"""Legends: ready lists of classes that others publish, and bringing one into a project.

The lists are facts of their publishers, written down in ``legends.json`` with their sources; codes are the
values of the published rasters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from webapp.actions import Payload, new_class_numbers, record
from webapp.editing.edits import ProjectState
from webapp.errors import ConflictError, InvalidInputError, MissingError
from webapp.models import Edit, Project

__all__ = ["LEGEND_LOAD", "Legend", "LegendClass", "describe_legends", "legends", "load_legend"]

LEGEND_LOAD = "legend.load"
_FILE = Path(__file__).with_name("legends.json")


@dataclass(frozen=True)
class LegendClass:
    code: int  # the value in the publisher's rasters
    name: str
    color: str  # "#rrggbb"


@dataclass(frozen=True)
class Legend:
    id: str
    name: str
    description: str
    source: str
    url: str
    classes: tuple[LegendClass, ...]


@lru_cache(maxsize=1)
def legends() -> dict[str, Legend]:
    """The preset legends by id, in the order of the list that people see."""
    return {
        entry["id"]: Legend(**{**entry, "classes": tuple(LegendClass(**label) for label in entry["classes"])})
        for entry in json.loads(_FILE.read_text(encoding="utf-8"))
    }


def describe_legends() -> list[dict[str, Any]]:
    """The presets as ``GET /api/legends`` tells them."""
    return [asdict(legend) for legend in legends().values()]


def load_legend(
    user: User,
    project_id: int,
    client_id: str,
    *,
    preset: str | None = None,
    classes: Sequence[tuple[str, str]] | None = None,
) -> Edit:
    """Add the classes of a preset, or (name, color) pairs, whose names the project lacks; one edit for all."""
    if (preset is None) == (classes is None):
        raise InvalidInputError("A legend is either a `preset` or a list of `classes`; give one of the two.")
    if preset is not None:
        if preset not in legends():
            raise MissingError(f"There is no legend {preset[:40]!r}; there are {', '.join(legends())}.")
        title = legends()[preset].name
        wanted = [(label.name, label.color) for label in legends()[preset].classes]
    else:
        title, wanted = "the legend", list(classes or [])

    def make(project: Project, state: ProjectState) -> Payload:
        added = missing_classes(state, wanted)
        if not added:
            raise ConflictError(f"The project has every class of {title} already; there is nothing to add.")
        numbers = new_class_numbers(project, len(added))
        payload: Payload = {
            "classes": [
                {"class": number, "name": name, "color": color}
                for number, (name, color) in zip(numbers, added, strict=True)
            ]
        }
        return {**payload, "preset": preset} if preset is not None else payload

    return record(user, project_id, client_id, LEGEND_LOAD, make)


def missing_classes(state: ProjectState, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the (name, color) pairs that are no class of the project yet, each name once."""
    known = {label.name.casefold() for label in state.live_classes()}
    added = []
    for name, color in wanted:
        if name.casefold() not in known:
            known.add(name.casefold())
            added.append((name, color))
    return added
