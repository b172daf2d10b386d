"""testing.py: the fakes do what the kernel side does."""

from __future__ import annotations

import os
import time

import pytest

from perflens.aggregate.family import Family
from perflens.decode.cells import cell_info_decoder
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import CellInfo, SeriesKey, bucket_bounds
from perflens.probes.file import PROBE
from perflens.testing import FakeCells

DECODE = cell_info_decoder(object_types(object_path("file", inspect().machine)).struct("cell_info"))


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("file", PROBE, cells=10)


def noted(cells: FakeCells, *path: str, complete: bool = True) -> CellInfo:
    return DECODE(cells.info(cells.record(77, "ext4", 0, 1, path=path, complete=complete)))


def test_same_key_has_one_cell(cells: FakeCells) -> None:
    """Owner, object and operation decide; the path does not."""
    first = cells.record(7, "ext4", 0, 1, path=("a",))

    assert cells.record(7, "ext4", 0, 2, path=("b",)) == first
    assert cells.record(7, "ext4", 1, 1) != first


def test_other_cell_when_all_are_taken(cells: FakeCells) -> None:
    """Without a free cell the operation's `other` cell is used, and counted."""
    taken = [cells.record(owner, "ext4", 3, 1) for owner in (1, 2, 3, 4)]

    assert taken == [8, 9, 3, 3]
    assert cells.counters()["no_cell"] == 2
    assert cells.counters()["entered"] == 4


@pytest.mark.parametrize(
    ("path", "complete", "expected"),
    [
        ((), True, ((), True)),
        (("a", "b"), True, (("a", "b"), True)),
        (("a", "b"), False, ((), False)),
        (("root", *["x" * 250] * 2), True, (("x" * 250,) * 2, True)),
        (("root", *["x" * 254] * 2), True, (("x" * 254,) * 2, False)),
        (("x" * 300,), True, (("x" * 255,), True)),
        (tuple(map(str, range(23))), True, (tuple(map(str, range(23))), True)),
        (tuple(map(str, range(24))), True, (tuple(map(str, range(24))), False)),
        (tuple(map(str, range(30))), True, (tuple(map(str, range(6, 30))), False)),
    ],
)
def test_path(cells: FakeCells, path: tuple[str, ...], complete: bool, expected: tuple[tuple[str, ...], bool]) -> None:
    """Paths are noted leaf first, and lose their root end when they are too long or too deep."""
    found = noted(cells, *path, complete=complete)
    if path[:1] == ("root",) and found.complete:
        found = CellInfo(found.object_name, found.path[1:], True)

    assert (found.path, found.complete) == expected


def test_what_is_too_long_is_counted(cells: FakeCells) -> None:
    """Each operation above the last bound, and each path that was cut, is in the ledger."""
    cells.record(7, "ext4", 0, bucket_bounds()[-1])
    assert cells.counters()["overlong"] == 0
    cells.record(7, "ext4", 0, bucket_bounds()[-1] + 1)
    cells.record(8, "ext4", 0, 1, path=["x"] * 40)

    assert cells.counters()["overlong"] == 1
    assert cells.counters()["name_truncated"] == 1


def test_wait_and_begin(cells: FakeCells) -> None:
    """Time off the CPU goes to its reason, and an operation in flight to the slot of its thread."""
    cell = cells.record(77, "ext4", 1, 1)
    cells.wait(cell, "journal", 3)
    cells.wait(cell, "journal", 4)
    now = time.monotonic_ns()
    cells.begin(os.getpid(), 77, 1, now - 10**9)
    family = Family(cells, lambda *_: SeriesKey("write", "ext4", "a"), limit=10, has_owner=True)
    family.harvest()
    reading = cells.slots.read(10**6)

    assert family.slow.total(2 + cells.wait_reasons.index("journal")) == 7
    assert reading.in_flight == 1
    assert [(own.tid, own.owner, own.operation, own.start) for own in reading.old] == [(os.getpid(), 77, 1, now - 10**9)]
