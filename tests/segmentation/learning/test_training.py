"""Training: it learns, it repeats, it goes on where it stopped, and nodata has no say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segmentation.errors import CancelledError, EmptySceneError, FeatureMismatchError, InvalidArgumentError
from segmentation.learning.encoder import Encoder
from segmentation.learning.recipe import Recipe
from segmentation.learning.targets import find_targets, whiten
from segmentation.learning.training import Training
from tests.segmentation.learning.scenery import window_of

SMALL = Recipe(clusters=(4, 12), rounds=2, crop_px=64, crops=4, widths=(8, 12, 16), n_features=8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """The same number of threads is part of "same steps, same result"."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def training(windows=None, **options):
    return Training(windows or [window_of()], SMALL, **{"half": False, **options})


def weights(encoder):
    return torch.cat([value.reshape(-1).double() for value in encoder.state_dict().values()])


def test_it_learns_to_tell_fields_apart_in_any_light():
    one = training()
    window = window_of()
    events = []
    encoder = one.run(60, events.append)
    assert [event.step for event in events] == list(range(1, 61))
    assert events[-1].loss < 0.75 * events[0].loss
    assert {event.round for event in events} == {0, 1}
    assert all(0 < event.balance <= 1 and event.left_s >= 0 for event in events)
    # The same field in another light lies nearer than another field in the same light.
    darker = replace(window, image=np.concatenate([window.image[:3] * 0.8 - 0.1, window.image[3:]]))
    plain, dark = (
        encoder.embed(
            torch.from_numpy(one_.image)[None], one_.labels.astype(np.int64), len(one_.pixels), False
        )
        for one_ in (window, darker)
    )
    assert (plain * dark).sum(1).mean() > (plain @ plain.T).mean() + 0.1


def test_the_same_seed_and_steps_give_the_same_network():
    first, second = training().run(6), training().run(6)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(training(seed=1).run(6)))


@pytest.mark.parametrize("stop", [2, 5, 7])
def test_an_interrupted_training_ends_where_the_whole_one_ends(stop):
    whole = training().run(10)
    first = training()
    with pytest.raises(CancelledError):
        first.run(10, cancelled=lambda: first.done == stop)
    state = first.state()
    later = training()
    later.restore(state)
    assert later.done == stop
    torch.testing.assert_close(weights(later.run(10)), weights(whole), rtol=0, atol=0)


def test_a_state_of_other_images_is_refused():
    first = training()
    first.run(2)
    other = training([window_of(64, 64)])
    with pytest.raises(FeatureMismatchError, match="start it anew"):
        other.restore(first.state())
    with pytest.raises(FeatureMismatchError, match="start it anew"):
        other.restore({})


def test_what_lies_under_nodata_has_no_say():
    hole = (slice(20, 60), slice(30, 90))
    clean = window_of(nodata=hole)
    # Training windows hold zeros there; jitter must leave them zero.
    batch = training([clean]).source.batch(
        np.array([1.0] * len(clean.pixels)), np.random.default_rng(0), "cpu"
    )
    channels, held = batch.image[:, :3], batch.image[:, 3:]
    assert (held == 0).any()
    assert (channels[(held == 0).expand_as(channels)] == 0).all()
    pooled = batch.pooling.means[0] @ held.permute(0, 2, 3, 1).reshape(-1, 1)
    torch.testing.assert_close(pooled[:, 0], torch.ones(len(pooled)))  # superpixels hold data only


def test_both_views_show_the_same_superpixels():
    one = training()
    chances = np.linspace(0, 1, len(one.source.pixels) + 1)[1:]
    batch = one.source.batch(chances, np.random.default_rng(3), "cpu")
    n = len(batch.superpixels)
    mean = one.source.pixels[batch.superpixels]
    for rows in (slice(0, n), slice(n, None)):
        counts = (batch.pooling.means[0].to_dense()[rows] > 0).sum(1).numpy()
        assert (counts <= mean).all()
        assert (counts[batch.whole] >= 0.5 * mean[batch.whole]).all()
    np.testing.assert_array_equal(
        *(
            np.sort((batch.pooling.means[0].to_dense()[rows] > 0).sum(1).numpy())
            for rows in (slice(0, n), slice(n, None))
        )
    )


def test_windows_smaller_than_a_crop_and_a_batch_of_sizes():
    tiny = training([window_of(20, 31), window_of(70, 10, seed=2)])
    assert np.isfinite(weights(tiny.run(3)).numpy()).all()
    assert tiny.embed().shape == (len(tiny.source.pixels), SMALL.n_features)


def test_calibration_leaves_no_trace():
    timed = training()
    assert timed.steps_within(0.5) >= SMALL.rounds
    assert torch.equal(weights(timed.run(4)), weights(training().run(4)))


def test_it_starts_from_another_network():
    start = training(seed=5).run(4)
    assert torch.equal(weights(training(start=start).encoder), weights(start))


def test_a_network_of_another_shape_is_no_start():
    other = Encoder(3, (4, 4, 8), 4)
    with pytest.raises(FeatureMismatchError, match=r"another shape .* apply it as it is"):
        training(start=other)


def test_too_little_to_learn_from_and_too_few_steps():
    with pytest.raises(EmptySceneError, match="0 superpixels"):
        training([window_of(nodata=(slice(None), slice(None)))])
    with pytest.raises(InvalidArgumentError, match="1 steps"):
        training().run(1)


def test_checkpoints_come_now_and_then(monkeypatch):
    monkeypatch.setattr("segmentation.learning.training._CHECKPOINT_S", 0.0)
    kept = []
    training().run(3, checkpoint=kept.append)
    assert [int(state["done"]) for state in kept] == [1, 2, 3]


def test_targets_hold_no_empty_class_and_tell_their_balance():
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(6, 4)), 50, axis=0).astype(np.float32)
    points += rng.normal(0, 1e-3, points.shape).astype(np.float32)
    ones = np.ones(len(points), np.float32)
    targets = find_targets(points, whiten(points, ones), ones, (3, 6), seed=0)
    for labels, centers in zip(targets.labels, targets.centers, strict=True):
        assert np.bincount(labels, minlength=len(centers)).min() > 0
        np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1, rtol=1e-5)
    assert targets.balance() > 0.85


def test_whitening_decorrelates():
    rng = np.random.default_rng(0)
    mixed = (rng.normal(size=(4000, 3)) @ np.array([[3, 1, 0], [0, 1, 1], [0, 0, 0.8]])).astype(np.float32)
    white = whiten(mixed, np.ones(4000, np.float32))
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3) / 3, atol=0.03)
