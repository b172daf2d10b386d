"""aggregate/series.py: the cap, the `other` series and expiry."""

from __future__ import annotations

import pytest

from perflens.aggregate.series import SeriesTable
from perflens.model import OTHER, SeriesKey


def fold(key: SeriesKey) -> SeriesKey:
    return SeriesKey(key.operation, OTHER, OTHER)


def key(owner: str, operation: str = "read") -> SeriesKey:
    return SeriesKey(operation, "ext4", owner)


@pytest.fixture
def table() -> SeriesTable:
    return SeriesTable(2, 3, fold)


def add(table: SeriesTable, own: SeriesKey, count: int) -> None:
    table.data[table.row(own) * 2] += count


def test_cells_of_one_key_share_a_series(table: SeriesTable) -> None:
    """Binding the same labels twice gives the same row."""
    assert table.bind(key("a")) == table.bind(key("a")) == key("a")
    assert list(table) == [(key("a"), table.row(key("a")))]


def test_rows_differ(table: SeriesTable) -> None:
    """Each series has its own row."""
    for owner in "abc":
        table.bind(key(owner))

    assert len({row for _, row in table}) == 3


def test_cap(table: SeriesTable) -> None:
    """What is above the limit is bound to the `other` series of its operation, and counted."""
    for owner in "abc":
        table.bind(key(owner))

    assert table.bind(key("d")) == fold(key("d"))
    assert table.bind(key("e", "write")) == SeriesKey("write", OTHER, OTHER)
    assert table.bind(key("a")) == key("a")
    assert (table.dropped, len(table)) == (2, 5)


def test_other_series_do_not_count_for_the_cap(table: SeriesTable) -> None:
    """`other` series take no place of a named one."""
    for operation in ("read", "write", "fsync", "copy"):
        table.bind(fold(key("", operation)))
    for owner in "abc":
        assert table.bind(key(owner)) == key(owner)

    assert table.dropped == 0


def test_expiry(table: SeriesTable) -> None:
    """A series goes when it has had no cell for long enough, and its operations stay counted."""
    for owner in "ab":
        table.bind(key(owner))
        add(table, key(owner), 5)
    table.unbind(key("a"), now=100.0)

    assert table.expire(before=100.0) == 0
    assert table.expire(before=100.1) == 1
    assert [own for own, _ in table] == [key("b")]
    assert table.counts() == (10, 0)


def test_series_with_a_cell_does_not_expire(table: SeriesTable) -> None:
    """One cell of several is enough, and a new one starts over."""
    table.bind(key("a"))
    table.bind(key("a"))
    table.unbind(key("a"), now=1.0)
    assert table.expire(before=1000.0) == 0
    table.unbind(key("a"), now=2.0)
    table.bind(key("a"))
    assert table.expire(before=1000.0) == 0
    table.unbind(key("a"), now=3.0)
    assert table.expire(before=2.5) == 0
    assert table.expire(before=1000.0) == 1


def test_other_series_never_expires(table: SeriesTable) -> None:
    """`other` stays, since it may have had operations of anyone."""
    table.bind(fold(key("")))
    table.unbind(fold(key("")), now=1.0)

    assert table.expire(before=1000.0) == 0
    assert len(table) == 1


def test_expired_series_makes_room(table: SeriesTable) -> None:
    """After expiry another owner can be named, in a row of zeros."""
    for owner in "abc":
        table.bind(key(owner))
        add(table, key(owner), 9)
    table.unbind(key("a"), now=1.0)
    table.expire(before=2.0)

    assert table.bind(key("d")) == key("d")
    assert table.data[table.row(key("d")) * 2] == 0
    assert table.counts() == (27, 0)


def test_counts(table: SeriesTable) -> None:
    """Operations in named series and those in `other` series are told apart."""
    for owner in "abcd":
        add(table, table.bind(key(owner)), 7)

    assert table.counts() == (21, 7)


def test_table_without_owners_has_no_cap() -> None:
    """Where every key is its own `other`, nothing is dropped and nothing expires."""
    table = SeriesTable(2, 1, lambda key: key)
    for operation in ("read", "write", "fsync"):
        table.bind(SeriesKey(operation, "", ""))
        table.unbind(SeriesKey(operation, "", ""), now=0.0)

    assert (len(table), table.dropped, table.expire(before=10.0)) == (3, 0, 0)


def test_created() -> None:
    """A series knows since when it counts; one that comes back after it expired begins anew."""
    now = [10.0]
    table = SeriesTable(2, 3, fold, clock=lambda: now[0])
    table.bind(key("a"))
    now[0] = 20.0
    table.bind(key("a"))
    table.bind(key("b"))

    assert (table.created(key("a")), table.created(key("b"))) == (10.0, 20.0)

    for _ in range(2):
        table.unbind(key("a"), now=1.0)
    table.expire(before=2.0)
    table.bind(key("a"))
    assert table.created(key("a")) == 20.0


def test_members(table: SeriesTable) -> None:
    """A table knows its series, and how long their rows are."""
    table.bind(key("a"))

    assert (key("a") in table, key("b") in table, table.width) == (True, False, 2)


def test_parts_are_counted_by_themselves() -> None:
    """The series, the operations and what was dropped or expired are told by part; the sums are of all."""
    table = SeriesTable(2, 2, lambda key: SeriesKey(key.operation, OTHER, OTHER, key.part))
    for own, count in ((key("a"), 1), (key("b"), 2), (key("a")._replace(part=2), 4), (key("b")._replace(part=2), 16)):
        add(table, table.bind(own), count)
    folded = table.bind(key("c")._replace(part=2))
    add(table, folded, 8)
    table.unbind(key("b"), 1.0)
    table.expire(2.0)

    assert folded == SeriesKey("read", OTHER, OTHER, 2)
    assert [table.counts(part) for part in range(3)] == [(3, 0), (0, 0), (20, 8)]
    assert [table.tally(part) for part in range(3)] == [(1, 0, 1), (0, 0, 0), (3, 1, 0)]
    assert (table.dropped, table.expired, table.total(0)) == (1, 1, 31)
    assert table.bind(key("c")) == key("c")
