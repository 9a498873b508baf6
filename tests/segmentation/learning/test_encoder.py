"""Pooling against plain means, and what an embedding may depend on."""

import numpy as np
import pytest
import torch

from segmentation.errors import FeatureMismatchError, InvalidArgumentError
from segmentation.learning.encoder import REACH_PX, Encoder, bfloat16_is_fast
from segmentation.learning.pooling import STRIDE, pool_regions
from tests.segmentation.learning.scenery import window_of

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def encoder():
    """Weights and statistics that are not those of a fresh network."""
    torch.manual_seed(0)
    encoder = Encoder(3)
    for module in encoder.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return encoder.eval()


def embed(encoder, window, half=False):
    image = torch.from_numpy(window.image)[None]
    return encoder.embed(image, window.labels.astype(np.int64), len(window.pixels), half)


def test_it_is_small():
    for n_channels in (1, 3, 4, 8):
        assert 50_000 <= Encoder(n_channels).n_parameters <= 300_000


def test_pooling_gives_means_over_regions_at_every_level():
    rng = np.random.default_rng(1)
    labels = [rng.integers(-1, 5, (8, 12)), rng.integers(-1, 5, (8, 12))]
    pooling = pool_regions(labels, 6)  # region 5 has no pixel
    for cell, means, spreads in zip((1, 2, STRIDE), pooling.means, pooling.spreads, strict=True):
        planes = rng.normal(size=(2, 8 // cell, 12 // cell)).astype(np.float32)
        fine = planes.repeat(cell, axis=1).repeat(cell, axis=2)
        wanted = [fine[np.stack(labels) == region].mean() for region in range(5)]
        found = (means @ torch.from_numpy(planes.reshape(-1, 1)))[:, 0].numpy()
        np.testing.assert_allclose(found[:5], wanted, rtol=1e-5, atol=1e-6)
        assert found[5] == 0
        np.testing.assert_allclose(spreads.to_dense().numpy(), means.to_dense().numpy().T, rtol=1e-6)


def test_labels_must_fit_the_coarsest_cells():
    with pytest.raises(InvalidArgumentError, match="7 x 8"):
        pool_regions([np.zeros((7, 8), np.int64)], 1)


def test_gradients_flow_through_pooling_as_through_a_dense_product(encoder):
    rng = np.random.default_rng(2)
    labels = [rng.integers(0, 9, (16, 16))]
    pooling = pool_regions(labels, 9)
    image = torch.from_numpy(rng.normal(size=(1, 4, 16, 16)).astype(np.float32))
    encoder(image, pooling)[:, 0].sum().backward()
    sparse = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    rows = [
        means.to_dense() @ planes.permute(0, 2, 3, 1).reshape(-1, planes.shape[1])
        for planes, means in zip(encoder.levels(image), pooling.means, strict=True)
    ]
    torch.nn.functional.normalize(encoder.mix(torch.cat(rows, 1)), dim=1)[:, 0].sum().backward()
    for found, parameter in zip(sparse, encoder.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-3, atol=1e-5)


def test_embeddings_have_length_one(encoder):
    found = embed(encoder, window_of())
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_a_window_of_another_place_and_size_gives_the_same_features(encoder):
    whole = window_of(256, 256)
    labels = np.full((256, 256), -1, np.int64)
    labels[100:140, 108:150] = np.arange(40 * 42).reshape(40, 42) // 60
    n = int(labels.max()) + 1
    image = torch.from_numpy(whole.image)[None]
    far = encoder.embed(image, labels, n, False)
    reach = -(-REACH_PX // STRIDE) * STRIDE
    part = (slice(100 - reach, 140 + reach), slice(108 - reach, 152 + reach))
    near = encoder.embed(image[:, :, *part], labels[part], n, False)
    np.testing.assert_allclose(near, far, atol=1e-5)


def test_half_precision_stays_close_to_single(encoder):
    window = window_of()
    single, half = embed(encoder, window), embed(encoder, window, half=True)
    assert np.linalg.norm(half - single, axis=1).mean() < 0.02
    assert bfloat16_is_fast("cpu") in (True, False)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("half", [False, True])
def test_the_gpu_agrees_with_the_cpu(encoder, half):
    window = window_of()
    wanted = embed(encoder, window)
    image = torch.from_numpy(window.image)[None].cuda()
    found = encoder.cuda().embed(image, window.labels.astype(np.int64), len(window.pixels), half)
    assert np.linalg.norm(found - wanted, axis=1).mean() < (0.02 if half else 1e-3)


def test_another_number_of_channels_is_refused(encoder):
    with pytest.raises(FeatureMismatchError, match="3 channels, the image has 4"):
        encoder.levels(torch.zeros(1, 5, 8, 8))
