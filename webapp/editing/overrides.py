"""What was drawn by hand in a project, read: which files, which blocks of the scene, at which version.

The files lie in the folder of the scene, so that they count for its owner and go with it; projects on one scene that were
copied from one another share them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from segmentation.errors import StoreError
from segmentation.overrides import Layer, Overrides, layer_blocks
from webapp.editing.drawn import Drawn, unpack_drawn, version_of
from webapp.models import Project

__all__ = [
    "BlockState",
    "OverridesKey",
    "block_states",
    "block_version",
    "open_overrides",
    "override_file",
    "overrides_folder",
    "overrides_key",
]

logger = logging.getLogger(__name__)


class OverridesKey(NamedTuple):
    """Which drawings show: equal keys read the same pixels."""

    scene: int
    shape: tuple[int, int]
    layers: tuple[tuple[str, int], ...] = ()  # token and class of each, the last one on top


class BlockState(NamedTuple):
    """A block of level 0 in which something is, or was, drawn."""

    row: int
    col: int
    version: int  # number of the newest edit that changed it
    is_drawn: bool  # whether anything is drawn there now


def overrides_folder(scene_id: int) -> Path:
    return Path(settings.DATA_DIR) / "scenes" / str(scene_id) / "overrides"


def override_file(scene_id: int, token: str) -> Path:
    return overrides_folder(scene_id) / f"{token}.mask"


def overrides_key(project: Project, drawn: Iterable[Drawn] | None = None) -> OverridesKey:
    """What shows in a project; ``drawn`` at another state of it."""
    info = project.scene.info
    layers = unpack_drawn(project.overrides) if drawn is None else drawn
    return OverridesKey(
        project.scene_id,
        (info["height"], info["width"]),
        tuple((one.token, one.class_number) for one in layers if one.live),
    )


@lru_cache(maxsize=64)
def open_overrides(key: OverridesKey) -> Overrides:
    """The drawings over one another. StoreError where a file is gone comes when it is read."""
    layers = [Layer(override_file(key.scene, token), number) for token, number in key.layers]
    return Overrides(key.shape, layers)


def block_states(
    scene_id: int, drawn: Sequence[Drawn], only: Sequence[Drawn] | None = None
) -> list[BlockState]:
    """The blocks that are or were drawn on, row by row; of those in which ``only`` these have pixels."""
    wanted = None if only is None else {block for one in only for block in _blocks(scene_id, one.token)}
    found: dict[tuple[int, int], BlockState] = {}
    for one in drawn:
        for block in _blocks(scene_id, one.token):
            if wanted is not None and block not in wanted:
                continue
            before = found.get(block, BlockState(*block, 0, False))
            found[block] = BlockState(*block, max(before.version, one.changed), before.is_drawn or one.live)
    return [found[block] for block in sorted(found)]


def block_version(scene_id: int, drawn: Sequence[Drawn], level: int, row: int, col: int) -> int:
    """Number of the newest edit that changed a block of a pyramid level; 0 where nothing was ever drawn."""
    under = [
        one
        for one in drawn
        if any((r >> level, c >> level) == (row, col) for r, c in _blocks(scene_id, one.token))
    ]
    return version_of(under)


def _blocks(scene_id: int, token: str) -> tuple[tuple[int, int], ...]:
    try:
        return layer_blocks(override_file(scene_id, token))
    except StoreError as error:
        # A restored backup, a failed disk: the rest of the map is still to be seen.
        logger.warning("override %s of scene %s: %s", token, scene_id, error)
        return ()
