"""What a tile is asked to show: bands, stretch or index, checked against the scene's description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.errors import InvalidInputError

__all__ = ["INDICES", "TileStyle", "default_bands", "parse_style"]

# The bands of (a - b) / (a + b) by their role, and the range shown where none is asked for.
INDICES: dict[str, tuple[tuple[str, str], tuple[float, float]]] = {
    "ndvi": (("nir", "red"), (-0.2, 0.8)),
    "ndwi": (("green", "nir"), (-0.6, 0.6)),
}

Stretch = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TileStyle:
    """Bands to read (from 1), and the value range of each (or of the index) that spans black to white."""

    bands: tuple[int, ...]
    stretch: Stretch
    index: str = ""


def parse_style(query: Mapping[str, str], info: Mapping[str, Any]) -> TileStyle:
    """The style that ``query`` asks for, the scene's natural look where it asks for nothing.

    Raises InvalidInputError for band numbers that the scene lacks and for anything that cannot be read.
    """
    index = query.get("index", "").lower()
    if index:
        return _index_style(index, query, info)
    bands = _bands("bands", query["bands"], info, (1, 3)) if query.get("bands") else default_bands(info)
    if query.get("stretch"):
        return TileStyle(bands, _stretch(query["stretch"], len(bands)))
    percentiles = info.get("percentiles") or []
    return TileStyle(bands, tuple(_usable(percentiles, band) for band in bands))


def default_bands(info: Mapping[str, Any]) -> tuple[int, ...]:
    """True colour where the bands' roles are known, else the first three bands, else the first in grey."""
    roles = list(info.get("band_roles") or [])
    if {"red", "green", "blue"} <= set(roles):
        return tuple(roles.index(role) + 1 for role in ("red", "green", "blue"))
    shown = [number for number in range(1, info["n_bands"] + 1) if roles[number - 1 : number] != ["alpha"]]
    return tuple(shown[:3]) if len(shown) >= 3 else tuple(shown[:1])


def _index_style(index: str, query: Mapping[str, str], info: Mapping[str, Any]) -> TileStyle:
    if index not in INDICES:
        raise InvalidInputError(f"There is no index {index!r}; the tiles know {' and '.join(INDICES)}.")
    wanted, shown = INDICES[index]
    if query.get("index_bands"):
        bands = _bands("index_bands", query["index_bands"], info, (2,))
    else:
        roles = list(info.get("band_roles") or [])
        missing = [role for role in wanted if role not in roles]
        if missing:
            raise InvalidInputError(
                f"{index.upper()} needs the {' and '.join(missing)} band; give both bands as index_bands=a,b."
            )
        bands = tuple(roles.index(role) + 1 for role in wanted)
    return TileStyle(bands, _stretch(query["stretch"], 1) if query.get("stretch") else (shown,), index)


def _bands(name: str, text: str, info: Mapping[str, Any], counts: tuple[int, ...]) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    n_bands = info["n_bands"]
    # isdecimal alone lets other scripts' digits through, and int() would take thousands of them its time.
    if not all(part.isascii() and part.isdecimal() and len(part) <= 5 for part in parts):
        raise InvalidInputError(
            f"{name} must be band numbers with commas between, as in 3,2,1, not {text[:40]!r}."
        )
    if len(parts) not in counts:
        raise InvalidInputError(
            f"{name} takes {' or '.join(map(str, counts))} band numbers, not {len(parts)}."
        )
    numbers = tuple(int(part) for part in parts)
    outside = next((number for number in numbers if not 1 <= number <= n_bands), None)
    if outside is not None:
        raise InvalidInputError(f"{name} asks for band {outside}; the scene has bands 1 to {n_bands}.")
    return numbers


def _stretch(text: str, n_bands: int) -> Stretch:
    pairs = []
    for part in text.split(";"):
        try:
            low, high = (float(value) for value in part.split(","))
        except ValueError:
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidInputError(
                "stretch must be low,high with low below high (one pair, or one a band with ; between), "
                f"not {text[:60]!r}."
            )
        pairs.append((low, high))
    if len(pairs) not in (1, n_bands):
        raise InvalidInputError(f"stretch takes 1 or {n_bands} pairs here, not {len(pairs)}.")
    return tuple(pairs * n_bands if len(pairs) == 1 else pairs)


def _usable(percentiles: list[Any], band: int) -> tuple[float, float]:
    """The band's percentiles; where both are the same, a range with that value in its middle."""
    pair = percentiles[band - 1] if band <= len(percentiles) else None
    if not pair or any(value is None or not math.isfinite(value) for value in pair):
        return (0.0, 255.0)
    low, high = float(pair[0]), float(pair[1])
    return (low, high) if low < high else (low - max(1.0, abs(low)), low + max(1.0, abs(low)))
