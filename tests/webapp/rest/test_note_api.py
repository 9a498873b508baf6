"""REST: named versions, and notes on the map."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.test import Client

from tests.webapp import scenario
from webapp import actions
from webapp.editing import comments, versions
from webapp.live import broadcast
from webapp.models import Comment, Project, Version

pytestmark = pytest.mark.django_db(transaction=True)
JSON = {"content_type": "application/json"}


@pytest.fixture
def project(data_dir) -> Project:
    project = scenario.make_project(scenario.make_user("ana"))
    actions.create_class(project.owner, project.pk, "", name="Water", color="#0072b2")
    return project


class Caller:
    """A member, and what they call."""

    def __init__(self, project, user):
        self.user = user
        self.base = f"/api/projects/{project.pk}/"
        self.client = Client()
        self.client.force_login(user)

    def __call__(self, method, path, body=None, status=200):
        call = getattr(self.client, method)
        response = call(self.base + path) if body is None else call(self.base + path, body, **JSON)
        assert response.status_code == status, response.content
        return response.json() if response.content else None


@pytest.fixture
def ana(project):
    return Caller(project, project.owner)


@pytest.fixture
def boris(project):
    return Caller(project, scenario.join(project, scenario.make_user("boris")))


@pytest.fixture
def vera(project):
    return Caller(project, scenario.join(project, scenario.make_user("vera"), "viewer"))


@pytest.fixture
def sol(project):
    return Caller(project, scenario.make_user("sol"))


@pytest.fixture
def hints(monkeypatch):
    told = []
    monkeypatch.setattr(broadcast, "send", lambda group, kind, **fields: told.append((group, kind, fields)))
    return told


# ---------------------------------------------------------------------------------------------------- versions


def test_version_is_a_name_for_a_number(ana, project, hints):
    saved = ana("post", "versions", {"name": " First  map ", "note": "before the flood"}, 201)
    assert (saved["name"], saved["note"], saved["number"]) == ("First map", "before the flood", 2)
    assert saved["author"]["name"] == "ana"
    assert hints == [(f"project.{project.pk}", "notes.changed", {"what": "versions"})]
    earlier = ana("post", "versions", {"name": "Empty", "number": 1}, 201)
    assert [one["id"] for one in ana("get", "versions")] == [saved["id"], earlier["id"]]
    assert ana("get", "versions")[0] == saved


def test_version_is_renamed_and_deleted_by_its_maker_or_an_owner(ana, boris):
    mine = boris("post", "versions", {"name": "Mine"}, 201)
    hers = ana("post", "versions", {"name": "Hers"}, 201)
    assert boris("patch", f"versions/{mine['id']}", {"name": "Ours", "note": "x"})["name"] == "Ours"
    for method in ("patch", "delete"):
        refused = boris(method, f"versions/{hers['id']}", {"name": "x"}, 403)
        assert refused["detail"].startswith("Somebody else saved this version")
    assert [one["can_change"] for one in boris("get", "versions")] == [False, True]
    ana("delete", f"versions/{mine['id']}", status=204)
    assert [one["name"] for one in ana("get", "versions")] == ["Hers"]
    assert "no version" in ana("delete", f"versions/{mine['id']}", status=404)["detail"]


def test_versions_can_be_seen_by_viewers_and_made_by_editors(ana, vera, sol):
    saved = ana("post", "versions", {"name": "A"}, 201)
    assert [one["can_change"] for one in vera("get", "versions")] == [False]
    vera("post", "versions", {"name": "B"}, 403)
    vera("delete", f"versions/{saved['id']}", status=403)
    sol("get", "versions", status=404)
    sol("post", "versions", {"name": "B"}, 404)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"name": "  "}, 400, "needs a name"),
        ({"name": "x" * 81}, 400, "has 81 characters; at most 80"),
        ({"name": "a\x07"}, 400, "control characters"),
        ({"name": "a", "note": "x" * 2001}, 400, "has 2001 characters; at most 2000"),
        ({"name": "a", "note": "\x00"}, 400, "control characters"),
        ({"name": "a", "number": 3}, 404, "no edit 3 in this project"),
        ({"name": "TAKEN"}, 409, "There is a version 'taken' already"),
        ({"note": "a"}, 422, "name: Field required"),
    ],
)
def test_bad_versions_are_refused(ana, body, status, sentence):
    ana("post", "versions", {"name": "taken"}, 201)
    assert sentence in ana("post", "versions", body, status)["detail"]
    assert Version.objects.count() == 1


def test_number_of_versions_is_limited(ana, monkeypatch):
    monkeypatch.setattr(versions, "MAX_VERSIONS", 1)
    ana("post", "versions", {"name": "a"}, 201)
    assert "at most 1 versions" in ana("post", "versions", {"name": "b"}, 429)["detail"]


def test_copy_of_a_project_has_its_versions_and_not_its_notes(ana, project):
    ana("post", "versions", {"name": "a", "note": "b"}, 201)
    ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    copy = Project.objects.get(pk=ana("post", "duplicate", {}, 201)["id"])
    assert list(copy.versions.values_list("name", "note", "number")) == [("a", "b", 2)]
    assert not copy.comments.exists()


# ---------------------------------------------------------------------------------------------------- notes


def test_note_is_pinned_answered_and_settled(ana, vera, project, hints):
    note = vera(
        "post", "comments", {"row": 10.5, "col": 20, "text": " Is this <b>water</b>?\r\nI think so. "}, 201
    )
    assert note["text"] == "Is this <b>water</b>?\nI think so."
    assert (note["row"], note["col"], note["parent"]) == (10.5, 20.0, None)
    answer = ana("post", "comments", {"parent": note["id"], "text": "Yes"}, 201)
    assert (answer["parent"], answer["author"]["name"]) == (note["id"], "ana")
    settled = ana("patch", f"comments/{note['id']}", {"resolved": True})
    assert settled["resolved_by"]["name"] == "ana"
    vera("post", "comments", {"parent": note["id"], "text": "But"}, 201)  # which opens it again
    listed = ana("get", "comments")
    assert [one["text"] for one in listed] == [note["text"], "Yes", "But"]
    assert listed[0]["resolved_at"] is None
    assert hints == [(f"project.{project.pk}", "notes.changed", {"what": "comments"})] * 4


def test_note_is_changed_by_its_author_alone(ana, boris):
    note = boris("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    changed = boris("patch", f"comments/{note['id']}", {"text": "b"})
    assert changed["text"] == "b"
    assert changed["edited_at"]
    refused = ana("patch", f"comments/{note['id']}", {"text": "c"}, 403)
    assert "only its author can change it" in refused["detail"]


def test_note_is_settled_by_editors_and_by_who_began_it(ana, boris, vera, project):
    other = Caller(project, scenario.join(project, scenario.make_user("vito"), "viewer"))
    note = vera("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    path = f"comments/{note['id']}"
    assert "threads that you began" in other("patch", path, {"resolved": True}, 403)["detail"]
    assert boris("patch", path, {"resolved": True})["resolved_at"]
    assert vera("patch", path, {"resolved": False})["resolved_at"] is None
    answer = ana("post", "comments", {"parent": note["id"], "text": "b"}, 201)
    assert (
        "first note of a thread"
        in ana("patch", f"comments/{answer['id']}", {"resolved": True}, 400)["detail"]
    )


def test_note_is_deleted_by_its_author_until_others_answer_or_by_an_owner(ana, boris):
    note = boris("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    boris("post", "comments", {"parent": note["id"], "text": "more"}, 201)
    assert boris("get", "comments")[0]["can_delete"]
    answer = ana("post", "comments", {"parent": note["id"], "text": "b"}, 201)
    assert not boris("get", "comments")[0]["can_delete"]
    assert "settle it instead" in boris("delete", f"comments/{note['id']}", status=409)["detail"]
    assert "Somebody else wrote" in boris("delete", f"comments/{answer['id']}", status=403)["detail"]
    ana("delete", f"comments/{note['id']}", status=204)
    assert not Comment.objects.exists()
    assert "no note" in ana("delete", f"comments/{note['id']}", status=404)["detail"]


def test_strangers_see_no_notes(ana, sol):
    note = ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    sol("get", "comments", status=404)
    sol("post", "comments", {"row": 1, "col": 1, "text": "a"}, 404)
    for method in ("patch", "delete"):
        sol(method, f"comments/{note['id']}", {"text": "x"}, 404)


def test_notes_of_another_project_are_not_found(ana, project):
    other = scenario.make_project(project.owner, with_segmentation=False)
    note = Comment.objects.create(project=other, text="a", author=project.owner)
    ana("patch", f"comments/{note.pk}", {"text": "x"}, 404)
    ana("delete", f"comments/{note.pk}", status=404)
    ana("post", "comments", {"parent": note.pk, "text": "x"}, 404)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"row": 1, "col": 1, "text": "  "}, 400, "needs some text"),
        ({"row": 1, "col": 1, "text": "x" * 4001}, 400, "has 4001 characters; at most 4000"),
        ({"row": 1, "col": 1, "text": "a\x00"}, 400, "control characters"),
        ({"row": 701, "col": 1, "text": "a"}, 400, "outside the scene of 700 rows and 1100 columns"),
        ({"row": -1, "col": 1, "text": "a"}, 400, "outside the scene"),
        ({"row": 1, "text": "a"}, 400, "Say where the note belongs"),
        ({"text": "a", "parent": 10**9}, 404, "no note"),
        ({"row": 1, "col": 1}, 422, "text: Field required"),
    ],
)
def test_bad_notes_are_refused(ana, body, status, sentence):
    assert sentence in ana("post", "comments", body, status)["detail"]
    assert not Comment.objects.exists()


def test_answers_are_not_answered(ana):
    note = ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    answer = ana("post", "comments", {"parent": note["id"], "text": "b"}, 201)
    refused = ana("post", "comments", {"parent": answer["id"], "text": "c"}, 400)
    assert "first note of a thread" in refused["detail"]


@pytest.mark.parametrize("body", [{}, {"text": "a", "resolved": True}])
def test_change_is_of_one_thing(ana, body):
    note = ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    assert "Send either `text`" in ana("patch", f"comments/{note['id']}", body, 400)["detail"]


def test_number_of_notes_is_limited_and_a_full_project_can_be_cleared(ana, monkeypatch):
    note = ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    monkeypatch.setattr(comments, "MAX_COMMENTS", 1)
    assert "at most 1 notes" in ana("post", "comments", {"row": 1, "col": 1, "text": "a"}, 429)["detail"]
    assert "at most 1 notes" in ana("post", "comments", {"parent": note["id"], "text": "a"}, 429)["detail"]
    ana("delete", f"comments/{note['id']}", status=204)


def test_account_that_is_gone_leaves_its_notes(ana, boris):
    boris("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
    boris.user.delete()
    assert ana("get", "comments")[0]["author"] is None


def test_hints_reach_the_group(ana, project):
    layer = get_channel_layer()

    async def hear():
        # One event loop from joining to hearing: Redis' subscriptions end with theirs.
        channel = await layer.new_channel()
        await layer.group_add(f"project.{project.pk}", channel)
        await sync_to_async(ana)("post", "comments", {"row": 1, "col": 1, "text": "a"}, 201)
        return await asyncio.wait_for(layer.receive(channel), 5)

    assert async_to_sync(hear)()["type"] == "notes.changed"
