"""config/durations.py: ``1h30m`` and its nanoseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.config.durations import formatted, nanoseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5ms", 5_000_000),
        ("250us", 250_000),
        ("10s", 10**10),
        ("1.5s", 1_500_000_000),
        ("0.1ms", 100_000),
        ("1h30m", 5_400 * 10**9),
        ("1m1ms", 60_001_000_000),
        ("1ns", 1),
        ("0s", 0),
        ("1.5ns", None),
        ("", None),
        ("5", None),
        ("ms", None),
        ("5 ms", None),
        ("5MS", None),
        ("-5ms", None),
        ("+5ms", None),
        (".5s", None),
        ("5.s", None),
        ("1e3s", None),
        ("1_0s", None),
        ("1m1h", None),
        ("1s1s", None),
        ("nan", None),
        ("infs", None),
        ("\u0665ms", None),
        ("9" * 19 + "s", None),
        ("5ms\n", None),
    ],
)
def test_nanoseconds(text: str, expected: int | None) -> None:
    """A duration is exact, in descending units, and never without one."""
    assert nanoseconds(text) == expected


@given(st.integers(0, 10**18))
def test_round_trip(duration: int) -> None:
    """What is formatted is read back."""
    assert nanoseconds(formatted(duration)) == duration


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """No text is more than refused."""
    assert nanoseconds(text) is None or text
