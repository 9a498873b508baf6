"""Coordinates as JSON text, written by compiled code: Python's own formatting would take longer than all the rest."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["write_rings"]

_COMMA, _MINUS, _POINT, _ZERO, _OPEN, _CLOSE = (ord(sign) for sign in ",-.0[]")


def write_rings(
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    is_start: NDArray[np.bool_],
    is_end: NDArray[np.bool_],
    is_exterior: NDArray[np.bool_],
    digits: int,
) -> tuple[str, NDArray[np.int64]]:
    """Write a piece of a sequence of rings as the inside of the ``coordinates`` of polygons.

    Parameters
    ----------
    x, y : int64 arrays, shape (n,)
        Coordinates times 10^digits.
    is_start, is_end : bool arrays, shape (n,)
        Whether a vertex is the first, or the last, of its ring.
    is_exterior : bool array, shape (n,)
        Whether a polygon begins with this vertex (so that no comma belongs before it).
    digits : int
        Decimals; zeros at the end are left out.

    Returns
    -------
    text : str
        As in ``[[1.5,2],[3,4]],[[..``.
    begins : int64 array, shape (P,)
        Where in the text each polygon begins.
    """
    longest = 2 * (digits + 22) + 6  # an int64 has at most 19 digits
    buffer = np.empty(len(x) * longest, np.uint8)
    size, begins = _write(x, y, is_start, is_end, is_exterior, digits, buffer)
    return buffer[:size].tobytes().decode("ascii"), begins


@numba.njit(nogil=True, cache=True)
def _write(x, y, is_start, is_end, is_exterior, digits, buffer):  # type: ignore[no-untyped-def]
    begins = np.empty(np.count_nonzero(is_exterior), np.int64)
    n_begins, at = 0, 0
    for i in range(len(x)):
        if is_start[i]:
            if is_exterior[i]:
                begins[n_begins] = at
                n_begins += 1
            else:
                buffer[at] = _COMMA
                at += 1
            buffer[at] = _OPEN
            at += 1
        buffer[at] = _OPEN
        at = _write_number(x[i], digits, buffer, at + 1)
        buffer[at] = _COMMA
        at = _write_number(y[i], digits, buffer, at + 1)
        buffer[at] = _CLOSE
        buffer[at + 1] = _CLOSE if is_end[i] else _COMMA
        at += 2
    return at, begins


@numba.njit(nogil=True, cache=True)
def _write_number(scaled, digits, buffer, at):  # type: ignore[no-untyped-def]
    if scaled < 0:
        buffer[at] = _MINUS
        at += 1
        scaled = -scaled
    while digits > 0 and scaled % 10 == 0:
        scaled //= 10
        digits -= 1
    # Digits come from the last to the first; a number has at least one before the point.
    length, rest = 1, scaled // 10
    while rest > 0:
        length += 1
        rest //= 10
    length = max(length, digits + 1)
    end = at + length + (1 if digits > 0 else 0)
    place = end - 1
    for k in range(length):
        if k == digits and digits > 0:
            buffer[place] = _POINT
            place -= 1
        buffer[place] = _ZERO + scaled % 10
        scaled //= 10
        place -= 1
    return end
