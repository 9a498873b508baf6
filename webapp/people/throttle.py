"""How often something may be tried, counted in Django's cache.

In memory each process counts for itself; with a shared cache all count together.
"""

from __future__ import annotations

import time

from axes.helpers import get_client_ip_address
from django.core.cache import cache
from django.http import HttpRequest

__all__ = ["address_of", "allow"]


def allow(what: str, most: int, seconds: int) -> bool:
    """Count one try of ``what``; False where there were ``most`` in this stretch of ``seconds`` already."""
    key = f"throttle:{what}:{int(time.time()) // seconds}"
    cache.add(key, 0, timeout=seconds)
    try:
        return int(cache.incr(key)) <= most
    except ValueError:
        return True  # the stretch ended between the two lines


def address_of(request: HttpRequest) -> str:
    """Where a request comes from, by the same rule as for wrong passwords."""
    return str(get_client_ip_address(request) or "unknown")
