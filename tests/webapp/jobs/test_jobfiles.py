"""How servers and workers talk about a job."""

import json
import os
import subprocess
import sys
import time

import pytest

from webapp.jobs import jobfiles
from webapp.jobs.jobfiles import JobFolder, jobs_on_disk


@pytest.fixture
def folder(tmp_path):
    folder = JobFolder(tmp_path, "segmentation-3")
    folder.describe(attempts=1)
    return folder


def as_other_server(folder, monkeypatch, **claim):
    """Leave the claim of another server process behind."""
    content = {"server": "other", "host": "elsewhere", "pid": 1, **claim}
    (folder.path / "claim.json").write_text(json.dumps(content))


def test_description_comes_back(folder, tmp_path):
    assert folder.description() == {"attempts": 1}
    assert JobFolder(tmp_path, "import-9").description() == {}
    assert jobs_on_disk(tmp_path) == ["segmentation-3"]
    assert jobs_on_disk(tmp_path / "nowhere") == []


def test_cancel_is_seen(folder):
    assert not folder.is_cancelled()
    folder.request_cancel()
    assert folder.is_cancelled()


def test_claim_is_taken_once(folder):
    assert not folder.is_claimed()
    assert folder.claim() is False
    assert folder.claim() is None
    assert folder.is_claimed()
    folder.release_claim()
    assert not folder.is_claimed()
    assert folder.claim() is False


def test_claim_of_a_living_server_is_respected(folder, monkeypatch):
    as_other_server(folder, monkeypatch)
    assert folder.claim() is None


def test_claim_that_nobody_keeps_is_taken_over(folder, monkeypatch):
    as_other_server(folder, monkeypatch)
    long_ago = time.time() - 2 * jobfiles.CLAIM_STALE_S
    os.utime(folder.path / "claim.json", (long_ago, long_ago))
    assert folder.claim() is True
    os.utime(folder.path / "claim.json", (long_ago, long_ago))
    folder.keep_claim()
    assert folder.is_claimed()


def test_claim_of_a_process_that_is_gone_is_taken_over_at_once(folder, monkeypatch):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    as_other_server(folder, monkeypatch, host=jobfiles.platform.node(), pid=int(ended.stdout))
    assert folder.claim() is True


def test_claim_of_a_living_process_of_this_machine_is_respected(folder, monkeypatch):
    as_other_server(folder, monkeypatch, host=jobfiles.platform.node(), pid=os.getppid())
    assert folder.claim() is None


def test_claim_of_an_earlier_process_with_our_number_is_taken_over(folder, monkeypatch):
    # A container starts again, and the server has number 1 as before.
    as_other_server(folder, monkeypatch, host=jobfiles.platform.node(), pid=os.getpid())
    assert folder.claim() is True


def test_wishes_of_servers_take_turns(folder, monkeypatch):
    folder.want([(0, 0, 0), (0, 0, 1), (0, 0, 2)])
    monkeypatch.setattr(jobfiles, "SERVER", "ffff-other")
    folder.want([(0, 5, 5), (0, 0, 0)])
    assert set(folder.wanted()[:2]) == {(0, 0, 0), (0, 5, 5)}
    assert len(folder.wanted()) == 4


def test_wishes_of_a_dead_server_are_forgotten(folder):
    folder.want([(0, 0, 0)])
    path = next((folder.path / "wanted").glob("*.json"))
    long_ago = time.time() - 2 * jobfiles.WANTED_STALE_S
    os.utime(path, (long_ago, long_ago))
    assert folder.wanted() == []


def test_wishes_after_the_job_has_ended_leave_nothing(folder):
    folder.remove()
    folder.want([(0, 0, 0)])
    folder.keep_claim()
    assert not folder.path.exists()
    assert folder.wanted() == []


def test_half_written_file_is_no_news(folder):
    (folder.path / "job.json").write_text("{")
    assert folder.description() == {}
