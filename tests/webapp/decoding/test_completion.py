"""The decoder as a service: what is decoded, when, and what the download and the hover box make of it."""

import asyncio
import itertools
import json
import threading
from datetime import UTC, datetime

import numpy as np
import pytest

from segmentation import Click
from segmentation.errors import StoreError
from segmentation.rasters.windows import BLOCK
from tests.webapp import scenario
from webapp import actions, storage
from webapp.decoding import completion, completion_service
from webapp.decoding.completion import Order, decode, order_of
from webapp.decoding.completion_service import CompletionService
from webapp.editing import example_actions
from webapp.editing.examples import Example
from webapp.errors import CompletionError, ConflictError, MissingError
from webapp.models import Project, Segmentation
from webapp.rest import exports

_ids = itertools.count(1)


@pytest.fixture
def project(transactional_db, user) -> Project:
    """Eight leaves in stripes of 137.5 pixels; Water clicked in leaf 0, Soil in leaf 7."""
    project = scenario.make_project(user)
    for name, color in (("Water", "#0072b2"), ("Soil", "#e69f00")):
        actions.create_class(user, project.pk, "", name=name, color=color)
    click(project, 0, 1)
    click(project, 7, 2)
    return Project.objects.get(pk=project.pk)


def leaf_point(leaf):
    return 300, int((leaf + 0.5) * 1100 / 8)


def click(project, leaf, number):
    project.refresh_from_db()
    actions.assign_leaves(
        project.owner,
        project.pk,
        f"c{next(_ids)}",
        segmentation=project.segmentation_id,
        version=0,
        ranges=[(leaf, leaf + 1)],
        class_number=number,
        point=leaf_point(leaf),
    )
    project.refresh_from_db()


def expected(project, *clicks):
    """Class and certainty as bytes, from the library itself."""
    got = scenario.blocks.open_store(project.segmentation_id).classify([Click(*pixel) for pixel in clicks])
    return got.classes.tolist(), np.floor(got.certainty * 255.0).astype(int).tolist()


def bytes_of(completed):
    return completed.classes.tolist(), completed.certainty.tolist()


# ---------------------------------------------------------------------------------------------------- decoding


def test_decoding_is_what_the_library_says_of_the_same_examples(project):
    completed = decode(order_of(project))
    assert bytes_of(completed) == expected(project, (*leaf_point(0), 1), (*leaf_point(7), 2))
    assert completed.classes[[0, 7]].tolist() == [1, 2]
    assert completed.number == project.number


def test_strokes_against_a_class_are_decoded_too(project):
    point = leaf_point(3)
    stroke = type("Stroke", (), {"class_number": 1, "against": True, "points": [point]})()
    example_actions.add_examples(project.owner, project.pk, "", examples=[stroke])
    project.refresh_from_db()
    clicks = [(*leaf_point(0), 1), (*leaf_point(7), 2), (*point, 1, True)]
    assert bytes_of(decode(order_of(project))) == expected(project, *clicks)
    assert decode(order_of(project)).classes[3] == 2


def test_frame_is_as_described(project):
    completed = decode(order_of(project))
    table = scenario.parse_table(completed.frame)
    assert (table["segmentation"], table["version"]) == (project.segmentation_id, 0)
    assert table["number"] == project.number
    assert table["elapsed_ms"] == completed.elapsed_ms
    assert (table["classes"].tolist(), table["certainty"].tolist()) == bytes_of(completed)


def test_without_examples_nothing_is_predicted(project):
    for number in (1, 2):
        actions.delete_class(project.owner, project.pk, "", class_number=number)
    project.refresh_from_db()
    order = order_of(project)
    assert (order.examples, order.has_had_examples) == ((), True)
    assert bytes_of(decode(order)) == ([0] * 8, [0] * 8)


def test_same_examples_are_not_decoded_twice(project, monkeypatch):
    first = decode(order_of(project))
    actions.create_class(project.owner, project.pk, "", name="Other", color="#000000")
    project.refresh_from_db()
    assert decode(order_of(project), first) is first
    monkeypatch.setattr(scenario.blocks.Store, "classify", None)
    click(project, 7, 2)  # the same pixel once more, under a later number
    later = decode(order_of(project), first)
    assert later.number == project.number > first.number
    assert bytes_of(later) == bytes_of(first)
    assert scenario.parse_table(later.frame)["number"] == later.number


def test_examples_in_blocks_that_are_there_count(transactional_db, user):
    ids = scenario.stripes(700, 1100, 8)
    project = scenario.make_project(
        user, ids=ids, state="running", leave_out=frozenset({(0, 0, 2), (0, 1, 2)})
    )
    for name in ("Water", "Soil"):
        actions.create_class(user, project.pk, "", name=name, color="#000000")
    click(project, 0, 1)
    click(project, 7, 2)  # column 1031, in a block that is not computed yet
    first = decode(order_of(project))
    assert not first.is_final
    assert bytes_of(first) == ([1] * 8, [255] * 8)
    assert decode(order_of(project), first) is first
    writer = scenario.write_store(project.segmentation.store_path.with_name("whole.zarr"), ids, 8)
    for row in (0, 1):
        part = f"leaves/0/c/{row}/2"
        target = project.segmentation.store_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((writer.path / part).read_bytes())
    second = decode(order_of(project), first)
    assert bytes_of(second) == expected(project, (*leaf_point(0), 1), (*leaf_point(7), 2))
    assert leaf_point(7)[1] > 2 * BLOCK


def test_project_without_segmentation_cannot_be_completed(transactional_db, user):
    project = scenario.make_project(user, with_segmentation=False)
    with pytest.raises(ConflictError, match="no segmentation yet"):
        decode(order_of(project))


def test_order_hides_examples_of_deleted_classes_and_is_read_once(project, django_assert_num_queries):
    actions.delete_class(project.owner, project.pk, "", class_number=2)
    project.refresh_from_db()
    order = order_of(project)
    assert [example.class_number for example in order.examples] == [1]
    with django_assert_num_queries(0):
        assert order_of(project) is order


def test_others_get_no_order(project, stranger):
    with pytest.raises(MissingError):
        completion.order_for(stranger, project.pk)


# ---------------------------------------------------------------------------------------------------- service

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class Decoder:
    """Stands in for the decoder: notes what it is asked for, and answers when it is let."""

    def __init__(self, project):
        self.template = decode(order_of(project))
        self.asked = []
        self.may_go = threading.Event()
        self.has_begun = threading.Event()
        self.error = None

    def __call__(self, order, previous=None):
        self.asked.append(order.number)
        self.has_begun.set()
        assert self.may_go.wait(10)
        if self.error is not None:
            raise self.error
        return completion.replace(self.template, order=order)


@pytest.fixture
def decoder(project, monkeypatch):
    stand_in = Decoder(project)
    monkeypatch.setattr(completion_service, "decode", stand_in)
    return stand_in


def order(number, key=1, row=None):
    row = number if row is None else row
    return Order((key, CREATED), number, 1, (Example(number, row, 0, 1),), has_had_examples=True)


def test_while_one_is_computed_only_the_newest_waits(decoder):
    service = CompletionService()
    first = service.request(order(1))
    assert decoder.has_begun.wait(10)
    others = [service.request(order(number)) for number in (2, 3, 4)]
    decoder.may_go.set()
    assert first.result(10).number == 1
    assert [other.result(10).number for other in others] == [4, 4, 4]
    assert decoder.asked == [1, 4]


def test_older_order_is_answered_with_the_newest_answer(decoder):
    service = CompletionService()
    decoder.may_go.set()
    newest = service.request(order(5)).result(10)
    assert service.request(order(3)).result(10) is newest
    assert service.request(order(7, row=5)).result(10).number == 7
    assert decoder.asked == [5, 7]


def test_all_who_ask_for_the_same_share_one_answer(decoder):
    service = CompletionService()
    futures = [service.request(order(1)) for _ in range(20)]
    decoder.may_go.set()
    answers = {id(future.result(10)) for future in futures}
    assert len(answers) <= 2  # some may have come after the first had begun
    assert len(decoder.asked) <= 2


def test_projects_do_not_wait_for_each_other(decoder):
    service = CompletionService()
    one = service.request(order(1, key=1))
    two = service.request(order(1, key=2))
    decoder.may_go.set()
    assert {one.result(10).order.project[0], two.result(10).order.project[0]} == {1, 2}


def test_one_who_leaves_does_not_take_the_answer_from_the_others(decoder):
    service = CompletionService()

    async def ask():
        leaving = asyncio.create_task(service.answer(order(1)))
        staying = asyncio.create_task(service.answer(order(1)))
        await asyncio.to_thread(decoder.has_begun.wait, 10)
        leaving.cancel()
        decoder.may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(ask()).number == 1


def test_failure_is_logged_and_told_and_the_next_order_is_tried(decoder, caplog):
    service = CompletionService()
    decoder.may_go.set()
    decoder.error = RuntimeError("secret path")
    with pytest.raises(CompletionError, match="error of its own while completing the map") as told:
        service.request(order(1)).result(10)
    assert "secret" not in str(told.value)
    assert "secret path" in caplog.text
    decoder.error = None
    assert service.request(order(1)).result(10).number == 1


def test_foreseen_failure_keeps_its_sentence(decoder):
    service = CompletionService()
    decoder.may_go.set()
    decoder.error = StoreError("There is no segmentation at 1.zarr.")
    with pytest.raises(StoreError, match="no segmentation at 1"):
        service.request(order(1)).result(10)


def test_answers_that_are_kept_are_bounded(decoder, monkeypatch):
    monkeypatch.setattr(completion_service, "MAX_ROOMS", 3)
    service = CompletionService()
    decoder.may_go.set()
    for key in range(6):
        service.request(order(1, key=key)).result(10)
    service.request(order(1, key=5)).result(10)
    assert len(decoder.asked) == 6
    service.request(order(1, key=0)).result(10)
    assert len(decoder.asked) == 7  # it had to go


def test_answers_are_dropped_where_they_take_too_much_memory(decoder, monkeypatch):
    monkeypatch.setattr(completion_service, "MAX_BYTES", 1)
    service = CompletionService()
    decoder.may_go.set()
    for key in (1, 2, 1):
        service.request(order(1, key=key)).result(10)
    assert len(decoder.asked) == 3


def test_forgotten_answers_are_computed_anew(decoder):
    service = CompletionService()
    decoder.may_go.set()
    service.request(order(1)).result(10)
    service.forget()
    service.request(order(1)).result(10)
    assert decoder.asked == [1, 1]


def test_decoder_is_loaded_ahead_once(monkeypatch):
    loaded = []
    has_loaded = threading.Event()

    def warm_up():
        loaded.append(threading.current_thread().name)
        has_loaded.set()

    monkeypatch.setattr(completion_service, "warm_up", warm_up)
    service = CompletionService()
    service.prepare()
    service.prepare()
    assert has_loaded.wait(10)
    assert [name.startswith("decode") for name in loaded] == [True]


def test_decoder_that_cannot_be_loaded_is_logged(monkeypatch, caplog):
    def broken():
        raise ImportError("no trees here")

    monkeypatch.setattr(completion_service, "warm_up", broken)
    completion_service._load()
    assert "no trees here" in caplog.text


class LookedAt:
    """A store that tells when its graph is asked for."""

    def __init__(self, complete):
        self.complete = complete
        self.graphs = 0

    @property
    def graph(self):
        self.graphs += 1
        return "graph"


def test_graph_of_a_segmentation_is_found_ahead_once(monkeypatch):
    store = LookedAt(complete=False)
    monkeypatch.setattr(completion_service, "open_store", {7: store}.__getitem__)
    service = CompletionService()
    service.open(7)
    service._pool.shutdown()
    assert store.graphs == 0  # blocks are missing: asked again with the next news
    service = CompletionService()
    store.complete = True
    service.open(7)
    service.open(7)
    service._pool.shutdown()
    assert store.graphs == 1


def test_segmentation_that_cannot_be_read_ahead_is_logged(monkeypatch, caplog):
    def gone(segmentation):
        raise StoreError("its files are gone")

    monkeypatch.setattr(completion_service, "open_store", gone)
    service = CompletionService()
    service.open(7)
    service._pool.shutdown()
    assert "its files are gone" in caplog.text


# ---------------------------------------------------------------------------------------------------- hover box


def test_certainty_of_a_range(signed_in, project):
    url = f"/api/projects/{project.pk}/certainty"
    assert signed_in.get(f"{url}?low=0&high=1").json() == {
        "number": project.number,
        "classes": [{"class": 1, "certainty": 1.0}, {"class": 2, "certainty": 0.0}],
    }
    got = scenario.blocks.open_store(project.segmentation_id).classify(
        [Click(*leaf_point(0), 1), Click(*leaf_point(7), 2)]
    )
    weights = np.bincount(scenario.stripes(700, 1100, 8).ravel())[2:5].astype(float)
    mean = weights @ got.probabilities[2:5] / weights.sum()
    answer = signed_in.get(f"{url}?low=2&high=5").json()["classes"]
    assert answer[0]["certainty"] >= answer[1]["certainty"]
    assert {row["class"]: row["certainty"] for row in answer} == pytest.approx(
        dict(zip([1, 2], mean, strict=True)), abs=1e-4
    )


def test_certainty_without_examples_is_an_empty_list(signed_in, user, transactional_db):
    project = scenario.make_project(user)
    answer = signed_in.get(f"/api/projects/{project.pk}/certainty?low=0&high=8")
    assert (answer.status_code, answer.json()) == (200, {"number": 1, "classes": []})


@pytest.mark.parametrize(("low", "high"), [(-1, 3), (3, 3), (4, 2), (0, 9)])
def test_certainty_refuses_what_is_no_range(signed_in, project, low, high):
    answer = signed_in.get(f"/api/projects/{project.pk}/certainty?low={low}&high={high}")
    assert answer.status_code == 400
    assert f"Leaves {low} to {high} are not a range within" in answer.json()["detail"]


def test_certainty_refuses_what_is_no_number_and_who_may_not_know(signed_in, other_client, client, project):
    url = f"/api/projects/{project.pk}/certainty"
    assert signed_in.get(f"{url}?low=a&high=1").status_code == 422
    assert signed_in.get(url).status_code == 422
    assert other_client.get(f"{url}?low=0&high=1").status_code == 404
    assert client.get(f"{url}?low=0&high=1").status_code == 401


def test_certainty_without_segmentation_is_told(signed_in, user, transactional_db):
    project = scenario.make_project(user, with_segmentation=False)
    answer = signed_in.get(f"/api/projects/{project.pk}/certainty?low=0&high=1")
    assert (answer.status_code, "no segmentation yet" in answer.json()["detail"]) == (409, True)


def test_certainty_of_a_store_that_is_gone_is_told(signed_in, project):
    storage.free(project.segmentation.store_path)
    scenario.blocks.forget_stores()
    answer = signed_in.get(f"/api/projects/{project.pk}/certainty?low=0&high=1")
    assert (answer.status_code, "There is no segmentation at" in answer.json()["detail"]) == (409, True)


# ---------------------------------------------------------------------------------------------------- download


def exported(client, project):
    async def gather(response):
        return b"".join([chunk async for chunk in response.streaming_content])

    response = client.get(f"/api/projects/{project.pk}/export.geojson")
    assert response.status_code == 200
    content = response.streaming_content
    return json.loads(asyncio.run(gather(response)) if response.is_async else b"".join(content))


def area_of(collection):
    """Pixels of each class."""
    areas = {}
    for feature in collection["features"]:
        found = feature["properties"]
        areas[found["class_id"]] = areas.get(found["class_id"], 0) + found["area_px"]
    return areas


def set_completion(project, on, threshold):
    example_actions.set_completion(project.owner, project.pk, f"c{next(_ids)}", on=on, threshold=threshold)
    project.refresh_from_db()


@pytest.mark.parametrize("threshold", [0.0, 0.75, 1.0])
def test_download_of_a_completed_map_holds_what_the_page_shows(signed_in, project, threshold):
    set_completion(project, True, threshold)
    collection = exported(signed_in, project)
    classes, certainty = expected(project, (*leaf_point(0), 1), (*leaf_point(7), 2))
    assigned = [1, 0, 0, 0, 0, 0, 0, 2]
    shown = [
        one or (likely if sure / 255 >= threshold else 0)
        for one, likely, sure in zip(assigned, classes, certainty, strict=True)
    ]
    pixels = np.bincount(scenario.stripes(700, 1100, 8).ravel())
    sums = {number: int(pixels[np.array(shown) == number].sum()) for number in (1, 2)}
    assert area_of(collection) == sums
    assert collection["clusternet"]["completion"] == {"threshold": threshold, "examples": 2}
    if threshold == 0:
        # Neighbors of one class are one polygon, whoever gave it.
        assert len(collection["features"]) == 2
        assert sum(sums.values()) == 700 * 1100


def test_download_without_completion_holds_assignments_only(signed_in, project):
    collection = exported(signed_in, project)
    assert sum(area_of(collection).values()) == int(
        np.bincount(scenario.stripes(700, 1100, 8).ravel())[[0, 7]].sum()
    )
    assert collection["clusternet"]["completion"] is None


def test_download_is_of_one_moment(signed_in, project):
    set_completion(project, True, 0.0)
    ordered = exports.prepare(project.owner, project.pk)
    click(project, 3, 2)
    newer = completion_service.completions.request(order_of(project)).result(10)
    assert newer.number > ordered.completion.number
    table, _ = exports.completed_table(ordered)
    assert table.tolist() == expected(project, (*leaf_point(0), 1), (*leaf_point(7), 2))[0]


def test_download_tells_a_decoder_that_broke(signed_in, project, decoder):
    set_completion(project, True, 0.5)
    decoder.error, _ = RuntimeError("broken"), decoder.may_go.set()
    completion_service.completions.forget()
    response = signed_in.get(f"/api/projects/{project.pk}/export.geojson")
    assert response.status_code == 500
    assert "while completing the map" in response.json()["detail"]


def test_computing_segmentation_is_still_refused(signed_in, project):
    set_completion(project, True, 0.5)
    Segmentation.objects.update(state="running", progress=0.42)
    assert signed_in.get(f"/api/projects/{project.pk}/export.geojson").status_code == 409
