"""readings/changes.py: what was changed between two readings of the settings."""

from __future__ import annotations

from dataclasses import replace

from perflens.analyzer.readings.changes import CHANGES_MAX, Change, changes
from perflens.analyzer.readings.settings import DiskSettings, MountSettings, SettingsReading
from perflens.analyzer.readings.values import NO_LIMITS, IoLimit, Limits

BEFORE = SettingsReading(
    time_ns=0,
    disks={"sda": DiskSettings("none", 64, 128), "sdb": DiskSettings("none", 64, 128)},
    sysctls={"vm.dirty_ratio": 20, "vm.swappiness": 60},
    mounts={"/": MountSettings("ext4", ("rw", "relatime")), "/old": MountSettings("xfs", ("rw",))},
    cgroups={"a": Limits(1.5, "/a", 4096, "/a", {"8:0": {"rbps": IoLimit(100, "/a"), "wbps": IoLimit(7, "/a")}}), "b": NO_LIMITS},
)


def test_nothing_changed() -> None:
    """Two equal readings have no changes, whenever they were made."""
    assert changes(BEFORE, replace(BEFORE, time_ns=5)) == ()


def test_limits() -> None:
    """A limit that changed, one that went, and one that came, each with the cgroup that sets it."""
    limits = Limits(2.0, "/a", None, "", {"8:0": {"rbps": IoLimit(50, "/"), "wbps": IoLimit(7, "/")}, "8:16": {"wiops": IoLimit(9, "/a")}})
    after = replace(BEFORE, cgroups={"a": limits, "b": NO_LIMITS})

    assert changes(BEFORE, after) == (
        Change("cpu_quota", "a", "CPU quota in cores at /a: 1.5 -> 2", "1.5", "2"),
        Change("memory_limit", "a", "memory limit in bytes at /a: 4096 -> none", "4096", ""),
        Change("io_limit", "a", "rbps of device 8:0 in bytes/s at /: 100 -> 50", "100", "50"),
        Change("io_limit", "a", "wiops of device 8:16 in 1/s at /a: none -> 9", "", "9"),
    )


def test_disks_and_sysctls() -> None:
    """Each setting is a change of its own; a disk that went is none."""
    after = replace(BEFORE, disks={"sda": DiskSettings("bfq", 32, 4)}, sysctls={"vm.dirty_ratio": 5, "vm.swappiness": 60})

    assert changes(BEFORE, after) == (
        Change("scheduler", "sda", "I/O scheduler: none -> bfq", "none", "bfq"),
        Change("read_ahead", "sda", "read-ahead in KiB: 128 -> 4", "128", "4"),
        Change("nr_requests", "sda", "requests of its queue: 64 -> 32", "64", "32"),
        Change("sysctl", "vm.dirty_ratio", "vm.dirty_ratio: 20 -> 5", "20", "5"),
    )


def test_mounts() -> None:
    """A mount came, one went, one has other options, and one is another file system; the order of options is nothing."""
    before = replace(BEFORE, mounts={**BEFORE.mounts, "/x": MountSettings("ext4", ()), "/y": MountSettings("nfs", ("a", "b"))})
    mounts = {
        "/": MountSettings("ext4", ("rw", "noatime")),
        "/new": MountSettings("nfs", ("rw", "hard")),
        "/x": MountSettings("xfs", ()),
        "/y": MountSettings("nfs", ("b", "a")),
    }

    assert changes(before, replace(before, mounts=mounts)) == (
        Change("mount", "/", "options -relatime +noatime", "ext4 rw,relatime", "ext4 rw,noatime"),
        Change("mount", "/new", "mounted", "", "nfs rw,hard"),
        Change("mount", "/old", "unmounted", "xfs rw", ""),
        Change("mount", "/x", "another file system", "ext4 ", "xfs "),
    )


def test_what_one_reading_lacks_is_no_change() -> None:
    """Nothing is told of what could not be read, or is new."""
    unread = replace(BEFORE, disks={"sda": DiskSettings("", None, None)}, sysctls={}, mounts={}, cgroups={"c": Limits(1.0, "/c")})

    assert changes(BEFORE, unread) == ()
    assert changes(unread, BEFORE) == ()


def test_bound() -> None:
    """A host that changes altogether is told in part."""
    mounts = {f"/{number}": MountSettings("ext4", ()) for number in range(CHANGES_MAX + 9)}

    assert len(changes(BEFORE, replace(BEFORE, mounts=mounts))) == CHANGES_MAX
