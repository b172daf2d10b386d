"""tui/units.py, bars.py, heat.py and lines.py: values as text, exactly."""

from __future__ import annotations

import pytest

from perflens.tui import bars, heat, units
from perflens.tui.lines import Column, cells, cut, header, line, padded, plain, row, widths
from perflens.tui.text import width

COLUMNS = (Column("PID", 5, align=">"), Column("name", 6, most=10), Column("owner", 8, rank=1, most=20), Column("file", 10, rank=2))


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.50 µs"),
        (36_318_892, "36.3 ms"),
        (592_000_000, "592 ms"),
        (4_030_000_000, "4.03 s"),
        (59_990_000_000, "60.0 s"),
        (725_000_000_000, "12m05s"),
        (11_220_000_000_000, "3h07m"),
        (792_000_000_000_000, "9d04h"),
    ],
)
def test_durations(ns: int, text: str) -> None:
    """A duration takes at most seven cells and three digits."""
    assert units.duration(ns) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (99_999, "99999"), (100_000, "100k"), (1_250_000, "1.2M"), (5 * 10**12, "5000G")])
def test_counts(number: int, text: str) -> None:
    """A count takes at most six cells."""
    assert units.count(number) == text


@pytest.mark.parametrize(("value", "text"), [(0, "    "), (1, "▏   "), (50, "██  "), (100, "████"), (200, "████")])
def test_bars(value: int, text: str) -> None:
    """A bar has exactly its width, and what is not 0 is seen."""
    assert bars.bar(value, 100, 4) == text


def test_columns_of_seconds() -> None:
    """The greatest reaches the top, what is not 0 is seen, and 0 is not."""
    assert bars.columns([0, 1, 8, 16], 2) == ["   █", " ▁██"]
    assert bars.columns([0, 0], 2) == ["  ", "  "]
    assert bars.columns([], 1) == [""]


def test_seconds_are_summed_when_there_are_more_than_cells() -> None:
    """Neighbours are summed, the newest in whole groups, and nothing is lost."""
    assert bars.resampled([1, 2, 3, 4, 5], 2) == [3, 12]
    assert bars.resampled([1, 2], 5) == [1, 2]
    assert bars.resampled([1, 2], 0) == []


@pytest.mark.parametrize(
    ("ns", "octave"), [(0, -1), (999_999, -1), (1_000_000, 0), (1_999_999, 0), (2_000_000, 1), (8_000_000, 3), (10**12, 19)]
)
def test_octaves(ns: int, octave: int) -> None:
    """A duration is counted by the power of two of milliseconds below it."""
    assert heat.octave(ns) == octave


def test_heat_map() -> None:
    """Points are counted by time and octave, those outside of the window not at all, and shaded by how many there are."""
    points = [(9.5, 2_000_000)] * 8 + [(9.0, 2_500_000), (0.5, 1_000_000), (-1.0, 1_000_000), (11.0, 1_000_000)]
    counts = heat.counted(points, 10.0, 10, 5)

    assert counts == {(4, 1): 9, (0, 0): 1}
    assert [plain(own) for own in heat.rows(counts, (1, 0), 5)] == ["    █", "░    "]
    assert heat.rows(counts, (1,), 5) == [(("    ", ""), ("█", "heat4"))]


def test_shades() -> None:
    """Only none is blank, only the most is full."""
    assert [heat.level(count, 64) for count in (0, 1, 4, 16, 63, 64)] == [0, 1, 1, 2, 3, 4]
    assert heat.level(1, 1) == 4


@pytest.mark.parametrize(
    ("room", "shown"),
    [(12, (5, 6, 0, 0)), (20, (5, 10, 0, 0)), (21, (5, 6, 8, 0)), (33, (5, 6, 9, 10)), (60, (5, 10, 20, 10)), (4, (4, 0, 0, 0))],
)
def test_columns_of_a_table(room: int, shown: tuple[int, ...]) -> None:
    """What matters least goes first, and what is left goes to the columns that may become wider."""
    assert widths(COLUMNS, room) == shown


def test_rows_of_a_table() -> None:
    """A row stands below its titles, cell by cell, each with its style."""
    shown = widths(COLUMNS, 21)

    assert plain(header(COLUMNS, shown)) == "  PID name   owner   "
    assert row(COLUMNS, shown, ["7", ("日本語x", "slow"), "db", "f"]) == (
        ("    7", ""),
        (" ", ""),
        ("日本… ", "slow"),
        (" ", ""),
        ("db      ", ""),
    )


def test_lines_are_cut_and_filled() -> None:
    """A line takes exactly its width, whatever its spans."""
    own = line("ab", ("cdef", "bold"), "gh")

    assert cut(own, 4) == (("ab", ""), ("c…", "bold"))
    assert cut(own, 8) == own
    assert [plain(padded(own, room)) for room in (10, 3)] == ["abcdefgh  ", "ab…"]
    assert cells(padded(line("日本"), 3)) == 3
    assert width(plain(padded(own, 0))) == 0
