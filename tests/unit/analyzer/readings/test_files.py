"""readings/files.py: bounded reading, and words as numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflens.analyzer.readings.files import LONGEST, number, pairs, read, whole


def test_read(tmp_path: Path) -> None:
    """A file is read whole; what is missing, a folder or no path at all is None."""
    (tmp_path / "a").write_bytes(b"x" * 200_000)

    assert read(str(tmp_path / "a")) == b"x" * 200_000
    assert read(str(tmp_path / "b")) is None
    assert read(str(tmp_path)) is None
    assert read("a\0b") is None


def test_long_file_is_cut_at_a_line(tmp_path: Path) -> None:
    """Of a file beyond the bound the whole lines are left."""
    (tmp_path / "a").write_bytes(b"0123456789\n" * (LONGEST // 11 + 10))

    assert read(str(tmp_path / "a")) == b"0123456789\n" * (LONGEST // 11)


@pytest.mark.parametrize(
    ("word", "number"), [(b"0", 0), (b"18446744073709551615", (1 << 64) - 1), (b"-1", None), (b"", None), (b"9" * 21, None)]
)
def test_whole(word: bytes, number: int | None) -> None:
    """A number has digits alone, twenty at most."""
    assert whole(word) == number


def test_pairs() -> None:
    """Lines that are no key and number are passed over."""
    assert list(pairs(b"a 1\nb\nc x\nd 4 5\ne 6")) == [(b"a", 1), (b"e", 6)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"a 1\nb 2", 1), (b"b 2\na 1\n", 1), (b"aa 3\nb a 4\na 1", 1), (b"a x\na 1", None), (b"a1 1", None), (b"ba 2", None), (b"", None)],
)
def test_number(text: bytes, expected: int | None) -> None:
    """A key stands at the begin of a line, and its number is the rest of it."""
    assert number(text, b"a") == expected
