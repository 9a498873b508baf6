"""What runs on the worker, called here without one."""

import errno

import pytest

from segmentation.errors import CancelledError, EmptySceneError
from segmentation.learning.network import load_network
from segmentation.learning.training import TrainingProgress
from segmentation.testing import synthetic_scene, write_scene
from webapp.jobs import tasks
from webapp.jobs.jobfiles import JobFolder
from webapp.jobs.tasks import Course, Reporter

STAGES = ("reading", "learning", "codebook", "leaves", "overviews")


@pytest.fixture
def folder(tmp_path):
    return JobFolder(tmp_path, "segmentation-1")


@pytest.mark.parametrize(("sampled", "n_pixels"), [(1, 1), (10**6, 10**6), (8 * 10**6, 10**9)])
def test_course_runs_from_0_to_1_without_going_back(sampled, n_pixels):
    course = Course(sampled, n_pixels)
    shares = [course.progress(stage, done, 7) for stage in STAGES for done in range(8)]
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(1.0)
    assert shares == sorted(shares)


def test_course_of_a_large_scene_is_mostly_leaves_and_of_a_small_one_mostly_reading():
    large, small = Course(8 * 10**6, 10**9), Course(10**6, 10**6)
    assert large.progress("codebook", 1, 1) < 0.05
    assert small.progress("reading", 4, 4) > 0.5


def test_course_of_a_training_takes_the_share_of_its_seconds():
    n_pixels = 10**6
    none, short, long = (Course(n_pixels, n_pixels, seconds) for seconds in (0.0, 5.0, 60.0))
    assert none.progress("learning", 0, 9) == none.progress("learning", 9, 9)
    shares = [
        course.progress("learning", 9, 9) - course.progress("learning", 0, 9) for course in (short, long)
    ]
    assert 0.5 < shares[0] < shares[1] < 1
    whole = [long.progress(stage, done, 7) for stage in STAGES for done in range(8)]
    assert whole == sorted(whole)
    assert whole[-1] == pytest.approx(1.0)


def test_training_is_described_for_json():
    training = TrainingProgress(5, 10, 0, 3, float("nan"), 0.9, float("inf"))
    described = tasks.describe_training(training)
    assert described == {
        "step": 5, "steps": 10, "round": 0, "rounds": 3, "loss": None, "balance": 0.9, "left_s": None,
    }  # fmt: skip


class Worker:
    """What a task asks of the worker that it runs on."""

    def __init__(self):
        self.events = []

    def log_event(self, topic, message):
        self.events.append(message)


@pytest.mark.slow
def test_segmentation_that_learns_tells_how_and_leaves_a_network(folder, tmp_path, monkeypatch):
    worker = Worker()
    monkeypatch.setattr(tasks, "get_worker", lambda: worker)
    image = write_scene(tmp_path / "scene.tif", synthetic_scene(300, 260, 3, seed=1)[0])

    def run(name, **parameters):
        store = tmp_path / f"{name}.zarr"
        return store, tasks.run_segment(
            str(tmp_path), folder.job, str(image), str(store), parameters, (300, 260)
        )

    _, fast = run("fast", mode="fast", seed=0)
    assert (fast["outcome"], fast["learned"]) == ("finished", None)
    store, learned = run("learned", mode="best", train_seconds=0.1)
    assert learned["outcome"] == "finished", learned
    assert learned["learned"]["n_bands"] == 3
    assert learned["learned"]["training"]["steps"] >= 3
    network = load_network(store / tasks.NETWORK_FILE)
    assert learned["learned"]["fingerprint"] == network.fingerprint
    told = [event for event in worker.events if "training" in event]
    assert {event["stage"] for event in told} == {"learning"}
    assert told[-1]["training"]["steps"] == learned["learned"]["training"]["steps"]
    _, applied = run("applied", mode="fast", network=str(store / tasks.NETWORK_FILE))
    assert applied["learned"]["training"] == {"network": network.fingerprint, "steps": 0}
    with tasks._precedence.first():
        folder.request_cancel()
        _, stopped = run("stopped", mode="best", train_seconds=60)
    assert stopped == {"outcome": "cancelled"}


def test_course_of_nothing_to_do_is_at_its_end():
    assert Course(5, 5).progress("leaves", 0, 0) == Course(5, 5).progress("leaves", 5, 5)


@pytest.fixture
def reports(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(tasks.time, "monotonic", lambda: clock[0])
    sent = []
    reporter = Reporter("segmentation-1", lambda topic, message: sent.append((topic, message)))
    return reporter, sent, clock


def test_reporter_sends_the_first_block_at_once_and_gathers_the_next(reports):
    reporter, sent, clock = reports
    clock[0] = 10.0
    reporter.report("leaves", 0.1)
    reporter.report("leaves", 0.2, (0, 0))
    reporter.report("leaves", 0.3, (0, 1))
    reporter.report("leaves", 0.4, (0, 2))
    assert [message["blocks"] for _, message in sent] == [[], [[0, 0]]]
    clock[0] = 10.0 + tasks.REPORT_S
    reporter.report("leaves", 0.5, (0, 3))
    topic, message = sent[-1]
    assert topic == tasks.TOPIC
    assert message == {
        "job": "segmentation-1",
        "stage": "leaves",
        "progress": 0.5,
        "blocks": [[0, 1], [0, 2], [0, 3]],
    }


def test_reporter_sends_at_once_what_must_not_wait(reports):
    reporter, sent, _ = reports
    reporter.report("leaves", 0.1, at_once=True)
    reporter.report("leaves", 0.1, at_once=True, ready={"n_leaves": 8, "device": "cpu"})
    assert sent[-1][1]["ready"] == {"n_leaves": 8, "device": "cpu"}


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (EmptySceneError("No pixel holds data."), "No pixel holds data."),
        (MemoryError(), "The server ran out of memory; use fewer bands or a smaller area of interest."),
        (
            OSError(errno.ENOSPC, "x"),
            "The server's disk is full; delete what you no longer need, and try again.",
        ),
        (
            OSError(errno.EIO, "secret"),
            "It failed for a reason that the server did not foresee; its log tells more.",
        ),
        (
            ZeroDivisionError("secret"),
            "It failed for a reason that the server did not foresee; its log tells more.",
        ),
    ],
)
def test_failure_is_returned_as_a_sentence(folder, error, sentence):
    result = tasks._outcome(folder, raising(error))
    assert (result["outcome"], result["message"]) == ("failed", sentence)
    assert ("secret" in result.get("traceback", "")) == ("secret" in str(error))


def test_cancelled_work_is_no_failure(folder):
    assert tasks._outcome(folder, raising(CancelledError("stopped"))) == {"outcome": "cancelled"}


def test_work_cancelled_before_it_began_is_not_begun(folder):
    folder.request_cancel()
    assert tasks._outcome(folder, raising(AssertionError("begun"))) == {"outcome": "cancelled"}


def test_finished_work_gives_its_result(folder):
    assert tasks._outcome(folder, lambda: {"n_leaves": 8}) == {"outcome": "finished", "n_leaves": 8}


def test_warm_up_imports_what_jobs_need():
    tasks.warm_up()


def test_worker_gives_way_to_the_server_and_leaves_ctrl_c_to_it(monkeypatch):
    stepped, ignored = [], []
    monkeypatch.setattr(tasks.os, "nice", stepped.append)
    monkeypatch.setattr(tasks.signal, "signal", lambda *given: ignored.append(given))
    tasks.dask_setup(None)
    assert stepped == [tasks.GIVES_WAY]
    assert ignored == [(tasks.signal.SIGINT, tasks.signal.SIG_IGN)]
