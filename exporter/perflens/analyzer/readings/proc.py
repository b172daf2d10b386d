"""What procfs counts of the whole host: parsers of its files. What is malformed is None or left out."""

from __future__ import annotations

import os
from typing import NamedTuple

from perflens.analyzer.readings.files import pairs, whole
from perflens.analyzer.readings.values import CpuTimes, DiskReading, Load, Pressure

__all__ = [
    "DISKS_MAX",
    "VMSTAT",
    "Stat",
    "parse_diskstats",
    "parse_loadavg",
    "parse_meminfo",
    "parse_pressure",
    "parse_stat",
    "parse_vmstat",
]

DISKS_MAX = 2_048
"""Lines of /proc/diskstats that are kept."""

VMSTAT = frozenset(
    (
        "pgfault",
        "pgmajfault",
        "pgpgin",
        "pgpgout",
        "pswpin",
        "pswpout",
        "workingset_refault_file",
        "workingset_refault_anon",
        "workingset_refault",  # before 5.9, of both kinds
        "pgscan_direct",
        "pgscan_direct_throttle",
        "pgsteal_direct",
        "drop_pagecache",
        "drop_slab",
        "oom_kill",
        "nr_dirty",
        "nr_writeback",
    )
)
"""The keys that are kept of /proc/vmstat, beside those of each zone. nr_dirty and nr_writeback are no counters but pages now."""

_BY_ZONE = (b"allocstall_", b"pgscan_direct_", b"pgsteal_direct_")  # one key a zone: the latter two before 4.8

_HZ = os.sysconf("SC_CLK_TCK")
_SECTOR = 512  # bytes, whatever the device's own are
_MILLI = 1e-3
_FIELDS, _WITH_DISCARDS, _WITH_FLUSHES = 14, 18, 20


class Stat(NamedTuple):
    """What is read of /proc/stat."""

    cpu: CpuTimes | None
    running: int | None
    blocked: int | None
    forks: int | None


def parse_stat(text: bytes) -> Stat:
    """Parse /proc/stat (Documentation/filesystems/proc.rst)."""
    found: dict[bytes, int] = {}
    times: list[int] = []
    cpus = 0
    for line in text.splitlines():
        if line.startswith(b"cpu "):
            times = [value for word in line.split()[1:] if (value := whole(word)) is not None]
        elif line.startswith(b"cpu"):
            cpus += 1
        elif line.startswith(b"proc"):
            found.update(pairs(line))
    return Stat(_times(times, cpus), found.get(b"procs_running"), found.get(b"procs_blocked"), found.get(b"processes"))


def _times(ticks: list[int], cpus: int) -> CpuTimes | None:
    if len(ticks) < 8 or not cpus:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (value / _HZ for value in ticks[:8])  # a guest's time is in user
    return CpuTimes(user + nice + system + irq + softirq, idle, iowait, steal, cpus)


def parse_pressure(text: bytes) -> Pressure | None:
    """Parse a pressure file, the host's or a cgroup's: ``some avg10=0.00 avg60=0.00 avg300=0.00 total=0`` (accounting/psi.rst)."""
    totals = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(b" ")
        totals[kind] = whole(rest.rpartition(b" total=")[2])
    some = totals.get(b"some")
    return None if some is None else Pressure(some, totals.get(b"full") or 0)


def parse_vmstat(text: bytes) -> dict[str, int]:
    """Return the keys of ``VMSTAT`` that are in /proc/vmstat, and each zone's allocstall, pgscan_direct and pgsteal_direct."""
    found = {}
    for key, value in pairs(text):
        if key.decode("ascii", "replace") in VMSTAT or key.startswith(_BY_ZONE):
            found[key.decode("ascii", "replace")] = value
    return found


def parse_meminfo(text: bytes) -> dict[str, int]:
    """Return the sizes of /proc/meminfo, in bytes."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == b"kB" and (value := whole(words[1])) is not None:
            found[words[0].removesuffix(b":").decode("ascii", "replace")] = value * 1024
    return found


def parse_loadavg(text: bytes) -> Load | None:
    """Parse /proc/loadavg: ``0.20 0.18 0.12 1/80 11206``."""
    words = text.split()
    if len(words) < 4:
        return None
    averages = [_average(word) for word in words[:3]]
    runnable, _, threads = words[3].partition(b"/")
    numbers = whole(runnable), whole(threads)
    if None in averages or None in numbers:
        return None
    one, five, fifteen = (value or 0.0 for value in averages)
    return Load(one, five, fifteen, numbers[0] or 0, numbers[1] or 0)


def _average(word: bytes) -> float | None:
    head, _, tail = word.partition(b".")
    return float(word) if whole(head) is not None and whole(tail) is not None else None


def parse_diskstats(text: bytes) -> dict[str, DiskReading]:
    """Parse /proc/diskstats (admin-guide/iostats.rst): 14 columns, from 4.18 on 18 with discards, from 5.5 on 20 with flushes."""
    found: dict[str, DiskReading] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= _FIELDS and len(found) < DISKS_MAX:
            numbers = [value for word in words[3:] if (value := whole(word)) is not None]
            if len(numbers) == len(words) - 3:
                found[os.fsdecode(words[2])] = _disk(numbers, len(words))
    return found


def _disk(numbers: list[int], fields: int) -> DiskReading:
    return DiskReading(
        reads=numbers[0],
        read_bytes=numbers[2] * _SECTOR,
        read_seconds=numbers[3] * _MILLI,
        writes=numbers[4],
        write_bytes=numbers[6] * _SECTOR,
        write_seconds=numbers[7] * _MILLI,
        in_flight=numbers[8],
        busy_seconds=numbers[9] * _MILLI,
        weighted_seconds=numbers[10] * _MILLI,
        discards=numbers[11] if fields >= _WITH_DISCARDS else None,
        flushes=numbers[15] if fields >= _WITH_FLUSHES else None,
        flush_seconds=numbers[16] * _MILLI if fields >= _WITH_FLUSHES else None,
    )
