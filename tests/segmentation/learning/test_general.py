"""The networks that come along: small, told how they were made, and indifferent to the order of bands."""

import numpy as np
import pytest
import torch

from segmentation import segment
from segmentation.errors import NetworkError
from segmentation.learning import general
from segmentation.learning.encoder import Encoder
from segmentation.learning.network import Network, load_network
from segmentation.testing import synthetic_scene, write_scene

SHIPPED = sorted(general.FOLDER.glob("*.safetensors"))


def test_channels_in_another_order_give_the_same_planes():
    torch.manual_seed(0)
    encoder = Encoder(4).eval()
    image = torch.rand(1, 5, 16, 16)
    order = [2, 1, 0, 3]
    turned = image[:, [*order, 4]]
    for found, wanted in zip(encoder.reordered(order).levels(turned), encoder.levels(image), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_is_small_and_says_how_it_was_made(path):
    assert path.stat().st_size <= 2_000_000
    network = load_network(path)
    assert network.n_bands == network.encoder.n_channels == len(general._KINDS[path.stem])
    assert network.training["steps"] > 0
    assert path.name in (path.parent / "README.md").read_text()


def test_bands_that_no_network_knows():
    for roles in (["", "", ""], ["red"], ["red", "green", "blue", "nir", ""], ["red", "red", "blue"]):
        assert general.general_network(roles) is None


def test_a_scene_starts_from_the_network_for_its_bands(tmp_path, monkeypatch):
    torch.manual_seed(1)
    Network(Encoder(3).eval(), 3, None, {"steps": 1}).save(tmp_path / "networks" / "rgb.safetensors")
    monkeypatch.setattr(general, "FOLDER", tmp_path / "networks")
    pixels, _ = synthetic_scene(120, 130, 3, seed=3)
    image = write_scene(tmp_path / "rgb.tif", pixels)
    served = segment(image, tmp_path / "s", train_seconds=0)
    assert served.learned["steps"] == 0
    turned = segment(image, tmp_path / "t", train_seconds=0, bands=[3, 1, 2])
    sizes = [np.sort(np.bincount(np.asarray(one.leaves[:]).ravel())) for one in (served, turned)]
    assert served.n_leaves == pytest.approx(turned.n_leaves, rel=0.1)
    assert sizes[0].sum() == sizes[1].sum()
    trained = segment(image, tmp_path / "u", train_steps=3)
    assert trained.learned["from_scratch"] is False
    assert segment(image, tmp_path / "v", mode="fast").learned is None
    assert segment(image, tmp_path / "w", train_steps=3, bands=[1, 2]).learned["from_scratch"] is True


def test_a_network_that_is_missing_from_the_installation_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(general, "FOLDER", tmp_path)
    with pytest.raises(NetworkError, match=r"rgb\.safetensors"):
        general.general_network(["red", "green", "blue"])
