"""When the server learns by itself, how the runner carries such jobs, and what is told of them."""

import pytest

from tests.webapp import scenario
from tests.webapp.jobs.test_runner import NotingEngine, done, folder_of, progress, state_of
from webapp.editing import adoption
from webapp.jobs import door, learning
from webapp.jobs.engine import LEARNING, SEGMENTING
from webapp.jobs.jobfiles import segmentation_job
from webapp.jobs.jobrows import DEFAULT_PARAMETERS
from webapp.jobs.runner import NETWORK_GONE, Runner
from webapp.live import broadcast
from webapp.models import Network, Project, Segmentation

pytestmark = pytest.mark.django_db(transaction=True)


class SlotEngine(NotingEngine):
    def __init__(self):
        super().__init__()
        self.slots = {}

    def submit(self, job, attempt, task, *args, slot=""):
        self.slots[job] = slot
        super().submit(job, attempt, task, *args, slot=slot)


@pytest.fixture
def engine():
    return SlotEngine()


@pytest.fixture
def work(data_dir, engine) -> Runner:
    """A runner whose thread does not run: the test turns it by hand."""
    work = Runner(door.project_created)
    work._engine = engine
    return work


@pytest.fixture(autouse=True)
def automatic(settings):
    settings.LEARNING = "auto"
    settings.LEARNING_SECONDS = 9


@pytest.fixture
def project(data_dir) -> Project:
    """A project on a new scene, whose first segmentation waits."""
    scene = scenario.make_scene(scenario.make_user())
    project = Project.objects.create(owner=scene.owner, scene=scene, name="Fields")
    door.project_created(project)
    return project


def first_of(project) -> Segmentation:
    return project.scene.segmentations.order_by("pk").first()


def learned_of(project) -> Segmentation | None:
    return project.scene.segmentations.filter(automatic=True).first()


def finish(work, row, **result):
    """End a job as the worker does, with a store."""
    scenario.write_store(row.store_path, scenario.stripes(700, 1100, 8), 8)
    work._ended(segmentation_job(row.pk), *done(**result))


# ---------------------------------------------------------------------------------------------------- by itself


def test_first_map_is_fast_and_what_comes_next_learns(work, engine, project):
    first = first_of(project)
    assert first.parameters == DEFAULT_PARAMETERS
    work._look()
    assert engine.slots == {segmentation_job(first.pk): SEGMENTING}
    finish(work, first)
    learned = learned_of(project)
    assert (learned.state, learned.automatic, learned.created_by) == ("queued", True, project.owner)
    assert learned.parameters == {**DEFAULT_PARAMETERS, "mode": "best", "train_seconds": 9}
    work._look()
    assert engine.slots[segmentation_job(learned.pk)] == LEARNING
    assert engine.submitted[-1][3][4] == {"mode": "best", "train_seconds": 9, "seed": 0}
    project.refresh_from_db()
    assert project.segmentation == first


def test_bands_and_area_are_those_of_the_first_map(work, project):
    Segmentation.objects.update(
        parameters={**DEFAULT_PARAMETERS, "bands": [2, 3], "aoi": {"type": "Polygon"}}
    )
    work._look()
    finish(work, first_of(project))
    assert learned_of(project).parameters["bands"] == [2, 3]
    assert learned_of(project).parameters["aoi"] == {"type": "Polygon"}


def test_nothing_is_learned_by_itself_in_mode_manual(work, project, settings):
    settings.LEARNING = "manual"
    work._look()
    finish(work, first_of(project))
    assert learned_of(project) is None


@pytest.mark.parametrize("state", Segmentation.State.values)
def test_a_scene_is_learned_from_once(work, project, state):
    Segmentation.objects.create(scene=project.scene, state=state, parameters={"mode": "best"})
    work._look()
    finish(work, first_of(project))
    assert Segmentation.objects.filter(parameters__mode="best").count() == 1


def test_a_scene_with_a_network_in_use_is_not_learned_from(work, project):
    Segmentation.objects.create(
        scene=project.scene, state="complete", parameters={"mode": "fast", "network": 4}
    )
    work._look()
    finish(work, first_of(project))
    assert learned_of(project) is None


def test_a_map_that_no_project_uses_is_not_learned_from(work, project):
    work._look()
    Project.objects.all().delete()
    finish(work, first := Segmentation.objects.get())
    assert state_of(first) == "complete"
    assert Segmentation.objects.count() == 1


def test_a_new_project_on_a_scene_that_has_its_map_begins_it(work, project, settings):
    settings.LEARNING = "manual"
    work._look()
    finish(work, first_of(project))
    settings.LEARNING = "auto"
    door.project_created(Project.objects.create(owner=project.owner, scene=project.scene, name="another"))
    assert learned_of(project).automatic


def test_nothing_is_learned_without_room(work, project, settings):
    settings.QUOTA_BYTES = 3000
    work._look()
    finish(work, first_of(project))
    assert state_of(first_of(project)) == "complete"
    assert learned_of(project) is None


def test_scene_that_is_gone_has_nothing_to_learn(db):
    assert learning.begin_where_due(999) is None


# ---------------------------------------------------------------------------------------------------- side by side


def test_fast_ones_pass_a_job_that_learns_and_one_learns_at_a_time(work, engine, project):
    work._look()
    finish(work, first_of(project))
    asked = [
        Segmentation.objects.create(scene=project.scene, parameters={"mode": "best", "train_seconds": 5})
        for _ in range(2)
    ]
    fast = Segmentation.objects.create(scene=project.scene, parameters={"mode": "fast"})
    work._look()
    # What somebody asked for comes before what the server wants to learn by itself.
    running = {segmentation_job(asked[0].pk): LEARNING, segmentation_job(fast.pk): SEGMENTING}
    assert {
        job: slot for job, slot in engine.slots.items() if job != segmentation_job(first_of(project).pk)
    } == (running)
    finish(work, asked[0])
    work._look()
    assert (state_of(asked[1]), state_of(learned_of(project))) == ("running", "queued")


def test_a_learning_that_fails_or_is_cancelled_leaves_the_map_alone(work, project):
    work._look()
    first = first_of(project)
    finish(work, first)
    learned = learned_of(project)
    number = Project.objects.get().number
    work._look()
    work._ended(segmentation_job(learned.pk), "done", {"outcome": "failed", "message": "Too small."})
    assert (state_of(learned), learned.message) == ("failed", "Too small.")
    again = Segmentation.objects.create(scene=project.scene, parameters=learned.parameters)
    work._look()
    assert door.cancel(again)
    work._ended(segmentation_job(again.pk), "done", {"outcome": "cancelled"})
    assert state_of(again) == "cancelled"
    project.refresh_from_db()
    assert (project.segmentation, project.number, adoption.offered(project)) == (first, number, None)
    assert first.store_path.exists()


def test_what_goes_wrong_after_the_end_leaves_what_is_complete(work, project, monkeypatch):
    def broken(scene_id):
        raise ZeroDivisionError

    monkeypatch.setattr(learning, "begin_where_due", broken)
    work._look()
    finish(work, first_of(project))
    assert state_of(first_of(project)) == "complete"
    assert first_of(project).store_path.exists()


def test_network_is_handed_over_as_a_file(work, engine, project):
    network = Network.objects.create(owner=project.owner, name="town", n_bands=3, fingerprint="ab")
    network.path.parent.mkdir(parents=True)
    network.path.write_bytes(b"weights")
    parameters = {"mode": "fast", "network": network.pk, "network_name": "town"}
    with_it = Segmentation.objects.create(scene=project.scene, parameters=parameters)
    work._look()
    finish(work, first_of(project))
    work._look()
    assert engine.submitted[-1][3][4] == {"mode": "fast", "network": str(network.path)}
    network.path.unlink()
    finish(work, with_it)
    without = Segmentation.objects.create(scene=project.scene, parameters=parameters)
    work._look()
    assert (state_of(without), without.message) == ("failed", NETWORK_GONE)
    assert state_of(with_it) == "complete"


# ---------------------------------------------------------------------------------------------------- told


def test_training_is_told_on_the_way(work, project, monkeypatch):
    work._look()
    sent = []
    monkeypatch.setattr(broadcast, "send", lambda group, kind, **fields: sent.append(fields))
    training = {"step": 10, "steps": 40, "round": 0, "rounds": 3, "loss": 2.1, "balance": 0.9, "left_s": 30.0}
    work._progressed(progress(first_of(project), "learning", 0.3, training=training))
    assert sent[-1]["progress"]["training"] == training
    assert sent[-1]["progress"]["stage"] == "learning"
    work._progressed(progress(first_of(project), "codebook", 0.5))
    assert sent[-1]["progress"]["training"] is None


def test_learned_segmentation_is_offered_with_its_network_and_once_only(work, project):
    work._look()
    first = first_of(project)
    finish(work, first)
    learned = learned_of(project)
    work._look()
    told = {"training": {"steps": 12}, "n_bands": 3, "fingerprint": "ab"}
    learned.store_path.mkdir(parents=True)
    scenario.write_store(learned.store_path, scenario.stripes(700, 1100, 8), 8)
    (learned.store_path / "network.safetensors").write_bytes(b"weights")
    work._ended(segmentation_job(learned.pk), *done(learned=told))
    assert state_of(learned) == "complete"
    assert learned.learned == {"steps": 12}
    assert Network.objects.get().segmentation == learned
    assert Network.objects.get().path.read_bytes() == b"weights"
    assert not folder_of(learned).path.exists()
    project.refresh_from_db()
    assert adoption.offered(project) == learned
    for number, segmentation in enumerate((learned, first)):
        adoption.adopt_segmentation(project.owner, project.pk, f"c{number}", segmentation=segmentation.pk)
    project.refresh_from_db()
    assert project.segmentation == first
    assert adoption.offered(project) is None
