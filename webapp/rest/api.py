"""REST: scenes and projects; the rest is in segmentation_api.py. Errors are {"detail": sentence}."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from ninja import File, Form, NinjaAPI, Router, Schema, Status
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.files import UploadedFile
from ninja.security import SessionAuth

from segmentation.errors import SegmentationError
from webapp import quotas, storage
from webapp.descriptions import describe_project, describe_scene
from webapp.editing import legends, projects
from webapp.errors import MissingError, WebError, describe
from webapp.models import Role, Scene
from webapp.people.members import roles_in, tell
from webapp.permissions import (
    projects_of,
    require_own_scene,
    require_project,
    require_role,
    require_scene,
    scenes_of,
)
from webapp.rest.example_api import router as example_router
from webapp.rest.history_api import router as history_router
from webapp.rest.job_api import router as job_router
from webapp.rest.link_api import router as link_router
from webapp.rest.member_api import router as member_router
from webapp.rest.network_api import router as network_router
from webapp.rest.note_api import router as note_router
from webapp.rest.override_api import router as override_router
from webapp.rest.segmentation_api import router as segmentation_router
from webapp.rest.upload_api import router as upload_router
from webapp.rest.uploads import clean_name, receive_scene

__all__ = ["api"]

api = NinjaAPI(title="ClusterNet", version="1", docs_url=None, auth=SessionAuth())
scenes = Router(tags=["scenes"])
projects_router = Router(tags=["projects"])


class NameIn(Schema):
    name: str


class ProjectIn(Schema):
    scene: int
    name: str = ""


@api.exception_handler(WebError)
@api.exception_handler(SegmentationError)
def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    problem = describe(error)
    return api.create_response(request, {"detail": problem.message}, status=problem.status)


@api.exception_handler(ValidationError)
def _malformed(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """The first thing wrong with the request's fields, as a sentence."""
    first: dict[str, Any] = error.errors[0]
    field = str(first["loc"][-1]) if first["loc"] else "The request"
    return api.create_response(request, {"detail": f"{field}: {first['msg']}."}, status=422)


@api.exception_handler(AuthenticationError)
def _not_signed_in(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return api.create_response(request, {"detail": "Please sign in first."}, status=401)


@api.exception_handler(MultiPartParserError)
def _broken_form(request: HttpRequest, error: MultiPartParserError) -> HttpResponse:
    return api.create_response(request, {"detail": "The upload arrived damaged; send it again."}, status=400)


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    message = str(error)
    if error.status_code == 403 and "CSRF" in message:
        message = (
            "This page is older than your sign-in (no valid CSRF token). Reload it, and do it once more."
        )
    return api.create_response(request, {"detail": message}, status=error.status_code)


@scenes.get("")
def list_scenes(request: HttpRequest) -> list[dict[str, Any]]:
    return [describe_scene(scene) for scene in scenes_of(request.user)]


@scenes.post("", response={202: dict})
def upload_scene(request: HttpRequest, file: File[UploadedFile], name: Form[str] = "") -> Status:
    # Must stay sync: the thread that parses the body pulls it from the sender (webapp/requests.py).
    return Status(202, describe_scene(receive_scene(request.user, file, name)))


@scenes.get("/{scene_id}")
def get_scene(request: HttpRequest, scene_id: int) -> dict[str, Any]:
    return describe_scene(require_scene(request.user, scene_id))


@scenes.patch("/{scene_id}")
def rename_scene(request: HttpRequest, scene_id: int, payload: NameIn) -> dict[str, Any]:
    scene = require_own_scene(request.user, scene_id)
    scene.name = clean_name(payload.name)
    scene.save(update_fields=["name"])
    return describe_scene(scene)


@scenes.delete("/{scene_id}", response={204: None})
def delete_scene(request: HttpRequest, scene_id: int) -> Status:
    scene = require_own_scene(request.user, scene_id)
    projects_on_it = list(scene.projects.values_list("pk", flat=True))
    storage.delete_scene(scene)
    for project_id in projects_on_it:
        tell(project_id)
    return Status(204, None)


@scenes.get("/{scene_id}/thumbnail")
def thumbnail(request: HttpRequest, scene_id: int) -> HttpResponse:
    scene = require_scene(request.user, scene_id)
    if scene.state != Scene.State.READY or not scene.thumbnail_path.exists():
        raise MissingError(f"The scene {scene.name} has no thumbnail yet.")
    response = HttpResponse(scene.thumbnail_path.read_bytes(), content_type="image/webp")
    response["Cache-Control"] = "private, max-age=86400"
    return response


@projects_router.get("")
def list_projects(request: HttpRequest) -> list[dict[str, Any]]:
    # Counting groups rows, for which Django drops the model's own order.
    found = list(
        projects_of(request.user).annotate(n_others=Count("memberships")).order_by("-updated_at", "-id")
    )
    roles = roles_in(request.user, found)
    return [describe_project(project, roles[project.pk]) for project in found]


@projects_router.post("", response={201: dict})
def create_project(request: HttpRequest, payload: ProjectIn) -> Status:
    scene = require_scene(request.user, payload.scene)
    project = projects.create_project(request.user, scene, clean_name(payload.name or scene.name))
    return Status(201, describe_project(project, Role.OWNER))


@projects_router.get("/{project_id}")
def get_project(request: HttpRequest, project_id: int) -> dict[str, Any]:
    project = require_project(request.user, project_id)
    return describe_project(project, require_role(request.user, project, Role.VIEWER))


@projects_router.patch("/{project_id}")
def rename_project(request: HttpRequest, project_id: int, payload: NameIn) -> dict[str, Any]:
    project = require_project(request.user, project_id, Role.OWNER)
    renamed = projects.rename_project(project, request.user, clean_name(payload.name))
    return describe_project(renamed, Role.OWNER)


@projects_router.delete("/{project_id}", response={204: None})
def delete_project(request: HttpRequest, project_id: int) -> Status:
    storage.delete_project(require_project(request.user, project_id, Role.OWNER))
    tell(project_id)
    return Status(204, None)


@projects_router.post("/{project_id}/duplicate", response={201: dict})
def duplicate_project(request: HttpRequest, project_id: int) -> Status:
    project = require_project(request.user, project_id)
    copy = projects.duplicate_project(project, request.user, f"{project.name[:190]} (copy)")
    return Status(201, describe_project(copy, Role.OWNER))


@api.get("/storage", tags=["scenes"])
def storage_used(request: HttpRequest) -> dict[str, int]:
    return {"used_bytes": quotas.used_bytes(request.user), "quota_bytes": settings.QUOTA_BYTES}


@api.get("/legends", tags=["projects"])
def list_legends(request: HttpRequest) -> list[dict[str, Any]]:
    return legends.describe_legends()


api.add_router("/scenes", link_router)  # before the scenes: its path would be taken for a scene's id
api.add_router("/scenes", scenes)
api.add_router("/projects", projects_router)
api.add_router("", segmentation_router)
api.add_router("", example_router)
api.add_router("", network_router)
api.add_router("", member_router)
api.add_router("", override_router)
api.add_router("", history_router)
api.add_router("", note_router)
api.add_router("", job_router)
api.add_router("/uploads", upload_router)
