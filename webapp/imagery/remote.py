"""Scenes whose image stays at a URL: where it may be read from, and its opened form, pinned to one version."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from django.conf import settings

from segmentation.rasters.access import Access, parse_image_url
from segmentation.rasters.remote import Pin, RemoteImage, open_remote
from webapp.models import Scene

__all__ = ["access", "can_link", "describe_source", "image_of", "job_image", "link_again"]

MAX_OPEN = 32

_open: OrderedDict[tuple[str, Pin], RemoteImage] = OrderedDict()
_lock = threading.Lock()


def access() -> Access:
    """Where images may be read from, as the settings say."""
    rules = _rules()
    return Access(tuple(rules["hosts"]), tuple(rules["buckets"]))


def can_link() -> bool:
    """Whether there is any place that images may be read from."""
    return bool(settings.IMAGERY_HOSTS or settings.IMAGERY_BUCKETS)


def describe_source(image: RemoteImage, copy: bool | None) -> dict[str, Any]:
    """What a job needs to read an image: JSON."""
    return {"url": image.url, "size": image.pin.size, "etag": image.pin.etag, "copy": copy, **_rules()}


def link_again(source: dict[str, Any]) -> dict[str, Any]:
    """A link of before, within what the server may read now."""
    return {**source, **_rules()}


def job_image(scene: Scene) -> str | dict[str, Any]:
    """The image of a scene for a job: a path, or where it lies."""
    source = _in_place(scene)
    if source is None:
        return str(scene.cog_path)
    return {**{name: source[name] for name in ("url", "size", "etag")}, **_own_rules(source)}


def image_of(scene: Scene) -> Path | RemoteImage:
    """The image of a scene for this process, kept open; SegmentationError where it cannot be read (any more)."""
    source = _in_place(scene)
    if source is None:
        return scene.cog_path
    rules = _own_rules(source)
    allowed = Access(tuple(rules["hosts"]), tuple(rules["buckets"]))
    allowed.check(parse_image_url(source["url"]))
    key = source["url"], Pin(source["size"], source["etag"])
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
    image = open_remote(key[0], allowed, key[1])
    with _lock:
        image = _open.setdefault(key, image)
        while len(_open) > MAX_OPEN:
            _open.popitem(last=False)
    return image


def _in_place(scene: Scene) -> dict[str, Any] | None:
    source = (scene.info or {}).get("source")
    return source if source and source["in_place"] else None


def _rules() -> dict[str, Any]:
    return {"hosts": list(settings.IMAGERY_HOSTS), "buckets": list(settings.IMAGERY_BUCKETS)}


def _own_rules(source: dict[str, Any]) -> dict[str, Any]:
    """What may be read for a scene: its own image in our storage, whatever else is listed."""
    rules = _rules()
    if source.get("stored"):
        rules["buckets"].append(source["url"])
    return rules
