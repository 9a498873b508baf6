"""REST: trained networks (docs/protocol.md, "REST")."""

from __future__ import annotations

from typing import Annotated, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, StringConstraints

from webapp.errors import ConflictError, InvalidInputError, TooLargeError
from webapp.jobs import networks
from webapp.jobs.networks import describe_network, require_network

__all__ = ["router"]

router = Router(tags=["networks"])


class NetworkName(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str


class UploadQuery(Schema):
    name: Annotated[str, StringConstraints(max_length=300)] = ""


@router.get("/networks")
def list_networks(request: HttpRequest) -> list[dict[str, Any]]:
    return [describe_network(network) for network in networks.networks_of(request.user)]


@router.post("/networks", response={201: dict})
def upload_network(request: HttpRequest, query: Query[UploadQuery]) -> Status:
    if (request.content_type or "").startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise InvalidInputError(
            "Send the file itself as the body of the request (Content-Type: application/octet-stream), not in a form."
        )
    try:
        data = request.body
    except RequestDataTooBig as error:
        raise TooLargeError(
            f"The file is larger than the {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2} MiB that a network may have; "
            "choose a file that ClusterNet has written."
        ) from error
    return Status(201, describe_network(networks.receive_network(request.user, data, query.name)))


@router.patch("/networks/{network_id}")
def rename_network(request: HttpRequest, network_id: int, payload: NetworkName) -> dict[str, Any]:
    network = require_network(request.user, network_id)
    return describe_network(networks.rename_network(network, payload.name))


@router.delete("/networks/{network_id}", response={204: None})
def delete_network(request: HttpRequest, network_id: int) -> Status:
    networks.delete_network(require_network(request.user, network_id))
    return Status(204, None)


@router.get("/networks/{network_id}/file")
def download_network(request: HttpRequest, network_id: int) -> HttpResponse:
    network = require_network(request.user, network_id)
    if not network.path.is_file():
        raise ConflictError(f"The file of the network {network.name} is gone; delete it, and learn it again.")
    response = HttpResponse(network.path.read_bytes(), content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, f"{network.name}.safetensors")
    response["Cache-Control"] = "private, no-store"
    return response
