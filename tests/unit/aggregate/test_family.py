"""aggregate/family.py: from cells to series and back to the kernel."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perflens.aggregate.family import Family
from perflens.aggregate.series import SeriesTable
from perflens.decode.cells import cell_info_decoder
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, OTHER, SLOW_WIDTH, CellKey, SeriesKey
from perflens.probe import Histogram, Probe, Total
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

THRESHOLD = 5_000_000
RESERVED = 8  # `other` cells, one for each operation there could be, in each part
DECODE = cell_info_decoder(object_types(object_path("file", inspect().machine)).struct("cell_info"))
PARTS = replace(
    PROBE,
    parts=(
        Histogram("queue_seconds", help="Waits.", object_label="disk"),
        Histogram("device_seconds", help="Works.", object_label="disk"),
        Total("bytes_total", help="Moved.", object_label="disk"),
    ),
    counted=1,
)


class Own:
    """A family over cells of this test; owners are named by their tens, so that 71 and 72 share a series."""

    def __init__(self, cells: int = 32, limit: int = 100, has_owner: bool = True, probe: Probe = PROBE) -> None:
        self.cells = FakeCells("file", probe, cells=cells, threshold=THRESHOLD)
        self.has_owner = has_owner
        self.named: list[int] = []
        self.family = Family(
            self.cells,
            self.name,
            self.is_named,
            limit=limit,
            has_owner=has_owner,
            counted=probe.counted,
        )

    def is_named(self, cell: int) -> bool:
        return DECODE(self.cells.info(cell)).complete

    def name(self, cell: int, key: CellKey) -> SeriesKey:
        operation = self.cells.operations[key.operation]
        if not key.owner:
            return SeriesKey(operation, OTHER, OTHER if self.has_owner else "", key.part)
        self.named.append(key.owner)
        name = DECODE(self.cells.info(cell)).object_name
        return SeriesKey(operation, name, f"unit{key.owner // 10}" if self.has_owner else "", key.part)

    def counts(self) -> dict[SeriesKey, tuple[int, int]]:
        """Count and sum in ns of each series that has any."""
        return values(self.family.histograms, HISTOGRAM_WIDTH)

    def slow(self) -> dict[SeriesKey, tuple[int, int]]:
        return values(self.family.slow, SLOW_WIDTH + len(self.cells.wait_reasons))

    def waits(self) -> dict[SeriesKey, dict[str, int]]:
        """Time off the CPU in ns by reason, of each series that has any."""
        reasons, table = self.cells.wait_reasons, self.family.slow
        width = SLOW_WIDTH + len(reasons)
        rows = {key: table.data[row * width + SLOW_WIDTH : (row + 1) * width] for key, row in table}
        found = {key: {reason: ns for reason, ns in zip(reasons, row, strict=True) if ns} for key, row in rows.items()}
        return {key: own for key, own in found.items() if own}


def values(table: SeriesTable, width: int) -> dict[SeriesKey, tuple[int, int]]:
    found = {key: (table.data[row * width], table.data[row * width + 1]) for key, row in table}
    return {key: value for key, value in found.items() if value != (0, 0)}


def test_operations_land_in_their_series() -> None:
    """Operations are told apart by operation, object and owner; owners of one name share a series."""
    own = Own()
    own.cells.record(71, "ext4", 0, 1_000)
    own.cells.record(71, "xfs", 0, 10_000)
    own.cells.record(72, "ext4", 0, 2_000)
    own.cells.record(81, "ext4", 1, 5_000_000)
    own.family.harvest()

    assert own.counts() == {
        SeriesKey("read", "ext4", "unit7"): (2, 3_000),
        SeriesKey("read", "xfs", "unit7"): (1, 10_000),
        SeriesKey("write", "ext4", "unit8"): (1, 5_000_000),
    }
    assert own.slow() == {SeriesKey("write", "", "unit8"): (1, 5_000_000)}
    assert own.family.counts() == (4, 0)


def test_first_harvest_counts_what_it_binds() -> None:
    """A cell that is seen for the first time is bound and counted in the same harvest."""
    own = Own()
    own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()

    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (2, 2_000)}


def test_threshold_is_inclusive() -> None:
    """An operation that took exactly the threshold is slow."""
    own = Own()
    for ns in (THRESHOLD - 1, THRESHOLD, THRESHOLD + 1):
        own.cells.record(71, "ext4", 0, ns)
    own.family.harvest()

    assert own.slow() == {SeriesKey("read", "", "unit7"): (2, 2 * THRESHOLD + 1)}


def test_slow_operations_of_several_objects_are_one_series() -> None:
    """Slow operations are not told apart by object."""
    own = Own()
    for name in ("ext4", "xfs", "nfs"):
        own.cells.record(71, name, 0, THRESHOLD)
    own.family.harvest()

    assert own.slow() == {SeriesKey("read", "", "unit7"): (3, 3 * THRESHOLD)}


def test_waits_of_every_operation() -> None:
    """Time off the CPU is that of all operations, slow or not, of all objects; shards, cells and owners of one name are added up."""
    own = Own()
    ext4 = own.cells.record(71, "ext4", 0, 1_000)
    xfs = own.cells.record(72, "xfs", 0, 1_000)
    write = own.cells.record(71, "ext4", 1, THRESHOLD)
    for cell, reason, ns in ((ext4, "block_io", 3), (xfs, "block_io", 4), (xfs, "unattributed", 2**40), (write, "unclassified", 9)):
        own.cells.wait(cell, reason, ns)
    own.family.harvest()
    own.cells.wait(ext4, "runqueue", 5)
    own.family.harvest()

    assert own.waits() == {
        SeriesKey("read", "", "unit7"): {"block_io": 7, "runqueue": 5, "unattributed": 2**40},
        SeriesKey("write", "", "unit7"): {"unclassified": 9},
    }
    assert own.slow() == {SeriesKey("write", "", "unit7"): (1, THRESHOLD)}


def test_waits_above_the_cap() -> None:
    """Time off the CPU of operations without a series or a cell of their own is that of `other`."""
    own = Own(limit=1, cells=RESERVED + 2)
    for number, owner in enumerate((71, 81, 91)):
        own.cells.wait(own.cells.record(owner, "ext4", 0, 1_000), "journal", 10**number)
    own.family.harvest()

    assert own.waits() == {SeriesKey("read", "", "unit7"): {"journal": 1}, SeriesKey("read", "", OTHER): {"journal": 110}}


def test_waits_of_a_cell_that_is_bound_anew() -> None:
    """A cell that goes to another owner takes no time of the last one with it."""
    own = Own(cells=RESERVED + 1)
    cell = own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.cells.wait(cell, "lock", 7)
    own.family.kill([71], now=0.0)
    own.family.harvest()
    own.family.harvest()
    own.family.recycle(now=5.0)
    own.cells.wait(own.cells.record(99, "xfs", 0, 1_000), "lock", 11)
    own.family.harvest()

    assert own.waits() == {SeriesKey("read", "", "unit7"): {"lock": 7}, SeriesKey("read", "", "unit9"): {"lock": 11}}


def test_no_free_cell() -> None:
    """Operations without a cell are in the `other` series, none is lost."""
    own = Own(cells=RESERVED + 1)
    for owner in (71, 81, 91):
        own.cells.record(owner, "ext4", 0, 1_000)
    own.family.harvest()

    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (1, 1_000), SeriesKey("read", OTHER, OTHER): (2, 2_000)}
    assert own.family.counts() == (1, 2)


def test_cap_folds_into_other() -> None:
    """Above the cap histograms and slow operations are counted as `other`."""
    own = Own(limit=1)
    for owner in (71, 81, 91):
        own.cells.record(owner, "ext4", 0, THRESHOLD)
    own.family.harvest()

    assert sorted(own.counts().values()) == [(1, THRESHOLD), (2, 2 * THRESHOLD)]
    assert own.counts()[SeriesKey("read", OTHER, OTHER)] == (2, 2 * THRESHOLD)
    assert own.slow()[SeriesKey("read", "", OTHER)] == (2, 2 * THRESHOLD)
    assert own.family.histograms.dropped == 2


def test_without_owners() -> None:
    """At level node owners are added up, and the `other` series has no owner either."""
    own = Own(cells=RESERVED + 2, has_owner=False)
    for owner in (71, 81, 91):
        own.cells.record(owner, "ext4", 0, THRESHOLD)
    own.family.harvest()

    assert own.counts() == {SeriesKey("read", "ext4", ""): (2, 2 * THRESHOLD), SeriesKey("read", OTHER, ""): (1, THRESHOLD)}
    assert own.slow() == {SeriesKey("read", "", ""): (3, 3 * THRESHOLD)}


def test_parts_are_series_of_their_own() -> None:
    """Each part of an operation has its series; the ledger, the owners and what is slow follow from the part that has each once."""
    own = Own(probe=PARTS)
    for part, ns in ((0, 2 * THRESHOLD), (1, 3_000), (2, 4_096)):
        own.cells.record(71, "sda", 0, ns, part=part)
    own.cells.record(71, "sda", 0, THRESHOLD)
    own.family.harvest()

    assert own.counts() == {
        SeriesKey("read", "sda", "unit7", 0): (1, 2 * THRESHOLD),
        SeriesKey("read", "sda", "unit7", 1): (2, THRESHOLD + 3_000),
        SeriesKey("read", "sda", "unit7", 2): (1, 4_096),
    }
    assert own.slow() == {SeriesKey("read", "", "unit7"): (1, THRESHOLD)}
    assert own.family.counts() == (2, 0)
    assert own.family.operations_by_owner() == {"unit7": 2, OTHER: 0}


def test_other_cells_of_parts() -> None:
    """Without a free cell each part is counted in the `other` cell of its own operation."""
    own = Own(cells=3 * RESERVED + 1, probe=PARTS)
    for owner in (71, 81):
        for part in range(3):
            own.cells.record(owner, "sda", 1, 10 + part, part=part)
    own.family.harvest()

    assert own.counts() == {
        SeriesKey("write", "sda", "unit7", 0): (1, 10),
        SeriesKey("write", OTHER, OTHER, 0): (1, 10),
        SeriesKey("write", OTHER, OTHER, 1): (2, 22),
        SeriesKey("write", OTHER, OTHER, 2): (2, 24),
    }
    assert own.family.counts() == (0, 2)
    assert own.cells.usable == 1 + 3 * len(own.cells.operations)


def test_cap_of_parts() -> None:
    """Each metric of a family has as many series as a metric may have, and no more where another has fewer."""
    own = Own(cells=64, limit=2, probe=PARTS)
    for owner in (71, 81, 91):
        for part in range(3 if owner == 71 else 2):
            own.cells.record(owner, "sda", 0, 10, part=part)
    own.family.harvest()

    assert Counter(key.part for key in own.counts() if key.owner != OTHER) == {0: 2, 1: 2, 2: 1}
    assert sum(count for count, _ in own.counts().values()) == 7


def test_cells_that_know_their_owner_are_bound_first() -> None:
    """A cell that was claimed where nobody could tell the path is bound after those that can."""
    own = Own()
    own.cells.record(71, "ext4", 0, 10, complete=False)
    own.cells.record(81, "ext4", 0, 10)
    own.cells.record(91, "ext4", 0, 10, complete=False)
    own.cells.record(72, "ext4", 0, 10)
    own.family.harvest()

    assert own.named == [81, 72, 71, 91]


def recycled(own: Own, harvests: int, seconds: float) -> bool:
    """Whether the cell of owner 71 is given back after so many harvests and seconds."""
    own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.family.kill([71], now=100.0)
    for _ in range(harvests):
        own.family.harvest()
    own.family.recycle(now=100.0 + seconds)
    return not own.family.is_recycling


@pytest.mark.parametrize(
    ("harvests", "seconds", "expected"),
    [(0, 60.0, False), (1, 60.0, False), (2, 4.9, False), (50, 4.9, False), (2, 5.0, True), (9, 60.0, True)],
)
def test_grace(harvests: int, seconds: float, expected: bool) -> None:
    """A killed cell goes back after two harvests and five seconds, whichever is later."""
    assert recycled(Own(), harvests, seconds) is expected


def test_life_of_a_cell() -> None:
    """A cell is bound, killed, harvested until the grace is over, given back, and bound to other labels; no count moves with it."""
    own = Own(cells=RESERVED + 1)
    cell = own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    assert own.family.has_cells(71)
    own.cells.record(71, "ext4", 0, 2_000)
    own.family.kill([71], now=0.0)
    assert own.family.has_cells(71)
    own.family.harvest()
    own.family.harvest()
    own.family.recycle(now=5.0)
    assert not own.family.is_recycling
    assert not own.family.has_cells(71)
    assert own.cells.record(99, "xfs", 0, 4_000) == cell
    own.family.harvest()

    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (2, 3_000), SeriesKey("read", "xfs", "unit9"): (1, 4_000)}
    own.family.expire(before=100.0)
    assert own.counts() == {SeriesKey("read", "xfs", "unit9"): (1, 4_000)}
    assert own.family.counts() == (3, 0)


def test_operations_during_the_grace() -> None:
    """An owner that is not dead after all gets a new cell of the same series."""
    own = Own()
    first = own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.family.kill([71], now=0.0)
    second = own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.family.harvest()
    own.family.recycle(now=5.0)
    own.family.expire(before=1_000.0)

    assert first != second
    assert own.family.has_cells(71)
    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (2, 2_000)}


def test_an_object_that_has_another_name_now() -> None:
    """Its cells are given back, of all owners, so that what comes after is counted under its own name; no count moves with them."""
    own = Own()
    disk, other = [own.cells.record(71, name, 0, 1_000) for name in ("nvme1n1", "nvme2n1")]
    own.cells.record(81, "nvme1n1", 0, 1_000)
    own.family.harvest()
    names = {own.cells.key(disk).object: "nvme3n1", own.cells.key(other).object: "nvme2n1"}
    own.cells._objects["nvme3n1"] = own.cells.key(disk).object
    own.family.kill_renamed(lambda number: names[number], now=0.0)
    own.cells.record(71, "nvme3n1", 0, 10_000)
    own.cells.record(71, "nvme2n1", 0, 1_000)
    for _ in range(2):
        own.family.harvest()
    own.family.recycle(now=5.0)
    own.family.kill_renamed(lambda number: names[number], now=5.0)

    assert own.counts() == {
        SeriesKey("read", "nvme1n1", "unit7"): (1, 1_000),
        SeriesKey("read", "nvme1n1", "unit8"): (1, 1_000),
        SeriesKey("read", "nvme2n1", "unit7"): (2, 2_000),
        SeriesKey("read", "nvme3n1", "unit7"): (1, 10_000),
    }
    assert own.family.cells_used == 5 + 2  # those of `other`, nvme2n1 and nvme3n1
    assert not own.family.is_recycling


@pytest.mark.parametrize("name", ["", "disk"])
def test_an_object_whose_name_is_what_it_was(name: str) -> None:
    """One that nobody knows the name of now, and one that has the same, stay as they are; so does what is folded into `other`."""
    own = Own(limit=1)
    for owner in (71, 81):
        own.cells.record(owner, "disk", 0, 1_000)
    own.family.harvest()
    own.family.kill_renamed(lambda _: name, now=0.0)

    assert not own.family.is_recycling


def test_cells_used() -> None:
    """Bound and dying cells are in use, `other` cells too."""
    own = Own()
    assert own.family.cells_used == 0
    own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    assert own.family.cells_used == 6
    own.family.kill([71], now=0.0)
    assert own.family.cells_used == 6
    own.family.harvest()
    own.family.harvest()
    own.family.recycle(now=5.0)
    assert own.family.cells_used == 5


def test_killing_who_has_no_cell() -> None:
    """An owner without a cell is killed without effect; so is owner 0, that of the `other` cells."""
    own = Own()
    own.family.harvest()
    own.family.kill([0, 12345], now=0.0)

    assert not own.family.is_recycling


class Life(RuleBasedStateMachine):
    """Any order of operations, harvests, deaths, waiting and expiry, with few cells and few series."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Own(cells=RESERVED + 4, limit=3)
        self.now = 0.0
        self.recorded: Counter[str] = Counter()
        self.time: Counter[str] = Counter()
        self.slow: Counter[str] = Counter()
        self.retired: Counter[str] = Counter()
        self.seen: dict[SeriesKey, tuple[int, ...]] = {}
        self.is_harvested = True

    @rule(
        owner=st.sampled_from([11, 12, 21, 31, 41, 51]),
        fs=st.sampled_from(["ext4", "xfs"]),
        operation=st.integers(0, 4),
        ns=st.sampled_from([0, 953, 954, 1_000_000, THRESHOLD, 2**42, 2**43]),
    )
    def record(self, owner: int, fs: str, operation: int, ns: int) -> None:
        label = self.own.cells.operations[operation]
        self.own.cells.record(owner, fs, operation, ns)
        self.recorded[label] += 1
        self.time[label] += ns
        self.slow[label] += ns >= THRESHOLD
        self.is_harvested = False

    @rule()
    def harvest(self) -> None:
        self.own.family.harvest()
        self.is_harvested = True

    @rule(owner=st.sampled_from([11, 12, 21, 31, 41, 51]))
    def kill(self, owner: int) -> None:
        self.own.family.kill([owner], self.now)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.is_harvested)  # as the agent does
    @rule()
    def recycle(self) -> None:
        self.own.family.recycle(self.now)

    @rule()
    def expire(self) -> None:
        before = self.own.counts()
        self.own.family.expire(self.now - 10.0)
        after = self.own.counts()
        for key in before.keys() - after.keys():
            self.retired["count " + key.operation] += before[key][0]
            self.retired["sum " + key.operation] += before[key][1]
            del self.seen[key]

    @invariant()
    def no_series_falls(self) -> None:
        """Every counter of a series that is exposed stays or rises."""
        table = self.own.family.histograms
        for key, row in table:
            now = tuple(table.data[row * HISTOGRAM_WIDTH : (row + 1) * HISTOGRAM_WIDTH])
            assert all(new >= old for new, old in zip(now, self.seen.get(key, now), strict=True))
            assert now[0] == sum(now[2:131]) == sum(now[131:])
            if now[0]:
                self.seen[key] = now

    @invariant()
    def nothing_is_lost(self) -> None:
        """After a harvest the series and those that expired are all that was recorded."""
        if not self.is_harvested:
            return
        counts, times = Counter[str](), Counter[str]()
        for key, (count, total) in self.own.counts().items():
            counts[key.operation] += count
            times[key.operation] += total
        for operation in self.own.cells.operations.values():
            assert counts[operation] + self.retired["count " + operation] == self.recorded[operation]
            assert times[operation] + self.retired["sum " + operation] == self.time[operation]
        assert sum(self.own.family.counts()) == self.recorded.total()

    @invariant()
    def cap_holds(self) -> None:
        """There are never more named series than the cap, nor two of one row."""
        named = [key for key, _ in self.own.family.histograms if key.owner != OTHER]
        rows = [row for _, row in self.own.family.histograms]
        assert len(named) <= 3
        assert len(set(rows)) == len(rows)

    @invariant()
    def cells_are_accounted_for(self) -> None:
        """Every cell is free, or in use by a key of its own."""
        keys = [self.own.cells.key(index) for index in range(RESERVED, self.own.cells.capacity)]
        assert len(self.own.cells._fake.free) + len(self.own.cells._fake.index) <= len(keys)


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=60, stateful_step_count=60)


class Waiting(Own):
    """A family whose owners get their names when the test says so."""

    names: frozenset[int] = frozenset()

    def name(self, cell: int, key: CellKey) -> SeriesKey | None:  # type: ignore[override]
        return super().name(cell, key) if not key.owner or key.owner in self.names else None


def test_a_cell_without_labels_is_held() -> None:
    """What a cell counts while its labels are not known is in its series once they are."""
    own = Waiting()
    for _ in range(3):
        own.cells.record(71, "ext4", 0, 1_000)
        own.family.harvest()
    assert (own.counts(), own.family.is_holding, own.family.has_cells(71)) == ({}, True, True)
    own.names = frozenset({71})
    own.family.harvest()

    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (3, 3_000)}
    assert (own.family.is_holding, own.family.has_cells(71), own.family.counts()) == (False, True, (3, 0))


def test_a_held_cell_of_an_owner_that_is_gone() -> None:
    """It is bound when the name comes, though the owner is gone, and given back after that."""
    own = Waiting()
    own.cells.record(71, "ext4", 0, 1_000)
    own.family.harvest()
    own.family.kill([71], 0.0)
    assert own.family.has_cells(71)
    own.names = frozenset({71})
    own.family.harvest()
    own.family.kill([71], 2.0)
    for now in (4.0, 6.0, 8.0):
        own.family.harvest()
        own.family.recycle(now)

    assert own.counts() == {SeriesKey("read", "ext4", "unit7"): (1, 1_000)}
    assert not own.family.has_cells(71)
