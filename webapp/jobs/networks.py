"""Trained networks: kept from segmentations that learned one, uploaded, renamed, deleted."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from segmentation.errors import NetworkError
from segmentation.learning.network import Network as TrainedNetwork
from segmentation.learning.network import load_network
from webapp import quotas, storage
from webapp.errors import ConflictError, InvalidInputError, MissingError, TooLargeError
from webapp.jobs.jobrows import ACTIVE
from webapp.models import Network, Segmentation
from webapp.permissions import Visitor
from webapp.rest.uploads import clean_name

__all__ = [
    "MAX_BYTES",
    "delete_network",
    "describe_network",
    "networks_of",
    "receive_network",
    "rename_network",
    "require_fitting",
    "require_network",
]

MAX_BYTES = 8 * 1024**2  # ours are below one MiB
MAX_TRAINING_CHARACTERS = 20_000  # of an uploaded file's words on how it came about


def networks_of(user: Visitor) -> list[Network]:
    if not user.is_authenticated:
        return []
    return list(Network.objects.filter(owner_id=user.pk).select_related("scene"))


def require_network(user: Visitor, network_id: int) -> Network:
    """The network, or MissingError where there is none that ``user`` may know of."""
    network = next((one for one in networks_of(user) if one.pk == network_id), None)
    if network is None:
        raise MissingError(f"There is no network {network_id} among yours (any more); choose another one.")
    return network


def require_fitting(user: Visitor, network_id: int, n_bands: int) -> Network:
    """The network, where it can be applied to ``n_bands`` bands."""
    network = require_network(user, network_id)
    if network.n_bands != n_bands:
        raise InvalidInputError(
            f"The network {network.name} was trained on {_bands(network.n_bands)}, and {n_bands} would be used here; "
            "choose as many bands, in the same order, or another network."
        )
    if not network.path.is_file():
        raise ConflictError(f"The file of the network {network.name} is gone; delete it, and learn it again.")
    return network


def describe_network(network: Network) -> dict[str, Any]:
    """The "Network description" of the protocol."""
    return {
        "id": network.pk,
        "name": network.name,
        "scene": network.scene_id,
        "scene_name": network.scene.name if network.scene else None,
        "segmentation": network.segmentation_id,
        "n_bands": network.n_bands,
        "bands": network.bands,
        "training": network.training,
        "fingerprint": network.fingerprint,
        "size_bytes": network.size_bytes,
        "created_at": network.created_at.isoformat(),
    }


def rename_network(network: Network, name: str) -> Network:
    network.name = clean_name(name)
    network.save(update_fields=["name"])
    return network


def delete_network(network: Network) -> None:
    """Delete a network with its file; segmentations that were made with it keep their own copy."""
    with transaction.atomic():
        if Segmentation.objects.filter(state__in=ACTIVE, parameters__network=network.pk).exists():
            raise ConflictError(
                f"A segmentation that is running or waiting uses the network {network.name}; cancel it, or wait for it."
            )
        path = network.path
        network.delete()
        transaction.on_commit(lambda: storage.free(path))


def receive_network(user: User, data: bytes, name: str) -> Network:
    """Keep an uploaded file, once it was read as what it is said to be: numbers, never code."""
    name = clean_name(Path(name or "network").name.removesuffix(".safetensors") or "network")
    if not data:
        raise InvalidInputError(f"{name} is empty; choose the file again.")
    if len(data) > MAX_BYTES:
        raise TooLargeError(
            f"{name} has {quotas.format_bytes(len(data))}, and a network {quotas.format_bytes(MAX_BYTES)} at most; "
            "choose a file that ClusterNet has written."
        )
    quotas.check_room(user, len(data))
    draft = storage.uploads_folder() / f"{uuid.uuid4().hex}.safetensors"
    try:
        draft.write_bytes(data)
        trained = _read(draft, name)
        with transaction.atomic():
            network = Network.objects.create(
                owner=user,
                name=name,
                n_bands=trained.n_bands,
                training=trained.training,
                fingerprint=trained.fingerprint,
                size_bytes=len(data),
            )
            network.path.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(network.path)
    finally:
        draft.unlink(missing_ok=True)
    return network


def _read(path: Path, name: str) -> TrainedNetwork:
    try:
        trained = load_network(path)
    except NetworkError as error:
        raise InvalidInputError(str(error).replace(str(path), name)) from error
    if not isinstance(trained.training, dict) or len(json.dumps(trained.training)) > MAX_TRAINING_CHARACTERS:
        raise InvalidInputError(
            f"What {name} says of its training is not as ClusterNet writes it; choose a file that ClusterNet has written."
        )
    return trained


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"
