"""What can go wrong in the library, each message a sentence that a user understands."""

__all__ = [
    "AreaOfInterestError",
    "CancelledError",
    "ChangedSceneError",
    "EmptySceneError",
    "FeatureMismatchError",
    "InvalidArgumentError",
    "NetworkError",
    "SceneTooLargeError",
    "SegmentationError",
    "StorageFullError",
    "StoreError",
    "UnreadableSceneError",
    "UnsupportedSceneError",
]


class SegmentationError(Exception):
    """Base of every error that the library raises on purpose; ``str()`` of it is fit to show."""


class InvalidArgumentError(SegmentationError, ValueError):
    """An argument is outside its range or of the wrong kind."""


class FeatureMismatchError(SegmentationError, ValueError):
    """Two inputs differ in their number of features."""


class UnreadableSceneError(SegmentationError):
    """The file is missing, truncated, corrupt or not a raster that we open."""


class ChangedSceneError(UnreadableSceneError):
    """The image at a URL is not the version any more that was looked at before."""


class UnsupportedSceneError(SegmentationError, ValueError):
    """The raster opens, yet holds something that cannot be segmented (complex values, a palette, ...)."""


class SceneTooLargeError(SegmentationError, ValueError):
    """The raster is over a limit on bytes, pixels or bands."""


class EmptySceneError(SegmentationError, ValueError):
    """No pixel of the raster (or of the area of interest) holds data."""


class AreaOfInterestError(SegmentationError, ValueError):
    """The area of interest is not a polygon or does not touch the scene."""


class StoreError(SegmentationError):
    """The segmentation store is missing, incomplete or of another format version."""


class NetworkError(SegmentationError):
    """The file of a network is missing, damaged or of another program."""


class StorageFullError(SegmentationError, OSError):
    """The disk has no room for what was to be written."""


class CancelledError(SegmentationError):
    """The caller asked to stop."""
