"""Readings of a host: all that procfs, sysfs and the cgroup trees count, and all that may be set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TypeVar

from perflens.analyzer.readings import proc
from perflens.analyzer.readings.cgroup import CgroupReader
from perflens.analyzer.readings.files import read
from perflens.analyzer.readings.hierarchies import Hierarchies, clean
from perflens.analyzer.readings.settings import SettingsReading, parse_mounts, read_disks, read_sysctls
from perflens.analyzer.readings.values import RESOURCES, CgroupReading, HostReading, Limits, Pressure, Resource

__all__ = ["CGROUPS_MAX", "HostReader"]

CGROUPS_MAX = 500
"""Most cgroups of a reading, unless the caller says otherwise."""

_T = TypeVar("_T")


class HostReader:
    """Reads a host through its ``procfs`` and ``sysfs`` and the mounted cgroup hierarchies. It keeps nothing between readings.

    ``most`` cgroups are read at most, the first ones that are asked for; ``mountinfo`` is the file that lists the mounts, those of
    process 1 by default. Nothing is raised for what cannot be read: it is absent, and told in the gaps.
    """

    def __init__(
        self,
        procfs: str,
        sysfs: str,
        hierarchies: Hierarchies,
        *,
        most: int = CGROUPS_MAX,
        mountinfo: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._procfs, self._sysfs, self._hierarchies = procfs, sysfs, hierarchies
        self._most = most
        self._mountinfo = mountinfo or f"{procfs}/1/mountinfo"
        self._clock = clock

    def read(self, paths: Mapping[str, str]) -> HostReading:
        """Read everything that counts. ``paths`` are those of cgroups in the owner's hierarchy, by the names they get in the reading."""
        gaps: list[str] = []
        now = self._clock()
        stat = proc.parse_stat(self._text("stat", gaps))
        cgroups = self._each(paths, CgroupReader(self._procfs, self._hierarchies).reading, gaps)
        gaps += _missing(cgroups)
        return HostReading(
            time_ns=now,
            cpu=stat.cpu,
            running=stat.running,
            blocked=stat.blocked,
            forks=stat.forks,
            load=proc.parse_loadavg(self._text("loadavg", gaps)),
            pressure=self._pressure(gaps),
            vmstat=proc.parse_vmstat(self._text("vmstat", gaps)),
            meminfo=proc.parse_meminfo(self._text("meminfo", gaps)),
            disks=proc.parse_diskstats(self._text("diskstats", gaps)),
            cgroups=cgroups,
            gaps=tuple(gaps),
        )

    def settings(self, paths: Mapping[str, str]) -> SettingsReading:
        """Read everything that may be set, with the limits of the cgroups at ``paths``."""
        gaps: list[str] = []
        now = self._clock()
        disks, sysctls = read_disks(self._sysfs), read_sysctls(self._procfs)
        mounts = parse_mounts(read(self._mountinfo) or b"")
        gaps += [
            f"{name} cannot be read" for name, found in (("disk settings", disks), ("sysctls", sysctls), ("mounts", mounts)) if not found
        ]
        cgroups: Mapping[str, Limits] = self._each(paths, CgroupReader(self._procfs, self._hierarchies).limits, gaps)
        return SettingsReading(now, disks, sysctls, mounts, cgroups, tuple(gaps))

    def _text(self, name: str, gaps: list[str]) -> bytes:
        text = read(f"{self._procfs}/{name}")
        if not text:
            gaps.append(f"/proc/{name} cannot be read")
        return text or b""

    def _pressure(self, gaps: list[str]) -> dict[Resource, Pressure]:
        found = {}
        for resource in RESOURCES:
            if pressure := proc.parse_pressure(read(f"{self._procfs}/pressure/{resource}") or b""):
                found[resource] = pressure
        if absent := [resource for resource in RESOURCES if resource not in found]:
            gaps.append(f"no pressure of {', '.join(absent)}: the kernel needs CONFIG_PSI and psi=1")
        return found

    def _each(self, paths: Mapping[str, str], reading: Callable[[str], _T | None], gaps: list[str]) -> dict[str, _T]:
        if paths and not self._hierarchies.owner:
            gaps.append("no cgroup hierarchy is mounted")
            return {}
        found = {}
        for name, path in islice(paths.items(), self._most):
            own = clean(path)
            if own is not None and (value := reading(own)) is not None:
                found[name] = value
        asked = min(len(paths), self._most)
        if len(found) < asked:
            gaps.append(f"{asked - len(found)} of {asked} cgroups are gone")
        if len(paths) > asked:
            gaps.append(f"{len(paths) - asked} cgroups were not read: more than {self._most}")
        return found


def _missing(cgroups: Mapping[str, CgroupReading]) -> list[str]:
    """What the cgroups lack: a controller that is off, a kernel without pressure, processes that share a cgroup with others."""
    lacks = {
        "CPU": [own.cpu is None for own in cgroups.values()],
        "CPU time": [own.cpu is not None and own.cpu.usage_seconds is None for own in cgroups.values()],
        "memory": [own.memory is None for own in cgroups.values()],
        "pressure": [not own.pressure for own in cgroups.values()],
    }
    return [f"no {what} of {sum(flags)} of {len(flags)} cgroups" for what, flags in lacks.items() if any(flags)]
