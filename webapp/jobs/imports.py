"""Importing a raster in this very process: for the command line, where no job engine runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from segmentation.rasters.cog import Limits, ingest
from webapp import storage
from webapp.models import Scene
from webapp.rest.uploads import clean_name

__all__ = ["import_file"]


def import_file(
    user: User,
    path: Path,
    *,
    name: str = "",
    attribution: str = "",
    progress: Callable[[float], None] | None = None,
) -> Scene:
    """Make a ready scene of the raster at ``path``, which stays where it is.

    Raises SegmentationError with a sentence where it cannot be read; nothing is left behind then.
    """
    scene = Scene.objects.create(
        owner=user, name=clean_name(name or path.stem), source_name=path.name[-255:], attribution=attribution
    )
    # Whoever runs the server is not held to what may be sent to it.
    limits = Limits(
        max_file_bytes=settings.QUOTA_BYTES, max_pixels=settings.MAX_PIXELS, max_bands=settings.MAX_BANDS
    )
    try:
        info = ingest(path, scene.folder, limits=limits, progress=progress)
    except BaseException:
        # Also when interrupted from the keyboard: a scene that nobody imports would wait for ever.
        storage.delete_scene(scene)
        raise
    scene.info = info.as_dict()
    scene.state = Scene.State.READY
    scene.progress = 1
    scene.size_bytes = storage.folder_size(scene.folder)
    scene.save()
    return scene
