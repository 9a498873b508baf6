"""Splitting clusters along the merge tree, for all members: one function for the edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.contrib.auth.models import User

from webapp.actions import record, require_current
from webapp.editing.edits import CLUSTER_SPLIT, ProjectState
from webapp.editing.refinements import MAX_PARTS
from webapp.errors import InvalidInputError
from webapp.live.blocks import open_store
from webapp.models import Edit, Project

__all__ = ["split_cluster"]

Range = tuple[int, int]


def split_cluster(
    user: User,
    project_id: int,
    client_id: str,
    *,
    segmentation: int,
    version: int,
    leaves: Range,
    parts: Sequence[Range],
) -> Edit:
    """Show the parts of a cluster as clusters of their own, to everybody and at every granularity."""

    def make(project: Project, state: ProjectState) -> dict[str, Any]:
        require_current(state, segmentation, version, [leaves])
        _require_parts(leaves, parts)
        _require_nodes(segmentation, [leaves, *parts])
        return {
            "segmentation": segmentation,
            "version": version,
            "range": list(leaves),
            "parts": [list(part) for part in parts],
        }

    return record(user, project_id, client_id, CLUSTER_SPLIT, make)


def _require_parts(leaves: Range, parts: Sequence[Range]) -> None:
    if not 2 <= len(parts) <= MAX_PARTS:
        raise InvalidInputError(
            f"A cluster cannot be split into {len(parts)} part{'' if len(parts) == 1 else 's'}; choose 2 to {MAX_PARTS}."
        )
    borders = [parts[0][0], *(high for _, high in parts)]
    is_tiled = all(
        part == (low, high) and low < high
        for part, low, high in zip(parts, borders, borders[1:], strict=False)
    )
    if (borders[0], borders[-1]) != tuple(leaves) or not is_tiled:
        raise InvalidInputError(
            f"The parts do not make up the leaves {leaves[0]} to {leaves[1]}; give them in order, each beginning where the "
            "one before it ends."
        )


def _require_nodes(segmentation: int, ranges: Sequence[Range]) -> None:
    tree = open_store(segmentation).tree
    for low, high in ranges:
        if not bool(np.any((tree.low == low) & (tree.high == high))):
            raise InvalidInputError(
                f"The leaves {low} to {high} are no cluster of the merge tree; split along the tree's own clusters."
            )
