"""Networks as files: all of it comes back, and what is none is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segmentation.errors import FeatureMismatchError, NetworkError, StorageFullError
from segmentation.features.normalize import BandScaling
from segmentation.learning.encoder import Encoder
from segmentation.learning.network import Network, load_network, read_tensors, write_tensors


def network(scaling=None):
    torch.manual_seed(3)
    return Network(Encoder(3, (8, 12, 16), 8).eval(), 3, scaling, {"steps": 7, "seed": 0})


def test_what_is_saved_comes_back(tmp_path):
    scaling = BandScaling(np.float32([1, 2, 5]), np.float32([3, 4, 1]), np.eye(3, dtype=np.float32))
    for given in (network(), network(scaling)):
        given.save(tmp_path / "deep" / "n.safetensors")
        found = load_network(tmp_path / "deep" / "n.safetensors")
        assert found.fingerprint == given.fingerprint
        assert (found.n_bands, found.training) == (3, {"steps": 7, "seed": 0})
        assert not found.encoder.training
        if given.scaling is None:
            assert found.scaling is None
        else:
            np.testing.assert_array_equal(found.scaling.components, scaling.components)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["n.safetensors"]


def test_other_weights_have_another_fingerprint():
    other = network()
    with torch.no_grad():
        next(other.encoder.parameters())[0] += 1
    assert other.fingerprint != network().fingerprint


def test_a_missing_a_damaged_and_a_foreign_file(tmp_path):
    path = tmp_path / "n.safetensors"
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(path)
    path.write_bytes(b"no network at all")
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(path)
    network().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "9"}, "format 9"),
        ({"architecture": {"n_channels": 3, "widths": [8, 12], "n_features": 8}}, "damaged"),
        ({"architecture": {"n_channels": 3, "widths": [8, 12, 9999], "n_features": 8}}, "damaged"),
        ({"architecture": {"n_channels": 4, "widths": [8, 12, 16], "n_features": 8}}, "damaged"),
        ({"n_bands": None}, "damaged"),
        ({"n_bands": 4}, "3 channels of 4 bands"),
        ({"normalization": {"center": [1, 2], "scale": [1, 1], "components": None}}, "channels of 3 bands"),
        ({"normalization": {"center": [1, 2, 3], "scale": [1, 1], "components": None}}, "scaling of shapes"),
        ({"normalization": {"center": [1, 2, 3], "scale": [1, 1, 0], "components": None}}, "not positive"),
        (
            {"normalization": {"center": [1, 2, 3], "scale": [1, 1, 1], "components": [[1], [2], [3]]}},
            "components of shape",
        ),
    ],
)
def test_a_description_that_does_not_fit(tmp_path, change, message):
    path = tmp_path / "n.safetensors"
    network().save(path)
    tensors, description = read_tensors(path)
    write_tensors(path, tensors, description | change)
    with pytest.raises(NetworkError, match=message):
        load_network(path)


def test_weights_that_are_no_numbers(tmp_path):
    broken = network()
    with torch.no_grad():
        next(broken.encoder.parameters())[0] = torch.nan
    broken.save(tmp_path / "n.safetensors")
    with pytest.raises(NetworkError, match="weights that are no numbers"):
        load_network(tmp_path / "n.safetensors")


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    network().save(tmp_path / "n.safetensors")
    monkeypatch.setattr("segmentation.learning.network._MAX_BYTES", 100)
    with pytest.raises(NetworkError, match="too large"):
        load_network(tmp_path / "n.safetensors")


def test_bands_must_fit():
    network().check_bands(3)
    with pytest.raises(FeatureMismatchError, match=r"3 bands.*has 4"):
        network().check_bands(4)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFullError, match="cannot be written"):
        network().save(tmp_path / "file" / "n.safetensors")
