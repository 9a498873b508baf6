"""When the server learns features of a scene by itself, and the network that a segmentation leaves behind."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from segmentation.errors import StoreError
from webapp import quotas
from webapp.errors import QuotaError
from webapp.jobs.tasks import NETWORK_FILE
from webapp.models import Network, Scene, Segmentation

__all__ = ["LONGEST_S", "begin_where_due", "keep_network"]

logger = logging.getLogger(__name__)

LONGEST_S = 3600.0  # a training that somebody may ask for
NETWORK_BYTES = 2_000_000  # what a network and its bookkeeping take at most beside the leaves


def begin_where_due(scene_id: int) -> Segmentation | None:
    """Queue the learned segmentation of a scene whose first map is there; None where none is due.

    Once a scene: not where one that learns, or that uses a network, is there already, be it cancelled or failed. Its
    bands and area of interest are those of the first map in use.
    """
    if settings.LEARNING != "auto":
        return None
    with transaction.atomic():
        # The lock keeps two jobs that end at once from beginning two.
        scene = Scene.objects.select_for_update().filter(pk=scene_id, state=Scene.State.READY).first()
        if scene is None:
            return None
        rows = Segmentation.objects.filter(scene=scene)
        if rows.filter(Q(parameters__mode="best") | Q(parameters__network__gt=0)).exists():
            return None
        used = rows.filter(state=Segmentation.State.COMPLETE, projects__isnull=False)
        first = used.order_by("pk").first()
        if first is None:
            return None
        try:
            quotas.check_room(scene.owner, first.size_bytes + NETWORK_BYTES)
        except QuotaError as error:
            logger.info("nothing is learned from scene %s: %s", scene_id, error)
            return None
        return Segmentation.objects.create(
            scene=scene,
            created_by=scene.owner,
            automatic=True,
            parameters={**first.parameters, "mode": "best", "train_seconds": settings.LEARNING_SECONDS},
        )


def keep_network(segmentation: Segmentation, learned: dict[str, Any]) -> str:
    """Keep what a segmentation has learned as a network of its own; a remark where that was not possible.

    ``learned`` is what the job says of it. A network that was only applied is kept already.
    """
    training = learned["training"]
    if not training.get("steps"):
        return ""
    scene = segmentation.scene
    network, _ = Network.objects.update_or_create(
        segmentation=segmentation,
        defaults={
            "owner": scene.owner,
            "name": f"{scene.name[:170]}, {training['steps']:,} steps",
            "scene": scene,
            "n_bands": learned["n_bands"],
            "bands": _bands(scene.info, segmentation.parameters.get("bands")),
            "training": training,
            "fingerprint": learned["fingerprint"],
        },
    )
    try:
        network.path.parent.mkdir(parents=True, exist_ok=True)
        network.path.write_bytes((segmentation.store_path / NETWORK_FILE).read_bytes())
        network.size_bytes = network.path.stat().st_size
        network.save(update_fields=["size_bytes"])
    except (OSError, StoreError) as error:
        logger.warning("the network of segmentation %s was not kept: %s", segmentation.pk, error)
        network.delete()
        return (
            "Its network could not be kept for other scenes, most likely because the server's disk is full."
        )
    return ""


def _bands(info: dict[str, Any], chosen: list[int] | None) -> list[dict[str, str]]:
    """Name and role of each band that was used."""
    names, roles = info.get("band_names", []), info.get("band_roles", [])
    numbers = chosen or range(1, int(info.get("n_bands", 0)) + 1)
    return [
        {
            "name": names[number - 1] if number <= len(names) else "",
            "role": roles[number - 1] if number <= len(roles) else "",
        }
        for number in numbers
    ]
