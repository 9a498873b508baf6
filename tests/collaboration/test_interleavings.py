"""Whatever people do at the same time, over whatever lines: in the end all see the same, and it is what the log says.

The pages are the page's own modules, the server is the real one, its database too; Hypothesis chooses who does what and what is
lost. COLLABORATION_EXAMPLES and COLLABORATION_STEPS make it look longer, and then elsewhere each time.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.collaboration.conftest import HEIGHT, WIDTH
from tests.collaboration.lines import stepwise
from tests.collaboration.pages import Pages, pages_in_chromium
from tests.collaboration.world import Page, World
from tests.js.test_js_modules import served
from tests.webapp import scenario
from webapp.messages import COMMANDS, EditCommand
from webapp.models import Scene

__all__ = ["served"]

EXAMPLES = int(os.environ.get("COLLABORATION_EXAMPLES", "0"))
STEPS = int(os.environ.get("COLLABORATION_STEPS", "40"))

COMMANDS_THAT_EDIT = [name for name, model in COMMANDS.items() if issubclass(model, EditCommand)]
ANSWERS = ("repeat", "stale", "forbidden", "missing", "conflict", "nothing")

indices = st.integers(0, 3)
leaves = st.integers(0, 15)
points = st.sampled_from([(10, 20), (12, 21), (40, 90), (60, 300), (80, 500), (HEIGHT - 1, WIDTH - 1)])
names = st.sampled_from(["Water", "water", "Field", "Town", "Rock", "Ice"])
colors = st.sampled_from(["#112233", "#aabbcc"])
some = st.sampled_from([1, 1, 2, 3, 100])
# How well it goes on after somebody did something.
then = st.sampled_from(["", "", "sent", "done", "told", "told"])


def ring(top: int, left: int, side: int) -> list[list[float]]:
    return [[top, left], [top + side, left], [top + side, left + side], [top, left + side]]


def asks(kind: str, do: str = "", **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Something that a page is asked to do (``act`` in ``pages.js``); ``at_leaf`` and the like are looked up before."""
    named = {name.rstrip("_"): value for name, value in fields.items()}
    whole = {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for name, value in named.items()
    }
    return st.fixed_dictionaries({"type": st.just(kind), "do": st.just(do), **whole})


shapes = st.builds(ring, st.integers(0, 60), st.sampled_from([0, 30, 490, 560]), st.integers(2, 40))
area = {"type": "Polygon", "coordinates": [[[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]]}
legend = [["Urban", "#ff0000"], ["Town", "#00ff00"], ["Sea", "#0000ff"]]
strokes = st.fixed_dictionaries(
    {
        "class": indices,
        "against": st.booleans(),
        "points": st.lists(points, min_size=1, max_size=2, unique=True),
    }
)

on_leaves = (
    asks("leaves.assign", "leaves", class_=indices, a_leaf=leaves, wide=st.integers(1, 6))
    | asks("leaves.assign", "leaves", class_=indices, a_leaf=leaves, wide=1)
    | asks("leaves.unassign", "leaves", a_leaf=leaves, wide=st.integers(1, 6))
    | asks("", "click", class_=indices, point=points, at_leaf="leaf", reach=st.integers(0, 3))
    | asks("cluster.split", "split", a_cluster=st.integers(0, 10))
    | asks("leaf.split", "split", a_leaf=leaves, parts=st.integers(2, 3))
    | asks("leaf.split", "split", class_=indices, point=points, at_leaf="leaf")
)
on_classes = (
    asks("class.create", name=names, color=colors)
    | asks("class.rename", class_=indices, name=names)
    | asks("class.recolor", class_=indices, color=colors)
    | asks("class.reorder", "reorder", index=indices, to=indices)
    | asks("class.delete", class_=indices)
    | asks("class.merge", "merge", class_=indices, source=indices)
    | asks("legend.load", classes=st.integers(1, 3).map(lambda count: legend[:count]))
)
on_more = (
    asks("override.add", class_=st.none() | indices, polygons=shapes.map(lambda shape: [[shape]]))
    | asks("override.add", "region", class_=indices, point=points, at_leaf="region")
    | asks("examples.add", "examples", examples=st.lists(strokes, min_size=1, max_size=2))
    | asks("examples.remove", "remove", index=indices)
    | asks("completion.set", on=st.booleans(), threshold=st.sampled_from([0.0, 0.5, 0.75]))
    | asks("aoi.set", geometry=st.sampled_from([None, area]))
    | asks("segmentation.adopt", "adopt")
)
steps = (
    asks("", "undo")
    | asks("", "undo")
    | asks("", "redo")
    | asks("edit.undo")  # from a page that does not look whether there is anything
    | asks("edit.redo")
    | asks("state.restore", "restore", back=st.integers(1, 20))
)


class Together(RuleBasedStateMachine):
    """Set before it runs: the scene, its people, and what runs the pages."""

    scene: Scene
    people: list[User]
    pages: Pages
    done: Counter[str]

    @initialize(who=st.lists(st.integers(0, 2), min_size=1, max_size=3))
    def open_pages(self, who: list[int]) -> None:
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.world = World(self.scene, [self.people[0], *(self.people[one] for one in who)], self.pages)
        for page in self.world.tabs:
            self.world.tell(page)
            self.world.carry_down(page)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.settle()
            self.world.check()
            self.done += self.world.done
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    def page(self, index: int) -> Page:
        return self.world.tabs[index % len(self.world.tabs)]

    def act(self, at: int, ask: dict[str, Any], then: str) -> None:
        world, page, ask = self.world, self.page(at), dict(ask)
        if "a_cluster" in ask:
            ask |= world.a_cluster(ask.pop("a_cluster"))
        if "a_leaf" in ask:
            leaf = world.a_leaf(ask.pop("a_leaf"))
            ask |= {"ranges": [[leaf, leaf + ask.pop("wide")]]} if "wide" in ask else {"leaf": leaf}
        if "at_leaf" in ask:
            leaf = world.leaf_at(ask["point"])
            if ask.pop("at_leaf") == "leaf":
                ask["leaf"] = leaf
            else:
                ask["region"] = {"ranges": [[leaf, leaf + 1]], "point": ask.pop("point")}
        world.act(page, **ask)
        if then in ("sent", "done", "told"):
            world.carry_up(page)
        if then in ("done", "told"):
            world.work(page)
        if then == "told":
            world.hint(page)
            world.tell(page)
            world.carry_down(page)

    # -------------------------------------------------------------------------------------------- what people do

    @rule(at=indices, ask=on_leaves, then=then)
    def classify(self, at: int, ask: dict[str, Any], then: str) -> None:
        self.act(at, ask, then)

    @rule(at=indices, ask=on_leaves, then=then)
    def classify_more(self, at: int, ask: dict[str, Any], then: str) -> None:
        self.act(at, ask, then)

    @rule(at=indices, ask=on_classes, then=then)
    def change_classes(self, at: int, ask: dict[str, Any], then: str) -> None:
        self.act(at, ask, then)

    @rule(at=indices, ask=on_more, then=then)
    def change_the_rest(self, at: int, ask: dict[str, Any], then: str) -> None:
        self.act(at, ask, then)

    @rule(at=indices, ask=steps, then=then)
    def step_back_or_forth(self, at: int, ask: dict[str, Any], then: str) -> None:
        self.act(at, ask, then)

    @rule(at=indices, one=on_leaves, other=on_leaves)
    def race(self, at: int, one: dict[str, Any], other: dict[str, Any]) -> None:
        """Two at the same instant, neither of whom has seen what the other does."""
        self.act(at, one, "")
        self.act(at + 1, other, "done")
        self.act(at, {"type": "", "do": "undo"}, "done")

    @rule(who=st.integers(1, 2), role=st.sampled_from(["viewer", "editor"]))
    def give_role(self, who: int, role: str) -> None:
        user = self.people[who]
        if any(page.user == user for page in self.world.tabs):
            self.world.give_role(user, role)

    # -------------------------------------------------------------------------------------------- what lines do

    @rule(at=indices)
    def go_on(self, at: int) -> None:
        """All at one page goes well for a while."""
        page = self.page(at)
        self.world.carry_up(page)
        self.world.work(page)
        self.world.hint(page)
        self.world.tell(page)
        self.world.carry_down(page)

    @rule(at=indices, n=some)
    def carry_up(self, at: int, n: int) -> None:
        self.world.carry_up(self.page(at), n)

    @rule(at=indices, n=some)
    def work(self, at: int, n: int) -> None:
        self.world.carry_up(self.page(at), n)
        self.world.work(self.page(at), n)

    @rule(at=indices)
    def end_aside(self, at: int) -> None:
        self.world.end_aside(self.page(at))

    @rule(at=indices, hinted=st.booleans())
    def tell(self, at: int, hinted: bool) -> None:
        if hinted:
            self.world.hint(self.page(at))
        self.world.tell(self.page(at))

    @rule(at=indices, n=some)
    def carry_down(self, at: int, n: int) -> None:
        self.world.carry_down(self.page(at), n)

    @rule(at=indices)
    def carry_notices(self, at: int) -> None:
        self.world.carry_notices(self.page(at))

    @rule(at=indices)
    def beat(self, at: int) -> None:
        self.world.beat(self.page(at))

    @rule(at=indices)
    def look_at_members(self, at: int) -> None:
        self.world.look_at_members(self.page(at))

    @rule(at=indices, ask=on_leaves | on_classes | steps)
    def lose_the_answer(self, at: int, ask: dict[str, Any]) -> None:
        """It is done, and the page hears nothing of it."""
        self.act(at, ask, "done")
        self.world.drop(self.page(at), 0, 0, is_late=False)
        self.world.connect(self.page(at))

    @rule(at=indices, ups=st.integers(0, 3), downs=st.integers(0, 3), late=st.booleans())
    def drop(self, at: int, ups: int, downs: int, late: bool) -> None:
        self.world.drop(self.page(at), ups, downs, late)

    @rule()
    def end_late(self) -> None:
        self.world.end_late()

    @rule(at=indices)
    def connect(self, at: int) -> None:
        self.world.connect(self.page(at))

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def settle(self) -> None:
        self.world.settle()
        self.world.check()


def run(pages: Pages, scene: Scene, examples: int) -> Counter[str]:
    people = [scene.owner, scenario.make_user("boris"), scenario.make_user("cleo")]
    machine = type(
        "Together", (Together,), {"scene": scene, "people": people, "pages": pages, "done": Counter()}
    )
    look = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=[Phase.generate] if os.environ.get("NOSHRINK") else tuple(Phase),
    )
    with stepwise():
        run_state_machine_as_test(machine, settings=look)
    print(dict(machine.done))
    return machine.done


def test_pages_and_server_agree_after_any_interleaving(node_pages: Pages, scene: Scene) -> None:
    done = run(node_pages, scene, 40)
    assert done["went on"], "no page ever came back from where it stood"
    rare = [kind for kind in (*COMMANDS_THAT_EDIT, *ANSWERS) if not done[kind]]
    if not EXAMPLES or EXAMPLES >= 40:
        assert len(rare) <= 5, f"of these nothing is said, for they never happened: {rare}"


@pytest.mark.browser
def test_pages_in_a_browser_agree_with_the_server(served: str, chromium_path: str, scene: Scene) -> None:
    with pages_in_chromium(chromium_path, served) as pages:
        run(pages, scene, 4)
