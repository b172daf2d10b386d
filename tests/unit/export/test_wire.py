"""export/prometheus/wire.py: the examples of the encoding's own documentation, and any number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.export.prometheus import wire


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (2**64 - 1, "ff" * 9 + "01")]
)
def test_varint(value: int, expected: str) -> None:
    """Seven bits a byte, the lowest first."""
    assert wire.varint(value).hex() == expected


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (-1, 1), (1, 2), (-2, 3), (2**63 - 1, 2**64 - 2), (-(2**63), 2**64 - 1)])
def test_zigzag(value: int, expected: int) -> None:
    """Signs alternate."""
    assert wire.zigzag(value) == wire.varint(expected)


def test_fields() -> None:
    """A field is its number and its kind, then its value."""
    assert wire.text(2, "testing").hex() == "120774657374696e67"
    assert wire.message(3, wire.key(1, wire.VARINT) + wire.varint(150)).hex() == "1a03089601"
    assert wire.double(1, 1.0).hex() == "09000000000000f03f"
    assert wire.message(16, b"").hex() == "820100"


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_any_varint(value: int) -> None:
    """Read back, it is the number."""
    own = wire.varint(value)

    assert sum((byte & 0x7F) << 7 * group for group, byte in enumerate(own)) == value
    assert all(byte >= 0x80 for byte in own[:-1])
    assert own[-1] < 0x80
