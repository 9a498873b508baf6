"""Drawing classes by hand: edits, undo, copies, files; blocks, areas and the download against one NumPy reference."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from django.test import Client
from rasterio.features import rasterize

from segmentation import masks
from segmentation.pyramid import reduce_once
from tests.webapp import scenario
from webapp import actions, quotas, storage
from webapp.editing import adoption, merging, overriding, projects, restoring, timeline, undoing
from webapp.editing.overrides import open_overrides, override_file, overrides_folder, overrides_key
from webapp.editing.snapshots import load_state, replay
from webapp.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    LimitError,
    MissingError,
    NothingToDoError,
    QuotaError,
    StaleError,
)
from webapp.live import events
from webapp.models import Project, Scene
from webapp.rest import override_numbers

pytestmark = pytest.mark.django_db(transaction=True)

HEIGHT, WIDTH, N = 700, 1100, 8
NODATA = 65535
_ids = itertools.count(1)


def leaf_ids():
    ids = scenario.stripes(HEIGHT, WIDTH, N).copy()
    ids[:30, :50] = NODATA
    return ids


@pytest.fixture
def project(user) -> Project:
    """A project of vertical stripes, one a leaf, with three classes."""
    override_numbers.forget_counts()
    project = scenario.make_project(user, n_leaves=N, ids=leaf_ids())
    for name in ("Water", "Soil", "Wood"):
        actions.create_class(user, project.pk, "", name=name, color="#0072b2")
    return project


def now(project) -> Project:
    return Project.objects.select_related("scene", "segmentation", "owner").get(pk=project.pk)


def state_of(project):
    """The snapshot, which is the fold of the log."""
    state, again = load_state(now(project)), replay(now(project))
    assert again.overrides == state.overrides
    assert again.classes == state.classes
    assert again.table.tolist() == state.table.tolist()
    return state


def box(top, left, bottom, right):
    return [[[[top, left], [top, right], [bottom, right], [bottom, left]]]]


def draw(project, polygons, number=1, user=None, client_id=None, **fields):
    return overriding.add_override(
        user or project.owner,
        project.pk,
        client_id or f"d{next(_ids)}",
        class_number=number,
        polygons=polygons,
        **fields,
    )


def draw_region(project, point, leaves, number=1, **changes):
    ranges = [(leaf, leaf + 1) for leaf in leaves]
    fields = {"segmentation": now(project).segmentation_id, "version": 0, "ranges": ranges, "point": point}
    return draw(project, None, number, region=SimpleNamespace(**{**fields, **changes}))


def assign(project, low, high, number):
    return actions.assign_leaves(
        project.owner, project.pk, "", segmentation=now(project).segmentation_id, version=0, ranges=[(low, high)],
        class_number=number,
    )  # fmt: skip


def undo(project, user=None):
    return undoing.undo(user or project.owner, project.pk, f"u{next(_ids)}")


def redo(project, user=None):
    return undoing.redo(user or project.owner, project.pk, f"r{next(_ids)}")


def pixels(project):
    """Values of all pixels, as they are stored."""
    return open_overrides(overrides_key(now(project))).read(0, 0, HEIGHT, WIDTH)


def told(project, edit, user=None):
    return events.edit_applied(now(project), edit, user or project.owner, True, False)


# ---------------------------------------------------------------------------------------------------- edits


def test_later_drawings_lie_over_earlier_ones_and_undo_uncovers(project):
    draw(project, box(100, 100, 300, 300), 1)
    draw(project, box(200, 200, 400, 400), 2)
    assert [pixels(project)[at] for at in ((150, 150), (250, 250), (350, 350), (50, 50))] == [1, 2, 2, 0]
    undo(project)
    assert [pixels(project)[at] for at in ((150, 150), (250, 250), (350, 350))] == [1, 1, 0]
    redo(project)
    assert [pixels(project)[at] for at in ((250, 250), (350, 350))] == [2, 2]
    assert [one.live for one in state_of(project).overrides] == [True, True]


def test_undo_of_an_earlier_drawing_leaves_what_others_drew_since(project):
    other = scenario.join(project, scenario.make_user("ben"))
    draw(project, box(100, 100, 300, 300), 1)
    draw(project, box(200, 200, 400, 400), 2, other)
    undo(project)
    assert [pixels(project)[at] for at in ((150, 150), (250, 250))] == [0, 2]
    redo(project)
    # It lies where it lay: under what came later.
    assert [pixels(project)[at] for at in ((150, 150), (250, 250))] == [1, 2]


def test_undo_tells_how_much_others_have_drawn_over(project):
    ben, eve = (scenario.join(project, scenario.make_user(name)) for name in ("ben", "eve"))
    draw(project, box(100, 100, 200, 200), 1)
    draw(project, box(0, 0, 110, 200), 2, ben)
    draw(project, box(100, 100, 700, 110), 3, eve)
    edit = undo(project)
    assert edit.payload["remark"] == (
        "1,900 of 10,000 pixels were left alone: ben and eve have drawn over them since."
    )
    redo(project)
    draw(project, box(0, 0, 700, 1100), None, ben)
    edit = undo(project)
    assert edit.payload["remark"].startswith(
        "Nothing changes on the map: ben and eve have drawn over them since"
    )
    assert told(project, edit)["message"] == edit.payload["remark"]
    assert undo(project, eve).payload["remark"].startswith("Nothing changes on the map: ben has drawn")
    draw(project, box(0, 0, 50, 50), 1)
    draw(project, box(0, 0, 50, 50), 2)
    undo(project)
    assert undo(project).payload["remark"] == ""  # one's own drawings are no news


def test_erasing_takes_what_was_drawn_and_undo_brings_it_back(project):
    draw(project, box(100, 100, 300, 300), 1)
    edit = draw(project, box(200, 0, 700, 1100), None)
    assert edit.payload["class"] == 0
    assert [pixels(project)[at] for at in ((150, 150), (250, 250))] == [1, 0]
    undo(project)
    assert pixels(project)[250, 250] == 1


def test_erasing_where_nothing_was_drawn_is_refused_and_leaves_no_file(project):
    draw(project, box(10, 10, 20, 20), 1)
    with pytest.raises(NothingToDoError, match="nothing to erase"):
        draw(project, box(600, 600, 650, 650), None)
    assert len(list(overrides_folder(project.scene_id).iterdir())) == 1


def test_only_the_connected_region_gets_the_class(project):
    ids = leaf_ids()
    edit = draw_region(project, (400, 10), [0, 2])
    assert (pixels(project) == (ids == 0)).all()
    assert edit.payload["pixels"] == (ids == 0).sum()
    assert edit.payload["shape"] == "region"
    undo(project)
    assert not pixels(project).any()


def test_a_region_of_leaves_side_by_side_is_one(project):
    draw_region(project, (400, 500), [3, 4], 2)
    assert (pixels(project) == np.where(np.isin(leaf_ids(), (3, 4)), 2, 0)).all()


def test_a_repeated_command_draws_once(project):
    first = draw(project, box(10, 10, 20, 20), client_id="same")
    assert draw(project, box(50, 50, 60, 60), client_id="same") == first
    assert len(list(overrides_folder(project.scene_id).iterdir())) == 1


def test_drawings_stay_over_another_segmentation(project):
    draw(project, box(100, 100, 300, 300), 3)
    other = scenario.make_segmentation(project.scene, n_leaves=4)
    adoption.adopt_segmentation(project.owner, project.pk, "a", segmentation=other.pk)
    assert pixels(project)[150, 150] == 3
    undo(project)  # the adoption
    undo(project)
    assert not pixels(project).any()


def test_a_copy_keeps_the_drawings_and_undo_in_one_leaves_the_other(project):
    draw(project, box(100, 100, 300, 300), 3)
    copy = projects.duplicate_project(now(project), project.owner, "Copy")
    undoing.undo(project.owner, copy.pk, "u")
    assert not pixels(copy).any()
    assert pixels(project)[150, 150] == 3
    draw(copy, box(0, 0, 60, 60), 1)
    assert pixels(project)[55, 55] == 0
    storage.delete_project(project)
    undoing.undo(project.owner, copy.pk, "u2")
    assert override_file(project.scene_id, state_of(copy).overrides[0].token).exists()


# ---------------------------------------------------------------------------------------------------- refused


def test_bad_commands_are_refused_with_a_sentence_and_change_nothing(project):
    before = now(project).number
    for error, sentence, call in [
        (MissingError, "There is no class 9", lambda: draw(project, box(0, 0, 9, 9), 9)),
        (InvalidInputError, "the center of no pixel", lambda: draw(project, box(-90, -90, -9, -9))),
        (InvalidInputError, "encloses nothing", lambda: draw(project, [[[[0, 0], [1, 1]]]])),
        (InvalidInputError, "give one of the two", lambda: draw(project, None)),
        (InvalidInputError, "is not of the cluster", lambda: draw_region(project, (400, 10), [5])),
        (InvalidInputError, "outside the scene", lambda: draw_region(project, (700, 10), [0])),
        (InvalidInputError, "not a range within", lambda: draw_region(project, (400, 10), [N])),
        (
            StaleError,
            "this was meant for 999",
            lambda: draw_region(project, (400, 10), [0], segmentation=999),
        ),
    ]:
        with pytest.raises(error, match=sentence):
            call()
    assert now(project).number == before
    folder = overrides_folder(project.scene_id)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_region_needs_a_complete_segmentation_and_a_shape_does_not(project):
    row = now(project).segmentation
    row.state = "running"
    row.save()
    with pytest.raises(ConflictError, match="still computing; connected regions"):
        draw_region(project, (400, 10), [0])
    draw(project, box(0, 0, 90, 90))
    assert pixels(project)[60, 60] == 1


def test_viewers_and_strangers_may_not_draw(project):
    viewer = scenario.join(project, scenario.make_user("eve"), "viewer")
    with pytest.raises(ForbiddenError):
        draw(project, box(0, 0, 9, 9), user=viewer)
    with pytest.raises(MissingError):
        draw(project, box(0, 0, 9, 9), user=scenario.make_user("stranger"))


def test_there_is_an_end_to_drawing(project, monkeypatch):
    monkeypatch.setattr(overriding, "MAX_DRAWN", 1)
    draw(project, box(0, 0, 9, 9))
    with pytest.raises(LimitError, match="1 shapes were drawn by hand"):
        draw(project, box(0, 0, 9, 9))


def test_a_full_quota_refuses_and_what_is_drawn_counts(project, settings):
    used = quotas.used_bytes(project.owner)
    draw(project, box(0, 0, 90, 90))
    token = state_of(project).overrides[0].token
    size = override_file(project.scene_id, token).stat().st_size
    assert quotas.used_bytes(project.owner) == used + size
    settings.QUOTA_BYTES = 10
    with pytest.raises(QuotaError):
        draw(project, box(0, 0, 90, 90))


def test_somebody_else_was_first_with_the_class(project, monkeypatch):
    """The class went while the pixels were looked for."""
    write = overriding.write_layer

    def deleting(path, blocks):
        actions.delete_class(project.owner, project.pk, "x", class_number=1)
        return write(path, blocks)

    monkeypatch.setattr(overriding, "write_layer", deleting)
    with pytest.raises(MissingError, match="There is no class 1"):
        draw(project, box(0, 0, 90, 90))
    assert list(overrides_folder(project.scene_id).iterdir()) == []


# ---------------------------------------------------------------------------------------------------- files


def test_masks_go_with_the_last_project_that_has_them(project):
    draw(project, box(0, 0, 90, 90))
    copy = projects.duplicate_project(now(project), project.owner, "Copy")
    file = override_file(project.scene_id, state_of(project).overrides[0].token)
    storage.delete_project(now(project))
    assert file.exists()
    storage.delete_project(copy)
    assert not file.exists()
    assert Scene.objects.get(pk=project.scene_id).size_bytes == storage.folder_size(project.scene.folder)


def test_the_sweep_takes_masks_that_no_project_has(project):
    draw(project, box(0, 0, 90, 90))
    undo(project)  # may be redone
    kept = override_file(project.scene_id, state_of(project).overrides[0].token)
    lost = kept.with_name("lost.mask")
    lost.write_bytes(b"x")
    young = kept.with_name("young.mask")
    young.write_bytes(b"x")
    for file in (kept, lost):
        os.utime(file, (0, 0))
    orphans, _ = storage.sweep()
    assert [orphan.path.name for orphan in orphans] == ["lost.mask"]
    assert kept.exists()
    assert young.exists()
    assert not lost.exists()


def test_a_lost_mask_does_not_keep_the_project_from_opening(project, signed_in):
    draw(project, box(0, 0, 90, 90))
    file = override_file(project.scene_id, state_of(project).overrides[0].token)
    file.unlink()
    masks._index.cache_clear()
    assert events.project_state(now(project), project.owner)["overrides"]["blocks"] == []
    response = signed_in.get(f"/api/projects/{project.pk}/export.geojson")
    assert response.status_code == 409
    assert "drawn by hand cannot be read" in response.json()["detail"]


# ---------------------------------------------------------------------------------------------------- events


def test_events_name_the_blocks_that_changed(project):
    edit = draw(project, box(400, 400, 600, 600), 1)
    number = edit.number
    four = [[0, 0, number, 1], [0, 1, number, 1], [1, 0, number, 1], [1, 1, number, 1]]
    assert told(project, edit)["overrides"] == {"version": number, "blocks": four}
    second = draw(project, box(10, 10, 20, 20), 2)
    assert told(project, second)["overrides"] == {
        "version": second.number,
        "blocks": [[0, 0, second.number, 1]],
    }
    undone = undo(project)
    assert told(project, undone)["overrides"]["blocks"] == [[0, 0, undone.number, 1]]
    gone = undo(project)
    blocks = [[row, col, gone.number, 0] for row, col in itertools.product((0, 1), (0, 1))]
    assert told(project, gone)["overrides"] == {"version": gone.number, "blocks": blocks}
    assert events.project_state(now(project), project.owner)["overrides"] == told(project, gone)["overrides"]
    assert "overrides" not in told(project, assign(project, 0, 1, 1))


# ---------------------------------------------------------------------------------------------------- one truth


def reference(project, drawn, table, lookup):
    """Class of every pixel: what was drawn, else its leaf's; none without a leaf."""
    ids = leaf_ids()
    shown = np.append(table, [0] * (65536 - len(table)))[ids]
    values = np.zeros(ids.shape, int)
    for (top, left, bottom, right), value in drawn:
        values[top:bottom, left:right] = value
    over = np.vectorize(lambda value: lookup.get(value, 0))(values)
    return np.where((over != 0) & (ids != NODATA), over, shown), values


def exported(client, project):
    """The download, burned onto the scene's pixels."""
    response = client.get(f"/api/projects/{project.pk}/export.geojson")

    async def gather():
        return b"".join([chunk async for chunk in response.streaming_content])

    features = json.loads(asyncio.run(gather()))["features"]
    shapes = [(feature["geometry"], feature["properties"]["class_id"]) for feature in features]
    areas: dict[int, int] = {}
    for properties in (feature["properties"] for feature in features):
        areas[properties["class_id"]] = areas.get(properties["class_id"], 0) + properties["area_px"]
    return rasterize(shapes, (HEIGHT, WIDTH)) if shapes else np.zeros((HEIGHT, WIDTH), np.uint8), areas


def block_of(client, project, level, row, col, version=0):
    response = client.get(f"/api/projects/{project.pk}/overrides/{level}/{row}/{col}?v={version}")
    assert response.status_code == 200
    body = gzip.decompress(response.content)
    return (
        response,
        struct.unpack_from("<II", body)[0],
        np.frombuffer(body, np.uint8, offset=8).reshape(512, 512),
    )


def counts_of(client, project):
    response = client.get(f"/api/projects/{project.pk}/overrides/statistics")
    body = gzip.decompress(response.content)
    *head, n = struct.unpack_from("<IIII", body)
    areas = np.frombuffer(body, "<f8", n, 16)
    found = np.frombuffer(body, "<u4", n, 16 + 8 * n)
    leaves = np.frombuffer(body, "<u2", n, 16 + 12 * n)
    values = np.frombuffer(body, np.uint8, n, 16 + 14 * n)
    assert len(body) == 16 + 15 * n
    return head, list(zip(values.tolist(), leaves.tolist(), found.tolist(), strict=True)), areas


DRAWN = [
    ((400, 300, 640, 900), 1),
    ((500, 500, 560, 1050), 2),
    ((0, 0, 60, 80), 3),
    ((520, 520, 530, 600), 0),
]


def check_all(client, project, drawn, table, lookup):
    classes, values = reference(project, drawn, np.array(table), lookup)
    burned, areas = exported(client, project)
    assert (burned == classes).all()
    assert areas == {
        number: int((classes == number).sum()) for number in np.unique(classes[classes > 0]).tolist()
    }
    # Blocks, as the browser draws them.
    level0, level1 = values, reduce_once(values.astype(np.uint16), 0)
    for level, whole in ((0, level0), (1, level1)):
        for row, col in itertools.product(range(-(-whole.shape[0] // 512)), range(-(-whole.shape[1] // 512))):
            part = whole[row * 512 : (row + 1) * 512, col * 512 : (col + 1) * 512]
            assert (
                block_of(client, project, level, row, col)[2][: part.shape[0], : part.shape[1]] == part
            ).all()
    # Areas of classes, as the page adds them up: a leaf's pixels are its class's, but for those under a drawing that shows.
    ids = leaf_ids()
    sizes = dict(enumerate(np.bincount(ids[ids != NODATA], minlength=N).tolist()))
    totals = dict.fromkeys(range(256), 0)
    for value, leaf, count in counts_of(client, project)[1]:
        if lookup.get(value):
            totals[lookup[value]] += count
            sizes[leaf] -= count
    for leaf, size in sizes.items():
        totals[table[leaf]] += size
    held = classes[ids != NODATA]
    assert {n: t for n, t in totals.items() if t} == {
        n: int((held == n).sum()) for n in np.unique(held).tolist()
    }


def test_blocks_areas_and_download_are_one_reference(project, signed_in):
    assign(project, 2, 5, 3)
    for shape, value in DRAWN:
        draw(project, box(*shape), value or None)
    table = [0, 0, 3, 3, 3, 0, 0, 0]
    check_all(signed_in, project, DRAWN, table, {1: 1, 2: 2, 3: 3})
    actions.delete_class(project.owner, project.pk, "x1", class_number=2)
    # A drawing of a class that was deleted hides, and the leaf shows.
    check_all(signed_in, project, DRAWN, table, {1: 1, 3: 3})
    undo(project)
    merging.merge_classes(project.owner, project.pk, "x2", sources=[3, 1], class_number=2)
    check_all(signed_in, project, DRAWN, [0, 0, 2, 2, 2, 0, 0, 0], {1: 2, 2: 2, 3: 2})
    undo(project)
    undo(project)  # erased what is there again
    check_all(signed_in, project, DRAWN[:-1], table, {1: 1, 2: 2, 3: 3})


def test_counts_follow_the_area_of_interest(project, signed_in):
    ring = [[100, 0], [600, 0], [600, 500], [100, 500], [100, 0]]
    draw(project, box(400, 0, 700, 1100), 2)
    actions.set_aoi(project.owner, project.pk, "", geometry={"type": "Polygon", "coordinates": [ring]})
    head, found, areas = counts_of(signed_in, project)
    assert head == [project.segmentation_id, 0, 5]
    inside = leaf_ids()[400:500, 100:600]
    assert found == [(2, leaf, int((inside == leaf).sum())) for leaf in np.unique(inside).tolist()]
    assert np.isnan(areas).all()


def test_a_block_is_kept_by_its_version(project, signed_in):
    edit = draw(project, box(10, 10, 90, 90), 1)
    response, version, values = block_of(signed_in, project, 0, 0, 0, edit.number)
    assert (version, values[60, 60], response["Cache-Control"]) == (
        edit.number,
        1,
        "private, max-age=31536000, immutable",
    )
    later = draw(project, box(10, 10, 90, 90), 2)
    response, version, values = block_of(signed_in, project, 0, 0, 0, edit.number)
    assert (version, values[60, 60], response["Cache-Control"]) == (later.number, 2, "private, no-store")
    # An overview is as new as the newest of the blocks under it.
    assert block_of(signed_in, project, 1, 0, 0)[1] == later.number
    elsewhere = draw(project, box(600, 600, 650, 650), 2)
    assert block_of(signed_in, project, 1, 0, 0)[1] == elsewhere.number
    assert block_of(signed_in, project, 0, 0, 0)[1] == later.number


@pytest.mark.parametrize("block", ["0/2/0", "0/0/3", "1/1/0", "30/0/0", "-1/0/0", "0/-1/0"])
def test_a_block_that_is_not_there_is_refused(project, signed_in, block):
    response = signed_in.get(f"/api/projects/{project.pk}/overrides/{block}")
    assert response.status_code == 404
    assert "has no block" in response.json()["detail"]


def test_strangers_see_nothing(project, other_client, user):
    for what in ("statistics", "0/0/0"):
        assert other_client.get(f"/api/projects/{project.pk}/overrides/{what}").status_code == 404


def test_without_a_segmentation_there_is_nothing_to_count(signed_in, user):
    empty = scenario.make_project(user, with_segmentation=False)
    response = signed_in.get(f"/api/projects/{empty.pk}/overrides/statistics")
    assert response.status_code == 409
    assert "no segmentation yet" in response.json()["detail"]


# ---------------------------------------------------------------------------------------------------- going back


def test_restored_state_has_the_drawings_and_merges_of_then(project):
    assign(project, 0, 4, 1)
    first = draw(project, box(100, 100, 300, 500), 2)
    then = pixels(project)
    draw(project, box(200, 200, 600, 900), 3)
    merging.merge_classes(project.owner, project.pk, "m", sources=[2], class_number=1)
    edit = restoring.restore_state(project.owner, project.pk, "r", number=first.number)
    assert np.array_equal(pixels(project), then)
    assert [label.merged_into for label in state_of(project).ordered_classes()] == [None, None, None]
    told = events.edit_applied(now(project), edit, project.owner, True, False)
    assert told["overrides"]["version"] == edit.number
    assert any(not drawn for *_, drawn in told["overrides"]["blocks"])
    undo(project)
    assert set(np.unique(pixels(project))) == {0, 2, 3}  # as drawn
    assert state_of(project).classes[2].merged_into == 1


def test_drawings_of_an_earlier_state_are_served_with_it(project):
    timeline.forget_past()
    client = Client()
    client.force_login(project.owner)
    base = f"/api/projects/{project.pk}/"
    assign(project, 0, 4, 1)
    first = draw(project, box(100, 100, 300, 500), 2)
    draw(project, box(0, 0, 512, 512), 3)

    def block(query):
        response = client.get(f"{base}overrides/0/0/0{query}")
        assert response.status_code == 200
        packed = gzip.decompress(response.content)
        return struct.unpack_from("<I", packed)[0], np.frombuffer(packed, np.uint8, 512 * 512, 8).reshape(
            512, 512
        )

    version, values = block(f"?v={first.number}&state={first.number}")
    assert version == first.number
    assert set(np.unique(values)) == {0, 2}
    assert set(np.unique(block("")[1])) == {3}
    body = client.get(f"{base}states/{first.number}").json()
    assert body["overrides"] == {"version": first.number, "blocks": [[0, 0, first.number, 1]]}
    counts = [
        gzip.decompress(client.get(f"{base}overrides/statistics{query}").content)
        for query in ("", f"?state={first.number}")
    ]
    assert [struct.unpack_from("<IIII", one)[2] for one in counts] == [first.number + 1, first.number]
    assert client.get(f"{base}overrides/0/0/0?state=99").status_code == 404
    assert client.get(f"{base}overrides/statistics?state=99").status_code == 404


def test_comparison_counts_drawn_pixels(project):
    timeline.forget_past()
    assign(project, 0, 4, 1)
    old = now(project).number
    draw(project, box(100, 100, 300, 500), 2)
    body = timeline.compare(*timeline.pair(project.owner, project.pk, old, None))
    cells = {(cell["before"], cell["after"]): cell["pixels"] for cell in body["matrix"]}
    assert cells[1, 2] == 200 * 400
    assert body["leaves"] == []
    assert body["blocks"] == [[100, 100, 300, 500]]
