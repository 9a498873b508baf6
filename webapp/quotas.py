"""How much a user may store, and whether the disk has room."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Sum

from webapp.errors import QuotaError
from webapp.models import Job, Network, Scene, Segmentation

__all__ = ["check_room", "format_bytes", "used_bytes"]


def format_bytes(count: float) -> str:
    """``1536`` -> ``"1.5 KB"``, in the decimal units of file managers."""
    units = ("bytes", "KB", "MB", "GB", "TB")
    step = 0
    while count >= 1000 and step < len(units) - 1:
        count, step = count / 1000, step + 1
    digits = f"{count:.0f}" if step == 0 or count >= 100 else f"{count:.1f}".removesuffix(".0")
    return f"{digits} {units[step]}"


def used_bytes(user: User) -> int:
    """Bytes of the user's scenes, of the segmentations made from them, of networks and of prepared downloads."""
    scenes = Scene.objects.filter(owner=user).aggregate(total=Sum("size_bytes"))["total"] or 0
    segmentations = (
        Segmentation.objects.filter(scene__owner=user).aggregate(total=Sum("size_bytes"))["total"] or 0
    )
    networks = Network.objects.filter(owner=user).aggregate(total=Sum("size_bytes"))["total"] or 0
    downloads = Job.objects.filter(owner=user).aggregate(total=Sum("size_bytes"))["total"] or 0
    return int(scenes + segmentations + networks + downloads)


def check_room(user: User, wanted_bytes: int, received_bytes: int = 0) -> None:
    """Raise QuotaError unless the user's quota and the disk have room for ``wanted_bytes`` more.

    ``received_bytes`` of them lie on the disk already.
    """
    used = used_bytes(user)
    if used + wanted_bytes > settings.QUOTA_BYTES:
        raise QuotaError(
            f"You have used {format_bytes(used)} of your {format_bytes(settings.QUOTA_BYTES)}, "
            f"and this needs {format_bytes(wanted_bytes)} more; delete a scene that you no longer need."
        )
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.DATA_DIR).free
    lacking = max(0, wanted_bytes - received_bytes)
    if free < lacking + settings.MIN_FREE_BYTES:
        raise QuotaError(
            f"The server's disk is almost full ({format_bytes(free)} free, {format_bytes(lacking)} "
            "needed); delete a scene, or ask whoever runs the server for space."
        )
