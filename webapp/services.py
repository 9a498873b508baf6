"""The database and Redis that the environment names: their settings, and whether they answer.

No sentence here ever holds an address as it was given: there is a password in it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

__all__ = ["ServiceError", "caches", "channel_layers", "check_services", "database", "redis_url"]

POSTGRES = ("postgres", "postgresql")
DATABASE_FORM = "postgres://user:password@host:5432/name"
REDIS_FORM = "redis://:password@host:6379/0"
ESCAPES = "Characters such as @ : / # ? % in a password are written as %40 %3A %2F %23 %3F %25."
CONNECT_S = 5  # for a connection to be made


class ServiceError(Exception):
    """A service that was asked for does not answer; ``str()`` of it is a sentence for whoever runs the server."""


# ---------------------------------------------------------------------------------------------------- settings


def database(url: str, data_dir: Path) -> dict[str, Any]:
    """``DATABASES["default"]``: the PostgreSQL of ``url``, or SQLite in the data folder without one."""
    import environ

    url = url.strip()
    if url.startswith("sqlite"):
        return _sqlite(environ.Env.db_url_config(url))
    if not url:
        return _sqlite(environ.Env.db_url_config(f"sqlite:///{data_dir / 'clusternet.sqlite3'}"))
    parts = _split("DATABASE_URL", url, DATABASE_FORM, POSTGRES)
    if not parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"DATABASE_URL names no database; it has the form {DATABASE_FORM}. {ESCAPES}"
        )
    _require_driver("psycopg", "DATABASE_URL names a PostgreSQL database")
    made = environ.Env.db_url_config(url)
    made["OPTIONS"] = {"connect_timeout": CONNECT_S, **made.get("OPTIONS", {})}
    return made


def channel_layers(url: str) -> dict[str, Any]:
    """``CHANNEL_LAYERS``: Redis, where several processes are to hear of each other; else in memory."""
    if not url:
        # A layer silently drops messages beyond its capacity, so it is far above what a slow browser leaves unread.
        backend = "channels.layers.InMemoryChannelLayer"
        return {"default": {"BACKEND": backend, "CONFIG": {"capacity": 4000}}}
    # Publish and subscribe, not queues: what we send are hints, worth nothing later (docs/decisions/0017).
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    host = {"address": url, "socket_connect_timeout": CONNECT_S, "health_check_interval": 30}
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host], "prefix": "clusternet"}}}


def caches(url: str) -> dict[str, Any]:
    """``CACHES``: what is counted for all processes together (tries of sign-up and the like) lies in Redis."""
    if not url:
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    options = {"socket_connect_timeout": CONNECT_S, "socket_timeout": CONNECT_S}
    return {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": url,
            "KEY_PREFIX": "clusternet",
            "OPTIONS": options,
        }
    }


def redis_url(text: str) -> str:
    """``REDIS_URL``, checked; empty where none is wanted."""
    url = text.strip()
    if not url:
        return ""
    parts = _split("REDIS_URL", url, REDIS_FORM, ("redis", "rediss"))
    number = parts.path.strip("/")
    if number and not number.isdigit():
        raise ImproperlyConfigured(
            f"REDIS_URL ends in {number[:20]!r}, and a database of Redis is a number; it has the form {REDIS_FORM}."
        )
    _require_driver("redis", "REDIS_URL is set")
    _require_driver("channels_redis", "REDIS_URL is set")
    return url


def _sqlite(made: dict[str, Any]) -> dict[str, Any]:
    # Readers go on beside the writer, and writers queue instead of failing with lock errors.
    made["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    return made


def _split(name: str, url: str, form: str, schemes: tuple[str, ...]) -> SplitResult:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes:
        known = " or ".join(f"{one}://" for one in schemes)
        # Without a scheme the first part may be anything, a password too.
        got = f", not with {scheme[:20]}://" if separator and scheme.isalnum() else ""
        raise ImproperlyConfigured(f"{name} must begin with {known}{got}; it has the form {form}.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} cannot be read: its port is no number from 0 to 65535, or its host is damaged. It has the form "
            f"{form}. {ESCAPES}"
        ) from error
    if not parts.hostname:
        raise ImproperlyConfigured(f"{name} names no host; it has the form {form}. {ESCAPES}")
    if parts.fragment:
        raise ImproperlyConfigured(
            f"{name} holds a #, which ends an address; it has the form {form}. {ESCAPES}"
        )
    return parts


def _require_driver(module: str, why: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ImproperlyConfigured(
            f"{why}, and the Python package {module} for it is not installed; install it: "
            "pip install -r requirements.txt"
        )


# ---------------------------------------------------------------------------------------------------- do they answer


def check_services() -> None:
    """ServiceError with a sentence where the database or Redis does not answer."""
    from django.conf import settings

    _check_database()
    if settings.REDIS_URL:
        _check_redis(settings.REDIS_URL)


def _check_database() -> None:
    from django.db import DatabaseError, connection

    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        facts = connection.settings_dict
        if connection.vendor == "sqlite":
            raise ServiceError(
                f"The database {facts['NAME']} cannot be opened ({_reason(error)}); check DATABASE_URL and DATA_DIR."
            ) from error
        where = f"{facts['NAME']} at {facts['HOST'] or 'this machine'}:{facts['PORT'] or 5432}"
        reason = _reason(error, str(facts["PASSWORD"] or ""))
        raise ServiceError(
            f"The PostgreSQL database {where} does not let us in ({reason}); start it, or correct DATABASE_URL."
        ) from error


def _check_redis(url: str) -> None:
    import redis

    parts = urlsplit(url)
    client = redis.Redis.from_url(url, socket_connect_timeout=CONNECT_S, socket_timeout=CONNECT_S)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        reason = _reason(error, unquote(parts.password or ""))
        raise ServiceError(
            f"The Redis at {parts.hostname}:{parts.port or 6379} does not answer ({reason}); start it, or correct REDIS_URL."
        ) from error
    finally:
        client.close()


def _reason(error: Exception, secret: str = "") -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].rstrip(".") if lines else type(error).__name__
    return reason.replace(secret, "***") if secret else reason
