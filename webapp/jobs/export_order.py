"""Everything that a download of a project's map holds, told without a database: the worker has none."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ExportOrder"]


@dataclass(frozen=True)
class ExportOrder:
    """A map at one moment, as JSON values."""

    store: str
    version: int
    splits: list[list[Any]]  # folder, parent, first, n, live of each
    layers: list[list[Any]]  # what was drawn by hand: file and class of each, the last one on top
    shape: list[int]
    shown: str  # base64 of uint8: class that each drawn one shows as
    table: str  # the same: class of each leaf id
    legend: list[list[Any]]  # number, name, color
    aoi: dict[str, Any] | None
    about: dict[str, Any]
    name: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> ExportOrder:
        return cls(**content)

    def content(self) -> dict[str, Any]:
        return asdict(self)

    def chunks(
        self, progress: Callable[[float], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[str]:
        """The GeoJSON, piece by piece."""
        from segmentation.objects import store_path
        from segmentation.overrides import Layer, Overrides
        from segmentation.split_store import Split, SplitSegmentation
        from segmentation.vectors import ClassStyle, class_source, geojson_chunks

        splits = [Split(store_path(folder), *rest) for folder, *rest in self.splits]
        store = SplitSegmentation(self.store, splits, self.version)
        layers = [Layer(Path(path), number) for path, number in self.layers]
        height, width = self.shape
        overrides = Overrides((height, width), layers) if layers else None
        source = class_source(
            store, store.from_ids(_bytes(self.table)), self.aoi, overrides, _bytes(self.shown)
        )
        legend = {number: ClassStyle(name, color) for number, name, color in self.legend}
        return geojson_chunks(
            source,
            legend,
            store.georeference,
            name=self.name,
            about=self.about,
            progress=progress,
            cancelled=cancelled,
        )


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)
