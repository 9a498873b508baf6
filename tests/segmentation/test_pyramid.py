"""Reduced copies of leaf ids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segmentation.pyramid import level_shape, reduce_once


@given(height=st.integers(1, 70), width=st.integers(1, 70), level=st.integers(0, 5))
def test_reduction_has_the_levels_shape_and_invents_no_id(height, width, level):
    ids = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    for step in range(level):
        ids = reduce_once(ids, step)
    assert ids.shape == level_shape(height, width, level)
    rows, cols = np.divmod(ids.astype(int), width)
    # each texel stands for a pixel of the square it covers
    assert (rows // 2**level == np.arange(ids.shape[0])[:, None]).all()
    assert (cols // 2**level == np.arange(ids.shape[1])[None]).all()


def test_kept_pixel_stays_near_the_middle():
    ids = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for step in range(4):
        ids = reduce_once(ids, step)
    offset = int(ids[0, 0]) % 64
    assert 4 <= offset <= 11  # of 16
