"""What migrations make of rows that are there already."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before_jobs():
    """The models as they were; afterwards the database is as it is now."""
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes()
    executor.migrate([("webapp", "0007_lease")])
    yield executor.loader.project_state(
        [("webapp", "0007_lease"), ("auth", "0012_alter_user_first_name_max_length")]
    )
    executor = MigrationExecutor(connection)
    executor.migrate(newest)


def test_rows_from_before_jobs_get_theirs(before_jobs):
    old = before_jobs.apps
    owner = old.get_model("auth", "User").objects.create(username="ana")
    Scene, Segmentation = old.get_model("webapp", "Scene"), old.get_model("webapp", "Segmentation")
    ready = Scene.objects.create(
        owner=owner, name="a", source_name="a", state="ready", info={"width": 30, "height": 20}
    )
    broken = Scene.objects.create(
        owner=owner, name="b", source_name="b", state="failed", message="Truncated."
    )
    coming = Scene.objects.create(owner=owner, name="c", source_name="c", state="importing", progress=0.4)
    now = timezone.now()
    complete = Segmentation.objects.create(
        scene=ready, state="complete", started_at=now - timedelta(seconds=9), finished_at=now, progress=1
    )
    running = Segmentation.objects.create(
        scene=ready,
        state="running",
        parameters={"mode": "best"},
        automatic=True,
        progress=0.7,
        stage="leaves",
    )
    executor = MigrationExecutor(connection)
    executor.migrate([("webapp", "0008_jobs")])
    Job = executor.loader.project_state([("webapp", "0008_jobs")]).apps.get_model("webapp", "Job")
    imports = {
        job.scene_id: (job.kind, job.state, job.message) for job in Job.objects.filter(segmentation=None)
    }
    assert imports == {
        ready.pk: ("import", "complete", ""),
        broken.pk: ("import", "failed", "Truncated."),
        coming.pk: ("import", "queued", ""),
    }
    job = Job.objects.get(segmentation_id=complete.pk)
    assert (job.kind, job.state, job.owner_id, job.work_px) == ("segment", "complete", owner.pk, 600)
    assert job.computing_s == pytest.approx(9)
    assert job.created_at == complete.created_at
    job = Job.objects.get(segmentation_id=running.pk)
    assert (job.kind, job.state, job.automatic, job.stage, job.progress) == (
        "learn",
        "running",
        True,
        "leaves",
        0.7,
    )
    assert job.lines.count() == 1
