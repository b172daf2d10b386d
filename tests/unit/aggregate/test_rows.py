"""aggregate/rows.py: rows of counters in one block."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from perflens.aggregate.rows import Rows


def test_new_row_is_zero() -> None:
    """A row that is taken holds zeros, also when it was used before."""
    rows = Rows(3)
    row = rows.take()
    rows.data[row * 3 : row * 3 + 3] = type(rows.data)("Q", [1, 2, 3])
    assert rows.count(row) == 1
    rows.give(row)

    assert rows.take() == row
    assert rows.data[row * 3 : row * 3 + 3].tolist() == [0, 0, 0]


def test_total_is_the_sum_of_first_counters() -> None:
    """The total reads one counter of each row."""
    rows = Rows(2)
    for number in (5, 7, 11):
        row = rows.take()
        rows.data[2 * row], rows.data[2 * row + 1] = number, 1000

    assert rows.total() == 23


def test_rows_grow() -> None:
    """There is always another row, and those taken before keep their place and their counts."""
    rows = Rows(2)
    taken = [rows.take() for _ in range(200)]
    for row in taken:
        rows.data[2 * row] = row + 1
    rows.take()

    assert sorted(taken) == list(range(200))
    assert [rows.count(row) for row in taken] == [row + 1 for row in taken]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3), max_size=200))
def test_no_row_belongs_to_two(actions: list[int]) -> None:
    """Whatever is taken and given, no row is held twice."""
    rows, held = Rows(1), list[int]()
    for action in actions:
        if action == 0 and held:
            rows.give(held.pop(len(held) // 2))
        else:
            held.append(rows.take())
            assert rows.count(held[-1]) == 0
            rows.data[held[-1]] = 1

    assert len(set(held)) == len(held)
    assert rows.total() == len(held)
