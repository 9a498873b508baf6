"""A project, its pages and the lines between them and the server, with everything that may go wrong on a line.

Each step is one that a rule of the test asks for. Whatever came before, ``settle`` mends the lines and waits until nobody waits
for anything; then all have to agree.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from django.contrib.auth.models import User
from django.db import transaction

from tests.collaboration.lines import Line, finish
from tests.collaboration.pages import Pages
from webapp import actions
from webapp.editing import adoption, checkpoints, examples
from webapp.editing.edits import ProjectState
from webapp.editing.history import ADOPT
from webapp.editing.leaves import leaves_key, open_leaves
from webapp.editing.liveness import UNDO, live_numbers
from webapp.editing.snapshots import load_state, read_liveness, replay
from webapp.errors import describe
from webapp.live import blocks, dispatch, feed, readings
from webapp.live.mark import mark_of
from webapp.messages import EditCommand
from webapp.models import Edit, Membership, Project, Scene
from webapp.people import members

CLASSES = ("Water", "Soil", "Wood")
ROUNDS = 200  # in which everything must have settled


class Page:
    """One tab of somebody's browser."""

    def __init__(self, index: int, user: User) -> None:
        self.index, self.user = index, user
        self.line: Line | None = None
        self.up: deque[str] = deque()  # on its way to the server
        self.down: deque[str] = deque()  # on its way to the browser
        self.notices: deque[str] = deque()
        self.answers: list[list[Any]] = []
        self.had_drops = False
        self.asked: list[str] = []


class World:
    def __init__(self, scene: Scene, users: list[User], pages: Pages) -> None:
        self.pages = pages
        self.owner, *others = list(dict.fromkeys(users))
        examples.forget_examples()
        checkpoints.forget_checkpoints()
        project = Project.objects.create(owner=self.owner, scene=scene, name="Fields")
        self.project_id = project.pk
        for user in others:
            Membership.objects.create(project=project, user=user, role="editor")
        first = scene.segmentations.order_by("pk")[0]
        adoption.adopt_first(project.pk, first)
        for name in CLASSES:
            actions.create_class(self.owner, project.pk, "", name=name, color="#000000")
        self.feed = feed.Feed(project.pk)
        self.done: Counter[str] = Counter()  # kinds of edits, and how pages were answered
        self.late: list[tuple[User, EditCommand]] = []  # of lines that broke while they were worked at
        self.trees = {row.pk: _tree(row.pk) for row in scene.segmentations.all()}
        pages.ask(op="begin", trees=self.trees)
        self.tabs = [Page(pages.ask(op="make")["page"], user) for user in users]
        self.begin()

    def begin(self) -> None:
        for page in self.tabs:
            self.connect(page)

    # -------------------------------------------------------------------------------------------- of the page

    def _ask(self, page: Page, **request: Any) -> dict[str, Any]:
        told = self.note(page, self.pages.ask(page=page.index, **request))
        if page.line is not None:
            page.up.extend(told["sent"])
        else:
            assert not told["sent"], "nothing is sent on a line that is down"
        return told

    def note(self, page: Page, told: dict[str, Any]) -> dict[str, Any]:
        """Remember what a page asked for, and how it was answered."""
        page.answers += told["answers"]
        self.done.update(answer[2] for answer in told["answers"] if answer[1] == "rejected")
        for text in told["sent"]:
            client_id = json.loads(text).get("client_id")
            if client_id is not None and client_id not in page.asked:
                page.asked.append(client_id)
        return told

    def act(self, page: Page, /, **fields: Any) -> None:
        self._ask(page, op="act", fields=fields)

    def look(self, page: Page) -> dict[str, Any]:
        found = self._ask(page, op="look")["look"]
        assert isinstance(found, dict)
        return found

    # -------------------------------------------------------------------------------------------- of the line

    def connect(self, page: Page) -> None:
        if page.line is None:
            mark = mark_of(urlsplit(self._ask(page, op="open")["url"]).query.encode())
            self.done["went on"] += mark is not None
            page.line = Line(page.user, self.project_id, self.feed, mark)

    def carry_up(self, page: Page, most: int = 10**9) -> bool:
        n = 0
        while page.line is not None and page.up and n < most:
            finish(page.line.receive(page.up.popleft()))
            n += 1
        return n > 0

    def work(self, page: Page, most: int = 10**9) -> bool:
        n = 0
        while page.line is not None and n < most and finish(page.line.work(self.perform)):
            n += 1
        return n > 0

    def end_aside(self, page: Page) -> bool:
        if page.line is None or page.line.aside is None:
            return False
        finish(page.line.end_aside(self.perform))
        return True

    def hint(self, page: Page) -> None:
        """What the channel layer brings."""
        if page.line is not None:
            page.line.teller.heard(self.project.number)

    def tell(self, page: Page) -> None:
        if page.line is not None:
            finish(page.line.teller.tell())
            self._flush(page)

    def _flush(self, page: Page) -> None:
        assert page.line is not None
        page.down.extend(page.line.taken())
        page.notices.extend(page.line.taken_notices())

    def carry_down(self, page: Page, most: int = 10**9) -> bool:
        if page.line is None:
            return False
        self._flush(page)  # rejections go out at once
        texts = [page.down.popleft() for _ in range(min(most, len(page.down)))]
        if texts:
            self._ask(page, op="say", texts=texts)
        return bool(texts)

    def carry_notices(self, page: Page) -> bool:
        if page.line is None:
            return False
        self._flush(page)
        texts, page.notices = list(page.notices), deque()
        if texts:
            self._ask(page, op="say", texts=texts)
        return bool(texts)

    def beat(self, page: Page) -> None:
        if page.line is not None:
            finish(page.line.beat())

    def drop(self, page: Page, ups: int, downs: int, is_late: bool) -> None:
        """The line breaks, when some of what was on its way has arrived."""
        if page.line is None:
            return
        page.had_drops = True
        self.carry_up(page, ups)
        if is_late:  # a command that is being worked at is brought to its end, whoever is there to hear of it
            late = page.line.aside
            if late is None and not page.line.commands.empty():
                late = page.line.commands.get_nowait()
            if late is not None:
                self.late.append((page.user, late))
        self.carry_down(page, downs)
        page.line = None
        page.up, page.down, page.notices = deque(), deque(), deque()
        self._ask(page, op="close", code=1006)

    def end_late(self) -> None:
        for user, command in self.late:
            code = ""
            try:
                self.perform(user, self.project_id, command)
            except Exception as error:  # nobody hears of it
                code = describe(error).code
            assert code != "internal", command
        self.late = []

    def restart(self) -> None:
        """The server starts anew."""
        for page in self.tabs:
            self.drop(page, 0, 0, is_late=False)
        self.feed = feed.Feed(self.project_id)

    def give_role(self, user: User, role: str) -> None:
        if user == self.owner:
            return
        members.change_role(self.owner, self.project_id, user.pk, role)

    def look_at_members(self, page: Page) -> None:
        if page.line is not None:
            finish(page.line.look_at_members())

    # -------------------------------------------------------------------------------------------- of the server

    @property
    def project(self) -> Project:
        return Project.objects.select_related("scene", "segmentation").get(pk=self.project_id)

    def perform(self, user: User, project_id: int, command: EditCommand) -> dispatch.Performed:
        """The server's own, watched."""
        before = load_state(self.project)
        with transaction.atomic():  # as a connection's autocommit: what fails leaves nothing
            done = dispatch.perform(user, project_id, command)
        edit = Edit.objects.get(project=project_id, number=done.number)
        assert (edit.client_id, edit.user_id) == (command.client_id, user.pk)
        self.done["repeat" if done.is_repeat else edit.kind] += 1
        if not done.is_repeat and edit.kind == UNDO:
            self._check_undo(edit, before, load_state(self.project))
        return done

    def _check_undo(self, edit: Edit, before: ProjectState, after: ProjectState) -> None:
        """What others gave to the same leaves since, they keep."""
        target = Edit.objects.get(project=self.project_id, number=edit.payload["target"])
        if target.kind == ADOPT:
            return  # what lies before it can only be undone after it, whoever adopted
        assert target.user_id == edit.user_id, "undo takes back one's own edits"
        if not target.kind.startswith("leaves.") or before.segmentation != after.segmentation:
            return
        later = Edit.objects.filter(
            project=self.project_id, number__gt=target.number, live=True, kind__startswith="leaves."
        )
        theirs = np.zeros(len(after.table), np.uint8)
        for other in later.exclude(user=edit.user):
            if other.payload["segmentation"] == after.segmentation:
                after.refinement.paint(theirs, other.payload["ranges"], 1)
        mine = np.zeros(len(after.table), np.uint8)
        after.refinement.paint(mine, target.payload["ranges"], 1)
        assert (before.table[theirs > 0] == after.table[theirs > 0]).all(), "others' later classes stand"
        assert (before.table[mine == 0] == after.table[mine == 0]).all(), "nothing else is touched"

    def leaf_at(self, point: tuple[int, int]) -> int:
        store = open_leaves(leaves_key(self.project))
        [row] = store.neighborhoods.at([point])
        return int(store.leaf_ids[row])

    def a_leaf(self, index: int) -> int:
        """One of the leaves that there are, children among them."""
        refinement = load_state(self.project).refinement
        there = [*range(refinement.n_leaves), *sorted(refinement.live_children)]
        return there[index % len(there)]

    def a_cluster(self, index: int) -> dict[str, Any]:
        """A node of the merge tree, and the two below it."""
        tree = self.trees[self.project.segmentation_id]
        n_nodes = len(tree["low"])
        node = n_nodes // 2 + 1 + index % (n_nodes // 2)
        below = [child for child in range(n_nodes) if tree["parent"][child] == node != child]
        parts = sorted([tree["low"][child], tree["high"][child]] for child in below)
        return {"range": [tree["low"][node], tree["high"][node]], "parts": parts}

    # -------------------------------------------------------------------------------------------- in the end

    def settle(self) -> None:
        """All lines hold until nobody waits for anything any more."""
        self.end_late()
        for page in self.tabs:
            self.connect(page)
        for _ in range(ROUNDS):
            moved = False
            for page in self.tabs:
                moved |= self.carry_up(page) | self.work(page) | self.end_aside(page)
                self.hint(page)
                self.tell(page)
                moved |= self.carry_down(page) | self.carry_notices(page)
            if moved:
                continue
            before = [self.look(page)["number"] for page in self.tabs]
            for page in self.tabs:
                self.beat(page)
                self.look_at_members(page)  # that hint may come late, too
                self.tell(page)
                self.carry_down(page)
                self.carry_notices(page)
            waits = any(page.up or page.down or page.notices for page in self.tabs)
            if not waits and before == [self.look(page)["number"] for page in self.tabs]:
                return
        raise AssertionError("the pages and the server never come to rest")

    def check(self) -> None:
        """After ``settle``: everybody sees the same, and it is what the log says."""
        self.check_log()
        self.check_answers()
        for page in self.tabs:
            self.check_page(page)

    def check_log(self) -> None:
        project = self.project
        numbers = list(
            Edit.objects.filter(project=project).order_by("number").values_list("number", flat=True)
        )
        assert numbers == list(range(1, project.number + 1)), "numbers run without a gap"
        made = Counter(
            Edit.objects.filter(project=project).exclude(client_id="").values_list("user", "client_id")
        )
        assert set(made.values()) <= {1}, "a command is done once"
        log = read_liveness(project)
        marked = set(
            Edit.objects.filter(project=project, live=True)
            .exclude(kind__in=("edit.undo", "edit.redo"))
            .values_list("number", flat=True)
        )
        assert live_numbers(log) == marked, "what is live follows from the log"
        assert _plain(load_state(project)) == _plain(replay(project)), "the snapshot is a replay of the log"

    def check_answers(self) -> None:
        made = set(
            Edit.objects.filter(project=self.project_id)
            .exclude(client_id="")
            .values_list("client_id", flat=True)
        )
        for page in self.tabs:
            answered = {client_id for client_id, _, _ in page.answers}
            assert set(page.asked) <= answered, "every command is answered"
            for client_id, what, code in page.answers:
                assert code != "internal", "the log tells what broke"
                if what == "applied":
                    assert client_id in made
                elif not page.had_drops:
                    assert client_id not in made, "what was refused is not done"

    def check_page(self, page: Page) -> None:
        seen = self.look(page)
        truth = json.loads(json.dumps(readings.state(page.user, self.project_id)))
        state = load_state(self.project)
        assert seen["pending"] == []
        assert seen["number"] == truth["number"]
        assert seen["segmentation"] == {name: truth["segmentation"][name] for name in ("id", "version")}
        assert seen["classes"] == truth["classes"]
        assert _shown(seen["table"], state) == _shown(state.visible_table().tolist(), state)
        assert seen["completion"] == truth["completion"]
        assert seen["project"] == truth["project"]
        assert seen["aoi"] == truth["project"]["aoi"]
        assert _splits(seen["splits"]) == _splits(truth["splits"])
        live = {label["number"] for label in truth["classes"] if not label["deleted"]}
        assert sorted(seen["clicks"]) == sorted(click for click in truth["clicks"] if click[3] in live)
        blocks_seen = [
            [0, col, one["version"], int(one["drawn"])] for col, one in enumerate(seen["overrides"]["blocks"])
        ]
        drawn = {(row, col): [row, col, *rest] for row, col, *rest in truth["overrides"]["blocks"]}
        assert blocks_seen == [drawn.get((0, col), [0, col, 0, 0]) for col in range(2)]
        assert seen["overrides"]["version"] == truth["overrides"]["version"]
        assert seen["role"] == truth["role"]
        assert seen["members"] == truth["members"]
        steps = {name: truth[name] for name in ("can_undo", "can_redo")}
        assert {name: seen[name] for name in steps} == steps


def _tree(segmentation_id: int) -> dict[str, list[int]]:
    tree = blocks.open_store(segmentation_id).tree
    return {name: getattr(tree, name).tolist() for name in ("parent", "low", "high")}


def _plain(state: ProjectState) -> dict[str, Any]:
    refinements = {
        key: (one.leaf_splits, one.clusters)
        for key, one in state.refinements.items()
        if one.leaf_splits or one.clusters
    }
    return {
        "classes": state.classes,
        "table": state.table.tolist(),
        "aoi": state.aoi,
        "segmentation": state.segmentation,
        "completion": state.completion,
        "refinements": refinements,
        "overrides": state.overrides,
    }


def _shown(table: list[int], state: ProjectState) -> list[int]:
    """The classes of the leaves that hold pixels."""
    refinement = state.refinement
    split = {one.parent for one in refinement.live_splits}
    there = [*range(refinement.n_leaves), *sorted(refinement.live_children)]
    return [len(table), *(table[leaf] for leaf in there if leaf not in split)]


def _splits(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "clusters": sorted(told["clusters"])}
