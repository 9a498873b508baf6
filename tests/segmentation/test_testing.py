import numpy as np
import pytest

from segmentation.errors import InvalidArgumentError
from segmentation.testing import CLASSES, synthetic_scene


def test_a_seed_gives_one_scene_and_another_seed_another():
    first, truth = synthetic_scene(120, 160, 4, seed=3)
    again, same = synthetic_scene(120, 160, 4, seed=3)
    other, _ = synthetic_scene(120, 160, 4, seed=4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(truth, same)
    assert (first != other).mean() > 0.5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("n_bands", [1, 3, 4, 12])
def test_types_and_bands_are_those_asked_for(dtype, n_bands):
    pixels, truth = synthetic_scene(64, 48, n_bands, dtype=dtype)
    assert pixels.shape == (n_bands, 64, 48)
    assert pixels.dtype == dtype
    assert truth.shape == (64, 48)
    assert pixels.min() > 0  # 0 is free for nodata
    assert np.isfinite(pixels).all()


def test_classes_look_like_themselves():
    pixels, truth = synthetic_scene(600, 900, 4, seed=0)
    assert set(np.unique(truth)) == set(range(len(CLASSES)))
    red, near_infrared = pixels[0].astype(float), pixels[3].astype(float)
    ndvi = (near_infrared - red) / (near_infrared + red)
    mean = {name: ndvi[truth == place].mean() for place, name in enumerate(CLASSES)}
    assert mean["water"] < 0 < mean["built-up"] < mean["soil"] < mean["grass"]
    assert mean["forest"] > 0.6


@pytest.mark.parametrize("arguments", [(3, 100, 3), (100, 3, 3), (100, 100, 0)])
def test_sizes_that_cannot_be_drawn_are_refused(arguments):
    with pytest.raises(InvalidArgumentError, match="cannot be drawn"):
        synthetic_scene(*arguments)
