"""A fold that begins where it was left is the fold of the whole log."""

import itertools
import random

import pytest
from django.db import transaction

from tests.webapp import scenario
from webapp import actions
from webapp.editing import checkpoints, restoring, undoing
from webapp.editing.snapshots import load_state, replay
from webapp.errors import WebError
from webapp.models import Edit, Project

pytestmark = pytest.mark.django_db(transaction=True)

_ids = itertools.count(1)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    checkpoints.forget_checkpoints()
    monkeypatch.setattr(checkpoints, "LAG", 6)
    monkeypatch.setattr(checkpoints, "STALE", 9)


@pytest.fixture
def project(data_dir) -> Project:
    project = scenario.make_project(scenario.make_user("ana"))
    for name in ("Water", "Soil"):
        actions.create_class(project.owner, project.pk, "", name=name, color="#000000")
    return project


def do(user, project, what, rng):
    project = Project.objects.get(pk=project.pk)
    name = f"c{next(_ids)}"
    if what == "undo":
        undoing.undo(user, project.pk, name)
    elif what == "redo":
        undoing.redo(user, project.pk, name)
    elif what == "restore":
        restoring.restore_state(user, project.pk, name, number=rng.randint(1, project.number))
    else:
        low = rng.randint(0, 6)
        fields = {"segmentation": project.segmentation_id, "version": 0, "class_number": rng.randint(1, 2)}
        actions.assign_leaves(user, project.pk, name, ranges=[(low, rng.randint(low + 1, 8))], **fields)


@pytest.fixture
def reads(monkeypatch):
    """From which edit on each fold read the log; 0 for all of it."""
    begun = []
    real = checkpoints._fold

    def watched(project, start, upto=None):
        begun.append(0 if start is None else start.upto)
        return real(project, start, upto)

    monkeypatch.setattr(checkpoints, "_fold", watched)
    return begun


@pytest.mark.parametrize("seed", range(6))
def test_state_after_any_steps_is_the_replay(project, reads, seed):
    rng = random.Random(seed)
    users = [project.owner, scenario.join(project, scenario.make_user("boris"))]
    kinds = ["assign"] * 8 + ["undo"] * 4 + ["redo"] * 2 + ["restore"] * (seed % 2)
    for _ in range(60):
        try:
            do(rng.choice(users), project, rng.choice(kinds), rng)
        except WebError:
            continue
        now = Project.objects.get(pk=project.pk)
        stored, replayed = load_state(now), replay(now)
        assert stored.table.tolist() == replayed.table.tolist()
        assert stored.classes == replayed.classes
    assert any(reads)  # else nothing was tried


def test_recent_undo_reads_only_the_end_of_the_log(project, reads):
    rng = random.Random(0)
    for _ in range(20):
        do(project.owner, project, "assign", rng)
    do(project.owner, project, "undo", rng)
    reads.clear()
    do(project.owner, project, "undo", rng)
    assert reads == [17]


def test_what_another_process_undid_long_ago_is_seen(project, reads):
    rng = random.Random(0)
    boris = scenario.join(project, scenario.make_user("boris"))
    do(boris, project, "assign", rng)
    for _ in range(20):
        do(project.owner, project, "assign", rng)
    do(project.owner, project, "undo", rng)
    kept = dict(checkpoints._kept)
    do(boris, project, "undo", rng)  # of the fourth edit: its process reads all
    checkpoints._kept.clear()
    checkpoints._kept.update(kept)  # ours still has its own
    reads.clear()
    do(project.owner, project, "undo", rng)
    assert reads[0] == 0
    now = Project.objects.get(pk=project.pk)
    assert load_state(now).table.tolist() == replay(now).table.tolist()


def test_rolled_back_undo_leaves_nothing_behind(project):
    rng = random.Random(0)
    for _ in range(20):
        do(project.owner, project, "assign", rng)
    with transaction.atomic():
        do(project.owner, project, "undo", rng)
        transaction.set_rollback(True)
    assert not Edit.objects.filter(project=project, live=False).exists()
    do(project.owner, project, "assign", rng)
    do(project.owner, project, "undo", rng)
    now = Project.objects.get(pk=project.pk)
    assert load_state(now).table.tolist() == replay(now).table.tolist()
