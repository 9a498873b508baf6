"""Which of several server processes carries the jobs."""

from __future__ import annotations

import os
import platform
import queue
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import OperationalError, connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from webapp.jobs import door, lease, runner
from webapp.jobs.lease import STALE_S, Lease
from webapp.jobs.runner import Runner
from webapp.models import Lease as Row

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
import django
django.setup()
from webapp.jobs.lease import Lease
one = Lease("jobs", lambda: None)
one.start()
while not one.is_held:
    time.sleep(0.05)
print("held", flush=True)
time.sleep(600)
"""


def make(name="jobs") -> Lease:
    one = Lease(name, lambda: None)
    lease._living.add(one._holder)  # as start() does
    return one


def of_another(**changes) -> None:
    facts = {"holder": "other", "host": "elsewhere.example.org", "pid": 7, "seen_at": Now(), **changes}
    Row.objects.update_or_create(name="jobs", defaults=facts)


def test_the_first_gets_it_and_keeps_it_until_it_lets_go():
    first, second = make(), make()
    assert [first.take(), second.take(), first.take(), second.take()] == [True, False, True, False]
    first.release()
    assert [second.take(), first.take()] == [True, False]
    second.release()
    second.release()  # of what is not ours any more nothing is taken
    assert not Row.objects.exists()


def test_leases_of_other_names_do_not_matter():
    assert make("jobs").take()
    assert make("other").take()


def test_a_holder_on_another_machine_is_waited_for_until_it_was_silent_for_long():
    of_another(seen_at=Now() - timedelta(seconds=STALE_S - 5))
    one = make()
    assert not one.take()
    of_another(seen_at=Now() - timedelta(seconds=STALE_S + 1))
    assert one.take()
    row = Row.objects.get()
    assert (row.host, row.pid) == (platform.node(), os.getpid())
    assert abs(row.seen_at - timezone.now()) < timedelta(minutes=1)


def test_a_holder_from_a_moment_to_come_is_not_waited_for():
    of_another(seen_at=Now() + timedelta(days=1))
    assert make().take()


def test_of_a_dead_process_of_this_machine_it_is_taken_at_once():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    of_another(host=platform.node(), pid=child.pid)
    assert make().take()
    of_another(host=platform.node(), pid=os.getpid())  # a process before us had our number
    assert make().take()
    of_another(host=platform.node(), pid=os.getppid())
    assert not make().take()


def test_of_many_that_want_it_at_once_one_gets_it():
    of_another(seen_at=Now() - timedelta(days=1))
    gate, got = threading.Barrier(6), queue.SimpleQueue()

    def want():
        one = make()
        gate.wait()
        got.put(one.take())
        connections.close_all()

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got.get() for _ in threads) == [False] * 5 + [True]


def test_who_cannot_reach_the_database_has_it_as_long_as_nobody_else_can(monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    told = []
    one = Lease("jobs", lambda: told.append(one.is_held))
    one._turn()
    assert (one.is_held, told) == (True, [True])

    def fail():
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(one, "take", fail)
    now[0] += STALE_S - 1
    one._turn()
    assert one.is_held
    now[0] += 2
    one._turn()
    assert (one.is_held, told) == (False, [True, False])
    assert caplog.text.count("the database does not say who carries the jobs") == 1


def database_url() -> str:
    """Of the tests' database, for a process of its own."""
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    return f"postgres://{facts['USER']}:{quote(facts['PASSWORD'])}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


def test_it_is_handed_over_when_its_process_is_killed(data_dir):
    environment = {**os.environ, "DATABASE_URL": database_url(), "DATA_DIR": str(data_dir)}
    child = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    changed = threading.Event()
    one = Lease("jobs", changed.set)
    try:
        assert child.stdout.readline() == b"held\n"
        assert Row.objects.get().pid == child.pid
        one.start()
        assert not changed.wait(2.5)  # it has tried, and the other lives
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert changed.wait(60)
        assert Row.objects.get().pid == os.getpid()
    finally:
        child.kill()
        child.wait()
        one.stop()
    assert not Row.objects.exists()  # given back


# ---------------------------------------------------------------------------------------------------- the runner


class Engine:
    """Notes which are there."""

    running: list[Engine] = []

    def __init__(self, *args) -> None:
        self.is_alive = False

    def start(self) -> None:
        self.is_alive = True
        self.running.append(self)

    def close(self) -> None:
        if self.is_alive:
            self.running.remove(self)
        self.is_alive = False


def wait_until(what) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_only_the_runner_with_the_lease_has_an_engine_and_the_next_starts_one_after_it(data_dir, monkeypatch):
    monkeypatch.setattr(runner, "Engine", Engine)
    first, second = Runner(door.project_created), Runner(door.project_created)
    first.start()
    wait_until(lambda: first._engine is not None)
    second.start()
    for _ in range(5):
        second.wake()  # a word that there is something to do starts nothing here
    wait_until(second._inbox.empty)
    assert (second._engine, len(Engine.running)) == (None, 1)
    first.stop()
    wait_until(lambda: second._engine is not None)
    assert len(Engine.running) == 1
    # Another server has it by now: this one gives up its engine.
    of_another()
    wait_until(lambda: second._engine is None)
    assert Engine.running == []
    second.stop()
    assert Row.objects.get().holder == "other"
