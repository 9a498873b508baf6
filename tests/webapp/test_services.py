"""Addresses of PostgreSQL and Redis: damaged, without a driver, or of nobody who answers; never with their password."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.webapp.test_settings import python
from webapp import services

SECRET = "s3cret-pass"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"postgres://me:{SECRET}@host:54x2/maps", "DATABASE_URL cannot be read: its port is no number"),
        (f"postgres://me:{SECRET}@host:99999/maps", "DATABASE_URL cannot be read: its port is no number"),
        (f"postgres://me:{SECRET}@[::1/maps", "DATABASE_URL cannot be read"),
        (f"postgres://me:{SECRET}@host", "DATABASE_URL names no database"),
        (f"postgres://me:{SECRET}@/maps", "DATABASE_URL names no host"),
        (f"postgres://me:{SECRET}#1@host/maps", "DATABASE_URL"),
        (f"mysql://me:{SECRET}@host/maps", "must begin with postgres:// or postgresql://, not with mysql://"),
        (
            f"me:{SECRET}@host/maps",
            "DATABASE_URL must begin with postgres:// or postgresql://; it has the form",
        ),
        (SECRET, "DATABASE_URL must begin with postgres://"),
    ],
)
def test_damaged_database_address_is_told(tmp_path, url, sentence):
    with pytest.raises(ImproperlyConfigured) as caught:
        services.database(url, tmp_path)
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"redis://:{SECRET}@host:x/0", "REDIS_URL cannot be read: its port is no number"),
        (f"redis://:{SECRET}@/0", "REDIS_URL names no host"),
        (f"redis://:{SECRET}@host/cache", "ends in 'cache', and a database of Redis is a number"),
        (f"http://:{SECRET}@host", "must begin with redis:// or rediss://, not with http://"),
        (f"{SECRET}@host:6379", "must begin with redis:// or rediss://; it has the form"),
    ],
)
def test_damaged_redis_address_is_told(url, sentence):
    with pytest.raises(ImproperlyConfigured) as caught:
        services.redis_url(url)
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)


def test_escaped_passwords_and_options_are_understood(tmp_path):
    made = services.database("postgresql://me:p%40ss%2Fword@db:5433/maps?sslmode=require", tmp_path)
    assert (made["USER"], made["PASSWORD"], made["HOST"], made["PORT"]) == ("me", "p@ss/word", "db", 5433)
    assert made["OPTIONS"] == {"sslmode": "require", "connect_timeout": 5}
    assert services.redis_url(" rediss://:x@cache:6380/2 ") == "rediss://:x@cache:6380/2"


def test_without_addresses_nothing_need_be_installed(tmp_path):
    assert services.database("", tmp_path)["NAME"] == str(tmp_path / "clusternet.sqlite3")
    assert (
        services.database(f"sqlite:///{tmp_path}/own.db", tmp_path)["OPTIONS"]["transaction_mode"]
        == "IMMEDIATE"
    )
    assert services.redis_url("  ") == ""
    assert "InMemory" in services.channel_layers("")["default"]["BACKEND"]
    assert "locmem" in services.caches("")["default"]["BACKEND"]


@pytest.mark.parametrize(
    ("module", "read"),
    [
        ("psycopg", lambda: services.database("postgres://me:x@host/maps", Path("/tmp"))),
        ("redis", lambda: services.redis_url("redis://host")),
        ("channels_redis", lambda: services.redis_url("redis://host")),
    ],
)
def test_missing_driver_is_told(monkeypatch, module, read):
    monkeypatch.setitem(sys.modules, module, None)
    sentence = f"package {module} for it is not installed; install it: pip"
    with pytest.raises(ImproperlyConfigured, match=sentence):
        read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("command", ["run", "serve"])
def test_database_that_does_not_answer_is_told_at_the_start(tmp_path, command):
    port = free_port()
    done = python(
        tmp_path,
        "manage.py",
        command,
        DATABASE_URL=f"postgres://me:{SECRET}@127.0.0.1:{port}/maps",
        PORT=str(free_port()),
    )
    assert done.returncode == 1
    assert f"The PostgreSQL database maps at 127.0.0.1:{port} does not let us in (" in done.stderr
    assert "start it, or correct DATABASE_URL." in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout


def test_redis_that_does_not_answer_is_told_at_the_start(tmp_path):
    port = free_port()
    done = python(
        tmp_path, "manage.py", "serve", REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{port}", PORT=str(free_port())
    )
    assert done.returncode == 1
    assert f"The Redis at 127.0.0.1:{port} does not answer (" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert SECRET not in done.stderr + done.stdout


def test_database_of_another_version_is_told(tmp_path):
    done = python(tmp_path, "manage.py", "serve", PORT=str(free_port()))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "The database is not ready for this version of ClusterNet; run once: python manage.py migrate"
    )
