"""From clicks, or a table of classes, to a map file of a whole scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segmentation.decoder import Click
from segmentation.drafts import drafts
from segmentation.errors import InvalidArgumentError, StoreError
from segmentation.legend import MAX_CLASS, ClassTable, Legend
from segmentation.pyramid import NODATA_LEAF
from segmentation.rasters.class_map import NO_CERTAINTY, write_byte_map
from segmentation.vectors.source import class_source

if TYPE_CHECKING:
    from segmentation.store import Segmentation

__all__ = ["Written", "require_complete", "table_of_clicks", "write_maps"]


@dataclass(frozen=True)
class Written:
    """What a map holds: ``pixels`` of each class number that occurs; ``unclassified`` have data but no class."""

    pixels: dict[int, int]
    unclassified: int


def table_of_clicks(
    segmentation: Segmentation,
    clicks: Sequence[Click],
    legend: Legend,
    *,
    seed: int = 0,
    min_certainty: float = 0.0,
) -> tuple[ClassTable, NDArray[np.float32]]:
    """Predict the class of every leaf from clicks.

    Parameters
    ----------
    segmentation : Segmentation
        Complete.
    clicks : sequence of Click
        Class numbers from 1 to 255.
    legend : Legend
        Their names.
    seed : int
        Seed of the decoder.
    min_certainty : float
        Leaves below it get no class, 0 to 1.

    Returns
    -------
    ClassTable
        Class of each leaf.
    float32 array, shape (n_leaves,)
        Certainty of each leaf, 0 to 1.

    Raises
    ------
    InvalidArgumentError
        If an argument is outside its range, or no click lies on data.
    """
    if not 0 <= min_certainty <= 1:
        raise InvalidArgumentError(f"The least certainty is {min_certainty:g}; choose one from 0 to 1.")
    wrong = next((click for click in clicks if not 1 <= click.class_id <= MAX_CLASS), None)
    if wrong is not None:
        raise InvalidArgumentError(
            f"A click has the class {wrong.class_id}; class numbers run from 1 to {MAX_CLASS}."
        )
    prediction = segmentation.classify(clicks, seed=seed)
    named = (prediction.classes > 0) & (prediction.certainty >= min_certainty)
    classes = np.where(named, prediction.classes, 0).astype(np.uint8)
    return ClassTable(classes, legend), prediction.certainty


def write_maps(
    segmentation: Segmentation,
    table: ClassTable,
    out: Path,
    *,
    certainty: tuple[NDArray[np.float32], Path] | None = None,
    table_out: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Written:
    """Write the class map of a segmentation, and with it, all or none, what else is asked for.

    Parameters
    ----------
    segmentation : Segmentation
        Complete.
    table : ClassTable
        Class of each leaf.
    out : Path
        Cloud optimized GeoTIFF: class numbers, 0 = none.
    certainty : (float32 array of shape (n_leaves,), Path) or None
        Certainty of each leaf, and the file for it: percent, 255 = no data.
    table_out : Path or None
        File for the table itself.
    progress : callable or None
        Told the share done, 0 to 1.

    Returns
    -------
    Written
        Counted while writing.

    Raises
    ------
    StoreError
        If the segmentation is not complete.
    StorageFullError
        If the disk is full.
    """
    require_complete(segmentation)
    tell = progress or (lambda share: None)
    share = 1.0 if certainty is None else 0.5
    others = [path for path in (None if certainty is None else certainty[1], table_out) if path is not None]
    with drafts(out, *others) as (map_draft, *other_drafts):
        counts = write_byte_map(
            map_draft,
            class_source(segmentation, table.classes),
            segmentation.georeference,
            legend=table.legend,
            description="class",
            progress=lambda done: tell(share * done),
        )
        if certainty is not None:
            write_byte_map(
                other_drafts[0],
                _CertaintySource(segmentation, certainty[0]),
                segmentation.georeference,
                legend=None,
                description="certainty in percent",
                progress=lambda done: tell(share + share * done),
            )
        if table_out is not None:
            table.write(other_drafts[-1])
    pixels = {int(number): int(counts[number]) for number in np.flatnonzero(counts) if number}
    return Written(pixels, int(segmentation.statistics().pixels.sum()) - sum(pixels.values()))


def require_complete(segmentation: Segmentation) -> None:
    """Refuse a store whose blocks are not all there.

    Raises
    ------
    StoreError
        If it is not complete.
    """
    if not segmentation.complete:
        raise StoreError(
            f"The segmentation at {segmentation.path} is not complete; run segment again with the same options to finish it."
        )


class _CertaintySource:
    """Certainty of each pixel's leaf, in whole percent."""

    def __init__(self, segmentation: Segmentation, certainty: NDArray[np.float32]) -> None:
        self._leaves = segmentation.leaves
        self.shape = segmentation.shape
        self._percent = np.full(NODATA_LEAF + 1, NO_CERTAINTY, np.uint8)
        self._percent[: len(certainty)] = np.rint(100 * np.clip(certainty, 0, 1)).astype(np.uint8)

    def read(self, row: int, col: int, height: int, width: int) -> NDArray[np.uint8]:
        return self._percent[np.asarray(self._leaves[row : row + height, col : col + width])]
