"""A scene with two segmentations, and pages that run beside the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from segmentation import segment
from segmentation.testing import synthetic_scene, write_scene
from tests.collaboration.pages import Pages, pages_in_node
from tests.js.test_js_modules import node
from tests.webapp import scenario
from webapp.models import Scene, Segmentation

pytest.register_assert_rewrite("tests.collaboration.world")  # so that it tells what differs

HEIGHT, WIDTH = 96, 640  # two blocks


class Made(NamedTuple):
    """What the tests of a module share on disk."""

    image: Path
    stores: tuple[Path, ...]
    sizes: tuple[int, ...]  # leaves of each


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    image = write_scene(folder / "scene.tif", synthetic_scene(HEIGHT, WIDTH, seed=5)[0], crs=None)
    sizes = (12, 9)
    stores = tuple(folder / f"{size}.zarr" for size in sizes)
    for store, size in zip(stores, sizes, strict=True):
        segment(image, store, mode="fast", n_leaves=size, threads=1)
    return Made(image, stores, sizes)


@pytest.fixture
def scene(made: Made, data_dir, db) -> Scene:
    """The scene of ana, with both segmentations."""
    scene = scenario.make_scene(scenario.make_user("ana"), HEIGHT, WIDTH)
    scene.cog_path.parent.mkdir(parents=True)
    shutil.copy(made.image, scene.cog_path)
    for store, size in zip(made.stores, made.sizes, strict=True):
        row = Segmentation.objects.create(
            scene=scene, state=Segmentation.State.COMPLETE, n_leaves=size, parameters={"seed": 0}
        )
        shutil.copytree(store, row.store_path)
    scenario.blocks.forget_stores()
    return scene


@pytest.fixture(scope="session")
def node_pages() -> Iterator[Pages]:
    found = node()
    if found is None:
        pytest.skip("Node is absent or too old; the test in Chromium does the same")
    with pages_in_node(found) as pages:
        yield pages
