"""export/prometheus/packed.py: vectors of varints, against a loop."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.export.prometheus import packed, wire

NUMBERS = st.lists(st.integers(0, 2**54 - 1) | st.integers(0, 300), min_size=1, max_size=128)


def decoded(spread: bytes, count: int, width: int) -> list[int]:
    """The numbers, one by one; every varint ends with its last byte and not before."""
    found = []
    for lane in range(count):
        own = spread[8 * lane : 8 * lane + width]
        assert [byte >> 7 for byte in own] == [1] * (width - 1) + [0]
        found.append(sum((byte & 0x7F) << 7 * group for group, byte in enumerate(own)))
    return found


@settings(deadline=None, max_examples=150)
@given(NUMBERS)
def test_spread(numbers: list[int]) -> None:
    """Each number is a varint of the width that the largest needs."""
    width = packed.width_of(max(numbers))

    assert decoded(packed.spread(packed.lanes(array("Q", numbers)), len(numbers), width), len(numbers), width) == numbers
    assert len(wire.varint(max(numbers))) == width


@settings(deadline=None, max_examples=150)
@given(NUMBERS)
def test_deltas(numbers: list[int]) -> None:
    """Differences of neighbours, the first one to 0, are what the scalar encoder makes of them."""
    count, width = len(numbers), packed.width_of(2 * max(numbers))
    found = decoded(packed.spread(packed.deltas(packed.lanes(array("Q", numbers)), count), count, width), count, width)

    assert [wire.varint(own) for own in found] == [wire.zigzag(own - before) for before, own in zip([0, *numbers], numbers, strict=False)]
