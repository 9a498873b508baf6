"""Imagery tiles: /tiles/<scene>/<z>/<x>/<y>."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse

from webapp.errors import MissingError
from webapp.imagery import gate, serving
from webapp.models import Scene
from webapp.permissions import scenes_of

__all__ = ["tile"]


async def tile(
    request: HttpRequest, scene_id: int, z: int, x: int, y: int, suffix: str = ""
) -> HttpResponseBase:
    """One 256 x 256 tile. Async, with threads of its own: sync views would be drawn one after the other."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    user = await request.auser()
    scene = await scenes_of(user).filter(pk=scene_id, state=Scene.State.READY).afirst()
    if scene is None:
        missing = MissingError(f"There is no scene {scene_id} among yours that is ready.")
        return JsonResponse({"detail": str(missing)}, status=missing.status)
    gate.may_pass(request, scene)
    headers = request.headers
    asked = serving.Asked(
        z, x, y, suffix, request.GET, headers.get("Accept", ""), headers.get("If-None-Match", "")
    )
    found = await serving.answer(scene, asked)
    response = HttpResponse(found.body, status=found.status, headers=found.headers)
    if "Content-Type" not in found.headers:
        del response["Content-Type"]
    return response
