"""The fixture's trained networks: a list that answers as docs/protocol.md says."""

from __future__ import annotations

import json
from typing import Any

_networks: dict[int, dict[str, Any]] = {}


def _network(number: int, name: str, n_bands: int, scene: str | None) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "scene": None if scene is None else 1,
        "scene_name": scene,
        "segmentation": None,
        "n_bands": n_bands,
        "bands": [] if scene is None else [{"name": f"B{i}", "role": ""} for i in range(1, n_bands + 1)],
        "training": {"steps": 1234},
        "fingerprint": "00ff",
        "size_bytes": 520_000,
        "created_at": "2025-05-05T10:00:00+00:00",
    }


def reset() -> None:
    _networks.clear()
    _networks.update({7: _network(7, "Town, 1,234 steps", 4, "Town"), 8: _network(8, "Single", 1, None)})


def listed() -> list[dict[str, Any]]:
    return list(_networks.values())


def answer(method: str, rest: list[str], query: dict[str, list[str]], body: bytes) -> tuple[int, str, bytes]:
    """Status, content type, body."""
    if method == "POST":
        if body != b"weights":
            return 400, "application/json", b'{"detail": "That is no network."}'
        made = _network(9, query["name"][0].removesuffix(".safetensors"), 4, None)
        _networks[9] = made
        return 201, "application/json", json.dumps(made).encode()
    network = _networks[int(rest[0])]
    if rest[1:] == ["file"]:
        return 200, "application/octet-stream", b"weights"
    if method == "DELETE":
        del _networks[network["id"]]
        return 204, "application/json", b""
    network["name"] = json.loads(body)["name"]
    return 200, "application/json", json.dumps(network).encode()


reset()
