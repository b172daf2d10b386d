"""The process probe, from what the kernel records to the counts that its metrics show."""

from __future__ import annotations

import pytest

from perflens.aggregate.family import Family
from perflens.kernel.attached import Sizes
from perflens.model import CellKey, SeriesKey
from perflens.probes.process import PROBE
from perflens.testing import FakeCells

FORK, EXEC, EXIT = range(3)


@pytest.fixture
def cells() -> FakeCells:
    """Cells in this process's memory, laid out as the compiled object says."""
    return FakeCells("process", PROBE, threshold=1)


@pytest.fixture
def family(cells: FakeCells) -> Family:
    """The accumulators over these cells."""

    def name(_: int, key: CellKey) -> SeriesKey:
        return SeriesKey(cells.operations[key.operation], "", f"owner {key.owner}" if key.owner else "other")

    return Family(cells, name, limit=100, has_owner=True)


def counts(family: Family) -> dict[tuple[str, str], int]:
    family.harvest()
    return {(key.operation, key.owner): count for key, count in family.histograms.items() if count}


def test_operations_are_counted_by_owner(cells: FakeCells, family: Family) -> None:
    """Each operation of each owner by itself, across harvests."""
    for owner, operation, times in ((77, FORK, 3), (77, EXEC, 2), (88, FORK, 5), (88, EXIT, 1)):
        for _ in range(times):
            cells.record(owner, "", operation, 0)
    first = counts(family)
    cells.record(77, "", FORK, 0)

    assert first == {("fork", "owner 77"): 3, ("exec", "owner 77"): 2, ("fork", "owner 88"): 5, ("exit", "owner 88"): 1}
    assert counts(family) == {**first, ("fork", "owner 77"): 4}


def test_nothing_is_slow(cells: FakeCells, family: Family) -> None:
    """An operation without a duration reaches no threshold."""
    for _ in range(9):
        cells.record(77, "", FORK, 0)

    assert counts(family) == {("fork", "owner 77"): 9}
    assert family.slow.total(0) == 0
    assert not PROBE.has_durations


def test_an_owner_without_a_cell_is_counted_as_other(cells: FakeCells, family: Family) -> None:
    """No count is lost when the cells are used up."""
    for owner in range(1, cells.capacity + 1):
        cells.record(owner, "", FORK, 0)
    found = counts(family)

    assert sum(found.values()) == cells.capacity
    assert found["fork", "other"] == cells.counters()["no_cell"] > 0


def test_every_operation_has_its_counter(cells: FakeCells) -> None:
    """Each counter counts an operation of the C enum."""
    assert {*PROBE.counters} == {*cells.operations.values()}
    assert PROBE.metrics == ("processes_forked_total", "processes_executed_total", "processes_exited_total")


@pytest.mark.parametrize(("cells_", "expected"), [(4_096, 1_024), (100, 100)])
def test_it_takes_no_more_than_it_declares(cells_: int, expected: int) -> None:
    """Operations that do not last need one slot, and their cells and their ring are few."""
    assert Sizes(cells_, 65_536, 8).fit(PROBE) == Sizes(expected, 1, 2, ring=1 << 20)
