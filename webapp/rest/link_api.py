"""REST: a scene by the URL of its image."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from ninja import Router, Schema, Status

from segmentation.rasters.remote import RemoteImage, open_remote
from webapp import quotas
from webapp.descriptions import describe_scene
from webapp.imagery import remote
from webapp.jobs import door
from webapp.models import Scene
from webapp.rest.uploads import clean_name

__all__ = ["link_scene", "router"]

router = Router(tags=["scenes"])

THUMBNAIL_BYTES = 100_000  # what a scene takes here whose image stays where it is


class LinkIn(Schema):
    url: str
    name: str = ""
    copy_image: bool | None = None  # null: where it cannot be read in place


@router.post("/link", response={202: dict})
def link(request: HttpRequest, payload: LinkIn) -> Status:
    """Add a scene whose image lies at a URL; what is wrong with the URL is told at once."""
    image = open_remote(payload.url, remote.access())
    return Status(202, describe_scene(link_scene(request.user, image, payload.name, payload.copy_image)))


def link_scene(user: User, image: RemoteImage, name: str, copy: bool | None) -> Scene:
    """Make a scene of an image at a URL and hand it to the import."""
    quotas.check_room(user, image.pin.size if copy else THUMBNAIL_BYTES)
    source: dict[str, Any] = remote.describe_source(image, copy)
    with transaction.atomic():
        scene = Scene.objects.create(
            owner=user,
            name=clean_name(name or image.name.rpartition(".")[0] or image.name),
            source_name=image.name[-255:],
            size_bytes=image.pin.size if copy else THUMBNAIL_BYTES,
        )
        transaction.on_commit(lambda: door.submit_link(scene, source))
    return scene
