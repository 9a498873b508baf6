"""Interleavings that went wrong once, step by step."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.collaboration.lines import stepwise
from tests.collaboration.pages import Pages
from tests.collaboration.world import World
from tests.webapp import scenario
from webapp.models import Scene


@pytest.fixture
def boris(db) -> User:
    return scenario.make_user("boris")


def test_leaves_of_a_later_split_are_not_told_with_earlier_changes(
    node_pages: Pages, scene: Scene, boris: User
) -> None:
    with stepwise():
        world = World(scene, [scene.owner, boris], node_pages)
        ana, _ = world.tabs
        world.settle()
        world.act(ana, do="leaves", **{"type": "leaves.assign", "class": 0}, ranges=[[3, 4]])
        world.settle()
        # All three are read at once: the first is told with the leaves that the third made, of which the changes of the
        # second know nothing.
        world.act(ana, do="split", type="cluster.split", **world.a_cluster(5))
        world.act(ana, do="", **{"type": "class.delete", "class": 0})
        world.act(ana, do="split", type="leaf.split", leaf=3, parts=2)
        world.carry_up(ana)
        world.work(ana)
        world.end_aside(ana)
        assert [world.done[kind] for kind in ("cluster.split", "class.delete", "leaf.split")] == [1, 1, 1]
        world.settle()
        world.check()


def test_an_edit_that_came_with_a_state_is_pending_no_more(
    node_pages: Pages, scene: Scene, boris: User
) -> None:
    with stepwise():
        world = World(scene, [scene.owner, boris], node_pages)
        _, page = world.tabs
        world.settle()
        world.act(page, do="", type="class.create", name="Town", color="#112233")
        world.carry_up(page)
        world.work(page)
        world.give_role(boris, "viewer")  # who is told the whole state then
        world.look_at_members(page)
        world.tell(page)
        world.carry_down(page)
        assert world.look(page)["pending"] == []
        world.settle()
        world.check()
