"""The download of a project's map."""

import asyncio
import json
import threading

import pytest

from segmentation.errors import StoreError
from tests.webapp import scenario
from webapp import actions
from webapp.editing.leaves import LeavesKey
from webapp.errors import LimitError
from webapp.models import Segmentation
from webapp.rest import exports

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(user):
    project = scenario.make_project(user, n_leaves=4)
    actions.create_class(user, project.pk, "", name="Water", color="#0072b2")
    actions.create_class(user, project.pk, "", name="Soil", color="#e69f00")
    for number, leaf in ((1, 0), (2, 3)):
        actions.assign_leaves(
            user,
            project.pk,
            "",
            segmentation=project.segmentation_id,
            version=0,
            ranges=[(leaf, leaf + 1)],
            class_number=number,
        )
    return project


def url_of(project):
    return f"/api/projects/{project.pk}/export.geojson"


def content_of(response):
    async def gather():
        return b"".join([chunk async for chunk in response.streaming_content])

    if response.is_async:
        return asyncio.run(gather())
    return b"".join(response.streaming_content)


def test_download_is_geojson_with_a_name(signed_in, project):
    response = signed_in.get(url_of(project))
    assert response.status_code == 200
    assert response["Content-Type"] == "application/geo+json"
    assert response["Content-Disposition"] == 'attachment; filename="fields.geojson"'
    collection = json.loads(content_of(response))
    assert collection["type"] == "FeatureCollection"
    (water, soil) = sorted(
        (feature["properties"] for feature in collection["features"]), key=lambda p: p["class_id"]
    )
    assert (water["class"], water["color"], water["area_px"]) == ("Water", "#0072b2", 275 * 700)
    assert (soil["class"], soil["color"], soil["area_px"]) == ("Soil", "#e69f00", 275 * 700)
    assert collection["name"] == "Fields"


def test_download_respects_the_area_of_interest(signed_in, project):
    ring = [[100, 0], [1000, 0], [1000, 50], [100, 50], [100, 0]]
    actions.set_aoi(project.owner, project.pk, "", geometry={"type": "Polygon", "coordinates": [ring]})
    collection = json.loads(content_of(signed_in.get(url_of(project))))
    assert [feature["properties"]["area_px"] for feature in collection["features"]] == [175 * 50, 175 * 50]


def test_download_of_a_project_without_classes_is_empty_and_valid(signed_in, user):
    project = scenario.make_project(user)
    collection = json.loads(content_of(signed_in.get(url_of(project))))
    assert (collection["type"], collection["features"]) == ("FeatureCollection", [])


def test_deleted_class_is_left_out(signed_in, project):
    actions.delete_class(project.owner, project.pk, "", class_number=2)
    collection = json.loads(content_of(signed_in.get(url_of(project))))
    assert {feature["properties"]["class"] for feature in collection["features"]} == {"Water"}


@pytest.mark.parametrize(("name", "file_name"), [("Flüsse / 2024", "flusse-2024"), ("地図", "project-{pk}")])
def test_file_is_named_after_the_project(project, name, file_name):
    project.name = name
    project.save()
    assert (
        exports.prepare(project.owner, project.pk).file_name == f"{file_name.format(pk=project.pk)}.geojson"
    )


def test_others_find_no_project(other_client, client, project):
    assert other_client.get(url_of(project)).status_code == 404
    assert client.get(url_of(project)).status_code == 401


def test_without_segmentation_there_is_nothing_to_download(signed_in, user):
    project = scenario.make_project(user, with_segmentation=False)
    response = signed_in.get(url_of(project))
    assert (response.status_code, "nothing to download" in response.json()["detail"]) == (409, True)


def test_segmentation_that_is_computing_would_leave_holes(signed_in, project):
    Segmentation.objects.update(state="running", progress=0.42)
    response = signed_in.get(url_of(project))
    assert response.status_code == 409
    assert "still computing (42%)" in response.json()["detail"]


def test_store_that_is_gone_is_told_before_the_download_begins(signed_in, project, monkeypatch):
    def gone(leaves):
        raise StoreError("There is no segmentation at 1.zarr.")

    monkeypatch.setattr(exports, "open_leaves", gone)
    response = signed_in.get(url_of(project))
    assert (response.status_code, response.json()["detail"]) == (409, "There is no segmentation at 1.zarr.")


# ---------------------------------------------------------------------------------------------------- streaming


class Chunks:
    """Makes chunks one by one and notes how far it came."""

    def __init__(self, n_chunks=1000, breaks_at=None):
        self.made = 0
        self.threads = set()
        self.is_closed = threading.Event()
        self.n_chunks, self.breaks_at = n_chunks, breaks_at

    def __call__(self, *args, **kwargs):
        try:
            for _ in range(self.n_chunks):
                self.threads.add(threading.current_thread().name)
                if self.made == self.breaks_at:
                    raise RuntimeError("the disk broke")
                self.made += 1
                yield "x"
        finally:
            self.is_closed.set()


@pytest.fixture
def chunks(monkeypatch):
    def use(**kwargs):
        made = Chunks(**kwargs)
        monkeypatch.setattr(exports, "_chunks", made)
        return made

    return use


@pytest.fixture
def order(project):
    return exports.prepare(project.owner, project.pk)


def test_chunks_are_made_as_they_are_read_on_one_thread(order, chunks):
    made = chunks(n_chunks=50)

    async def read():
        response = await exports.download(order)
        got = 0
        async for chunk in response.streaming_content:
            got += len(chunk)
            assert made.made <= got + 1
        return got

    assert asyncio.run(read()) == 50
    assert len(made.threads) == 1
    assert made.is_closed.wait(5)


def test_browser_that_leaves_ends_the_work(order, chunks):
    made = chunks()

    async def leave():
        response = await exports.download(order)
        async for _ in response.streaming_content:
            break
        response.close()

    for _ in range(2 * exports.MAX_AT_ONCE):  # and gives its place to others
        made.is_closed.clear()
        asyncio.run(leave())
        assert made.is_closed.wait(5)


def test_number_of_downloads_at_once_is_limited(order, chunks):
    chunks()

    async def crowd():
        responses = [await exports.download(order) for _ in range(exports.MAX_AT_ONCE)]
        with pytest.raises(LimitError, match="downloads are being made already"):
            await exports.download(order)
        responses.pop().close()
        responses.append(await exports.download(order))
        for response in responses:
            response.close()

    asyncio.run(crowd())


def test_download_that_breaks_off_is_no_whole_download(order, chunks, caplog):
    chunks(breaks_at=3)

    async def read():
        response = await exports.download(order)
        async for _ in response.streaming_content:
            pass

    with pytest.raises(RuntimeError, match="the disk broke"):
        asyncio.run(read())
    assert "an export broke off" in caplog.text


def test_failure_before_the_first_byte_frees_the_place(order, chunks):
    chunks(breaks_at=0)

    async def fail():
        with pytest.raises(RuntimeError):
            await exports.download(order)

    for _ in range(2 * exports.MAX_AT_ONCE):
        asyncio.run(fail())


def test_order_holds_what_people_see(project):
    actions.delete_class(project.owner, project.pk, "", class_number=2)
    order = exports.prepare(project.owner, project.pk)
    assert order.table.tolist() == [1, 0, 0, 0]
    assert [label.name for label in order.classes] == ["Water"]
    assert order.leaves == LeavesKey(project.segmentation_id)
