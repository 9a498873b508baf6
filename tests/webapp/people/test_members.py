"""Who takes part in a project, and who decides it."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.webapp import scenario
from webapp.errors import ConflictError, ForbiddenError, InvalidInputError, LimitError, MissingError
from webapp.models import Invite, Membership, Project
from webapp.people import invites, members
from webapp.permissions import role_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_counts():
    cache.clear()


@pytest.fixture
def project() -> Project:
    return scenario.make_project(scenario.make_user("ana"), with_segmentation=False)


@pytest.fixture
def ana(project):
    return project.owner


@pytest.fixture
def boris():
    return scenario.make_user("boris")


def roles(project: Project) -> dict[str, str]:
    fresh = Project.objects.get(pk=project.pk)
    return {member["name"]: member["role"] for member in members.members_of(fresh)}


def test_owner_adds_by_name(project, ana, boris):
    added = members.add_by_name(ana, project.pk, " boris ", "viewer")
    assert (added["name"], added["role"]) == ("boris", "viewer")
    assert roles(project) == {"ana": "owner", "boris": "viewer"}
    assert Membership.objects.get().invited_by == ana
    with pytest.raises(ConflictError, match="boris takes part already"):
        members.add_by_name(ana, project.pk, "boris", "editor")
    with pytest.raises(ConflictError, match="ana takes part already"):
        members.add_by_name(ana, project.pk, "ana", "viewer")


def test_name_is_found_whatever_its_capitals_where_it_is_the_only_one(project, ana, boris):
    assert members.add_by_name(ana, project.pk, "BORIS", "viewer")["name"] == "boris"


def test_closed_account_is_as_good_as_none(project, ana, boris):
    boris.is_active = False
    boris.save()
    with pytest.raises(MissingError, match="Nobody here is called 'boris'") as closed:
        members.add_by_name(ana, project.pk, "boris", "viewer")
    with pytest.raises(MissingError) as unknown:
        members.add_by_name(ana, project.pk, "carla", "viewer")
    assert str(closed.value).replace("boris", "carla") == str(unknown.value)


def test_names_cannot_be_tried_out_without_end(project, ana):
    for i in range(30):
        with pytest.raises(MissingError):
            members.add_by_name(ana, project.pk, f"name{i}", "viewer")
    with pytest.raises(LimitError, match="wait an hour"):
        members.add_by_name(ana, project.pk, "name31", "viewer")


@pytest.mark.parametrize(("name", "role"), [("boris", "king"), ("", "viewer"), ("  ", "viewer")])
def test_odd_input_is_refused(project, ana, boris, name, role):
    with pytest.raises(InvalidInputError):
        members.add_by_name(ana, project.pk, name, role)


def test_names_with_control_characters_are_refused(project, ana):
    with pytest.raises(InvalidInputError, match="holds control characters"):
        members.add_by_name(ana, project.pk, "bo\0ris", "viewer")


def test_members_have_an_end(project, ana, boris, monkeypatch):
    monkeypatch.setattr(members, "MAX_MEMBERS", 1)
    members.add_by_name(ana, project.pk, "boris", "viewer")
    scenario.make_user("carla")
    with pytest.raises(LimitError, match="at most 1 members"):
        members.add_by_name(ana, project.pk, "carla", "viewer")


def test_role_changes_both_ways(project, ana, boris):
    scenario.join(project, boris, "viewer")
    members.change_role(ana, project.pk, boris.pk, "owner")
    assert roles(project) == {"ana": "owner", "boris": "owner"}
    members.change_role(boris, project.pk, boris.pk, "editor")
    assert roles(project)["boris"] == "editor"
    with pytest.raises(ForbiddenError):
        members.change_role(boris, project.pk, boris.pk, "owner")


def test_who_made_the_project_hands_it_on(project, ana, boris):
    scenario.join(project, boris, "owner")
    members.change_role(ana, project.pk, ana.pk, "viewer")
    fresh = Project.objects.get(pk=project.pk)
    assert fresh.owner == boris
    assert roles(project) == {"boris": "owner", "ana": "viewer"}
    members.change_role(boris, project.pk, ana.pk, "owner")
    members.remove(boris, project.pk, boris.pk)
    assert roles(project) == {"ana": "owner"}


@pytest.mark.parametrize("other_role", ["viewer", "editor"])
def test_last_owner_cannot_go(project, ana, boris, other_role):
    scenario.join(project, boris, other_role)
    for act in (
        lambda: members.remove(ana, project.pk, ana.pk),
        lambda: members.change_role(ana, project.pk, ana.pk, "editor"),
    ):
        with pytest.raises(ConflictError, match="ana is the only owner"):
            act()
    assert roles(project) == {"ana": "owner", "boris": other_role}


def test_owner_with_a_closed_account_does_not_count(project, ana, boris):
    scenario.join(project, boris, "owner")
    boris.is_active = False
    boris.save()
    with pytest.raises(ConflictError, match="only owner"):
        members.remove(ana, project.pk, ana.pk)
    assert roles(project) == {"ana": "owner"}
    assert [row["active"] for row in members.list_members(project)] == [True, False]
    members.remove(ana, project.pk, boris.pk)
    assert not Membership.objects.exists()


def test_co_owner_of_a_closed_account_is_the_last_one(project, ana, boris):
    scenario.join(project, boris, "owner")
    ana.is_active = False
    ana.save()
    with pytest.raises(ConflictError, match="boris is the only owner"):
        members.change_role(boris, project.pk, boris.pk, "viewer")
    members.remove(boris, project.pk, ana.pk)
    assert Project.objects.get(pk=project.pk).owner == boris


def test_anybody_may_leave_and_only_owners_remove(project, ana, boris):
    carla = scenario.make_user("carla")
    scenario.join(project, boris, "viewer")
    scenario.join(project, carla, "editor")
    with pytest.raises(ForbiddenError):
        members.remove(carla, project.pk, boris.pk)
    members.remove(boris, project.pk, boris.pk)
    members.remove(ana, project.pk, carla.pk)
    assert roles(project) == {"ana": "owner"}
    with pytest.raises(MissingError, match="no part"):
        members.remove(ana, project.pk, carla.pk)
    with pytest.raises(MissingError):
        members.change_role(ana, project.pk, carla.pk, "viewer")


def live_links(project: Project) -> list[str]:
    return sorted(Invite.objects.filter(project=project, revoked_at=None).values_list("role", flat=True))


def test_removed_members_do_not_come_back_by_a_link(project, ana, boris):
    scenario.join(project, boris, "editor")
    for role in ("editor", "viewer"):
        invites.make(ana, project.pk, role, None, None)
    members.change_role(ana, project.pk, boris.pk, "viewer")
    assert live_links(project) == ["viewer"]  # one for editors would have brought the role back
    members.remove(ana, project.pk, boris.pk)
    assert live_links(project) == []


def test_links_outlive_who_leaves_by_themselves(project, ana, boris):
    scenario.join(project, boris, "editor")
    invites.make(ana, project.pk, "editor", None, None)
    members.remove(boris, project.pk, boris.pk)
    assert live_links(project) == ["editor"]


def test_closed_account_has_no_role(project, ana, boris):
    scenario.join(project, boris, "editor")
    assert role_in(boris, project) == "editor"
    type(boris).objects.filter(pk=boris.pk).update(is_active=False)
    assert boris.is_active  # as an open socket still holds it
    assert role_in(boris, project) is None


def test_members_over_rest(project, ana, client):
    scenario.make_user("boris")
    client.force_login(ana)
    path = f"/api/projects/{project.pk}/members"
    response = client.post(path, {"user": "boris"}, content_type="application/json")
    assert response.status_code == 201
    boris = response.json()
    assert boris["role"] == "editor"
    assert (
        client.patch(f"{path}/{boris['id']}", {"role": "viewer"}, content_type="application/json").json()[
            "role"
        ]
        == "viewer"
    )
    assert [row["name"] for row in client.get(path).json()] == ["ana", "boris"]
    response = client.post(path, {"user": "nobody"}, content_type="application/json")
    assert (response.status_code, response.json()["detail"][:26]) == (404, "Nobody here is called 'nob")
    assert client.post(path, {"user": "x", "admin": True}, content_type="application/json").status_code == 422
    assert client.delete(f"{path}/{boris['id']}").status_code == 204
    assert client.delete(f"{path}/{ana.pk}").json() == {
        "detail": "ana is the only owner of this project; make somebody else an owner first."
    }
