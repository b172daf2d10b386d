"""analyzer/llm/numbers.py: numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.llm.numbers import is_of, numbers_in, significant, times, written
from tests.unit.analyzer.llm.bundles import fact


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0482, "s", "48.2 ms"),
        (0.0013, "s", "1.30 ms"),
        (38.2, "s", "38.2 s"),
        (0.99996, "s", "1.00 s"),
        (4.2e-5, "s", "42.0 us"),
        (3e-9, "s", "3.00 ns"),
        (0.0, "s", "0 ns"),
        (-0.5, "s", "-500 ms"),
        (1.234e8, "B/s", "123 MB/s"),
        (512, "B/s", "512 B/s"),
        (2.5e8, "B", "250 MB"),
        (0.813, "ratio", "81.3 %"),
        (1.0, "ratio", "100 %"),
        (12345, "1/s", "12300 /s"),
        (0.12, "s/s", "120 ms/s"),
        (7.0, "1", "7.00"),
        (7.0, "pages", "7.00 pages"),
        (7.0, "<b>", "7.00"),
    ],
)
def test_written(value: float, unit: str, expected: str) -> None:
    assert written(value, unit) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"), [(37.1, "x37"), (1.0, "x1.0"), (0.447, "x0.45"), (1234.0, "x1230"), (99.96, "x100"), (2.95, "x3.0")]
)
def test_times(ratio: float, expected: str) -> None:
    assert times(ratio) == expected


@given(st.floats(1e-9, 1e15))
def test_three_digits_are_enough(value: float) -> None:
    assert float(significant(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("48.2 ms", True),
        ("48.2ms", True),
        ("48.3 ms", True),
        ("48 ms", True),
        ("0.0482 s", True),
        ("0.048 seconds", True),
        ("48200 us", True),
        ("48,200 µs", True),
        ("1.30 ms", True),
        ("x37", True),
        ("37x", True),
        ("37 times", True),
        ("37.1-fold", True),
        ("48.2", True),
        ("37", True),
        ("48.4 ms", False),
        ("50 ms", False),
        ("48.2 s", False),
        ("48.2 %", False),
        ("48.2 MB/s", False),
        ("x40", False),
        ("-48.2 ms", False),
        ("8123", False),
        ("0.0482", False),
    ],
)
def test_is_of(text: str, expected: bool) -> None:
    """A number holds as the value, baseline or ratio in any unit of its kind, to one unit of its last digit."""
    [number], rest = numbers_in(f"it is {text} now")
    assert rest.split() == ["it", "is", "now"]
    assert is_of(number, [fact("E01")]) is expected


def test_rounded_numbers_hold_as_they_were_written() -> None:
    own = fact("E01", value=12_345.0, unit="1/s", baseline=1_000.0)
    [number], _ = numbers_in("12300 /s")
    assert is_of(number, [own])


@pytest.mark.parametrize("text", ["p99", "E01", "D1", "ext4", "1e9", "1.2.3.4", "٤٨"])
def test_no_number(text: str) -> None:
    """What is left of a text shows that it has digits that were not read."""
    _, rest = numbers_in(text)
    assert any(char.isdigit() for char in rest)
