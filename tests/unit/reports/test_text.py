"""reports/text.py: text that is safe to print, durations and moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.reports.text import duration, moment, printable, shortened


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/table", "/data/table"),
        ("kø €", "kø €"),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\x0a"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Nothing that a terminal obeys or that cannot be seen is left."""
    assert printable(text) == expected


@given(st.text(), st.integers(2, 50))
def test_shortened(text: str, limit: int) -> None:
    """A text is no longer than it may be, and can be printed."""
    found = shortened(text, limit)
    assert len(found) <= limit
    assert found.isprintable()


def test_end_is_kept() -> None:
    """The leaf of a path tells more than its root."""
    assert shortened("/a/very/long/path", 6) == "…/path"


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0ns"),
        (999, "999ns"),
        (1_000, "1.00us"),
        (9_994, "9.99us"),
        (9_996, "10.0us"),
        (12_345_678, "12.3ms"),
        (99_960_000, "100ms"),
        (250_100_000, "250ms"),
        (1_234_000_000, "1.23s"),
        (4_096_000_000_000, "4096s"),
    ],
)
def test_duration(ns: int, expected: str) -> None:
    """Three digits, and a unit that suits the size."""
    assert duration(ns) == expected


@pytest.mark.parametrize(
    ("ns", "digits", "expected"),
    [
        (1_700_000_000_123_456_789, 3, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000_123_456_789, 9, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_999_999_999, 0, "2023-11-14T22:13:20Z"),
        (10**30, 3, str(10**30)),
    ],
)
def test_moment(ns: int, digits: int, expected: str) -> None:
    """Cut, never rounded up into a time that has not come; what is no time stays a number."""
    assert moment(ns, digits) == expected
