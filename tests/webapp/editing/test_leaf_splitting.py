"""Splits of leaves and clusters in projects: edits, undo, duplicates, adoption, exports, the socket."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shutil
import struct

import numpy as np
import pytest
from asgiref.sync import async_to_sync

from segmentation import Click, segment
from segmentation.errors import InvalidArgumentError
from segmentation.testing import synthetic_scene, write_scene
from tests.webapp import scenario
from webapp import actions, permissions, storage
from webapp.decoding import completion
from webapp.editing import adoption, clicks, leaf_splitting, projects, restoring, splits, timeline, undoing
from webapp.editing.edits import LEAF_SPLIT
from webapp.editing.leaves import leaves_key, open_leaves, split_folder, splits_folder
from webapp.editing.refinements import FIRST_CHILD as C
from webapp.editing.snapshots import load_state, replay
from webapp.errors import ConflictError, InvalidInputError, LimitError, MissingError, StaleError
from webapp.live import events
from webapp.models import Edit, Project, Scene, Segmentation
from webapp.rest import exports, segmentation_numbers

pytestmark = pytest.mark.django_db(transaction=True)

HEIGHT, WIDTH, N = 300, 620, 12
_ids = itertools.count(1)


@pytest.fixture(scope="module", name="made")
def made_segmentation(tmp_path_factory):
    """An image and its segmentation into few leaves, in two blocks."""
    folder = tmp_path_factory.mktemp("made")
    image = write_scene(folder / "scene.tif", synthetic_scene(HEIGHT, WIDTH, seed=5)[0])
    segment(image, folder / "store.zarr", mode="fast", n_leaves=N, threads=1)
    return image, folder / "store.zarr"


@pytest.fixture(name="project")
def split_project(made, data_dir, monkeypatch) -> Project:
    """A project on that segmentation, with two classes, that everybody may edit."""
    monkeypatch.setattr(permissions, "role_in", lambda user, project: "editor")
    monkeypatch.setattr(
        permissions, "require_project", lambda user, key, role="viewer": Project.objects.get(pk=key)
    )
    image, store = made
    owner = scenario.make_user("ana")
    scene = scenario.make_scene(owner, HEIGHT, WIDTH, with_crs=True)
    scene.cog_path.parent.mkdir(parents=True)
    shutil.copy(image, scene.cog_path)
    project = Project.objects.create(owner=owner, scene=scene, name="Fields")
    adoption.adopt_first(project.pk, add_segmentation(scene, store))
    for name in ("Water", "Soil"):
        actions.create_class(owner, project.pk, "", name=name, color="#000000")
    # Whole, so that a test on the event loop can look at its owner and scene.
    return Project.objects.select_related("owner", "scene", "segmentation").get(pk=project.pk)


def add_segmentation(scene: Scene, store) -> Segmentation:
    row = Segmentation.objects.create(
        scene=scene, state=Segmentation.State.COMPLETE, n_leaves=N, parameters={"seed": 0}
    )
    shutil.copytree(store, row.store_path)
    scenario.blocks.forget_stores()
    segmentation_numbers.forget_numbers()
    return row


def now(project) -> Project:
    return Project.objects.get(pk=project.pk)


def state_of(project):
    """The snapshot, which is the fold of the log."""
    project = now(project)
    state = load_state(project)
    again = replay(project)
    assert again.table.tolist() == state.table.tolist()
    assert again.refinement == state.refinement
    return state


def command(project, **fields):
    row = now(project)
    version = load_state(row).refinement.version
    return {"segmentation": row.segmentation_id, "version": version, **fields}


def assign(project, low, high, number=1, point=None, user=None, **fields):
    return actions.assign_leaves(
        user or project.owner, project.pk, f"c{next(_ids)}",
        **{**command(project, ranges=[(low, high)], class_number=number, point=point), **fields},
    )  # fmt: skip


def split(project, leaf, user=None, client_id="", **fields):
    return leaf_splitting.split_leaf(
        user or project.owner,
        project.pk,
        client_id or f"c{next(_ids)}",
        **{**command(project, leaf=leaf), **fields},
    )


def undo(project, user=None):
    return undoing.undo(user or project.owner, project.pk, f"c{next(_ids)}")


def redo(project, user=None):
    return undoing.redo(user or project.owner, project.pk, f"c{next(_ids)}")


def view(project):
    return open_leaves(leaves_key(now(project)))


def pixels_of(project, leaf, count=2):
    """Pixels far apart inside one leaf."""
    ids = np.asarray(view(project).leaf_ids)[np.minimum(view(project).leaves[:], view(project).n_leaves - 1)]
    places = np.argwhere(ids == leaf)
    return [
        tuple(int(x) for x in places[index]) for index in np.linspace(40, len(places) - 41, count).astype(int)
    ]


def clicked(project, leaf=None):
    """Two clicks of two classes in one leaf: the second one splits it."""
    leaf = biggest(project) if leaf is None else leaf
    first, second = pixels_of(project, leaf)
    assign(project, leaf, leaf + 1, 1, point=first)
    edit = split(project, leaf, class_number=2, point=second)
    return leaf, first, second, edit


def biggest(project) -> int:
    return int(view(project).statistics().pixels.argmax())


# ---------------------------------------------------------------------------------------------------- two classes


def test_second_class_in_a_leaf_gets_a_child_of_its_own(project):
    leaf, first, second, edit = clicked(project)
    state = state_of(project)
    assert edit.kind == LEAF_SPLIT
    assert len(state.table) == C + 2
    assert state.table[leaf] == 1
    assert state.table[C : C + 2].tolist() == [2, 1]
    assert state.refinement.version == edit.number
    ids = dict(
        zip(
            (first, second),
            view(project).leaf_ids[view(project).neighborhoods.at([first, second])],
            strict=True,
        )
    )
    assert ids == {first: C + 1, second: C}
    told = events.edit_applied(now(project), edit, project.owner, True, False)
    assert told["changes"] == [[C, C + 1, 2]]
    assert told["splits"] == {"version": edit.number, "leaves": [[leaf, C, 2, 1, 0]], "clusters": []}
    assert [click[3:] for click in told["clicks"]["all"]] == [[1, C + 1], [2, C]]


def test_one_undo_takes_back_split_and_assignment_and_redo_brings_both(project):
    leaf, _, _, edit = clicked(project)
    after = state_of(project)
    undone = undo(project)
    state = state_of(project)
    assert state.table[[leaf, C, C + 1]].tolist() == [1, 1, 1]
    assert state.refinement.version == undone.number
    assert view(project).n_leaves == N
    told = events.edit_applied(now(project), undone, project.owner, True, True)
    assert told["splits"]["leaves"] == [[leaf, C, 2, 0, 0]]
    assert told["changes"] == [[C, C + 1, 1]]
    assert [click[3] for click in clicks.all_clicks(now(project))] == [1]
    redo(project)
    assert state_of(project).table.tolist() == after.table.tolist()
    assert view(project).n_leaves == N + 1
    assert len(list(splits_folder(edit.payload["segmentation"]).iterdir())) == 1, "nothing was computed again"


def test_whoever_names_a_split_leaf_names_its_children(project):
    leaf, *_ = clicked(project)
    assign(project, 0, N, 1)
    assert set(state_of(project).table[[leaf, C, C + 1]].tolist()) == {1}
    assign(project, C, C + 1, 2)
    assert state_of(project).table[[leaf, C, C + 1]].tolist() == [1, 2, 1]
    undo(project)
    undo(project)
    assert state_of(project).table[[C, C + 1]].tolist() == [2, 1]


def test_edits_of_children_rest_while_their_split_is_undone(project):
    boris = scenario.make_user("boris")
    leaf, *_ = clicked(project)
    assign(project, C + 1, C + 2, 2, user=boris)
    undo(project)
    assert state_of(project).table[[C, C + 1]].tolist() == [1, 1]
    with pytest.raises(InvalidInputError, match="not a range within"):
        assign(project, C, C + 1, 1)
    redo(project)
    assert state_of(project).table[[C, C + 1]].tolist() == [2, 2]
    assert leaf < N


def test_commands_from_before_the_split_are_stale_where_they_touch_it(project):
    leaf, *_ = clicked(project)
    other = (leaf + 1) % N
    with pytest.raises(StaleError, match="were split since"):
        assign(project, leaf, leaf + 1, 2, version=0)
    assign(project, other, other + 1, 2, version=0)
    assert state_of(project).table[other] == 2
    with pytest.raises(StaleError, match="was meant for 999"):
        assign(project, other, other + 1, 2, version=999)


def test_a_click_without_rival_is_told_to_be_done_again(project):
    leaf = biggest(project)
    [point] = pixels_of(project, leaf, 1)
    with pytest.raises(StaleError, match="No other class was clicked"):
        split(project, leaf, class_number=2, point=point)
    first, _ = pixels_of(project, leaf)
    assign(project, leaf, leaf + 1, 1, point=first)
    with pytest.raises(InvalidInputError, match="at this very pixel"):
        split(project, leaf, class_number=2, point=first)
    assert state_of(project).refinement.leaf_splits == ()
    assert not splits_folder(now(project).segmentation_id).exists() or not list(
        splits_folder(now(project).segmentation_id).iterdir()
    )


def test_child_can_be_split_again_and_the_tree_of_splits_undone_from_its_root(project):
    boris = scenario.make_user("boris")
    leaf, *_ = clicked(project)
    again = split(project, C, user=boris, parts=3)
    state = state_of(project)
    assert again.payload["split"]["first"] == C + 2
    assert state.table[C : C + 5].tolist() == [2, 1, 2, 2, 2]
    assert view(project).n_leaves == N + 3
    undo(project)  # the first split, and with it the ground of the second
    assert view(project).n_leaves == N
    assert set(state_of(project).table[C : C + 5].tolist()) == {1}
    redo(project)
    assert view(project).n_leaves == N + 3
    assert leaf < N


def test_split_anew_after_undo_takes_new_numbers_and_the_first_cannot_come_back(project):
    boris = scenario.make_user("boris")
    leaf, *_ = clicked(project)
    first = scenario.newest(project)
    undo(project)
    edit = split(project, leaf, user=boris, parts=2)
    assert edit.payload["split"]["first"] == C + 2
    assert edit.payload["split"]["replaces"] == [first.number]
    with pytest.raises(ConflictError, match="split anew since"):
        redo(project)
    assert view(project).leaf_ids[leaf : leaf + 2].tolist() == [C + 2, C + 3]
    assert state_of(project).table[C : C + 4].tolist() == [1, 1, 1, 1]


def test_repeated_command_gives_the_first_edit_again(project):
    leaf = biggest(project)
    first = split(project, leaf, client_id="once", parts=2)
    assert split(project, leaf, client_id="once", parts=2).pk == first.pk
    assert Edit.objects.filter(project=project, kind=LEAF_SPLIT).count() == 1


def test_split_that_comes_too_late_is_made_anew(project, monkeypatch):
    leaf = biggest(project)
    other = (leaf + 1) % N
    compute = leaf_splitting._compute
    seen = []

    def slow(row, *args):
        draft = compute(row, *args)
        if not seen:
            seen.append(draft)
            split(project, other, parts=2)
        return draft

    monkeypatch.setattr(leaf_splitting, "_compute", slow)
    edit = split(project, leaf, parts=2)
    assert edit.payload["split"]["first"] == C + 2
    assert not split_folder(edit.payload["segmentation"], seen[0].token).exists()
    assert {row.parent for row in state_of(project).refinement.live_splits} == {leaf, other}


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"leaf": 99, "parts": 2}, MissingError, "There is no leaf 99"),
        ({"leaf": C, "parts": 2}, MissingError, f"There is no leaf {C}"),
        ({"leaf": 0}, InvalidInputError, "either into a number of `parts`, or for a `class`"),
        ({"leaf": 0, "parts": 2, "class_number": 1, "point": (1, 1)}, InvalidInputError, "one of the two"),
        ({"leaf": 0, "parts": 9}, InvalidInputError, "cannot be split into 9; choose 2 to 8"),
        ({"leaf": 0, "class_number": 7, "point": (1, 1)}, MissingError, "no class 7"),
        ({"leaf": 0, "class_number": 1, "point": (1, 9999)}, InvalidInputError, "outside the scene"),
        ({"leaf": 0, "parts": 2, "segmentation": 999}, StaleError, "was meant for 999"),
    ],
)
def test_wrong_splits_are_refused_with_a_sentence(project, fields, error, sentence):
    with pytest.raises(error, match=sentence):
        split(project, **fields)
    assert state_of(project).refinement.leaf_splits == ()


def test_split_waits_for_a_complete_segmentation(project):
    Segmentation.objects.filter(pk=project.segmentation_id).update(state=Segmentation.State.RUNNING)
    with pytest.raises(ConflictError, match="once it is complete"):
        split(project, 0, parts=2)


def test_spent_numbers_are_told(project, monkeypatch):
    monkeypatch.setattr(leaf_splitting, "FIRST_CHILD", 65_534)
    with pytest.raises(InvalidArgumentError, match="are spent in this project"):
        split(project, biggest(project), parts=2)


def test_busy_server_says_so(project, monkeypatch):
    monkeypatch.setattr(leaf_splitting, "WAIT_S", 0.01)
    taken = [leaf_splitting._slots.acquire(timeout=5) for _ in range(leaf_splitting.MAX_AT_ONCE)]
    try:
        with pytest.raises(LimitError, match="busy with other splits"):
            split(project, biggest(project), parts=2)
    finally:
        for _ in taken:
            leaf_splitting._slots.release()


# ---------------------------------------------------------------------------------------------------- others


def test_duplicates_share_what_was_split_and_go_their_own_ways(project):
    leaf, *_ = clicked(project)
    copy = projects.duplicate_project(now(project), project.owner, "copy")
    assert leaves_key(copy) == leaves_key(now(project))
    assert state_of(copy).table.tolist() == state_of(project).table.tolist()
    before = np.array(view(project).leaves[:])
    other = (leaf + 1) % N
    split(copy, other, parts=2)
    np.testing.assert_array_equal(view(project).leaves[:], before)
    assert view(project).n_leaves == N + 1
    assert view(copy).n_leaves == N + 2
    undo(copy)
    undo(copy)
    assert view(copy).n_leaves == N
    assert view(project).n_leaves == N + 1
    plain = Project.objects.create(owner=project.owner, scene=project.scene, name="other")
    adoption.adopt_first(plain.pk, now(project).segmentation)
    assert view(plain).n_leaves == N
    assert len(state_of(plain).table) == N


def test_adoption_carries_the_classes_of_children_there_and_back(project, made):
    leaf, *_ = clicked(project)
    fine = add_segmentation(project.scene, made[1])
    before = state_of(project)
    shown = view(project).from_ids(before.table)[np.minimum(view(project).leaves[:], N)]
    adoption.adopt_segmentation(project.owner, project.pk, "there", segmentation=fine.pk)
    state = state_of(project)
    assert len(state.table) == N
    assert state.refinement.version == 0
    # The leaf takes the class that most of its pixels have.
    counts = np.bincount(shown[np.asarray(view(project).leaves[:]) == leaf], minlength=3)
    assert state.table[leaf] == counts.argmax()
    first = Segmentation.objects.exclude(pk=fine.pk).get()
    adoption.adopt_segmentation(project.owner, project.pk, "back", segmentation=first.pk)
    back = state_of(project)
    assert len(back.table) == C + 2
    assert view(project).n_leaves == N + 1
    assert back.table[C] == back.table[C + 1] == state.table[leaf]
    undo(project)
    undo(project)
    assert state_of(project).table.tolist() == before.table.tolist()


def test_undo_of_an_adoption_waits_for_splits_made_since(project, made):
    boris = scenario.make_user("boris")
    fine = add_segmentation(project.scene, made[1])
    adoption.adopt_segmentation(project.owner, project.pk, "there", segmentation=fine.pk)
    split(project, biggest(project), user=boris, parts=2)
    with pytest.raises(ConflictError, match="boris has classified leaves since"):
        undo(project)


def test_statistics_spectra_and_download_count_children(project):
    leaf, *_ = clicked(project)
    row = now(project)
    packed = segmentation_numbers.statistics(leaves_key(row), None, is_complete=True)
    data = gzip.decompress(packed)
    (n,) = struct.unpack_from("<I", data)
    assert n == C + 2
    pixels, areas = np.frombuffer(data, "<f8", offset=16).reshape(2, n)
    whole = scenario.blocks.open_store(row.segmentation_id).statistics()
    assert pixels[leaf] == 0
    assert pixels[C] + pixels[C + 1] == whole.pixels[leaf]
    assert pixels.sum() == HEIGHT * WIDTH
    assert areas[C] + areas[C + 1] == pytest.approx(whole.area_m2[leaf])
    assert not np.isnan(areas).any()
    text = b"".join(async_to_sync(_read)(exports.prepare(project.owner, project.pk))).decode()
    features = json.loads(text)["features"]
    areas_px = {1: 0, 2: 0}
    for feature in features:
        areas_px[feature["properties"]["class_id"]] += feature["properties"]["area_px"]
    assert areas_px == {1: pixels[C + 1], 2: pixels[C]}


async def _read(order):
    response = await exports.download(order)
    return [chunk async for chunk in response.streaming_content]


def test_decoder_sees_children_and_hides_those_of_undone_splits(project):
    leaf, first, second, _ = clicked(project)
    done = completion.decode(completion.order_of(now(project)))
    assert done.version == now(project).number
    assert len(done.classes) == C + 2
    assert done.classes[[C, C + 1]].tolist() == [2, 1]
    expected = view(project).classify([Click(*first, 1), Click(*second, 2)], seed=completion.SEED)
    np.testing.assert_array_equal(view(project).from_ids(done.classes), expected.classes)
    assert done.probabilities(leaf, leaf + 1)[0][1] < 1
    assert done.probabilities(C, C + 1)[0] == (2, 1.0)
    undo(project)
    after = completion.decode(completion.order_of(now(project)), done)
    assert after.classes[C] == after.classes[C + 1] == after.classes[leaf]


def test_later_clicks_in_another_child_leave_the_example_of_the_first(project):
    leaf, first, second, _ = clicked(project)
    assign(project, C, C + 1, 1, point=second)  # takes the place of the click of class 2
    assert [click[1:4] for click in clicks.all_clicks(now(project))] == [[*first, 1], [*second, 1]]
    actions.unassign_leaves(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        **command(project, ranges=[(leaf, leaf + 1)], point=first),
    )
    assert clicks.all_clicks(now(project)) == []


def test_sizes_count_and_orphans_are_swept(project, settings):
    before = Segmentation.objects.get().size_bytes
    edit = split(project, biggest(project), parts=2)
    folder = split_folder(edit.payload["segmentation"], edit.payload["split"]["token"])
    assert Segmentation.objects.get().size_bytes - before == storage.folder_size(folder)
    lost = folder.with_name("abandoned")
    shutil.copytree(folder, lost)
    old = folder.stat().st_mtime - 2 * storage.HALF_UPLOAD_S
    for path in (folder, lost):
        os.utime(path, (old, old))
    assert [orphan.path for orphan in storage.find_orphans()] == [lost]
    storage.sweep()
    assert folder.exists()
    assert not lost.exists()


# ---------------------------------------------------------------------------------------------------- clusters


def split_cluster(project, leaves, parts, **fields):
    return splits.split_cluster(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        **{**command(project, leaves=leaves, parts=parts), **fields},
    )


def children_of_root(project):
    tree = view(project).tree
    root = len(tree.parent) - 1
    return sorted(
        (int(tree.low[c]), int(tree.high[c])) for c in np.flatnonzero(tree.parent == root) if c != root
    )


def test_cluster_split_is_told_to_everybody_and_undone(project):
    parts = children_of_root(project)
    edit = split_cluster(project, (0, N), parts)
    told = events.edit_applied(now(project), edit, project.owner, True, False)
    listed = [[0, N, [list(part) for part in parts]]]
    assert told["splits"] == {"version": 0, "leaves": [], "clusters": listed}
    assert events.project_state(now(project), project.owner)["splits"]["clusters"] == listed
    assert state_of(project).refinement.clusters == {(0, N): tuple(parts)}
    undone = undo(project)
    assert undone.payload["remark"] == ""
    assert events.edit_applied(now(project), undone, project.owner, True, True)["splits"]["clusters"] == []
    redo(project)
    copy = projects.duplicate_project(now(project), project.owner, "copy")
    assert state_of(copy).refinement == state_of(project).refinement


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([(0, N)], "cannot be split into 1 part; choose 2 to 8"),
        ([(0, 1)] * 9, "cannot be split into 9 parts"),
        ([(0, 5), (6, N)], "do not make up the leaves 0 to 12"),
        ([(0, 5), (5, N - 1)], "do not make up"),
        ([(5, N), (0, 5)], "do not make up"),
    ],
)
def test_wrong_parts_of_a_cluster_are_refused(project, parts, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        split_cluster(project, (0, N), parts)


def test_parts_must_be_nodes_of_the_tree(project):
    nodes = set(zip(view(project).tree.low.tolist(), view(project).tree.high.tolist(), strict=True))
    cut = next(cut for cut in range(1, N) if (0, cut) not in nodes or (cut, N) not in nodes)
    with pytest.raises(InvalidInputError, match="no cluster of the merge tree"):
        split_cluster(project, (0, N), [(0, cut), (cut, N)])
    with pytest.raises(StaleError):
        split_cluster(project, (0, N), children_of_root(project), segmentation=99)


# ---------------------------------------------------------------------------------------------------- properties


def test_any_order_of_edits_undone_and_redone_folds_to_the_snapshot(project):
    """State after events equals state fetched afresh, whatever was split, undone and redone."""
    boris = scenario.make_user("boris")
    random = np.random.default_rng(0)
    for step in range(14):
        user = [project.owner, boris][int(random.integers(2))]
        action = random.integers(5)
        leaves = [*range(N), *sorted(state_of(project).refinement.live_children)]
        leaf = int(random.choice(leaves))
        try:
            if action == 0 and step < 9:
                split(project, leaf, user=user, parts=2)
            elif action == 1:
                undo(project, user)
            elif action == 2:
                redo(project, user)
            else:
                assign(project, leaf, leaf + 1, int(random.integers(1, 3)), user=user)
        except (ConflictError, MissingError, InvalidArgumentError):
            continue
        state = state_of(project)
        refinement = state.refinement
        for one in refinement.leaf_splits:
            if one not in refinement.live_splits:
                assert {int(state.table[child]) for child in one.children} == {int(state.table[one.parent])}
        seen = view(project)
        assert int(seen.statistics().pixels.sum()) == HEIGHT * WIDTH
        assert set(seen.leaf_ids.tolist()) == (set(range(N)) | set(refinement.live_children)) - {
            one.parent for one in refinement.live_splits
        }


# ---------------------------------------------------------------------------------------------------- going back


def restore(project, number, user=None):
    return restoring.restore_state(user or project.owner, project.pk, f"c{next(_ids)}", number=number)


def test_restored_state_has_the_splits_of_then(project):
    *_, edit = clicked(project)
    before = state_of(project).table.tolist()
    boris = scenario.make_user("boris")
    again = split(project, C, user=boris, parts=3)
    restore(project, edit.number)
    state = state_of(project)
    assert state.table[: C + 2].tolist() == before
    assert state.refinement.version == now(project).number  # commands for leaves that came or went are stale
    assert view(project).n_leaves == N + 1
    undo(project)
    assert view(project).n_leaves == N + 3
    assert {split.number for split in state_of(project).refinement.live_splits} == {edit.number, again.number}
    restore(project, edit.number - 1)
    assert view(project).n_leaves == N
    assert set(state_of(project).table[C:].tolist()) == {1}  # all as their parent
    [told] = events.edits_after(project.pk, now(project).number - 1, 2)
    event = events.edit_applied(now(project), told, project.owner, True, False)
    assert [one[3] for one in event["splits"]["leaves"]] == [0, 0]
    assert len(event["clicks"]["all"]) == 1


def test_state_whose_pixels_are_another_splits_by_now_is_not_restored(project):
    leaf, *_, edit = clicked(project)
    undo(project)
    split(project, leaf, user=scenario.make_user("boris"), parts=2)
    with pytest.raises(ConflictError, match="split anew since"):
        restore(project, edit.number)
    assert view(project).n_leaves == N + 1


def test_state_before_a_split_is_seen_on_the_leaves_of_now(project):
    timeline.forget_past()
    leaf, *_, edit = clicked(project)
    looked = timeline.look_back(timeline.ask(project.owner, project.pk, edit.number - 1))
    assert looked.is_exact
    assert len(looked.shown) == C + 2
    assert looked.shown[[leaf, C, C + 1]].tolist() == [1, 1, 1]
    body = timeline.compare(*timeline.pair(project.owner, project.pk, edit.number - 1, None))
    [changed] = [cell for cell in body["matrix"] if (cell["before"], cell["after"]) == (1, 2)]
    assert changed["pixels"] == view(project).statistics().pixels[view(project).leaf_ids == C].sum()
