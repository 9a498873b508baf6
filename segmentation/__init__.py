"""Segment satellite images into nested clusters, without labels, and turn clicks into land-cover maps."""

from segmentation.clustering.codebook import NODATA_LEAF
from segmentation.decoder import Click, Prediction
from segmentation.errors import SegmentationError
from segmentation.pipeline import Progress, segment
from segmentation.rasters.windows import BLOCK
from segmentation.store import Segmentation, Statistics, open_segmentation, transfer_classes

__all__ = [
    "BLOCK",
    "NODATA_LEAF",
    "Click",
    "Prediction",
    "Progress",
    "Segmentation",
    "SegmentationError",
    "Statistics",
    "open_segmentation",
    "segment",
    "transfer_classes",
]
