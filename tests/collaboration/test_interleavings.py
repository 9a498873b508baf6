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


def ring(top: int, left: int, side: int) -> list[list[float]]:
    return [[top, left], [top + side, left], [top + side, left + side], [top, left + side]]


shapes = st.builds(ring, st.integers(0, 60), st.sampled_from([0, 30, 490, 560]), st.integers(2, 40))
areas = st.sampled_from(
    [None, {"type": "Polygon", "coordinates": [[[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]]}]
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

    def act(self, at: int, what: str, /, **fields: Any) -> None:
        self.world.act(self.page(at), do=what, **fields)

    # -------------------------------------------------------------------------------------------- what people do

    @rule(at=indices, number=indices, low=leaves, wide=st.integers(1, 6), takes=st.booleans())
    def assign(self, at: int, number: int, low: int, wide: int, takes: bool) -> None:
        low = self.world.a_leaf(low)
        what = {"type": "leaves.unassign"} if takes else {"type": "leaves.assign", "class": number}
        self.act(at, "leaves", **what, ranges=[[low, low + wide]])

    @rule(at=indices, number=indices, leaf=leaves)
    def assign_one(self, at: int, number: int, leaf: int) -> None:
        leaf = self.world.a_leaf(leaf)
        self.act(at, "leaves", **{"type": "leaves.assign", "class": number}, ranges=[[leaf, leaf + 1]])

    @rule(at=indices, number=indices, point=points, reach=st.integers(0, 3))
    def click(self, at: int, number: int, point: tuple[int, int], reach: int) -> None:
        leaf = self.world.leaf_at(point)
        self.act(at, "click", **{"class": number}, leaf=leaf, point=point, reach=reach)

    @rule(at=indices, name=names, color=colors)
    def create(self, at: int, name: str, color: str) -> None:
        self.act(at, "", type="class.create", name=name, color=color)

    @rule(at=indices, number=indices, name=names)
    def rename(self, at: int, number: int, name: str) -> None:
        self.act(at, "", **{"type": "class.rename", "class": number}, name=name)

    @rule(at=indices, number=indices, color=colors)
    def recolor(self, at: int, number: int, color: str) -> None:
        self.act(at, "", **{"type": "class.recolor", "class": number}, color=color)

    @rule(at=indices, index=indices, to=indices)
    def reorder(self, at: int, index: int, to: int) -> None:
        self.act(at, "reorder", type="class.reorder", index=index, to=to)

    @rule(at=indices, number=indices)
    def delete(self, at: int, number: int) -> None:
        self.act(at, "", **{"type": "class.delete", "class": number})

    @rule(at=indices, source=indices, number=indices)
    def merge(self, at: int, source: int, number: int) -> None:
        self.act(at, "merge", **{"type": "class.merge", "class": number}, source=source)

    @rule(at=indices, count=st.integers(1, 3))
    def load_legend(self, at: int, count: int) -> None:
        classes = [["Urban", "#ff0000"], ["Town", "#00ff00"], ["Sea", "#0000ff"]][:count]
        self.act(at, "", type="legend.load", classes=classes)

    @rule(at=indices, index=st.integers(0, 10))
    def split_cluster(self, at: int, index: int) -> None:
        self.act(at, "split", type="cluster.split", **self.world.a_cluster(index))

    @rule(at=indices, leaf=leaves, parts=st.integers(2, 3))
    def split_leaf(self, at: int, leaf: int, parts: int) -> None:
        self.act(at, "split", type="leaf.split", leaf=self.world.a_leaf(leaf), parts=parts)

    @rule(at=indices, number=indices, point=points)
    def split_for_a_class(self, at: int, number: int, point: tuple[int, int]) -> None:
        leaf = self.world.leaf_at(point)
        self.act(at, "split", **{"type": "leaf.split", "class": number}, leaf=leaf, point=point)

    @rule(at=indices, number=st.none() | indices, shape=shapes)
    def draw(self, at: int, number: int | None, shape: list[list[float]]) -> None:
        self.act(at, "", **{"type": "override.add", "class": number}, polygons=[[shape]])

    @rule(at=indices, number=indices, point=points)
    def draw_region(self, at: int, number: int, point: tuple[int, int]) -> None:
        leaf = self.world.leaf_at(point)
        region = {"ranges": [[leaf, leaf + 1]], "point": point}
        self.act(at, "region", **{"type": "override.add", "class": number}, region=region)

    @rule(at=indices, number=indices, point=points, against=st.booleans())
    def give_example(self, at: int, number: int, point: tuple[int, int], against: bool) -> None:
        stroke = {"class": number, "against": against, "points": [point]}
        self.act(at, "examples", type="examples.add", examples=[stroke])

    @rule(at=indices, index=indices)
    def remove_example(self, at: int, index: int) -> None:
        self.act(at, "remove", type="examples.remove", index=index)

    @rule(at=indices, on=st.booleans(), threshold=st.sampled_from([0.0, 0.5, 0.75]))
    def complete(self, at: int, on: bool, threshold: float) -> None:
        self.act(at, "", type="completion.set", on=on, threshold=threshold)

    @rule(at=indices, geometry=areas)
    def set_area(self, at: int, geometry: dict[str, Any] | None) -> None:
        self.act(at, "", type="aoi.set", geometry=geometry)

    @rule(at=indices)
    def adopt(self, at: int) -> None:
        self.act(at, "adopt", type="segmentation.adopt")

    @rule(at=indices, back=st.integers(1, 20))
    def restore(self, at: int, back: int) -> None:
        self.act(at, "restore", type="state.restore", back=back)

    @rule(at=indices, times=st.integers(1, 3))
    def undo(self, at: int, times: int) -> None:
        for _ in range(times):
            self.act(at, "undo")

    @rule(at=indices, times=st.integers(1, 2))
    def redo(self, at: int, times: int) -> None:
        for _ in range(times):
            self.act(at, "redo")

    @rule(at=indices, kind=st.sampled_from(["edit.undo", "edit.redo"]))
    def undo_unasked(self, at: int, kind: str) -> None:
        """From a page that does not look whether there is anything."""
        self.act(at, "", type=kind)

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
    done = run(node_pages, scene, 60)
    rare = [kind for kind in (*COMMANDS_THAT_EDIT, *ANSWERS) if not done[kind]]
    assert not rare, "nothing is said of what never happened"


@pytest.mark.browser
def test_pages_in_a_browser_agree_with_the_server(served: str, chromium_path: str, scene: Scene) -> None:
    with pages_in_chromium(chromium_path, served) as pages:
        run(pages, scene, 10)
