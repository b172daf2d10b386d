"""Every bucket bound through the loaded object, against a reference that the test keeps."""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Iterator

import pytest

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes
from perflens.kernel.features import inspect
from perflens.model import BUCKETS, HISTOGRAM_WIDTH, SLOW_WIDTH, CellKey, bucket_bounds
from perflens.registry import discover

SYNC_RANGE = 3
THRESHOLD = 5_000_000


@pytest.fixture
def probe(rung: str) -> Iterator[AttachedProbe]:
    """The file probe with its program that records by hand."""
    host = inspect()
    attached = attach(
        "file", discover()["file"], host, rung=rung, sizes=Sizes.of(host, 256), thresholds=[THRESHOLD] * 5, extra=("file_record",)
    )
    attached.detach()
    yield attached
    attached.close()


def harvested(probe: AttachedProbe) -> dict[CellKey, tuple[list[int], list[int]]]:
    """Each cell in use with its histogram row and its slow row: count, sum, and time off the CPU by reason."""
    bindings, width = array("i", [-1]) * (2 * probe.capacity), SLOW_WIDTH + len(probe.wait_reasons)
    rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * 64)), array("Q", bytes(8 * width * 64))
    found = {}
    for number, cell in enumerate(probe.harvest(bindings, rows, slow)):
        bindings[2 * cell] = bindings[2 * cell + 1] = number
        found[number] = probe.key(cell)
    assert not probe.harvest(bindings, rows, slow)
    return {
        key: (list(rows[n * HISTOGRAM_WIDTH : (n + 1) * HISTOGRAM_WIDTH]), list(slow[n * width : (n + 1) * width]))
        for n, key in found.items()
    }


def reference_bucket(ns: int) -> int:
    """The first bucket whose inclusive bound is not below ns; what is above the last goes into it."""
    return next((i for i, bound in enumerate(bucket_bounds()) if ns <= bound), BUCKETS - 1)


def test_each_bound_is_inclusive_and_each_sum_exact(probe: AttachedProbe) -> None:
    """T[i]-1, T[i] and T[i]+1 of every i, 0, 1 and far too long land in the right bucket, octave, sum and slow count."""
    values = [value for bound in bucket_bounds() for value in (bound - 1, bound, bound + 1)]
    values += [0, 1, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 10**13, 2**62]
    for ns in values:
        probe.run("file_record", struct.pack("=3Q", SYNC_RANGE, ns, 0))
    rows = {key: row for key, row in harvested(probe).items() if key.owner and key.operation == SYNC_RANGE}

    assert len(rows) == 1
    (row, slow) = rows.popitem()[1]
    count, total, buckets, octaves = row[0], row[1], row[2 : 2 + BUCKETS], row[2 + BUCKETS :]
    expected = Counter(map(reference_bucket, values))
    assert [expected[i] for i in range(BUCKETS)] == buckets
    assert [sum(n for i, n in expected.items() if (i + 3) // 4 == octave) for octave in range(len(octaves))] == octaves
    assert (len(values), sum(values)) == (count, total)
    assert [sum(ns >= THRESHOLD for ns in values), sum(ns for ns in values if ns >= THRESHOLD)] == slow[:SLOW_WIDTH]
    assert slow[SLOW_WIDTH:] == [0] * len(probe.wait_reasons)
    above = sum(ns > bucket_bounds()[-1] for ns in values)
    assert above == probe.counters()["overlong"]


def test_a_full_cell_table_counts_into_other(rung: str) -> None:
    """When no cell is free, operations go to the other cell of their operation, and the ledger says how many."""
    host = inspect()
    probe = attach("file", discover()["file"], host, rung=rung, sizes=Sizes.of(host, 64), thresholds=[1] * 5, extra=("file_record",))
    probe.detach()
    for fs_type in range(1, 101):
        for _ in range(3):
            probe.run("file_record", struct.pack("=3Q", SYNC_RANGE, 1000, fs_type))
    rows = harvested(probe)
    ours = {key: row[0][0] for key, row in rows.items() if key.operation == SYNC_RANGE}
    overflowed = probe.counters()["no_cell"]
    probe.close()

    named = sum(count for key, count in ours.items() if key.owner)
    assert named + ours[CellKey(0, 0, SYNC_RANGE)] == 3 * 100
    assert ours[CellKey(0, 0, SYNC_RANGE)] == overflowed > 0


def test_a_killed_cell_is_claimed_anew(probe: AttachedProbe) -> None:
    """A cell that was killed takes no operation any more, and after it was given back another key may claim it."""
    run = struct.pack("=3Q", SYNC_RANGE, 1000, 0)
    probe.run("file_record", run)
    bindings, rows, slow = array("i", [-1]) * (2 * probe.capacity), array("Q"), array("Q")
    first = next(cell for cell in probe.harvest(bindings, rows, slow) if probe.key(cell).owner)
    probe.kill(first)
    probe.run("file_record", run)
    in_use = [cell for cell in probe.harvest(bindings, rows, slow) if probe.key(cell).owner]

    assert first in in_use
    assert len(in_use) == 2
    probe.give_back(first)
    assert first not in probe.harvest(bindings, rows, slow)
