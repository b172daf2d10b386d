"""Settings that people change while a host runs: of disks, of writeback, mounts, and limits of cgroups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from perflens.analyzer.readings.files import read, whole
from perflens.analyzer.readings.mountinfo import parse_mountinfo
from perflens.analyzer.readings.values import Limits

__all__ = ["SYSCTLS", "DiskSettings", "MountSettings", "SettingsReading", "parse_mounts", "parse_scheduler", "read_disks", "read_sysctls"]

SYSCTLS = (
    "vm.dirty_background_bytes",
    "vm.dirty_background_ratio",
    "vm.dirty_bytes",
    "vm.dirty_expire_centisecs",
    "vm.dirty_ratio",
    "vm.dirty_writeback_centisecs",
    "vm.dirtytime_expire_seconds",
    "vm.swappiness",
)
"""What is read of /proc/sys (Documentation/admin-guide/sysctl/vm.rst)."""

_DISKS_MAX = 1_024
_MOUNTS_MAX = 4_096
_ACTIVE = re.compile(rb"\[([\w-]+)\]", re.ASCII)

_NO_STORAGE = frozenset(  # windows into the kernel, and memory: nothing that is mounted there makes a disk slow
    (
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "sysfs",
        "tmpfs",
        "tracefs",
    )
)


class DiskSettings(NamedTuple):
    """The settings of a disk's queue (Documentation/ABI/stable/sysfs-block); ``scheduler`` is empty where it has none to tell."""

    scheduler: str
    nr_requests: int | None
    read_ahead_kb: int | None


class MountSettings(NamedTuple):
    """A mount by its point; ``options`` without the folders of an overlay. Both are as the kernel gave them: any bytes, as surrogates."""

    fstype: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettingsReading:
    """All of them at one time, in ns of CLOCK_MONOTONIC: by disk, dotted sysctl, mount point, and the caller's name of a cgroup."""

    time_ns: int
    disks: Mapping[str, DiskSettings] = field(default_factory=dict)
    sysctls: Mapping[str, int] = field(default_factory=dict)
    mounts: Mapping[str, MountSettings] = field(default_factory=dict)
    cgroups: Mapping[str, Limits] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()


def parse_scheduler(text: bytes) -> str:
    """Return the active one of ``none [mq-deadline] kyber``, or the only one there is."""
    if match := _ACTIVE.search(text):
        return match[1].decode("ascii")
    words = text.split()
    return words[0].decode("ascii", "replace") if len(words) == 1 else ""


def parse_mounts(text: bytes) -> dict[str, MountSettings]:
    """Return what of a mountinfo lies on storage; of several mounts on one point the last, which is seen."""
    found: dict[str, MountSettings] = {}
    for mount in parse_mountinfo(text):
        if mount.fstype not in _NO_STORAGE and (len(found) < _MOUNTS_MAX or mount.point in found):
            options = mount.options
            if mount.fstype == "overlay":
                options = tuple(option for option in options if "dir" not in option.partition("=")[0])  # lowerdir, upperdir, datadir+
            found[mount.point] = MountSettings(mount.fstype, options)
    return found


def read_disks(sysfs: str) -> dict[str, DiskSettings]:
    """Read the disks of sysfs, none when it cannot be read. No attribute is asked of the device."""
    return dict(_disks(f"{sysfs}/block"))


def _disks(folder: str) -> Iterator[tuple[str, DiskSettings]]:
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(folder))[:_DISKS_MAX]
    for entry in names:
        queue = f"{folder}/{entry}/queue"
        scheduler = parse_scheduler(read(f"{queue}/scheduler") or b"")
        own = DiskSettings(scheduler, _number(f"{queue}/nr_requests"), _number(f"{queue}/read_ahead_kb"))
        if own != ("", None, None):
            yield entry.replace("!", "/"), own  # as sysfs stores a name that has a slash


def read_sysctls(procfs: str) -> dict[str, int]:
    """Read what there is of ``SYSCTLS``."""
    found = {}
    for name in SYSCTLS:
        if (value := _number(f"{procfs}/sys/{name.replace('.', '/')}")) is not None:
            found[name] = value
    return found


def _number(path: str) -> int | None:
    return whole((read(path) or b"").strip())
