"""Files below DATA_DIR: freeing those of a deleted row, and sweeping up what no row speaks of."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from segmentation.errors import StoreError
from segmentation.objects import ObjectPath, StorePath, remove_tree, tree_size
from webapp.editing.drawn import unpack_drawn
from webapp.imagery import serving
from webapp.jobs import door
from webapp.models import Job, Network, Project, Scene, Segmentation, SignInToken, Upload
from webapp.places import scene_objects, storage_root

__all__ = [
    "Orphan",
    "delete_project",
    "delete_scene",
    "drop_stale_uploads",
    "drop_uploads",
    "find_orphans",
    "folder_size",
    "free",
    "scene_size",
    "sweep",
    "uploads_folder",
]

logger = logging.getLogger(__name__)

HALF_UPLOAD_S = 24 * 3600  # a half-received file untouched for this long is abandoned


def uploads_folder() -> Path:
    """Where files are received: on the same file system as the scenes, so that moving them is a rename."""
    folder = Path(settings.DATA_DIR) / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def folder_size(path: StorePath) -> int:
    """Bytes of all files below ``path`` (of the file itself, where it is one)."""
    if isinstance(path, ObjectPath):
        return tree_size(path)
    if path.is_file():
        return path.stat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if entry.is_file())


def scene_size(scene: Scene) -> int:
    """Bytes that a scene takes, its image in our object storage included."""
    source = scene.info.get("source", {})
    return folder_size(scene.folder) + (source["size"] if source.get("stored") else 0)


def free(path: StorePath) -> None:
    """Remove a file or folder. It is renamed away first, so that nobody opens it half gone."""
    if isinstance(path, ObjectPath):
        try:
            remove_tree(path)
        except StoreError as error:
            logger.warning("could not remove %s, which the sweep will do: %s", path, error)
        return
    if not path.exists():
        return
    trash = Path(settings.DATA_DIR) / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    doomed = trash / uuid.uuid4().hex
    try:
        path.rename(doomed)
        if doomed.is_dir():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()
    except OSError as error:
        # The row is gone already; the sweep tries again.
        logger.warning("could not remove %s: %s", path, error)


def delete_scene(scene: Scene) -> None:
    """Delete a scene with its projects and segmentations; their files go once the database has agreed."""
    door.cancel_import(scene)
    for segmentation in scene.segmentations.all():
        door.cancel(segmentation)
    with transaction.atomic():
        # Locked, so that nobody adds to them what would then be left without its row.
        Scene.objects.select_for_update().filter(pk=scene.pk).first()
        list(scene.projects.select_for_update().order_by("pk"))
        segmentations = list(scene.segmentations.all())
        scene_id, cog_path = scene.pk, scene.cog_path
        paths = [scene.folder, *(segmentation.store_path for segmentation in segmentations)]
        paths += _downloads(project__scene=scene) + _kept_uploads(scene)
        if (far := scene_objects(scene_id)) is not None:
            paths.append(far)
        # Projects protect their segmentation, so they go first.
        scene.projects.all().delete()
        scene.segmentations.all().delete()
        scene.delete()
        transaction.on_commit(lambda: _free_scene(scene_id, cog_path, paths))


def _free_scene(scene_id: int, cog_path: Path, paths: list[StorePath]) -> None:
    serving.forget(scene_id, cog_path)  # an open file would keep its space on the disk
    for path in paths:
        free(path)


def delete_project(project: Project) -> None:
    """Delete a project with its edits; its scene and the scene's segmentations stay."""
    with transaction.atomic():
        locked = Project.objects.select_for_update().filter(pk=project.pk).first()
        if locked is None:
            return  # somebody else was faster
        scene_id, drawn = locked.scene_id, unpack_drawn(locked.overrides)
        downloads = _downloads(project=locked)
        project.delete()
        for path in downloads:
            transaction.on_commit(partial(free, path))
        if drawn:
            transaction.on_commit(lambda: _free_overrides(scene_id, {f"{one.token}.mask" for one in drawn}))


def _downloads(**of: Any) -> list[Path]:
    """Files of prepared downloads."""
    return [job.file_path for job in Job.objects.filter(kind=Job.Kind.EXPORT, **of)]


def _kept_uploads(scene: Scene) -> list[Path]:
    """The received file of an import that failed, which waits for another try."""
    if scene.state != Scene.State.FAILED:
        return []
    return list((Path(settings.DATA_DIR) / "uploads").glob(f"{scene.pk}-*"))


def _free_overrides(scene_id: int, names: set[str]) -> None:
    """Remove masks of drawings that no project has any more: copies of a project share them."""
    folder = Path(settings.DATA_DIR) / "scenes" / str(scene_id)
    for name in names - _used_overrides():
        free(folder / "overrides" / name)
    _measure_scenes({scene_id})


@dataclass(frozen=True)
class Orphan:
    """Something below DATA_DIR that no row speaks of."""

    path: StorePath
    size_bytes: int
    reason: str


def find_orphans() -> list[Orphan]:
    """What a crash in the wrong moment left behind; what is younger than a minute may still get its row."""
    data = Path(settings.DATA_DIR)
    # The files before the rows: what another process makes in between has its row first, and so is seen with it.
    folders = ("scenes", "segmentations", "networks", "tiles", "exports", "trash")
    entries: dict[str, list[Any]] = {name: list(_entries(data / name)) for name in folders}
    far = storage_root()
    if far is not None:
        entries["segmentations"] += (far / "segmentations").children()
    far_scenes = [] if far is None else (far / "scenes").children()
    splits = [path for store in entries["segmentations"] for path in _entries(store / "splits")]
    overrides = [path for scene in entries["scenes"] for path in _entries(scene / "overrides")]
    uploads = list(_entries(data / "uploads"))
    scenes = {str(key) for key in Scene.objects.values_list("pk", flat=True)}
    stores = {f"{key}.zarr" for key in Segmentation.objects.values_list("pk", flat=True)}
    networks = {f"{key}.safetensors" for key in Network.objects.values_list("pk", flat=True)}
    downloads = {str(key) for key in Job.objects.filter(kind=Job.Kind.EXPORT).values_list("pk", flat=True)}
    candidates = [
        *((path, "no such scene") for path in entries["scenes"] if path.name not in scenes),
        *((path, "no such scene") for path in far_scenes if path.name not in scenes),
        *((path, "no such segmentation") for path in entries["segmentations"] if path.name not in stores),
        *((path, "no such network") for path in entries["networks"] if path.name not in networks),
        *((path, "no such scene") for path in entries["tiles"] if path.name not in scenes),
        *((path, "no such download") for path in entries["exports"] if _job_of(path) not in downloads),
        *((path, "deleted before") for path in entries["trash"]),
    ]
    found = [(path, reason) for path, reason in candidates if _age(path) > 60]
    # Of these the file comes first, and its row may take as long as somebody looks at it.
    waiting = _uploads_waiting(uploads)
    used_splits, used_overrides = _used_splits(), _used_overrides()
    candidates = [
        *((path, "a split that no project has") for path in splits if path.name not in used_splits),
        *((path, "drawn by hand in no project") for path in overrides if path.name not in used_overrides),
        *((path, "half-received, abandoned") for path in uploads if path.name not in waiting),
    ]
    found += [(path, reason) for path, reason in candidates if _age(path) > HALF_UPLOAD_S]
    return [Orphan(path, folder_size(path), reason) for path, reason in found]


def sweep() -> tuple[list[Orphan], int]:
    """Remove abandoned uploads, orphans and expired sign-in links; returns the orphans and the number of links."""
    drop_stale_uploads()
    orphans = find_orphans()
    for orphan in orphans:
        free(orphan.path)
        if orphan.path.parent.name == "uploads" and (number := orphan.path.name.split("-")[0]).isdigit():
            # A failed import held it for another try, on its owner's quota.
            Scene.objects.filter(pk=number, state=Scene.State.FAILED).update(size_bytes=0)
    _measure_scenes(
        {int(one.path.parent.parent.name) for one in orphans if one.path.parent.name == "overrides"}
    )
    expired, _ = SignInToken.objects.filter(expires_at__lte=timezone.now()).delete()
    return orphans, expired


def _job_of(path: Path) -> str:
    """Number of the job that a file among the downloads, or its draft, belongs to."""
    return path.name.lstrip(".").split(".")[0]


def drop_stale_uploads() -> int:
    """Forget uploads in parts that nobody went on with for a day, with what is here of them; returns how many."""
    oldest = timezone.now() - timedelta(seconds=HALF_UPLOAD_S)
    return drop_uploads(Upload.objects.filter(touched_at__lt=oldest))


def drop_uploads(uploads: QuerySet[Upload]) -> int:
    """Forget uploads, with what is here of them."""
    ids = list(uploads.values_list("pk", flat=True))
    Upload.objects.filter(pk__in=ids).delete()
    for upload_id in ids:
        (uploads_folder() / f"{upload_id}.tus").unlink(missing_ok=True)
    return len(ids)


def _measure_scenes(scene_ids: set[int]) -> None:
    for scene in Scene.objects.filter(pk__in=scene_ids, state=Scene.State.READY):
        Scene.objects.filter(pk=scene.pk).update(size_bytes=scene_size(scene))


def _entries(folder: Any) -> Iterator[Any]:
    if isinstance(folder, ObjectPath):
        return iter(folder.children())
    return iter(sorted(folder.iterdir())) if folder.is_dir() else iter(())


def _age(path: StorePath) -> float:
    """Seconds since it was changed; 0 for what is gone by now: nobody need remove it."""
    if isinstance(path, ObjectPath):
        changed = path.changed_at()
        return time.time() - changed if changed else 0.0
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _used_splits() -> set[str]:
    """Names of the folders of splits that some project speaks of."""
    return {
        split["token"]
        for packed in Project.objects.exclude(splits={}).values_list("splits", flat=True)
        for refinement in packed.values()
        for split in refinement["leaves"]
    }


def _used_overrides() -> set[str]:
    """Names of the masks that some project speaks of."""
    return {
        f"{one.token}.mask"
        for packed in Project.objects.exclude(overrides=[]).values_list("overrides", flat=True)
        for one in unpack_drawn(packed)
    }


def _uploads_waiting(uploads: list[Path]) -> set[str]:
    """Names of received files whose import has not ended: an upload is called ``<scene id>-...``."""
    importing = {
        str(key) for key in Scene.objects.filter(state=Scene.State.IMPORTING).values_list("pk", flat=True)
    }
    sent_in_parts = {f"{key}.tus" for key in Upload.objects.values_list("pk", flat=True)}
    return {
        path.name for path in uploads if path.name.split("-")[0] in importing or path.name in sent_in_parts
    }
