"""Imagery tiles: /tiles/<scene>/<z>/<x>/<y>."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from rasterio.errors import RasterioError

from webapp.errors import InvalidInputError, MissingError, WebError
from webapp.imagery import tile_render
from webapp.imagery.tile_query import TileStyle, parse_style
from webapp.models import Scene
from webapp.permissions import scenes_of

__all__ = ["tile"]

logger = logging.getLogger(__name__)

# Tiles may be kept for good: a scene's pixels never change, and a new scene has a new id.
CACHE_CONTROL = "private, max-age=31536000, immutable"


async def tile(
    request: HttpRequest, scene_id: int, z: int, x: int, y: int, suffix: str = ""
) -> HttpResponseBase:
    """One 256 x 256 tile. Async, with threads of its own: sync views would be drawn one after the other."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    try:
        return await _respond(request, scene_id, z, x, y, suffix)
    except WebError as error:
        return JsonResponse({"detail": str(error)}, status=error.status)
    except (RasterioError, OSError):
        logger.exception("tile %s/%s/%s of scene %s", z, x, y, scene_id)
        return JsonResponse(
            {"detail": "The image of this scene cannot be read; import it again."}, status=500
        )


async def _respond(
    request: HttpRequest, scene_id: int, z: int, x: int, y: int, suffix: str
) -> HttpResponseBase:
    chosen = _format(suffix, request.headers.get("Accept", ""))
    user = await request.auser()
    scene = await scenes_of(user).filter(pk=scene_id, state=Scene.State.READY).afirst()
    if scene is None:
        raise MissingError(f"There is no scene {scene_id} among yours that is ready.")
    style = parse_style(request.GET, scene.info)
    try:
        stat = os.stat(scene.cog_path)
    except FileNotFoundError as error:
        raise MissingError(
            f"The image of scene {scene_id} is gone; delete the scene and import it again."
        ) from error
    etag = _etag(scene_id, stat, z, x, y, style, chosen)
    if tile_render.is_outside(scene.info, z, x, y):
        response: HttpResponse = HttpResponse(status=204)
    elif etag in request.headers.get("If-None-Match", ""):
        response = HttpResponse(status=304)
    else:
        draw = functools.partial(tile_render.render, scene.cog_path, scene.info, z, x, y, style, chosen)
        body = await asyncio.get_running_loop().run_in_executor(_threads(), draw)
        response = HttpResponse(body, content_type=tile_render.FORMATS[chosen])
    response["ETag"] = etag
    response["Cache-Control"] = CACHE_CONTROL
    if not suffix:
        response["Vary"] = "Accept"
    return response


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.TILE_THREADS, thread_name_prefix="tile")


def _format(suffix: str, accept: str) -> str:
    """The one asked for, else the smallest with transparency that the browser takes."""
    if suffix:
        suffix = "jpg" if suffix.lower() == "jpeg" else suffix.lower()
        if suffix not in tile_render.FORMATS:
            raise InvalidInputError(f"Tiles come as .png, .webp or .jpg, not as .{suffix[:10]}.")
        return suffix
    accepted = {part.split(";")[0].strip().lower() for part in accept.split(",")}
    if "image/webp" in accepted:
        return "webp"
    return "jpg" if "image/jpeg" in accepted and not accepted & {"image/png", "image/*", "*/*"} else "png"


def _etag(scene_id: int, stat: os.stat_result, z: int, x: int, y: int, style: TileStyle, suffix: str) -> str:
    parts = (scene_id, stat.st_mtime_ns, stat.st_size, z, x, y, style, suffix)
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'
