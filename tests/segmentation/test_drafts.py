"""Nothing half-written: all drafts move to their places, or none."""

import errno

import pytest

from segmentation.drafts import drafts, write_text
from segmentation.errors import SegmentationError, StorageFullError


def test_drafts_replace_what_was_there_when_the_block_ends_well(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b"
    first.write_text("old")
    with drafts(first, second) as (one, other):
        assert one.name == "a.txt"
        one.write_text("new")
        other.mkdir()
        (other / "file").write_text("inside")
        assert first.read_text() == "old"
    assert first.read_text() == "new"
    assert (second / "file").read_text() == "inside"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["a.txt", "b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_moves_and_nothing_stays_when_it_does_not(tmp_path, error):
    kept = tmp_path / "a.txt"
    kept.write_text("old")

    def fail_half_way():
        with drafts(kept, tmp_path / "b.txt") as (one, other):
            one.write_text("new")
            other.write_text("new")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert kept.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["a.txt"]


def test_a_full_disk_and_a_missing_folder_are_sentences(tmp_path, monkeypatch):
    with pytest.raises(SegmentationError, match="could not be stored"), drafts(tmp_path / "no/a.txt"):
        pass

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(StorageFullError, match="The disk is full"):
        write_text(tmp_path / "a.txt", "text")
