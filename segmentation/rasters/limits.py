"""How large a raster may be, compared before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from segmentation.errors import SceneTooLargeError

__all__ = ["MAX_BANDS", "Limits"]

MAX_BANDS = 250


class _File(Protocol):
    """What is asked of a file, on disk or remote."""

    @property
    def name(self) -> str: ...
    def stat(self) -> Any: ...


@dataclass(frozen=True)
class Limits:
    """Limits on one raster."""

    max_file_bytes: int = 64 * 2**30
    max_pixels: int = 20_000_000_000
    max_bands: int = MAX_BANDS
    # A file that claims far more pixels than its bytes could hold is a decompression bomb. Constant images are
    # compressed a thousandfold and more in earnest, so this counts only above a size that would hurt.
    max_expansion: int = 2_000
    expansion_from_bytes: int = 4 * 2**30
    max_block_bytes: int = 2**29  # the smallest part that can be decoded by itself (a strip or tile)

    def check_file(self, path: _File) -> None:
        """Refuse a file that is too large.

        Raises
        ------
        SceneTooLargeError
            With the sizes.
        """
        size = path.stat().st_size
        if size > self.max_file_bytes:
            raise SceneTooLargeError(
                f'"{path.name}" has {_bytes(size)}; at most {_bytes(self.max_file_bytes)} are taken. Crop or compress it.'
            )

    def check_raster(self, path: _File, width: int, height: int, n_bands: int, bytes_per_value: int) -> None:
        """Refuse a raster with too many bands or pixels, or that unpacks to far more than its file could mean.

        Raises
        ------
        SceneTooLargeError
            With the numbers.
        """
        if n_bands > self.max_bands:
            raise SceneTooLargeError(
                f'"{path.name}" has {n_bands} bands; at most {self.max_bands} are taken. Choose the bands that matter.'
            )
        if width * height > self.max_pixels:
            raise SceneTooLargeError(
                f'"{path.name}" has {width} x {height} = {width * height:,} pixels; at most {self.max_pixels:,} are taken. '
                "Crop it or reduce its resolution."
            )
        unpacked = width * height * n_bands * bytes_per_value
        packed = max(path.stat().st_size, 1)
        if unpacked > self.expansion_from_bytes and unpacked > packed * self.max_expansion:
            raise SceneTooLargeError(
                f'"{path.name}" has {_bytes(packed)} and would unpack to {_bytes(unpacked)}; it looks damaged or made to '
                "exhaust the server. Save the image anew and try again."
            )

    def check_block(self, path: _File, size: int) -> None:
        """Refuse strips or tiles that are too large to hold in memory.

        Raises
        ------
        SceneTooLargeError
            With the sizes.
        """
        if size > self.max_block_bytes:
            raise SceneTooLargeError(
                f'"{path.name}" is stored in parts of {_bytes(size)}; at most {_bytes(self.max_block_bytes)} can be held '
                "in memory. Store it in tiles, for example with gdal_translate -co TILED=YES."
            )


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
