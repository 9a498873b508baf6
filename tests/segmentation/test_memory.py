"""Keeping freed memory for a while changes nothing but speed."""

import sys

import pytest

from segmentation import memory


def test_it_can_be_entered_and_left_also_after_an_error():
    with memory.reuse_freed_memory():
        assert len(bytearray(50_000_000)) == 50_000_000
    with pytest.raises(ZeroDivisionError), memory.reuse_freed_memory():
        1 / 0  # noqa: B018


def test_settings_are_taken_back(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, what, size):
            calls.append((what, size))

        def malloc_trim(self, pad):
            calls.append(("trim", pad))

    monkeypatch.setattr(memory, "_glibc", Library)
    with memory.reuse_freed_memory():
        assert calls == [(-3, 1 << 30), (-1, 1 << 30)]
    assert calls[2:] == [(-3, 131_072), (-1, 131_072), ("trim", 0)]


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._glibc() is None
    with memory.reuse_freed_memory():
        pass
