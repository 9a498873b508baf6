"""docs/protocol.md and the code name the same routes and test ids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webapp.rest.api import api

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def described_routes() -> set[tuple[str, str]]:
    """(method, path) of the REST table; ids are written {} in both."""
    found = set()
    for methods, path in re.findall(r"^\| ([A-Z][A-Z /]+) `(/api[^`?]*)", PROTOCOL, re.MULTILINE):
        found |= {(method.strip(), re.sub(r"<\w+>", "{}", path)) for method in methods.split("/")}
    return found


def test_every_rest_route_is_described():
    routes = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, operations in api.get_openapi_schema()["paths"].items()
        for method in operations
    }
    assert routes == described_routes()


def described_test_ids() -> set[str]:
    section = PROTOCOL.partition("## Test ids")[2]
    return set(re.findall(r"`([a-z][a-z-]+)`", section))


def used_test_ids() -> dict[str, str]:
    """Every test id in templates and scripts, and where it is."""
    used = {}
    patterns = (
        r"data-testid=[\"']([a-z-]+)[\"']",
        r"[\"']?(?:data-testid|testid)[\"']?\s*[:=]\s*[\"']([a-z-]+)[\"']",
        r"iconButton\([^,]+,\s*(?:`[^`]*`|\"[^\"]*\"),\s*\"([a-z-]+)\"",
    )
    for path in [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static" / "js").rglob("*.js")]:
        text = path.read_text()
        for pattern in patterns:
            used |= {name: str(path.relative_to(ROOT)) for name in re.findall(pattern, text)}
    return used


def test_every_test_id_is_described():
    used = used_test_ids()
    assert len(used) > 30
    missing = {name: place for name, place in used.items() if name not in described_test_ids()}
    assert missing == {}


@pytest.mark.parametrize("page", ["all", "sign-in", "projects"])
def test_every_described_test_id_is_there(page):
    row = re.search(rf"^\| {page} \| (.*) \|$", PROTOCOL, re.MULTILINE)
    assert row
    described = set(re.findall(r"`([a-z][a-z-]+)`", row[1]))
    assert described <= set(used_test_ids())
