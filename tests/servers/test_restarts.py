"""A Redis that goes away, and comes back, under a running server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from urllib.parse import urlsplit

import pytest
import redis
from channels_redis.pubsub import RedisPubSubChannelLayer

from tests.servers import programs
from tests.servers.conftest import missing
from webapp import services
from webapp.live import broadcast
from webapp.people import throttle


@pytest.fixture(autouse=True)
def _has_redis():
    if shutil.which("redis-server") is None:
        missing(programs.MissingError("redis-server is not installed (Debian: apt install redis-server)"))


def _backend(url):
    made = services.channel_layers(url)["default"]
    assert made["BACKEND"].endswith("RedisPubSubChannelLayer")
    return RedisPubSubChannelLayer(**made["CONFIG"])


async def joined(layer, group):
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


async def test_hints_arrive_again_after_redis_was_restarted():
    with programs.redis() as url:
        listening, sending = _backend(url), _backend(url)
        parts = urlsplit(url)
        channel = await joined(listening, "project.1")
        reading = asyncio.create_task(listening.receive(channel))
        await asyncio.sleep(0.2)
        await sending.group_send("project.1", {"type": "edit.recorded", "number": 1})
        assert (await asyncio.wait_for(reading, 10))["number"] == 1
    with programs.redis(parts.port, parts.password):
        reading = asyncio.create_task(listening.receive(channel))
        for _ in range(100):
            with contextlib.suppress(redis.RedisError):  # it met the old connection; the next makes a new one
                await sending.group_send("project.1", {"type": "edit.recorded", "number": 2})
            if (await asyncio.wait([reading], timeout=0.2))[0]:
                break
        assert (await reading)["number"] == 2
        await listening.flush()
        await sending.flush()


def test_what_was_done_is_no_failure_because_redis_is_gone(settings, caplog):
    with programs.redis() as url:
        pass
    settings.CHANNEL_LAYERS = services.channel_layers(url)
    broadcast.send("project.1", "edit.recorded", number=4)
    assert "a hint to project.1 was not sent" in caplog.text
    assert urlsplit(url).password not in caplog.text


def test_tries_are_counted_by_the_process_itself_while_redis_is_gone(settings, caplog):
    with programs.redis() as url:
        settings.CACHES = services.caches(url)
        assert [throttle.allow("one", 2, 3600) for _ in range(3)] == [True, True, False]
    assert [throttle.allow("two", 2, 3600) for _ in range(3)] == [True, True, False]
    assert "the shared cache failed" in caplog.text


def test_services_that_are_gone_are_told_without_their_password(settings):
    with programs.redis() as url:
        settings.REDIS_URL = url
        services._check_redis(url)
    with pytest.raises(services.ServiceError) as caught:
        services._check_redis(url)
    parts = urlsplit(url)
    assert str(caught.value).startswith(f"The Redis at 127.0.0.1:{parts.port} does not answer (")
    assert str(caught.value).endswith("start it, or correct REDIS_URL.")
    assert parts.password not in str(caught.value)


def test_a_wrong_password_of_redis_is_told_without_it():
    with programs.redis() as url:
        wrong = url.replace(urlsplit(url).password, "notthepassword")
        with pytest.raises(services.ServiceError, match=r"does not answer .*password") as caught:
            services._check_redis(wrong)
    assert "notthepassword" not in str(caught.value)
