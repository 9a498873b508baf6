"""The color by which a person is known: a pure function of the user's id, the same in every project and on every page."""

from __future__ import annotations

import colorsys

__all__ = ["color_of"]

# Neighbors in number lie far apart on the wheel of hues (the golden angle), and differ in lightness too.
_GOLDEN = 0.618033988749895
_LIGHTNESS = (0.42, 0.5, 0.36)  # dark enough for white letters on them


def color_of(user_id: int) -> str:
    """As ``"#rrggbb"``."""
    hue = user_id * _GOLDEN % 1
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[user_id % len(_LIGHTNESS)], 0.62)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
