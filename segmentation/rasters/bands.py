"""What the bands of an image are called and what they show."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

__all__ = ["ROLES_TAG", "alpha_holds_data", "band_names", "band_roles", "guess_roles"]

ROLES_TAG = "CLUSTERNET_BAND_ROLES"  # in the files that we write: what was found out once is kept

_COLORS = ("red", "green", "blue", "nir")
_WORDS = {
    "nir": re.compile(r"(?<![a-z])(nir\d?|near[\s_-]*infra[\s_-]*red)(?![a-z])"),
    # A red edge band is not the red one.
    "red": re.compile(r"(?<![a-z])(?<!infra[\s_-])red(?![a-z]|[\s_-]*edge)"),
    "green": re.compile(r"(?<![a-z])green(?![a-z])"),
    "blue": re.compile(r"(?<![a-z])blue(?![a-z])"),
}
_NUMBERED = re.compile(
    r"(?:^|[^a-z0-9])(?P<sr>sr_)?b(?:and)?[\s_]?(?P<zero>0?)(?P<number>\d{1,2})(?P<tail>[a-z]?)(?![a-z0-9])"
)
_SAMPLE_PX = 64  # side of the squares in which an alpha band is looked at


def band_names(dataset: DatasetReader, indexes: Sequence[int]) -> tuple[str, ...]:
    """Description of each band, "" where there is none; of sane length, since strangers write them."""
    descriptions = [dataset.descriptions[index - 1] or "" for index in indexes]
    return tuple(" ".join(text.split())[:80] for text in descriptions)


def band_roles(dataset: DatasetReader, indexes: Sequence[int]) -> tuple[str, ...]:
    """Role of each band: "red", "green", "blue", "nir", "alpha" or ""."""
    kept = tuple((dataset.tags().get(ROLES_TAG) or "").split(","))
    if len(kept) == len(indexes) and set(kept) <= {*_COLORS, "alpha", ""} and kept != ("",):
        return kept
    interpretations = [dataset.colorinterp[index - 1] for index in indexes]
    return guess_roles(interpretations, band_names(dataset, indexes), dataset.dtypes[indexes[0] - 1])


def guess_roles(interpretations: Sequence[ColorInterp], names: Sequence[str], dtype: str) -> tuple[str, ...]:
    """Tell roles from names, else from color interpretation, else from the common orders.

    Names come first, because software marks the first three bands of any 8-bit file as red, green and blue; the
    interpretation comes next. Nameless images of three bands are taken for red, green, blue. Of four, those of 8 bits for red, green,
    blue, near infrared (NAIP and most deliveries of finished pictures), deeper ones for blue, green, red, near infrared
    (PlanetScope, WorldView, stacked Landsat or Sentinel-2 in the order of wavelengths).
    """
    for roles in (_roles_by_word(names), _roles_by_number(names)):
        if {"red", "green", "blue"} <= set(roles) or (len(set(roles) - {""}) >= 2):
            return roles
    marked = tuple(one.name if one.name in _COLORS else "" for one in interpretations)
    if {"red", "green", "blue"} <= set(marked):
        if len(marked) == 4 and "nir" not in marked:
            return tuple(role or "nir" for role in marked)
        return _once(marked)
    if len(names) == 3:
        return ("red", "green", "blue")
    if len(names) == 4:
        return ("red", "green", "blue", "nir") if dtype == "uint8" else ("blue", "green", "red", "nir")
    return tuple("" for _ in names)


def alpha_holds_data(dataset: DatasetReader, index: int) -> bool:
    """True where a band that is marked as alpha must be a measured one.

    GDAL marks the fourth band of every 8-bit GeoTIFF as alpha unless told otherwise, near infrared included. Alpha is
    (nearly) everywhere opaque or transparent; a band with many values in between is not alpha.
    """
    if dataset.driver != "GTiff" or dataset.count < 4:
        return False
    top = np.iinfo(dataset.dtypes[index - 1]).max if dataset.dtypes[index - 1].startswith("uint") else 0
    if not top:
        return False
    side = _SAMPLE_PX
    values = [
        dataset.read(
            index,
            window=Window(
                int(x * max(dataset.width - side, 0)),
                int(y * max(dataset.height - side, 0)),
                min(side, dataset.width),
                min(side, dataset.height),
            ),
        ).ravel()
        for y in (0.1, 0.5, 0.9)
        for x in (0.1, 0.5, 0.9)
    ]
    sample = np.concatenate(values)
    between = sample[(sample > 0) & (sample < top)]
    return bool(len(between) > 0.25 * len(sample) and len(np.unique(between)) > 32)


def _roles_by_word(names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for name in names:
        text = name.lower()
        found.append(next((role for role, word in _WORDS.items() if word.search(text)), ""))
    return _once(found)


def _roles_by_number(names: Sequence[str]) -> tuple[str, ...]:
    """Roles by the numbers of Sentinel-2 (B02 B03 B04 B08) and Landsat (B2 B3 B4 B5, before Landsat 8 B1 to B4)."""
    matches = [_NUMBERED.search(name.lower()) for name in names]
    numbers = [int(match["number"]) if match and not match["tail"] else 0 for match in matches]
    present = set(numbers)
    reflectance = any(match and match["sr"] for match in matches)
    if reflectance and 7 in present and 6 not in present:  # Landsat 4 to 7: their band 6 is thermal
        meaning = {1: "blue", 2: "green", 3: "red", 4: "nir"}
    else:
        meaning = {2: "blue", 3: "green", 4: "red"}
        two_digits = any(match and match["zero"] for match in matches)
        if 8 in present and not reflectance:
            meaning[8] = "nir"
        elif 5 in present and not two_digits:  # Sentinel-2's band 5 is a red edge
            meaning[5] = "nir"
    return _once([meaning.get(number, "") for number in numbers])


def _once(roles: Sequence[str]) -> tuple[str, ...]:
    """Each role at its first band only."""
    return tuple(role if role not in roles[:place] else "" for place, role in enumerate(roles))
