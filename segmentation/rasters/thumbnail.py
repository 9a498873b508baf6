"""A small picture of a scene, for lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segmentation.rasters.scene import Scene

__all__ = ["THUMBNAIL_PX", "picture_bands", "write_thumbnail"]

THUMBNAIL_PX = 512  # its longer side, at most


def picture_bands(roles: Sequence[str]) -> tuple[int, ...]:
    """Bands (from 1) for a picture: red, green, blue by role; else the first three; else the first alone."""
    if {"red", "green", "blue"} <= set(roles):
        return tuple(list(roles).index(role) + 1 for role in ("red", "green", "blue"))
    return (1, 2, 3) if len(roles) >= 3 else (1,)


def write_thumbnail(path: Path, scene: Scene, percentiles: Sequence[Sequence[float]]) -> None:
    """Write a WebP of the whole scene, transparent where there is no data.

    Parameters
    ----------
    path : Path
        File to write.
    scene : Scene
        With overviews, or it is read in full.
    percentiles : sequence of (low, high)
        Of each band of the scene: shown as black and as full brightness.
    """
    bands = picture_bands(scene.band_roles)
    factor = max(1, -(-max(scene.height, scene.width) // THUMBNAIL_PX))
    pixels, valid = scene.read_reduced(factor, bands)
    low, high = np.array([percentiles[band - 1] for band in bands], np.float64).T[:, :, None, None]
    shown = np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    shown[:, ~valid] = 0
    channels = [*(shown if len(shown) == 3 else [shown[0]] * 3), np.where(valid, 255, 0).astype(np.uint8)]
    Image.fromarray(np.stack(channels, axis=-1)).save(path, "WEBP", quality=80, method=4)
