"""REST: members of a project, and links that invite into it (docs/protocol.md, "Members")."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.urls import reverse
from ninja import Router, Schema, Status
from pydantic import ConfigDict, StringConstraints

from webapp.models import Role
from webapp.people import invites, members
from webapp.permissions import require_project

__all__ = ["router"]

router = Router(tags=["members"])

RoleName = Annotated[str, StringConstraints(max_length=20)]


class NewMember(Schema):
    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, StringConstraints(max_length=150)]
    role: RoleName = Role.EDITOR.value


class NewRole(Schema):
    model_config = ConfigDict(extra="forbid")

    role: RoleName


class NewInvite(Schema):
    model_config = ConfigDict(extra="forbid")

    role: RoleName = Role.EDITOR.value
    expires_in: float | None = 7 * 24
    max_uses: int | None = None


@router.get("/projects/{project_id}/members")
def list_members(request: HttpRequest, project_id: int) -> list[dict[str, Any]]:
    return members.list_members(require_project(request.user, project_id))


@router.post("/projects/{project_id}/members", response={201: dict})
def add_member(request: HttpRequest, project_id: int, payload: NewMember) -> Status:
    return Status(201, dict(members.add_by_name(request.user, project_id, payload.user, payload.role)))


@router.patch("/projects/{project_id}/members/{user_id}")
def change_role(request: HttpRequest, project_id: int, user_id: int, payload: NewRole) -> dict[str, Any]:
    return dict(members.change_role(request.user, project_id, user_id, payload.role))


@router.delete("/projects/{project_id}/members/{user_id}", response={204: None})
def remove_member(request: HttpRequest, project_id: int, user_id: int) -> Status:
    members.remove(request.user, project_id, user_id)
    return Status(204, None)


@router.get("/projects/{project_id}/invites")
def list_invites(request: HttpRequest, project_id: int) -> list[dict[str, Any]]:
    return invites.invites_of(request.user, project_id)


@router.post("/projects/{project_id}/invites", response={201: dict})
def make_invite(request: HttpRequest, project_id: int, payload: NewInvite) -> Status:
    made, token = invites.make(request.user, project_id, payload.role, payload.expires_in, payload.max_uses)
    url = request.build_absolute_uri(reverse("join", args=[token]))
    return Status(201, {**invites.describe_invite(made), "url": url})


@router.delete("/projects/{project_id}/invites/{invite_id}", response={204: None})
def revoke_invite(request: HttpRequest, project_id: int, invite_id: int) -> Status:
    invites.revoke(request.user, project_id, invite_id)
    return Status(204, None)
