"""REST: segmentations, their tree and numbers, and a project's download (docs/protocol.md, "REST")."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja import Router, Schema, Status
from pydantic import ConfigDict

from segmentation.errors import StoreError
from webapp import quotas, storage
from webapp.decoding import suggestions
from webapp.decoding.completion import order_for
from webapp.decoding.completion_service import completions
from webapp.editing.adoption import drop_segmentation
from webapp.editing.areas import check_area
from webapp.editing.leaves import LeavesKey, leaves_key, open_leaves
from webapp.errors import ConflictError, ForbiddenError, InvalidInputError, LimitError, QuotaError
from webapp.jobs import door
from webapp.jobs.jobrows import ACTIVE, tell_segmentations
from webapp.jobs.learning import LONGEST_S
from webapp.jobs.networks import require_fitting
from webapp.live.blocks import pool
from webapp.live.events import describe_segmentation
from webapp.models import Project, Scene, Segmentation
from webapp.permissions import (
    Visitor,
    projects_of,
    require_compute,
    require_project,
    require_scene,
    require_segmentation,
)
from webapp.rest import exports, segmentation_numbers

__all__ = ["check_room", "router"]

router = Router(tags=["segmentations"])

MAX_ACTIVE = 8  # segmentations of one user that run or wait
STORE_BYTES_PER_PIXEL = 0.5  # about 80 KiB a block of 512 x 512, and its overviews

Result = TypeVar("Result")


class SegmentationIn(Schema):
    model_config = ConfigDict(extra="forbid", strict=True)

    bands: list[int] | None = None
    superpixel_px: int | None = None
    n_leaves: int | None = None
    seed: int = 0
    aoi: dict[str, Any] | None = None
    mode: Literal["fast", "best"] = "fast"
    train_seconds: float | None = None
    network: int | None = None


# ---------------------------------------------------------------------------------------------------- rows


@router.get("/scenes/{scene_id}/segmentations")
def list_segmentations(request: HttpRequest, scene_id: int) -> list[dict[str, Any]]:
    scene = require_scene(request.user, scene_id)
    return [describe_segmentation(row) for row in scene.segmentations.all()]


@router.post("/scenes/{scene_id}/segmentations", response={201: dict})
def start_segmentation(request: HttpRequest, scene_id: int, payload: SegmentationIn) -> Status:
    scene = require_scene(request.user, scene_id)
    require_compute(request.user, scene)
    parameters = _checked(payload, scene, request.user)
    check_room(request.user, scene)
    with transaction.atomic():
        segmentation = Segmentation.objects.create(
            scene=scene, created_by=request.user, parameters=parameters
        )
        transaction.on_commit(lambda: door.submit_segmentation(segmentation))
    return Status(201, describe_segmentation(segmentation))


@router.get("/segmentations/{segmentation_id}")
def get_segmentation(request: HttpRequest, segmentation_id: int) -> dict[str, Any]:
    return describe_segmentation(require_segmentation(request.user, segmentation_id))


@router.post("/segmentations/{segmentation_id}/cancel")
def cancel_segmentation(request: HttpRequest, segmentation_id: int) -> dict[str, Any]:
    segmentation = require_segmentation(request.user, segmentation_id)
    require_compute(request.user, segmentation.scene)
    if not door.cancel(segmentation, f"Cancelled by {request.user.username}."):
        segmentation.refresh_from_db()
        raise ConflictError(
            f"Segmentation {segmentation_id} is {segmentation.state}; there is nothing to cancel."
        )
    segmentation.refresh_from_db()
    return describe_segmentation(segmentation)


@router.delete("/segmentations/{segmentation_id}", response={204: None})
def delete_segmentation(request: HttpRequest, segmentation_id: int, force: bool = False) -> Status:
    segmentation = require_segmentation(request.user, segmentation_id)
    is_owner = segmentation.scene.owner_id == request.user.pk
    if not is_owner:
        require_compute(request.user, segmentation.scene)
        if segmentation.created_by_id != request.user.pk:
            raise ForbiddenError(
                f"Somebody else had this segmentation made; they can delete it, and {segmentation.scene.owner.username}, "
                "whose scene it is."
            )
    users = Project.objects.filter(segmentation=segmentation)
    if users.exists() and not (force and is_owner):
        raise ConflictError(
            f"The segmentation is in use ({_names(users, request.user)}); adopt another one there first, or delete "
            "the project."
        )
    door.cancel(segmentation)
    with transaction.atomic():
        for project in Project.objects.filter(segmentation=segmentation):
            drop_segmentation(project.pk, segmentation_id)
        path, scene_id = segmentation.store_path, segmentation.scene_id
        segmentation.delete()
        transaction.on_commit(lambda: storage.free(path))
        transaction.on_commit(lambda: tell_segmentations(scene_id))
    return Status(204, None)


def check_room(user: Visitor, scene: Scene) -> None:
    """Whether the scene's owner, who pays, has room for one more."""
    is_own = scene.owner_id == user.pk
    try:
        quotas.check_room(
            scene.owner, int(scene.info["width"] * scene.info["height"] * STORE_BYTES_PER_PIXEL)
        )
    except QuotaError as error:
        if is_own:
            raise
        raise QuotaError(
            f"The storage of {scene.owner.username}, whose scene this is, has no room for another segmentation; ask "
            "them to delete something."
        ) from error
    active = Segmentation.objects.filter(scene__owner=scene.owner_id, state__in=ACTIVE).count()
    if active >= MAX_ACTIVE:
        whose = "your segmentations" if is_own else f"the segmentations of {scene.owner.username}'s scenes"
        raise LimitError(f"{active} of {whose} are running or waiting; cancel one or wait for it.")


def _names(projects: QuerySet[Project], user: Visitor) -> str:
    """The first of them by name, as far as the user may know of them."""
    known = list(projects_of(user).filter(pk__in=projects.values("pk")).order_by("pk"))
    names = [project.name for project in known[:3]] + ["..."] * (len(known) > 3)
    others = projects.count() - len(known)
    if others:
        names.append(f"{others} of other people")
    return ", ".join(names)


def _checked(payload: SegmentationIn, scene: Scene, user: Visitor) -> dict[str, Any]:
    """The parameters as the row keeps them, refused here rather than by the job minutes later."""
    if scene.state != Scene.State.READY:
        raise ConflictError(
            f"The scene {scene.name} is not ready ({scene.state}), so it cannot be segmented."
        )
    n_bands = scene.info["n_bands"]
    if payload.bands is not None:
        wrong = [band for band in payload.bands if not 1 <= band <= n_bands]
        if wrong:
            raise InvalidInputError(
                f"The scene has bands 1 to {n_bands}, and no band {wrong[0]}; choose among those."
            )
        if not payload.bands or len(set(payload.bands)) != len(payload.bands):
            raise InvalidInputError("Choose one band or more, each once; or none at all for all bands.")
    if payload.superpixel_px is not None and not 10 <= payload.superpixel_px <= 40:
        raise InvalidInputError(f"A superpixel cannot have {payload.superpixel_px} pixels; choose 10 to 40.")
    if payload.n_leaves is not None and not 2 <= payload.n_leaves <= 61_440:
        raise InvalidInputError(f"There cannot be {payload.n_leaves} leaves; choose 2 to 61,440.")
    if not 0 <= payload.seed < 2**31:
        raise InvalidInputError(f"The seed cannot be {payload.seed}; choose 0 to 2,147,483,647.")
    return {
        "bands": payload.bands,
        "superpixel_px": payload.superpixel_px,
        "n_leaves": payload.n_leaves,
        "seed": payload.seed,
        "aoi": None if payload.aoi is None else check_area(payload.aoi, scene),
        **_learning(payload, user, n_bands if payload.bands is None else len(payload.bands)),
    }


def _learning(payload: SegmentationIn, user: Visitor, n_bands: int) -> dict[str, Any]:
    """What is to be learned, as the row keeps it."""
    seconds = payload.train_seconds
    if seconds is not None and not 0 <= seconds <= LONGEST_S:  # false for NaN
        raise InvalidInputError(
            f"A training cannot last {seconds:g} seconds; choose 0 to {LONGEST_S:,.0f}, or nothing for "
            f"{settings.LEARNING_SECONDS}."
        )
    if payload.mode == "fast" and seconds:
        raise InvalidInputError(
            'In mode "fast" nothing is trained; choose the mode "best", or 0 seconds of training.'
        )
    if payload.mode == "best" and seconds is None:
        seconds = settings.LEARNING_SECONDS
    network = None if payload.network is None else require_fitting(user, payload.network, n_bands)
    return {
        "mode": payload.mode,
        "train_seconds": seconds if payload.mode == "best" else None,
        "network": network and network.pk,
        "network_name": network and network.name,
    }


# ---------------------------------------------------------------------------------------------------- numbers


async def _in_pool(work: Callable[..., Result], *args: Any) -> Result:
    # Sync views run one after the other; these may take seconds, so they get threads of their own.
    return await asyncio.get_running_loop().run_in_executor(pool, functools.partial(work, *args))


async def _segmentation_with_tree(request: HttpRequest, segmentation_id: int) -> Segmentation:
    segmentation = await database_sync_to_async(require_segmentation)(await request.auser(), segmentation_id)
    if segmentation.n_leaves == 0:
        raise ConflictError(
            f"Segmentation {segmentation_id} is {segmentation.state} and has no clusters"
            f"{' yet; wait a moment' if segmentation.is_active else ''}."
        )
    return segmentation


def _binary(body: bytes, etag: str, cache: str) -> HttpResponse:
    response = HttpResponse(body, content_type="application/octet-stream")
    response["Content-Encoding"] = "gzip"
    response["ETag"] = etag
    response["Cache-Control"] = cache
    return response


def _is_known(request: HttpRequest, etag: str) -> bool:
    return etag in request.headers.get("If-None-Match", "")


def _unchanged(etag: str, cache: str) -> HttpResponse:
    response = HttpResponse(status=304)
    response["ETag"] = etag
    response["Cache-Control"] = cache
    return response


@router.get("/segmentations/{segmentation_id}/tree")
async def get_tree(request: HttpRequest, segmentation_id: int) -> HttpResponse:
    segmentation = await _segmentation_with_tree(request, segmentation_id)
    # Fixed together with the codebook, and ids are never given twice.
    etag, cache = f'"tree-{segmentation.pk}-0"', "private, max-age=31536000, immutable"
    if _is_known(request, etag):
        return _unchanged(etag, cache)
    return _binary(await _in_pool(segmentation_numbers.tree, segmentation.pk), etag, cache)


@router.get("/segmentations/{segmentation_id}/statistics")
async def get_statistics(
    request: HttpRequest, segmentation_id: int, project: int | None = None
) -> HttpResponse:
    segmentation = await _segmentation_with_tree(request, segmentation_id)
    aoi, leaves = None, LeavesKey(segmentation.pk)
    if project is not None:
        row = await database_sync_to_async(require_project)(await request.auser(), project)
        if row.scene_id != segmentation.scene_id:
            raise InvalidInputError(
                f"Project {project} is over another scene than segmentation {segmentation_id}."
            )
        aoi, leaves = row.aoi, leaves_key(row, segmentation.pk)
    etag, cache = segmentation_numbers.etag(segmentation, leaves, aoi), "private, no-cache"
    is_complete = segmentation.state == Segmentation.State.COMPLETE
    if is_complete and _is_known(request, etag):
        return _unchanged(etag, cache)
    read = partial(segmentation_numbers.statistics, leaves, aoi, is_complete=is_complete)
    return _binary(await _in_pool(read), etag, cache)


@router.get("/segmentations/{segmentation_id}/spectrum")
async def get_spectrum(
    request: HttpRequest, segmentation_id: int, low: int, high: int, project: int | None = None
) -> dict[str, Any]:
    segmentation = await _segmentation_with_tree(request, segmentation_id)
    leaves = LeavesKey(segmentation.pk)
    if project is not None:
        row = await database_sync_to_async(require_project)(await request.auser(), project)
        leaves = leaves_key(row, segmentation.pk)

    def read() -> tuple[Any, float]:
        store = open_leaves(leaves)
        return store.spectrum(*store.range_of(low, high))

    try:
        mean, pixels = await _in_pool(read)
    except StoreError as error:
        raise ConflictError(str(error)) from error
    return {"mean": [float(value) for value in mean], "pixels": float(pixels)}


@router.get("/projects/{project_id}/certainty")
async def get_certainty(request: HttpRequest, project_id: int, low: int, high: int) -> dict[str, Any]:
    order = await database_sync_to_async(order_for)(await request.auser(), project_id)
    completed = await completions.answer(order)
    n_leaves = len(completed.classes)
    if not 0 <= low < high <= n_leaves:
        raise InvalidInputError(
            f"Leaves {low} to {high} are not a range within the segmentation's {n_leaves} leaves."
        )
    pairs = await _in_pool(completed.probabilities, low, high)
    classes = [{"class": number, "certainty": round(mean, 4)} for number, mean in pairs]
    return {"number": completed.number, "classes": classes}


@router.get("/projects/{project_id}/suggestions")
async def get_suggestions(request: HttpRequest, project_id: int, count: int = 6) -> dict[str, Any]:
    user = await request.auser()
    return await suggestions.answer(
        await database_sync_to_async(suggestions.question_for)(user, project_id, count)
    )


@router.get("/projects/{project_id}/export.geojson")
async def export_geojson(request: HttpRequest, project_id: int) -> HttpResponseBase:
    user = await request.auser()
    order = await database_sync_to_async(exports.prepare)(user, project_id)
    return await exports.download(order)
