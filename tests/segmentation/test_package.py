"""The names that the package promises."""

import subprocess
import sys

import pytest

import segmentation


def test_every_promised_name_is_there_and_typed_from_the_same_place():
    assert sorted(segmentation._HOMES) == sorted(segmentation.__all__)
    for name, home in segmentation._HOMES.items():
        assert getattr(segmentation, name) is getattr(sys.modules[home], name)
    assert set(segmentation.__all__) <= set(dir(segmentation))


def test_other_names_are_missing_as_in_any_module():
    with pytest.raises(AttributeError, match="no attribute 'segmant'"):
        segmentation.segmant  # noqa: B018


def test_errors_can_be_had_without_torch():
    code = "import segmentation.errors, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
