"""One network from many images."""

import numpy as np
import pytest

from segmentation.errors import CancelledError, EmptySceneError, FeatureMismatchError, InvalidArgumentError
from segmentation.learning.images import train_network
from segmentation.learning.network import load_network
from segmentation.learning.recipe import Recipe
from segmentation.testing import synthetic_scene, write_scene

SMALL = Recipe(clusters=(4, 12), rounds=2, crop_px=64, crops=2, widths=(8, 12, 16), n_features=8)


def images(folder, n_bands=(3, 3), **options):
    folder.mkdir(exist_ok=True)
    return [
        write_scene(folder / f"scene{i}.tif", synthetic_scene(90, 130, n, seed=i)[0], **options)
        for i, n in enumerate(n_bands)
    ]


def test_it_is_written_and_told_how(tmp_path):
    found = train_network(images(tmp_path / "in"), tmp_path / "n.safetensors", steps=4, recipe=SMALL, seed=2)
    again = load_network(tmp_path / "n.safetensors")
    assert again.fingerprint == found.fingerprint
    assert again.n_bands == 3
    assert again.scaling is None
    assert again.training["images"] == ["scene0.tif", "scene1.tif"]
    assert (again.training["steps"], again.training["seed"]) == (4, 2)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["n.safetensors"]


def test_an_interrupted_training_is_resumed_on_demand(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentation.learning.training._CHECKPOINT_S", 0.0)
    paths, events = images(tmp_path / "in"), []
    whole = train_network(paths, tmp_path / "whole.safetensors", steps=6, recipe=SMALL)
    with pytest.raises(CancelledError):
        train_network(
            paths, tmp_path / "n.safetensors", steps=6, recipe=SMALL, progress=events.append,
            cancelled=lambda: len(events) == 3,
        )  # fmt: skip
    assert not (tmp_path / "n.safetensors").exists()
    events.clear()
    found = train_network(
        paths, tmp_path / "n.safetensors", steps=6, recipe=SMALL, resume=True, progress=events.append
    )
    assert [event.step for event in events] == [4, 5, 6]
    assert found.fingerprint == whole.fingerprint


def test_without_resume_it_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("segmentation.learning.training._CHECKPOINT_S", 0.0)
    paths, events = images(tmp_path / "in"), []
    with pytest.raises(CancelledError):
        train_network(
            paths, tmp_path / "n.safetensors", steps=6, recipe=SMALL, progress=events.append,
            cancelled=lambda: len(events) == 3,
        )  # fmt: skip
    events.clear()
    train_network(paths, tmp_path / "n.safetensors", steps=6, recipe=SMALL, progress=events.append)
    assert [event.step for event in events] == [1, 2, 3, 4, 5, 6]


def test_patches_of_one_image_are_scaled_together(tmp_path):
    """Cut in two, an image must look to the network as it does as a whole: its dark half stays dark."""
    pixels, _ = synthetic_scene(96, 256, 3, seed=4)
    pixels[:, :, 128:] //= 4
    halves = []
    for name in ("a_r000000_c000000.tif", "a_r000000_c000128.tif"):
        start = int(name[-7:-4])
        halves.append(write_scene(tmp_path / name, pixels[:, :, start : start + 128]))
    together = train_network(halves, tmp_path / "n", steps=2, recipe=SMALL).fingerprint
    alone = [path.rename(path.with_name(f"{i}.tif")) for i, path in enumerate(halves)]
    assert train_network(alone, tmp_path / "m", steps=2, recipe=SMALL).fingerprint != together


def test_many_bands_share_their_components(tmp_path):
    found = train_network(images(tmp_path / "in", (12, 12)), tmp_path / "n", steps=2, recipe=SMALL)
    assert found.scaling.components.shape == (8, 12)


def test_bands_can_be_chosen(tmp_path):
    paths = images(tmp_path / "in", (4, 3))
    with pytest.raises(FeatureMismatchError, match="3, 4 bands"):
        train_network(paths, tmp_path / "n", steps=2, recipe=SMALL)
    assert train_network(paths, tmp_path / "n", steps=2, recipe=SMALL, bands=[3, 2]).n_bands == 2
    with pytest.raises(InvalidArgumentError, match=r"scene1.tif has bands 1 to 3"):
        train_network(paths, tmp_path / "m", steps=2, recipe=SMALL, bands=[4])


def test_nothing_to_learn_from(tmp_path):
    with pytest.raises(InvalidArgumentError, match="no image"):
        train_network([], tmp_path / "n")
    empty = write_scene(tmp_path / "e.tif", np.zeros((3, 60, 60), np.uint8), nodata=0)
    with pytest.raises(EmptySceneError, match="holds data"):
        train_network([empty], tmp_path / "n", recipe=SMALL)
    assert not (tmp_path / "n").exists()
    # Beside an image with data, one without is passed over.
    train_network([empty, *images(tmp_path / "in")], tmp_path / "n", steps=2, recipe=SMALL)
    assert (tmp_path / "n").exists()
