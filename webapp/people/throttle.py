"""How often something may be tried, counted in Django's cache.

In memory each process counts for itself; with Redis all count together, and while it is out of reach each for itself.
"""

from __future__ import annotations

import logging
import time

import redis
from axes.helpers import get_client_ip_address
from django.core.cache import BaseCache, cache
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest

__all__ = ["address_of", "allow"]

logger = logging.getLogger(__name__)

_own = LocMemCache("throttle", {})


def allow(what: str, most: int, seconds: int) -> bool:
    """Count one try of ``what``; False where there were ``most`` in this stretch of ``seconds`` already."""
    key = f"throttle:{what}:{int(time.time()) // seconds}"
    try:
        return _count(cache, key, seconds) <= most
    except (redis.RedisError, OSError) as error:
        logger.warning("the shared cache failed, so this process counts tries for itself: %r", error)
        return _count(_own, key, seconds) <= most


def _count(counted_in: BaseCache, key: str, seconds: int) -> int:
    counted_in.add(key, 0, timeout=seconds)
    try:
        return int(counted_in.incr(key))
    except ValueError:
        return 0  # the stretch ended between the two lines


def address_of(request: HttpRequest) -> str:
    """Where a request comes from, by the same rule as for wrong passwords."""
    return str(get_client_ip_address(request) or "unknown")
