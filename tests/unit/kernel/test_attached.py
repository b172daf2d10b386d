"""kernel/attached.py: the shared memory of a probe, over maps that are not the kernel's."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.errors import ProbeError
from perflens.kernel.attached import Sizes, attach, object_path
from perflens.kernel.features import Host, inspect
from perflens.model import BUCKETS, CellKey, bucket_bounds
from perflens.probes.file import PROBE
from perflens.testing import FakeCells


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells("file", PROBE, cells=16)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    btf = tmp_path / "vmlinux"
    btf.touch()
    return replace(inspect(), btf=btf, capabilities=frozenset({"CAP_BPF", "CAP_PERFMON"}))


@pytest.mark.parametrize(
    ("cpus", "pid_max", "expected"),
    [
        (1, 32_768, Sizes(64, 32_768, 1)),
        (2, 4_194_304, Sizes(64, 65_536, 2)),
        (6, 40_000, Sizes(64, 65_536, 8)),
        (128, 65_536, Sizes(64, 65_536, 8)),
    ],
)
def test_sizes(host: Host, cpus: int, pid_max: int, expected: Sizes) -> None:
    """Slots and shards are powers of two that fit the host, and bounded."""
    assert Sizes.of(replace(host, possible_cpus=cpus, pid_max=pid_max), 64) == expected


def test_first_cells_are_the_other_cells(cells: FakeCells) -> None:
    """Each operation has its `other` cell from the start; the rest is free."""
    assert [cells.key(index) for index in range(5)] == [CellKey(0, 0, number) for number in range(5)]
    assert cells.usable == 8 + 5
    assert cells.capacity == 16


def test_key_and_info_of_a_claimed_cell(cells: FakeCells) -> None:
    """A cell tells its owner, its operation and what the kernel noted."""
    index = cells.record(77, "xfs", 2, 1000, path=("a.slice", "b.service"))

    assert (cells.key(index).owner, cells.key(index).operation) == (77, 2)
    assert cells.info(index).startswith(b"xfs\0")
    assert b"b.service\0a.slice\0" in cells.info(index)


def test_dead_cell_is_not_found_again(cells: FakeCells) -> None:
    """After kill the same owner gets another cell; after give_back the first one can be claimed by anyone."""
    first = cells.record(77, "xfs", 0, 1000)
    cells.kill(first)
    second = cells.record(77, "xfs", 0, 1000)
    cells.give_back(first)
    others = [cells.record(owner, "xfs", 0, 1000) for owner in range(100, 107)]

    assert second != first
    assert others[-1] == first
    assert len({second, *others}) == 8


def test_free_list_that_is_full(cells: FakeCells) -> None:
    """A cell that is given back too often is an error and not silence."""
    for _ in range(cells.capacity - (cells.usable - 5)):
        cells.give_back(9)
    with pytest.raises(ProbeError, match="cannot be given back"):
        cells.give_back(9)


def test_ledger(cells: FakeCells) -> None:
    """Counters are summed over the shards; operations in the overflow table are in flight."""
    for counter in ("entered", "entered", "entered", "filtered", "blocking_peer", "died", "overlong"):
        cells.count(counter)
    for counter in ("overflow_entered", "overflow_entered", "overflow_left"):
        cells.count(counter)
    entered, outcomes, in_flight, missed, details = cells.ledger()

    assert entered == 3
    assert outcomes == {"blocking_peer": 1, "filtered": 1, "no_slot": 0, "died": 1}
    assert (in_flight, missed) == (1, 0)
    assert details == {"overlong": 1, "no_cell": 0, "slot_collision": 0, "name_truncated": 0}


def test_thresholds_of_the_operations_that_do_not_exist(cells: FakeCells) -> None:
    """Operations beyond the last one are never slow."""
    cells.set_thresholds([1, 2, 3, 4, 5])
    at = cells._thresholds.offset

    assert struct.unpack_from("=8Q", cells._variables, at) == (1, 2, 3, 4, 5, *[2**63 - 1] * 3)


def test_bounds_of_the_kernel_side() -> None:
    """The table that the programs get begins with the bounds; what a masked index may reach is beyond every value."""
    from perflens.kernel.attached import _knobs, object_types

    types = object_types(object_path("file", inspect().machine))
    knobs = _knobs(types, inspect(), Sizes(64, 1024, 4))
    table = struct.unpack("=132Q", knobs["bounds"])

    assert table[:BUCKETS] == bucket_bounds()
    assert table[BUCKETS:] == (2**63 - 1,) * 3
    assert knobs["shard_mask"] == struct.pack("=I", 3)
    assert knobs["slot_mask"] == struct.pack("=I", 1023)
    assert all(len(value) == types.variable(name).field.size for name, value in knobs.items())


def attempt(host: Host, rung: str = "auto", objects: Path | None = None) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        attach("file", PROBE, host, rung=rung, sizes=Sizes(64, 1024, 1), thresholds=[1] * 5, objects=objects)
    return caught.value


def test_capability_that_is_missing(host: Host) -> None:
    """Without a capability nothing is tried, and the cure names the one that is missing."""
    error = attempt(replace(host, capabilities=frozenset({"CAP_BPF"})))

    assert error.reason == "CAP_PERFMON missing"
    assert "grant CAP_PERFMON" in error.cure


def test_kernel_without_btf(host: Host) -> None:
    """A kernel without BTF is refused with the cure."""
    error = attempt(replace(host, btf=None))

    assert "no BTF" in error.reason
    assert "CONFIG_DEBUG_INFO_BTF" in error.cure


def test_object_that_is_missing(host: Host, tmp_path: Path) -> None:
    """An object that was not built is refused with its path."""
    error = attempt(host, objects=tmp_path)

    assert error.reason == f"{object_path('file', host.machine, tmp_path)} is missing"
    assert "run make" in error.cure


def test_rung_that_does_not_exist(host: Host) -> None:
    """A rung that the probe does not have is refused with those it has."""
    error = attempt(host, rung="fentry")

    assert error.reason == "file has no rung fentry"
    assert error.cure == "use one of auto, tp_btf, raw_tp"
