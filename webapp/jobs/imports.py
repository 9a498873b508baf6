"""Importing a raster in this very process: for the command line, where no job engine runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from segmentation.rasters.cog import Limits, ingest
from segmentation.rasters.linked import take_in
from segmentation.rasters.remote import RemoteImage
from webapp import storage
from webapp.jobs.storing import move_image
from webapp.models import Scene
from webapp.rest.uploads import clean_name

__all__ = ["import_file", "import_link"]


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
    return _fill(scene, lambda: ingest(path, scene.folder, _limits(), progress).as_dict())


def import_link(
    user: User,
    image: RemoteImage,
    *,
    name: str = "",
    copy: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> Scene:
    """Make a ready scene of an image at a URL, which is copied if asked for or if it cannot be read in place."""
    scene = Scene.objects.create(
        owner=user, name=clean_name(name or Path(image.name).stem), source_name=image.name[-255:]
    )

    def take() -> dict[str, Any]:
        info, in_place = take_in(image, scene.folder, copy, _limits(), progress)
        source = {"url": image.url, "size": image.pin.size, "etag": image.pin.etag, "in_place": in_place}
        return {**info.as_dict(), "source": source}

    return _fill(scene, take)


def _limits() -> Limits:
    """Whoever runs the server is not held to what may be sent to it."""
    return Limits(
        max_file_bytes=settings.QUOTA_BYTES, max_pixels=settings.MAX_PIXELS, max_bands=settings.MAX_BANDS
    )


def _fill(scene: Scene, take: Callable[[], dict[str, Any]]) -> Scene:
    try:
        scene.info = take()
        if settings.STORAGE_URL and scene.cog_path.exists():
            scene.info["source"] = move_image(scene.folder, settings.STORAGE_URL)
    except BaseException:
        # Also when interrupted from the keyboard: a scene that nobody imports would wait for ever.
        storage.delete_scene(scene)
        raise
    scene.state = Scene.State.READY
    scene.progress = 1
    scene.size_bytes = storage.scene_size(scene)
    scene.save()
    return scene
