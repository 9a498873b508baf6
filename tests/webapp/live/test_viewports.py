"""What people look at, merged for the jobs."""

import pytest

from webapp.jobs.jobfiles import JobFolder
from webapp.live.viewports import MAX_FORWARDED, Viewports


@pytest.fixture
def folder(data_dir):
    folder = JobFolder(data_dir, "segmentation-3")
    folder.describe(attempts=0)
    return folder


def test_connections_take_turns(folder):
    views = Viewports()
    views.put("a", 3, [(0, 0, 0), (0, 0, 1)])
    views.put("b", 3, [(0, 9, 9), (0, 0, 0)])
    views.put("c", 4, [(0, 7, 7)])
    assert views.merged(3) == [(0, 0, 0), (0, 9, 9), (0, 0, 1)]
    assert folder.wanted() == views.merged(3)


def test_new_wish_replaces_and_leaving_removes(folder):
    views = Viewports()
    views.put("a", 3, [(0, 0, 0)])
    views.put("a", 3, [(1, 0, 0)])
    assert folder.wanted() == [(1, 0, 0)]
    views.put("a", 4, [(0, 0, 0)])
    assert folder.wanted() == []
    views.put("a", 3, [(0, 0, 0)])
    views.drop("a")
    views.drop("a")
    assert folder.wanted() == []


def test_number_of_forwarded_wishes_is_bounded(folder):
    views = Viewports()
    for connection in range(20):
        views.put(str(connection), 3, [(0, connection, col) for col in range(64)])
    assert len(views.merged(3)) == MAX_FORWARDED
