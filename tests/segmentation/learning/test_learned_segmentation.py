"""Segmentations with learned features: as whole, as repeatable and as resumable as without."""

import numpy as np
import pytest

from segmentation import NODATA_LEAF, Click, open_segmentation, segment
from segmentation.errors import CancelledError, FeatureMismatchError, InvalidArgumentError, NetworkError
from segmentation.features.filters import FilterBank
from segmentation.learning.network import load_network
from segmentation.testing import synthetic_scene, write_scene

STEPS = {"train_steps": 6, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pixels, _ = synthetic_scene(300, 620, 4, seed=1)
    pixels[:, :40, :60] = 0
    return write_scene(tmp_path_factory.mktemp("image") / "scene.tif", pixels, nodata=0)


@pytest.fixture(scope="module")
def learned(image, tmp_path_factory):
    events = []
    store = tmp_path_factory.mktemp("store") / "s"
    return segment(image, store, progress=events.append, **STEPS), events


def test_the_embedding_joins_the_filter_bank(learned):
    segmentation, events = learned
    network = load_network(segmentation.path / "network.safetensors")
    assert segmentation.means.shape[1] == FilterBank(4).n_features + network.encoder.n_features
    assert segmentation.learned["steps"] == 6
    assert network.training["steps"] == 6
    stages = [event.stage for event in events]
    assert (
        stages.index("reading") < stages.index("learning") < stages.index("codebook") < stages.index("leaves")
    )
    told = [event.training for event in events if event.stage == "learning"]
    assert [one.step for one in told] == [1, 2, 3, 4, 5, 6]
    assert all(event.training is None for event in events if event.stage != "learning")
    assert not (segmentation.path / "training.safetensors").exists()


def test_nodata_stays_nodata_and_clicks_are_answered(learned):
    segmentation, _ = learned
    leaves = np.asarray(segmentation.leaves[:])
    assert (leaves[:30, :50] == NODATA_LEAF).all()
    assert (leaves[60:] != NODATA_LEAF).all()
    found = segmentation.classify([Click(100, 100, 0), Click(250, 500, 1)])
    assert set(found.classes) == {0, 1}


def test_the_same_steps_give_the_same_leaves(image, learned, tmp_path):
    again = segment(image, tmp_path / "s", **STEPS)
    np.testing.assert_array_equal(again.leaves[:], learned[0].leaves[:])


def test_an_interrupted_training_goes_on(image, learned, tmp_path, monkeypatch):
    monkeypatch.setattr("segmentation.learning.training._CHECKPOINT_S", 0.0)
    seen = []
    with pytest.raises(CancelledError):
        segment(
            image, tmp_path / "s", progress=seen.append,
            cancelled=lambda: bool(seen) and seen[-1].stage == "learning" and seen[-1].done == 4, **STEPS,
        )  # fmt: skip
    assert (tmp_path / "s" / "training.safetensors").exists()
    events = []
    resumed = segment(image, tmp_path / "s", progress=events.append, **STEPS)
    assert [event.done for event in events if event.stage == "learning"] == [5, 6]
    np.testing.assert_array_equal(resumed.leaves[:], learned[0].leaves[:])


def test_interrupted_blocks_are_continued_with_the_same_network(image, learned, tmp_path):
    seen = []
    with pytest.raises(CancelledError):
        segment(
            image, tmp_path / "s", progress=seen.append,
            cancelled=lambda: bool(seen) and seen[-1].block is not None, **STEPS,
        )  # fmt: skip
    events = []
    resumed = segment(image, tmp_path / "s", progress=events.append, **STEPS)
    assert not [event for event in events if event.stage in ("learning", "codebook")]
    np.testing.assert_array_equal(resumed.leaves[:], learned[0].leaves[:])


def test_a_checkpoint_of_other_parameters_or_of_another_program_is_not_used(image, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "training.safetensors").write_bytes(b"something else")
    events = []
    segment(image, tmp_path / "s", progress=events.append, **STEPS)
    assert next(event.done for event in events if event.stage == "learning") == 1


def test_a_network_serves_another_scene_without_training(learned, tmp_path):
    pixels, _ = synthetic_scene(200, 260, 4, seed=9)
    other = write_scene(tmp_path / "other.tif", pixels)
    network = learned[0].path / "network.safetensors"
    events = []
    found = segment(other, tmp_path / "s", network=network, progress=events.append)
    assert "learning" not in [event.stage for event in events]
    assert found.learned == {"network": load_network(network).fingerprint, "steps": 0}
    fast = segment(other, tmp_path / "fast", network=network, mode="fast")
    np.testing.assert_array_equal(found.leaves[:], fast.leaves[:])
    tuned = segment(other, tmp_path / "tuned", network=network, **STEPS)
    assert tuned.learned["from_scratch"] is False
    assert (
        load_network(tmp_path / "tuned" / "network.safetensors").fingerprint
        != load_network(network).fingerprint
    )


def test_many_bands_learn_from_principal_components(tmp_path):
    pixels, _ = synthetic_scene(120, 130, 12, seed=2)
    found = segment(write_scene(tmp_path / "i.tif", pixels), tmp_path / "s", **STEPS)
    network = load_network(tmp_path / "s" / "network.safetensors")
    assert network.n_bands == 12
    assert network.scaling.components.shape == (8, 12)
    assert found.means.shape[1] == FilterBank(8).n_features + network.encoder.n_features
    again = segment(tmp_path / "i.tif", tmp_path / "again", network=tmp_path / "s" / "network.safetensors")
    assert again.n_leaves > 1


def test_an_area_of_interest_is_all_that_is_learned_from(image, tmp_path):
    area = {"type": "Polygon", "coordinates": [[[10, 100], [600, 100], [600, 280], [10, 280], [10, 100]]]}
    pixels, _ = synthetic_scene(300, 620, 3, seed=1)
    scene = write_scene(tmp_path / "plain.tif", pixels, crs=None)
    first = segment(scene, tmp_path / "a", aoi=area, **STEPS)
    pixels[:, 282:] = pixels[:, 282:].max() - pixels[:, 282:]  # another world outside
    changed = write_scene(tmp_path / "changed.tif", pixels, crs=None)
    second = segment(changed, tmp_path / "b", aoi=area, **STEPS)
    assert (np.asarray(first.leaves[:]) == NODATA_LEAF).any()
    assert first.learned["superpixels"] == second.learned["superpixels"]


def test_fast_mode_never_trains(image, tmp_path):
    events = []
    found = segment(image, tmp_path / "s", mode="fast", progress=events.append)
    assert "learning" not in [event.stage for event in events]
    assert found.learned is None
    assert open_segmentation(tmp_path / "s").means.shape[1] == FilterBank(4).n_features


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_steps": -1}, "-1 training steps"),
        ({"train_seconds": -5}, "-5 seconds"),
        ({"train_seconds": float("nan")}, "nan seconds"),
        ({"mode": "fast", "train_seconds": 3}, "fast"),
        ({"mode": "fast", "train_steps": 3}, "fast"),
    ],
)
def test_budgets_out_of_range(image, tmp_path, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        segment(image, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_networks_that_do_not_fit(image, learned, tmp_path):
    with pytest.raises(NetworkError, match="cannot be read"):
        segment(image, tmp_path / "s", network=tmp_path / "missing")
    with pytest.raises(FeatureMismatchError, match=r"4 bands.*has 2"):
        segment(image, tmp_path / "s", network=learned[0].path / "network.safetensors", bands=[1, 2])
    assert not (tmp_path / "s").exists()
