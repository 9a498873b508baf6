"""From a request for a tile to its answer, for somebody who may see the scene: that is checked before."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from django.conf import settings
from rasterio.errors import RasterioError

from segmentation.errors import SegmentationError
from segmentation.rasters.remote import RemoteImage
from webapp.errors import InvalidInputError, MissingError, WebError, describe
from webapp.imagery import tile_render
from webapp.imagery.remote import image_of
from webapp.imagery.tile_cache import TileCache
from webapp.imagery.tile_query import TileStyle, parse_style
from webapp.imagery.tile_queue import TileQueue
from webapp.imagery.tile_render import Formats
from webapp.models import Scene

__all__ = ["Answer", "Asked", "answer", "cache", "forget"]

logger = logging.getLogger(__name__)

# Tiles may be kept for good: a scene's pixels never change, and a new scene has a new id.
CACHE_CONTROL = "private, max-age=31536000, immutable"
# To be raised when the same pixels are drawn in another way.
DRAWN = 1


class Asked(NamedTuple):
    """One request."""

    z: int
    x: int
    y: int
    suffix: str  # as in the address; empty: what the browser likes best
    query: Mapping[str, str]
    accept: str
    if_none_match: str


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes = b""


class _Found(NamedTuple):
    """What a look at the disk gave."""

    path: Path | RemoteImage
    key: str
    tile: tuple[str, bytes] | None


async def answer(scene: Scene, asked: Asked) -> Answer:
    """The tile, or a sentence that says why there is none."""
    try:
        return await _answer(scene, asked)
    except WebError as error:
        headers = {"Content-Type": "application/json"}
        if error.status == 503:
            headers["Retry-After"] = "1"
        return Answer(error.status, headers, json.dumps({"detail": str(error)}).encode())
    except SegmentationError as error:
        problem = describe(error)  # of an image at a URL: it says where and why
        return Answer(
            problem.status,
            {"Content-Type": "application/json"},
            json.dumps({"detail": problem.message}).encode(),
        )
    except (RasterioError, OSError):
        logger.exception("tile %s/%s/%s of scene %s", asked.z, asked.x, asked.y, scene.pk)
        sentence = "The image of this scene cannot be read; import it again."
        return Answer(500, {"Content-Type": "application/json"}, json.dumps({"detail": sentence}).encode())


async def _answer(scene: Scene, asked: Asked) -> Answer:
    formats = _formats(asked.suffix, asked.accept)
    style = parse_style(asked.query, scene.info)
    outside = tile_render.is_outside(scene.info, asked.z, asked.x, asked.y)
    look = functools.partial(_look, scene, asked, style, formats, outside)
    found = await asyncio.get_running_loop().run_in_executor(_lookups(), look)
    headers = {"ETag": f'"{found.key[:24]}"', "Cache-Control": CACHE_CONTROL}
    if not asked.suffix:
        headers["Vary"] = "Accept"
    if outside:
        return Answer(204, headers)
    if headers["ETag"] in asked.if_none_match:
        return Answer(304, headers)
    tile = found.tile
    if tile is None:
        draw = functools.partial(_draw, scene, asked, style, formats, found)
        tile = await _queue().result(found.key, draw)
    suffix, body = tile
    headers["Content-Type"] = tile_render.FORMATS[suffix]
    return Answer(200, headers, body)


def _look(scene: Scene, asked: Asked, style: TileStyle, formats: Formats, outside: bool) -> _Found:
    """Runs in a thread: a disk may make one wait."""
    path = image_of(scene)
    try:
        # Of an image at a URL the version is pinned; it has no time.
        version = path.pin if isinstance(path, RemoteImage) else _version(path)
    except FileNotFoundError as error:
        raise MissingError(
            f"The image of scene {scene.pk} is gone; delete the scene and import it again."
        ) from error
    # All that a picture depends on. The scene's description decides which zoom is blended and which is not.
    parts = (
        DRAWN,
        scene.pk,
        *version,
        scene.info["max_zoom"],
        *(asked.z, asked.x, asked.y),
        style,
        formats,
    )
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:40]
    is_known = outside or f'"{key[:24]}"' in asked.if_none_match
    return _Found(path, key, None if is_known else cache().get(scene.pk, key))


def _version(path: Path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_size


def _draw(scene: Scene, asked: Asked, style: TileStyle, formats: Formats, found: _Found) -> tuple[str, bytes]:
    """Runs in a tile thread."""
    suffix, body = tile_render.render(found.path, scene.info, asked.z, asked.x, asked.y, style, formats)
    cache().put(scene.pk, found.key, suffix, body)
    return suffix, body


def _formats(suffix: str, accept: str) -> Formats:
    """The one asked for; else what browsers take: JPEG, six times as fast to make as WebP, and WebP for transparency.

    Programs that do not name WebP get PNG, which loses nothing.
    """
    if suffix:
        suffix = "jpg" if suffix.lower() == "jpeg" else suffix.lower()
        if suffix not in tile_render.FORMATS:
            raise InvalidInputError(f"Tiles come as .png, .webp or .jpg, not as .{suffix[:10]}.")
        return Formats(suffix, suffix)
    accepted = {part.split(";")[0].strip().lower() for part in accept.split(",")}
    takes_jpeg = bool(accepted & {"image/jpeg", "image/*", "*/*"})
    if "image/webp" in accepted:
        return Formats("jpg" if takes_jpeg else "webp", "webp")
    if "image/jpeg" in accepted and not accepted & {"image/png", "image/*", "*/*"}:
        return Formats("jpg", "jpg")
    return Formats("png", "png")


def cache() -> TileCache:
    """The tiles below DATA_DIR that all processes share."""
    return _cache(Path(settings.DATA_DIR) / "tiles", settings.TILE_CACHE_BYTES, settings.MIN_FREE_BYTES)


@functools.lru_cache(maxsize=4)
def _cache(folder: Path, max_bytes: int, min_free_bytes: int) -> TileCache:
    return TileCache(folder, max_bytes, min_free_bytes)


def forget(scene_id: int, cog_path: Path) -> None:
    """Let go of a scene that is deleted."""
    tile_render.forget(cog_path)
    cache().forget(scene_id)


@functools.cache
def _lookups() -> ThreadPoolExecutor:
    """Threads of their own: what is kept must not wait for what is drawn."""
    return ThreadPoolExecutor(2, thread_name_prefix="tile-look")


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, TileQueue[tuple[str, bytes]]] = WeakKeyDictionary()


def _queue() -> TileQueue[tuple[str, bytes]]:
    loop = asyncio.get_running_loop()
    if loop not in _queues:
        _queues[loop] = TileQueue(settings.TILE_THREADS, settings.TILE_QUEUE)
    return _queues[loop]
