"""Odd and broken rasters from elsewhere: each is taken in, or refused with a sentence, and leaves nothing half-made."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from segmentation.errors import SegmentationError
from segmentation.rasters.cog import ingest
from segmentation.rasters.scene import open_scene

FOLDER = Path(__file__).parents[4] / "shared/data/robustness"
FILES = (
    sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".txt")
    if FOLDER.is_dir()
    else []
)

REFUSED = {
    "N10W110.hgt.zip": "is not an image that can be opened",
    "RGB.byte.gcp.vrt": "is not an image that can be opened",
    "RGB.byte.rpc.vrt": "is not an image that can be opened",
    "compdcs.vrt": "is not an image that can be opened",
    "white-gemini-iv.vrt": "is not an image that can be opened",
    "all-nodata.tif": "holds no data",
    "corrupt.tif": "is damaged or incomplete",
    "float.tif": "at least 4 x 4 are needed",
    "float32.tif": "at least 4 x 4 are needed",
    "float_nan.tif": "at least 4 x 4 are needed",
    "test_esri_wkt.tif": "at least 4 x 4 are needed",
}

pytestmark = pytest.mark.skipif(not FILES, reason="the folder of odd rasters is not there")


@pytest.mark.parametrize("path", FILES or [Path("none")], ids=lambda path: path.name)
def test_every_file_is_taken_in_or_refused_with_a_sentence(tmp_path_factory, path):
    folder = tmp_path_factory.mktemp("odd")
    if path.name in REFUSED:
        with pytest.raises(SegmentationError) as caught:
            ingest(path, folder / "out")
        text = str(caught.value)
        assert path.name in text
        assert REFUSED[path.name] in text
        assert text[0] in '"T'
        assert text.endswith(".")
        assert list(folder.iterdir()) == []
        return
    info = ingest(path, folder / "out")
    assert [entry.name for entry in folder.iterdir()] == ["out"]
    assert cog_validate(folder / "out/scene.tif")[0]
    assert 0 < info.valid_share <= 1
    assert all(np.isfinite(info.means))
    assert all(low < high for low, high in info.percentiles)
    assert Image.open(folder / "out/thumbnail.webp").size[0] <= 512
    with open_scene(path) as source, open_scene(folder / "out/scene.tif") as scene:
        assert (scene.height, scene.width, scene.n_bands) == (source.height, source.width, source.n_bands)
        assert (scene.crs is None) == (source.crs is None)
        assert scene.band_roles == source.band_roles
        before, before_valid = source.read(0, 0, source.height, source.width)
        after, after_valid = scene.read(0, 0, scene.height, scene.width)
    np.testing.assert_array_equal(after_valid, before_valid)
    np.testing.assert_array_equal(after, before)


def test_pictures_keep_gdal_s_mask():
    """An independent opinion on where 8-bit pictures hold data."""
    path = FOLDER / "rasterio/RGB.byte.tif"
    with rasterio.open(path) as dataset, open_scene(path) as scene:
        valid = scene.read(0, 0, scene.height, scene.width)[1]
        np.testing.assert_array_equal(valid, dataset.dataset_mask() > 0)
