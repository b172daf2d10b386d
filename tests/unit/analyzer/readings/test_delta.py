"""readings/delta.py and cgroup_delta.py: what moved between two readings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analyzer.readings.cgroup_delta import CgroupDelta, ThrottlingDelta
from perflens.analyzer.readings.delta import CpuDelta, DiskDelta, HostDelta, delta
from perflens.analyzer.readings.rates import PressureRatio
from perflens.analyzer.readings.values import (
    CgroupCpu,
    CgroupMemory,
    CgroupReading,
    CpuTimes,
    DiskReading,
    HostReading,
    MemoryEvents,
    Pressure,
    Throttling,
)

START = 5_000_000_000
DISK = DiskReading(10, 1000, 1.0, 20, 2000, 2.0, 0, 5.0, 7.0, 1, 4, 0.5)
GROUP = CgroupReading(
    "/a/b",
    CgroupCpu(1.0, 0, 0, 0.0, (Throttling("/a/b", 100, 10, 1.0), Throttling("/a", 100, 10, 1.0))),
    CgroupMemory(5, 4, 1, 100, 10, (MemoryEvents("/a/b", 4), MemoryEvents("/a", 8))),
    pressure={"io": Pressure(0, 0)},
)
BEFORE = HostReading(
    time_ns=START,
    cpu=CpuTimes(10.0, 10.0, 5.0, 0.0, 2),
    forks=100,
    pressure={"io": Pressure(1_000_000, 0), "cpu": Pressure(7, 0)},
    vmstat={"pgfault": 100, "oom_kill": 3, "nr_dirty": 5},
    disks={"sda": DISK},
    cgroups={"a": GROUP},
)


def moved(**values: object) -> HostDelta:
    """The delta over two seconds to a reading with these values."""
    found = delta(BEFORE, replace(BEFORE, time_ns=START + 2_000_000_000, **values))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_no_time() -> None:
    """Without time between them there are no rates."""
    assert delta(BEFORE, BEFORE) is None


def test_host() -> None:
    """Parts of the CPUs' time, rates, and pressure as part of the time."""
    found = moved(
        cpu=CpuTimes(12.0, 11.0, 5.5, 0.5, 2),
        forks=140,
        pressure={"io": Pressure(1_500_000, 100_000), "memory": Pressure(9, 9), "cpu": Pressure(5_000_000, 0)},
        vmstat={"pgfault": 300, "oom_kill": 1, "nr_dirty": 50, "new": 1},
    )

    assert found.seconds == 2.0
    assert found.cpu == CpuDelta(busy=0.5, iowait=0.125, steal=0.125)
    assert found.forks == 20.0
    assert found.pressure == {"io": PressureRatio(0.25, 0.05), "cpu": PressureRatio(1.0, 0.0)}
    assert found.vmstat == {"pgfault": 100.0}


def test_time_in_wait_that_went_backwards() -> None:
    """It is absent, and the rest of the time stays."""
    assert moved(cpu=CpuTimes(11.0, 13.0, 4.0, 0.0, 2)).cpu == CpuDelta(0.25, None, 0.0)
    assert moved(cpu=None).cpu == CpuDelta()
    assert moved(cpu=BEFORE.cpu).cpu == CpuDelta()


def test_disk() -> None:
    """Little's numbers of a disk, and its mean latencies."""
    after = DiskReading(14, 3000, 1.5, 20, 2000, 2.0, 3, 6.0, 11.0, 3, 6, 0.75)
    found = moved(disks={"sda": after, "new": after}).disks

    assert found == {"sda": DiskDelta(0.5, 2.0, 2.0, 1000.0, 0.125, 0.0, 0.0, None, 1.0, 1.0, 0.125)}
    assert found["sda"].operations == 2.0


def test_disk_that_was_replaced() -> None:
    """Counters that went backwards are absent, also those that a kernel lacks."""
    found = moved(disks={"sda": DiskReading(0, 0, 0.0, 0, 0, 0.0, 0, 0.0, 0.0)}).disks["sda"]

    assert found == DiskDelta()
    assert found.operations is None


def test_cgroup() -> None:
    """The level that was throttled most, the nearest limit that was met, and rates."""
    levels = (Throttling("/a/b", 120, 12, 1.5), Throttling("/a", 120, 25, 2.0), Throttling("/", 9, 9, 9.0))
    memory = CgroupMemory(5, 4, 2, 300, 30, (MemoryEvents("/a/b", 4), MemoryEvents("/a", 11)))
    after = replace(GROUP, cpu=CgroupCpu(4.0, levels=levels), memory=memory, pressure={"io": Pressure(200_000, 100_000)})

    assert moved(cgroups={"a": after, "new": after}).cgroups == {
        "a": CgroupDelta(
            throttling=ThrottlingDelta("/a", 20, 15, 0.75, 0.5),
            cores=1.5,
            limit_events=3,
            limit_events_at="/a",
            oom_kills=1,
            refaults_file=100.0,
            refaults_anon=10.0,
            pressure={"io": PressureRatio(0.1, 0.05)},
        )
    }


@pytest.mark.parametrize(("events", "told"), [(4, (0, "")), (6, (2, "/a/b")), (1, (None, ""))])
def test_events_without_a_limit(events: int, told: tuple[int | None, str]) -> None:
    """What the cgroup counts itself is told where no level has a limit."""
    after = replace(GROUP, memory=CgroupMemory(5, events))
    found = moved(cgroups={"a": after}).cgroups["a"]

    assert (found.limit_events, found.limit_events_at) == told


def test_cgroup_that_came_again() -> None:
    """One of the same path counts from zero; one of another path is another one; one that is not read has nothing."""
    again = CgroupReading("/a/b", CgroupCpu(0.0, levels=(Throttling("/a/b", 0, 0, 0.0),)), CgroupMemory(5, 0, 0, 0, 0))

    assert moved(cgroups={"a": again}).cgroups == {"a": CgroupDelta()}
    assert moved(cgroups={"a": replace(GROUP, path="/c")}).cgroups == {}
    assert moved(cgroups={"a": CgroupReading("/a/b")}).cgroups == {"a": CgroupDelta()}
