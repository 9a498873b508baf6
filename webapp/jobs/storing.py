"""Moving an imported image to object storage. No Django: the worker imports this too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["move_image"]


def move_image(folder: Path, storage: str) -> dict[str, Any]:
    """Move ``scene.tif`` of a scene's folder to ``storage``; where it lies then, as ``Scene.info`` keeps it.

    It is put there before it goes here: whatever happens in between, an attempt afterwards begins with the import.
    """
    from segmentation.objects import store_path

    image = folder / "scene.tif"
    place: Any = store_path(storage) / "scenes" / folder.name / image.name
    place.upload(image)
    found = place.stat()
    image.unlink()
    return {"url": str(place), "size": found.st_size, "etag": found.etag, "in_place": True, "stored": True}
