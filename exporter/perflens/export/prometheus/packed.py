"""Encodes many varints at once: the numbers stand in lanes of 64 bits of one long integer, and each operation works on all of them.

A loop over the 161 buckets of a histogram takes ten times as long. All varints of a vector have the same length: those that
could be shorter are padded, which every decoder accepts, and gzip makes up for. Numbers must be below 2^55.
"""

from __future__ import annotations

import sys
from array import array
from functools import cache

__all__ = ["deltas", "lanes", "spread", "width_of"]

_LANE = 64
_SEVEN = 0x7F
_SIGN = 56  # the bit that tells a negative difference


def width_of(largest: int) -> int:
    """Return how many bytes the varint of a number takes; as many bytes then hold any smaller one."""
    return max(1, (largest.bit_length() + 6) // 7)


def lanes(values: array[int]) -> int:
    """Return numbers of 64 bits as lanes, the first one lowest."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return int.from_bytes(values.tobytes(), "little")


@cache
def _repeat(value: int, count: int) -> int:
    """Return the same number in every lane."""
    return sum(value << _LANE * lane for lane in range(count))


@cache
def _groups(count: int, width: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the marks of all bytes but the last, and, for each group of seven bits, a mask and how far it moves up."""
    marks = sum(0x80 << 8 * byte for byte in range(width - 1))
    return _repeat(marks, count), tuple((_repeat(_SEVEN << 7 * group, count), group) for group in range(width))


def spread(numbers: int, count: int, width: int) -> bytes:
    """Return varints of ``width`` bytes, each in a lane of eight: byte ``i`` of all of them is ``spread(…)[i::8]``."""
    spaced, groups = _groups(count, width)
    for mask, up in groups:
        spaced |= (numbers & mask) << up
    return spaced.to_bytes(8 * count, "little")


def deltas(numbers: int, count: int) -> int:
    """Return the difference of each number to the one before it, the first one to 0, in zigzag form: 0, -1, 1, -2, 2 are 0 to 4."""
    one = _repeat(1, count)
    biased = numbers + (one << _SIGN) - (numbers << _LANE & (1 << _LANE * count) - 1)  # no lane borrows from the next
    negative = (biased >> _SIGN & one) ^ one
    doubled = biased << 1 & _repeat((2 << _SIGN) - 1, count)
    return doubled ^ negative * ((2 << _SIGN) - 1)
