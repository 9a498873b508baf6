"""Synthetic scenes with leaves that a formula gives, so that tests know every pixel's leaf."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK = 512
NODATA = 65535
N_LEAVES = 256
CELL = 20  # pixels a side of the squares that share a leaf
EARTH = 6378137.0


@dataclass(frozen=True)
class World:
    """One scene: ``kind`` is "plain" (north up), "rotated" or "pixels" (no CRS)."""

    number: int
    kind: str
    height: int = 1100
    width: int = 1300
    mesh: int = 9  # control points a side
    shift: int = 0  # pixels that the leaves are moved: another segmentation of the scene

    @property
    def has_crs(self) -> bool:
        return self.kind != "pixels"

    @property
    def n_levels(self) -> int:
        return max(1, math.ceil(math.log2(max(self.height, self.width) / BLOCK)) + 1)

    @cached_property
    def leaves(self) -> np.ndarray:
        rows, cols = np.mgrid[0 : self.height, 0 : self.width]
        rows, cols = rows + self.shift, cols + self.shift
        cells = ((rows // CELL) * 37 + (cols // CELL) * 11 + (rows // 160) * 5 + self.shift * 13) % N_LEAVES
        leaves = cells.astype("<u2")
        leaves[:40, :60] = NODATA
        return leaves

    def level(self, level: int) -> np.ndarray:
        return self.leaves[:: 2**level, :: 2**level]

    def blocks(self, level: int) -> list[tuple[int, int]]:
        height, width = self.level(level).shape
        return [(r, c) for r in range(-(-height // BLOCK)) for c in range(-(-width // BLOCK))]

    def plane(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Web Mercator metres (or pixels) of points on the pixel grid."""
        row, col = np.asarray(row, float), np.asarray(col, float)
        if self.kind == "pixels":
            return col, row
        angle = math.radians(30) if self.kind == "rotated" else 0.0
        size = 15.0
        # A slight bow, as another projection's straight lines have.
        bow = 4e-6 if self.kind == "rotated" else 1e-6
        u, v = size * col, size * row
        v = v + bow * u * (u - size * self.width)
        x = 1_500_000 + math.cos(angle) * u - math.sin(angle) * v
        y = 6_000_000 - math.sin(angle) * u - math.cos(angle) * v
        return x, y

    def lonlat(self, row: np.ndarray, col: np.ndarray) -> list[list[float]]:
        x, y = self.plane(row, col)
        if not self.has_crs:
            return np.stack([x, y], -1).tolist()
        lon = np.degrees(x / EARTH)
        lat = np.degrees(2 * np.arctan(np.exp(y / EARTH)) - math.pi / 2)
        return np.stack([lon, lat], -1).tolist()

    def outline(self, per_side: int = 8) -> list[list[float]]:
        step = np.linspace(0, 1, per_side, endpoint=False)
        rows = np.concatenate([0 * step, step, 0 * step + 1, 1 - step, [0]]) * self.height
        cols = np.concatenate([step, 0 * step + 1, 1 - step, 0 * step, [0]]) * self.width
        return self.lonlat(rows, cols)

    def info(self) -> dict:
        ring = self.outline()
        lons, lats = zip(*ring, strict=True)
        return {
            "width": self.width,
            "height": self.height,
            "n_bands": 4,
            "dtype": "uint16",
            "band_names": ["B04", "B03", "B02", "B08"],
            "band_roles": ["red", "green", "blue", "nir"],
            "crs": "EPSG:32633" if self.has_crs else None,
            "transform": [10, 0, 0, 0, -10, 0],
            "gsd_m": 10.0 if self.has_crs else None,
            "bounds": [min(lons), min(lats), max(lons), max(lats)] if self.has_crs else None,
            "outline": ring,
            "percentiles": [[200, 2600], [300, 2400], [250, 2200], [400, 4200]],
            "means": [1100.0, 1050.0, 900.0, 2300.0],
            "valid_share": 0.99,
            "max_zoom": 14 if self.has_crs else 3,
            "min_zoom": 8 if self.has_crs else 0,
            "n_levels": self.n_levels,
            "remarks": ["Made by a script for tests."],
        }

    def scene(self) -> dict:
        return {
            "id": self.number,
            "name": f"Synthetic {self.kind} scene",
            "state": "ready",
            "progress": 1,
            "message": "",
            "attribution": "Synthetic <data>",
            "size_bytes": 12_000_000,
            "created_at": "2025-05-05T10:00:00+00:00",
            "info": self.info(),
        }

    def _frame(
        self, level, row, col, ids: np.ndarray, row_offset: int, col_offset: int, segmentation: int
    ) -> bytes:
        height, width = self.level(level).shape
        used_height = min(BLOCK, height - row * BLOCK)
        used_width = min(BLOCK, width - col * BLOCK)
        n = self.mesh
        rows = (row * BLOCK + np.linspace(0, used_height, n)) * 2**level
        cols = (col * BLOCK + np.linspace(0, used_width, n)) * 2**level
        x, y = self.plane(*np.meshgrid(rows, cols, indexing="ij"))
        payload = gzip.compress(np.ascontiguousarray(ids, "<u2").tobytes(), 1)
        head = struct.pack(
            "<4sBBHIIIIHHHHHHI",
            b"CNLB", 1, level, n, segmentation, 0, row, col, used_height, used_width,
            row_offset, col_offset, *ids.shape, len(payload),
        )  # fmt: skip
        return head + np.stack([x, y], -1).astype("<f8").tobytes() + payload

    def block(self, level: int, row: int, col: int, segmentation: int) -> bytes:
        ids = np.full((BLOCK, BLOCK), NODATA, "<u2")
        part = self.level(level)[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
        ids[: part.shape[0], : part.shape[1]] = part
        return self._frame(level, row, col, ids, 0, 0, segmentation)

    def patch(self, row: int, col: int, level: int, segmentation: int) -> bytes:
        """Level-0 block (row, col) reduced to ``level``, inside its overview block."""
        side = BLOCK >> level
        part = self.level(level)[row * side : (row + 1) * side, col * side : (col + 1) * side]
        ratio = 2**level
        return self._frame(
            level, row // ratio, col // ratio, part, row % ratio * side, col % ratio * side, segmentation
        )

    def counts(self) -> np.ndarray:
        return np.bincount(self.leaves[self.leaves != NODATA], minlength=N_LEAVES).astype("<f8")


def tree_bytes() -> bytes:
    """Neighbors merged pair by pair; colors run round the color circle."""
    n = N_LEAVES
    nodes = 2 * n - 1
    parent = np.arange(nodes, dtype="<u4")
    low, high = np.zeros(nodes, "<u4"), np.zeros(nodes, "<u4")
    low[:n], high[:n] = np.arange(n), np.arange(n) + 1
    current = list(range(n))
    node = n
    while len(current) > 1:
        merged = []
        for left, right in zip(current[::2], current[1::2], strict=True):
            parent[left] = parent[right] = node
            low[node], high[node] = low[left], high[right]
            merged.append(node)
            node += 1
        current = merged
    middle = (low.astype(float) + high) / 2 / n
    phases = np.stack([middle, middle + 1 / 3, middle + 2 / 3], -1)
    rgb = (127 + 90 * np.cos(2 * np.pi * phases) + 30 * ((low % 2)[:, None] - 0.5)).clip(0, 255).astype("u1")
    return struct.pack("<II", n, 0) + parent.tobytes() + low.tobytes() + high.tobytes() + rgb.tobytes()


def statistics_bytes(world: World, complete: bool) -> bytes:
    pixels = world.counts()
    area = pixels * 100.0 if world.has_crs else np.full(N_LEAVES, np.nan)
    return (
        struct.pack("<IIII", N_LEAVES, int(complete), 0, 0) + pixels.tobytes() + area.astype("<f8").tobytes()
    )
