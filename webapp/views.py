"""The pages."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from webapp import quotas
from webapp.errors import MissingError
from webapp.imagery.remote import can_link
from webapp.permissions import require_project
from webapp.rest.uploads import SUFFIXES

__all__ = ["healthz", "jobs", "map_page", "projects"]


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


@require_safe
@never_cache
@ensure_csrf_cookie
def projects(request: HttpRequest) -> HttpResponse:
    config = {
        "user": request.user.username,
        "maxUploadBytes": settings.MAX_UPLOAD_BYTES,
        "quotaBytes": settings.QUOTA_BYTES,
        "suffixes": SUFFIXES,
        "canLink": can_link(),
        "partsAboveBytes": settings.UPLOAD_PARTS_ABOVE,
        "partBytes": settings.UPLOAD_PART_BYTES,
    }
    context = {
        "config": config,
        "can_link": can_link(),
        "suffixes": ",".join(SUFFIXES),
        "max_upload": quotas.format_bytes(settings.MAX_UPLOAD_BYTES),
    }
    return render(request, "projects/index.html", context)


@require_safe
@never_cache
@ensure_csrf_cookie
def jobs(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/index.html", {"config": {"user": request.user.username}})


@require_safe
@never_cache
@ensure_csrf_cookie
def map_page(request: HttpRequest, project_id: int) -> HttpResponse:
    try:
        project = require_project(request.user, project_id)
    except MissingError as error:
        raise Http404 from error
    config = {
        "projectId": project.pk,
        "sceneId": project.scene_id,
        "prepareFromPx": settings.EXPORT_JOB_PIXELS,
        "wsPath": f"/ws/projects/{project.pk}/",
        "tileUrl": f"/tiles/{project.scene_id}/{{z}}/{{x}}/{{y}}",
        "basemap": {"url": settings.BASEMAP_URL, "attribution": settings.BASEMAP_ATTRIBUTION}
        if settings.BASEMAP_URL
        else None,
    }
    context = {"project": project, "scene": project.scene, "user": request.user, "config": config}
    return render(request, "map/map.html", context)
