"""model.py: the bucket bounds."""

from __future__ import annotations

from bisect import bisect_left
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import pytest

from perflens.model import BUCKETS, FIRST_BUCKET, HISTOGRAM_WIDTH, OCTAVES, SCHEMA, bucket_bounds, octave_bounds

BOUNDS = bucket_bounds()
SECOND = 10**9


def test_shape() -> None:
    """There are 129 buckets, four an octave from 2^-20 s to 2^12 s, and 33 octaves."""
    assert (BUCKETS, FIRST_BUCKET, OCTAVES, HISTOGRAM_WIDTH) == (129, -80, 33, 164)
    assert len(BOUNDS) == BUCKETS
    assert len(octave_bounds()) == OCTAVES


def test_bounds_are_exact() -> None:
    """Each bound is the largest whole number of ns whose fourth power is not above 10^36 * 2^i."""
    for index, bound in enumerate(BOUNDS, start=FIRST_BUCKET):
        exact = Fraction(SECOND**4) * Fraction(2) ** index
        assert bound**4 <= exact < (bound + 1) ** 4


def test_bounds_agree_with_decimal_arithmetic() -> None:
    """Sixty decimal digits give the same table."""
    with localcontext() as context:
        context.prec = 60
        roots = [Decimal(1), Decimal(2).sqrt().sqrt(), Decimal(2).sqrt(), Decimal(8).sqrt().sqrt()]
        expected = [int((SECOND * roots[i % 4] * Decimal(2) ** (i // 4)).to_integral_value(ROUND_FLOOR)) for i in range(-80, 49)]

    assert expected == list(BOUNDS)


def test_bounds_rise() -> None:
    """No two buckets have the same bound."""
    assert all(low < high for low, high in pairwise(BOUNDS))


@pytest.mark.parametrize("power", range(-20, 13))
def test_powers_of_two_are_inclusive(power: int) -> None:
    """2^k s belongs to the last bucket of its octave, and the first whole ns above it to the next one."""
    exact = Fraction(2) ** power * SECOND
    last = (power + 20) << SCHEMA

    assert BOUNDS[last] == exact // 1
    assert bisect_left(BOUNDS, exact // 1) == last
    assert bisect_left(BOUNDS, exact // 1 + 1) == last + 1


def test_octaves_are_powers_of_two() -> None:
    """The classic bounds are exact as doubles, and every fourth bucket's bound in whole ns."""
    for octave, bound in enumerate(octave_bounds()):
        assert Fraction(bound) == Fraction(2) ** (octave - 20)
        assert Fraction(bound) * SECOND // 1 == BOUNDS[octave << SCHEMA]


def test_guess_of_the_kernel_side_ends_in_four_compares() -> None:
    """For ns of 2^e up to 2^(e+1) the bucket is at 4e - 39 or one of the four after it, as hist.h takes for granted."""
    for exponent in range(10, 42):
        low, high = 1 << exponent, min((2 << exponent) - 1, BOUNDS[-1])
        first = 4 * exponent - 39
        assert first <= bisect_left(BOUNDS, low)
        assert bisect_left(BOUNDS, high) <= first + 4
        assert first >= 1
        assert first + 3 < BUCKETS + 3
