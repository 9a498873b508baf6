"""Files and folders that appear under their names only when they are whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.storage import writing

__all__ = ["check_output", "drafts", "write_text"]


@contextmanager
def drafts(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Paths to write to instead, each in a hidden folder beside the one meant.

    When the block ends well, all drafts that were written move to their places, over what was there; when it does not,
    none does, and they are removed.

    Raises
    ------
    StorageFullError
        If the disk is full.
    SegmentationError
        If the folder cannot be written to.
    """
    with ExitStack() as stack:
        made = []
        for path in paths:
            folder = path.absolute().with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with writing(path):
                folder.mkdir()
            made.append(folder / path.name)
        yield tuple(made)
        for draft, path in zip(made, paths, strict=True):
            if draft.exists():
                with writing(path):
                    os.replace(draft, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file (a draft), in UTF-8; StorageFullError or SegmentationError where that fails."""
    with writing(path):
        path.write_text(text, encoding="utf-8")


def check_output(path: Path, *inputs: Path, folder: bool = False) -> None:
    """Refuse, before any work is done, to write where nothing can be written or over what is read.

    Parameters
    ----------
    path : Path
        File, or with ``folder`` the folder, that is to be written.
    *inputs : Path
        Files and folders that are read.
    folder : bool
        A folder must be new or empty; a file may be replaced.

    Raises
    ------
    InvalidArgumentError
        With the path and what to do.
    """
    if not path.absolute().parent.is_dir():
        raise InvalidArgumentError(f"The folder {path.parent} does not exist; make it first.")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise InvalidArgumentError(f"{path} is read by this command; give another name to write to.")
    if folder and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidArgumentError(f"{path} exists and is not an empty folder; give the name of a new one.")
    if not folder and path.is_dir():
        raise InvalidArgumentError(f"{path} is a folder; give the name of a file to write.")
