"""Files with a few wrong bytes: each is taken in, or refused with a sentence, and leaves nothing half-made."""

import random
import shutil

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.rasters.cog import Limits, ingest
from segmentation.testing import synthetic_scene, write_scene

HEAD_BYTES = 900  # tags and geographic keys: what decides how the rest is read
TRIES = 25
MASK = np.arange(90)[:, None] + np.arange(130) > 40

KINDS = {
    "tiles": ("uint8", 3, {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "DEFLATE"}),
    "strips": ("uint16", 4, {"nodata": 0, "compress": "LZW", "predictor": 2}),
    "floats": ("float32", 2, {"nodata": -9999, "compress": "DEFLATE", "predictor": 3}),
    "mask": ("uint8", 3, {"mask": MASK, "driver": "COG"}),
    "plain": ("uint8", 1, {}),
    "png": ("uint8", 3, {"driver": "PNG", "crs": None}),
    "jpeg": ("uint8", 3, {"driver": "JPEG", "crs": None}),
    "jpeg2000": ("uint16", 4, {"driver": "JP2OpenJPEG"}),
}


def mutate(content, seed):
    """A few bytes changed, mostly near the front; sometimes the end cut off."""
    chance = random.Random(seed)
    changed = bytearray(content)
    reach = min(len(changed), HEAD_BYTES) if chance.random() < 0.7 else len(changed)
    for _ in range(chance.choice([1, 2, 4, 16])):
        place = chance.randrange(reach)
        changed[place] = chance.choice([0, 255, changed[place] ^ (1 << chance.randrange(8))])
    if chance.random() < 0.15:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_bytes_end_in_a_scene_or_a_sentence(tmp_path, kind):
    dtype, n_bands, options = KINDS[kind]
    pixels = synthetic_scene(90, 130, n_bands, seed=1, dtype=dtype)[0]
    content = write_scene(tmp_path / "whole.bin", pixels, **options).read_bytes()
    here = tmp_path / "here"
    here.mkdir()
    path = here / "a.bin"
    refusals = []
    for seed in range(TRIES):
        path.write_bytes(mutate(content, seed))
        folder = here / f"out{seed}"
        expected = {"a.bin"}
        try:
            info = ingest(path, folder, Limits(max_pixels=4_000_000))
        except SegmentationError as error:
            refusals.append(error)
        else:
            assert np.isfinite(info.means).all(), seed
            expected.add(folder.name)
        assert {entry.name for entry in here.iterdir()} == expected, seed
        shutil.rmtree(folder, ignore_errors=True)
    assert refusals  # else the bytes were not worth changing
    for refusal in refusals:
        assert type(refusal) is not SegmentationError, f"blamed on the disk: {refusal}"
        assert str(refusal).startswith('"a.bin"')
        assert str(refusal).endswith(".")
