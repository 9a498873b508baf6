"""Segment satellite images into nested clusters, without labels, and turn clicks into land-cover maps.

The public names are loaded when they are first used (PEP 562): torch and its friends take seconds to import, which whoever
only needs ``segmentation.errors`` should not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentation.decoder import Click, Prediction
    from segmentation.errors import SegmentationError
    from segmentation.pipeline import Progress, segment
    from segmentation.pyramid import NODATA_LEAF
    from segmentation.rasters.windows import BLOCK
    from segmentation.store import Segmentation, Statistics, open_segmentation, transfer_classes
    from segmentation.suggestions import Suggestion, suggest

_HOMES = {
    "BLOCK": "segmentation.rasters.windows",
    "NODATA_LEAF": "segmentation.pyramid",
    "Click": "segmentation.decoder",
    "Prediction": "segmentation.decoder",
    "Progress": "segmentation.pipeline",
    "Segmentation": "segmentation.store",
    "SegmentationError": "segmentation.errors",
    "Statistics": "segmentation.store",
    "Suggestion": "segmentation.suggestions",
    "open_segmentation": "segmentation.store",
    "segment": "segmentation.pipeline",
    "suggest": "segmentation.suggestions",
    "transfer_classes": "segmentation.store",
}

__all__ = [
    "BLOCK",
    "NODATA_LEAF",
    "Click",
    "Prediction",
    "Progress",
    "Segmentation",
    "SegmentationError",
    "Statistics",
    "Suggestion",
    "open_segmentation",
    "segment",
    "suggest",
    "transfer_classes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
