"""readings/proc.py: the counters of the whole host."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analyzer.readings import proc
from perflens.analyzer.readings.values import CpuTimes, DiskReading, Load, Pressure

HZ = os.sysconf("SC_CLK_TCK")


def test_stat() -> None:
    """Interrupts are busy time, a guest's time is not counted twice."""
    ticks = " ".join(str(seconds * HZ) for seconds in (1, 1, 1, 5, 2, 1, 1, 3, 1, 0))
    text = f"cpu  {ticks}\ncpu0 1 2\ncpu1 1 2\nintr 5 6 7\nprocesses 99\nprocs_running 4\nprocs_blocked 2\n"

    assert proc.parse_stat(text.encode()) == proc.Stat(CpuTimes(5.0, 5.0, 2.0, 3.0, 2), 4, 2, 99)
    assert proc.parse_stat(b"") == proc.Stat(None, None, None, None)
    assert proc.parse_stat(b"cpu 1 2 3\ncpu0 1").cpu is None


@pytest.mark.parametrize(
    ("text", "pressure"),
    [
        (b"some avg10=0.00 avg60=1.10 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n", Pressure(12345, 99)),
        (b"some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", Pressure(7, 0)),
        (b"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", None),
        (b"some avg10=0.00 total=x\n", None),
        (b"", None),
    ],
)
def test_pressure(text: bytes, pressure: Pressure | None) -> None:
    """The totals are read; a kernel before 5.13 has no full line of the CPU."""
    assert proc.parse_pressure(text) == pressure


def test_vmstat() -> None:
    """The keys that are known are kept, and those of each zone."""
    text = b"pgfault 1\nallocstall_normal 2\npgscan_direct_dma 3\nworkingset_refault 4\nnr_free_pages 5\npgmajfault x\n\xff 6\n"

    assert proc.parse_vmstat(text) == {"pgfault": 1, "allocstall_normal": 2, "pgscan_direct_dma": 3, "workingset_refault": 4}


def test_meminfo() -> None:
    """Sizes are in bytes; what has no unit is no size."""
    assert proc.parse_meminfo(b"MemTotal:       24 kB\nHugePages_Total:       3\nDirty: 1 kB\n") == {"MemTotal": 24576, "Dirty": 1024}


def test_loadavg() -> None:
    """The averages and the threads."""
    assert proc.parse_loadavg(b"0.20 0.18 12.12 1/80 11206\n") == Load(0.2, 0.18, 12.12, 1, 80)
    assert proc.parse_loadavg(b"0.20 nan 12.12 1/80 11206\n") is None
    assert proc.parse_loadavg(b"0.20 0.18 12.12 180 11206\n") is None
    assert proc.parse_loadavg(b"") is None


COLUMNS_14 = "8 0 sda 10 1 20 3000 40 2 60 7000 3 900 10000"


@pytest.mark.parametrize(
    ("columns", "more"),
    [
        (COLUMNS_14, (None, None, None)),
        (COLUMNS_14 + " 11 0 12 13", (11, None, None)),
        (COLUMNS_14 + " 11 0 12 13 14 1500", (11, 14, 1.5)),
    ],
)
def test_diskstats(columns: str, more: tuple[int | None, int | None, float | None]) -> None:
    """Each generation of the kernel's columns."""
    expected = DiskReading(10, 20 * 512, 3.0, 40, 60 * 512, 7.0, 3, 0.9, 10.0, *more)

    assert proc.parse_diskstats(f"   {columns}\n".encode()) == {"sda": expected}


def test_malformed_diskstats() -> None:
    """A short line and one with another word are left out, and there is a bound."""
    assert proc.parse_diskstats(b"8 0 sda 1 2 3\n" + COLUMNS_14.replace("900", "-1").encode()) == {}
    many = "\n".join(COLUMNS_14.replace("sda", f"sd{number}") for number in range(proc.DISKS_MAX + 5))
    assert len(proc.parse_diskstats(many.encode())) == proc.DISKS_MAX


WORDS = st.sampled_from(
    [b"cpu", b"cpu0", b"some", b"full", b" total=", b"0.1", b"1/2", b"12", b"-3", b":", b" ", b"\n", b"kB", b"pgfault", b"sda", b"\xff"]
)


@given(st.lists(WORDS | st.binary(max_size=5), max_size=60).map(b" ".join) | st.binary(max_size=200))
def test_any_text(text: bytes) -> None:
    """Whatever a file holds, nothing is raised."""
    proc.parse_stat(text)
    proc.parse_pressure(text)
    proc.parse_vmstat(text)
    proc.parse_meminfo(text)
    proc.parse_loadavg(text)
    proc.parse_diskstats(text)
