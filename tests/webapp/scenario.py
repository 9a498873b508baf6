"""Projects, scenes and small segmentation stores for the tests of the live part."""

from __future__ import annotations

import gzip
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from django.contrib.auth.models import User
from rasterio.crs import CRS

from segmentation.pyramid import NODATA_LEAF, level_shape
from segmentation.rasters.windows import BLOCK
from segmentation.store_writer import StoreWriter
from webapp import actions
from webapp.live import blocks
from webapp.live.blocks import HEADER
from webapp.models import Edit, Membership, Project, Scene, Segmentation
from webapp.rest import segmentation_numbers

_names = itertools.count(1)
LOCAL = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)  # 10 m pixels in UTM zone 33 north


def make_user(name: str = "") -> User:
    return User.objects.create_user(name or f"user{next(_names)}", password="a long passphrase")


def make_scene(owner: User, height: int = 700, width: int = 1100, with_crs: bool = False) -> Scene:
    info: dict[str, Any] = {"width": width, "height": height, "n_bands": 3, "bounds": None, "crs": None}
    if with_crs:
        info |= {"bounds": [15.0, 45.0, 15.2, 45.2], "crs": "EPSG:32633"}
    return Scene.objects.create(
        owner=owner, name="field", source_name="field.tif", state=Scene.State.READY, info=info
    )


def make_segmentation(
    scene: Scene,
    n_leaves: int = 8,
    state: str = Segmentation.State.COMPLETE,
    ids: np.ndarray | None = None,
    leave_out: frozenset[tuple[int, int, int]] = frozenset(),
) -> Segmentation:
    """A segmentation with its store; ``leave_out`` names blocks that are not computed yet."""
    row = Segmentation.objects.create(scene=scene, state=state, n_leaves=n_leaves, parameters={"seed": 0})
    if ids is None:
        ids = stripes(scene.info["height"], scene.info["width"], n_leaves)
    write_store(row.store_path, ids, n_leaves, leave_out, crs="EPSG:32633" if scene.info["crs"] else None)
    blocks.forget_stores()
    segmentation_numbers.forget_numbers()
    return row


def make_project(owner: User | None = None, with_segmentation: bool = True, **kwargs: Any) -> Project:
    from webapp.editing.adoption import adopt_first

    owner = owner or make_user()
    scene = make_scene(owner, with_crs=kwargs.pop("with_crs", False))
    project = Project.objects.create(owner=owner, scene=scene, name="Fields")
    if with_segmentation:
        adopt_first(project.pk, make_segmentation(scene, **kwargs))
    # Whole, so that a test on the event loop can look at its owner and scene.
    return Project.objects.select_related("owner", "scene", "segmentation").get(pk=project.pk)


def make_labeled_project(owner: User) -> Project:
    """With the classes Water and Soil (edits 2 and 3), which nothing has yet."""
    project = make_project(owner)
    for name in ("Water", "Soil"):
        actions.create_class(owner, project.pk, "", name=name, color="#000000")
    return project


def newest(project: Project) -> Edit:
    return Edit.objects.filter(project=project).order_by("-number")[0]


def stripes(height: int, width: int, n_leaves: int) -> np.ndarray:
    """Leaf ids in vertical stripes of equal width."""
    return np.broadcast_to((np.arange(width) * n_leaves // width).astype(np.uint16), (height, width))


def write_store(
    path: Path,
    ids: np.ndarray,
    n_leaves: int,
    leave_out: frozenset[tuple[int, int, int]] = frozenset(),
    crs: str | None = None,
) -> StoreWriter:
    """A store with given leaf ids and a merge tree that joins the leaves one after the other."""
    height, width = ids.shape
    n_levels = 1
    while max(level_shape(height, width, n_levels - 1)) > BLOCK:
        n_levels += 1
    n_nodes = 2 * n_leaves - 1
    merges = np.arange(n_leaves - 1)
    parent = np.concatenate(([n_leaves], n_leaves + merges, n_leaves + merges[1:], [n_nodes - 1]))
    low = np.concatenate((np.arange(n_leaves), np.zeros(n_leaves - 1, int)))
    high = np.concatenate((np.arange(n_leaves) + 1, merges + 2))
    writer = StoreWriter(path, height, width, 3, n_levels)
    writer.create(
        {
            "height": height,
            "width": width,
            "n_levels": n_levels,
            "n_leaves": n_leaves,
            "device": "cpu",
            "image": "field.tif",
            "parameters": {"seed": 0},
            "crs": None if crs is None else CRS.from_string(crs).to_wkt(),
            "transform": list(Affine(*LOCAL) if crs else Affine.identity())[:6],
        },
        {
            # Leaves far apart in number are far apart in their features too.
            "codebook/means": np.repeat(np.linspace(-2, 2, n_leaves, dtype=np.float32)[:, None], 4, axis=1),
            "codebook/certainty": np.ones(n_leaves, np.float32),
            "tree/parent": parent.astype(np.uint32),
            "tree/low": low.astype(np.uint32),
            "tree/high": high.astype(np.uint32),
            "tree/height": np.zeros(n_nodes, np.float32),
            "tree/rgb": np.full((n_nodes, 3), 128, np.uint8),
        },
    )
    for row, col in block_grid(ids):
        if (0, row, col) not in leave_out:
            write_block(writer, ids, row, col)
    for level in range(1, n_levels):
        rows, cols = (-(-size // BLOCK) for size in level_shape(height, width, level))
        for row, col in itertools.product(range(rows), range(cols)):
            if (level, row, col) not in leave_out and not leave_out & _below(level, row, col):
                writer.write_overview(level, row, col)
    if leave_out:
        writer.save_sums()
    else:
        writer.finish()
    return writer


def block_grid(ids: np.ndarray) -> list[tuple[int, int]]:
    rows, cols = (-(-size // BLOCK) for size in ids.shape)
    return list(itertools.product(range(rows), range(cols)))


def write_block(writer: StoreWriter, ids: np.ndarray, row: int, col: int) -> None:
    part = np.asarray(ids[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK])
    writer.write(0, row, col, part)
    leaves, pixels = np.unique(part[part != NODATA_LEAF], return_counts=True)
    sums = np.stack((pixels, 100.0 * pixels, 1.0 * pixels, 2.0 * pixels, 3.0 * pixels), axis=1)
    writer.add_sums(leaves.astype(np.int64), sums)


def _below(level: int, row: int, col: int) -> set[tuple[int, int, int]]:
    found = set()
    for lower in range(level):
        span = 1 << (level - lower)
        found |= {
            (lower, r, c)
            for r in range(row * span, (row + 1) * span)
            for c in range(col * span, (col + 1) * span)
        }
    return found


def parse_frame(frame: bytes) -> dict[str, Any]:
    """A binary frame read by the table of docs/protocol.md, not by the code that made it."""
    magic, kind, level, n = struct.unpack_from("<4sBBH", frame, 0)
    segmentation, version, row, col = struct.unpack_from("<IIII", frame, 8)
    used_height, used_width, top, left, height, width = struct.unpack_from("<HHHHHH", frame, 24)
    (size,) = struct.unpack_from("<I", frame, 36)
    mesh = np.frombuffer(frame, "<f8", n * n * 2, 40).reshape(n, n, 2)
    payload = frame[40 + n * n * 16 :]
    assert len(payload) == size
    assert HEADER.size == 40
    return {
        "magic": magic,
        "format": kind,
        "level": level,
        "segmentation": segmentation,
        "version": version,
        "block": (row, col),
        "used": (used_height, used_width),
        "at": (top, left),
        "ids": np.frombuffer(gzip.decompress(payload), "<u2").reshape(height, width),
        "mesh": mesh,
    }


def parse_table(frame: bytes) -> dict[str, Any]:
    """A decoder's table read by the table of docs/protocol.md, not by the code that made it."""
    magic, kind, segmentation, version, number, n_leaves, elapsed_ms, size = struct.unpack_from(
        "<4sBxxxIIIIII", frame
    )
    assert (magic, kind, frame[5:8]) == (b"CNDT", 1, bytes(3))
    assert len(frame) == 32 + size
    values = np.frombuffer(gzip.decompress(frame[32:]), np.uint8)
    assert len(values) == 2 * n_leaves
    return {
        "segmentation": segmentation,
        "version": version,
        "number": number,
        "elapsed_ms": elapsed_ms,
        "classes": values[:n_leaves],
        "certainty": values[n_leaves:],
    }


def read_event(text: str) -> dict[str, Any]:
    event = json.loads(text)
    assert isinstance(event, dict)
    return event


def join(project: Project, user: User, role: str = "editor") -> User:
    """Make somebody a member."""
    Membership.objects.create(project=project, user=user, role=role)
    return user
