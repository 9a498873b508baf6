"""A first look at a scene: which windows stand for it, and how its bands are scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.blockwork import valid_inside
from segmentation.errors import EmptySceneError
from segmentation.features.normalize import BandScaling
from segmentation.features.sampling import all_blocks, is_sampled_whole, sample_windows
from segmentation.rasters.cache import BlockReader
from segmentation.rasters.georeference import Georeference
from segmentation.rasters.windows import Window

__all__ = ["Survey", "survey_scene"]

_SCALING_PIXELS = 400_000  # sampled pixels from which percentiles are taken
_LEAST_HELD_PX = 300_000  # with less data in the drawn windows, it is worth finding out where the data is


@dataclass(frozen=True)
class Survey:
    """``windows`` stand for the ``area_px`` pixels of the blocks they were drawn from; ``is_whole``: they are all of it."""

    windows: list[Window]
    area_px: int
    is_whole: bool
    scaling: BandScaling


def survey_scene(
    reader: BlockReader,
    georeference: Georeference,
    aoi: dict[str, Any] | None,
    seed: int,
    check: Callable[[], None],
) -> Survey:
    """Draw windows where there is data, and measure the bands there.

    Parameters
    ----------
    reader : BlockReader
        Of the scene's chosen bands.
    georeference : Georeference
        Of the scene.
    aoi : GeoJSON geometry or None
        Area of interest, validated.
    seed : int
        Seed of the draw.
    check : callable
        Called before each window; may raise to stop.

    Raises
    ------
    EmptySceneError
        If no pixel (of the area of interest) holds data.
    """
    blocks = all_blocks(georeference.height, georeference.width)
    if aoi is not None:
        blocks = [b for b in blocks if georeference.aoi_mask(aoi, b.row, b.col, b.height, b.width).any()]
    windows = sample_windows(blocks, seed)
    held, sample = _sample(reader, georeference, aoi, windows, check)
    if held < _LEAST_HELD_PX and not is_sampled_whole(blocks):
        # Little data, or scattered: every block is looked at once, and windows are drawn where there is some.
        blocks = [b for b in blocks if _sample(reader, georeference, aoi, [b], check)[0]]
        windows = sample_windows(blocks, seed)
        held, sample = _sample(reader, georeference, aoi, windows, check)
        if held < _LEAST_HELD_PX:
            windows = blocks
            _, sample = _sample(reader, georeference, aoi, windows, check)
    if not len(sample):
        raise EmptySceneError(
            "No pixel of the image holds data (inside the area of interest); choose another image or area."
            if aoi is not None
            else "No pixel of the image holds data: all of them are nodata, transparent or not a number."
        )
    area_px = sum(block.height * block.width for block in blocks)
    return Survey(windows, area_px, windows == blocks, BandScaling.fit(sample))


def _sample(
    reader: BlockReader,
    georeference: Georeference,
    aoi: dict[str, Any] | None,
    windows: list[Window],
    check: Callable[[], None],
) -> tuple[int, NDArray[np.float32]]:
    """Pixels with data in some windows, and those on a regular grid of them, float32 (N, B)."""
    n_pixels = sum(window.height * window.width for window in windows)
    step = max(1, int(np.sqrt(n_pixels / _SCALING_PIXELS)))
    held, found = 0, [np.zeros((0, reader.n_bands), np.float32)]
    for window in windows:
        check()
        pixels, valid = reader.read(window)
        valid = valid_inside(georeference, aoi, window, valid)
        held += int(valid.sum())
        on_grid = pixels[:, ::step, ::step][:, valid[::step, ::step]].T
        # The grid may pass by what little a window holds.
        found.append(on_grid if len(on_grid) else pixels[:, valid].T[:1])
    return held, np.concatenate(found)
