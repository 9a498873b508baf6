"""Where the large files lie: below DATA_DIR, or in object storage where STORAGE_URL says so.

Segmentation stores (with the splits of leaves in them) and images of scenes go there. Thumbnails, drawn masks, networks, job
folders and half-received uploads are small or short-lived, and stay below DATA_DIR.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from segmentation.objects import ObjectPath, StorePath, store_path

__all__ = ["scene_objects", "storage_root", "store_of"]


def storage_root() -> ObjectPath | None:
    """The place in object storage; None where all lies below DATA_DIR."""
    root = store_path(settings.STORAGE_URL) if settings.STORAGE_URL else None
    return root if isinstance(root, ObjectPath) else None


def store_of(segmentation_id: int) -> StorePath:
    """The store of one segmentation. One that was made before STORAGE_URL was set stays where it is."""
    root = storage_root()
    here = Path(settings.DATA_DIR) / "segmentations" / f"{segmentation_id}.zarr"
    return here if root is None or here.is_dir() else root / "segmentations" / here.name


def scene_objects(scene_id: int) -> ObjectPath | None:
    """What of a scene lies in object storage."""
    root = storage_root()
    return None if root is None else root / "scenes" / str(scene_id)
