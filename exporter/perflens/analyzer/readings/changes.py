"""What was changed between two readings of the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from perflens.analyzer.readings.settings import DiskSettings, MountSettings, SettingsReading
from perflens.analyzer.readings.values import IoLimit, Limits

__all__ = ["CHANGES_MAX", "Change", "Kind", "changes"]

CHANGES_MAX = 100
"""Most changes of one comparison."""

Kind = Literal["io_limit", "memory_limit", "cpu_quota", "scheduler", "read_ahead", "nr_requests", "mount", "sysctl"]

_UNITS = {"rbps": "bytes/s", "wbps": "bytes/s", "riops": "1/s", "wiops": "1/s"}


class Change(NamedTuple):
    """One change. ``subject`` is a disk, a mount point, a sysctl or the caller's name of a cgroup; ``before`` and ``after`` have no unit.

    One of both is empty where there was nothing before or is nothing now: no limit, no mount.
    """

    kind: Kind
    subject: str
    detail: str
    before: str
    after: str


def changes(before: SettingsReading, after: SettingsReading) -> tuple[Change, ...]:
    """Return what changed, ``CHANGES_MAX`` at most. A disk or a cgroup that came or went is no change, nor what one reading lacks."""
    found = [
        *_cgroups(before.cgroups, after.cgroups),
        *_disks(before.disks, after.disks),
        *_sysctls(before.sysctls, after.sysctls),
        *_mounts(before.mounts, after.mounts),
    ]
    return tuple(found[:CHANGES_MAX])


def _cgroups(before: Mapping[str, Limits], after: Mapping[str, Limits]) -> Iterator[Change]:
    for name in _both(before, after):
        old, new = before[name], after[name]
        if old.quota != new.quota:
            yield _change("cpu_quota", name, "CPU quota in cores", _text(old.quota), _text(new.quota), new.quota_at or old.quota_at)
        if old.memory_limit != new.memory_limit:
            at = new.memory_limit_at or old.memory_limit_at
            yield _change("memory_limit", name, "memory limit in bytes", _text(old.memory_limit), _text(new.memory_limit), at)
        yield from _io_limits(name, old, new)


def _io_limits(name: str, before: Limits, after: Limits) -> Iterator[Change]:
    for device in sorted({*before.io_limits, *after.io_limits}):
        olds, news = before.io_limits.get(device, {}), after.io_limits.get(device, {})
        for key in sorted({*olds, *news}):
            old, new = olds.get(key), news.get(key)
            if _value(old) != _value(new):
                at = (new or old or IoLimit(0, "")).path
                yield _change(
                    "io_limit", name, f"{key} of device {device} in {_UNITS.get(key, key)}", _text(_value(old)), _text(_value(new)), at
                )


def _disks(before: Mapping[str, DiskSettings], after: Mapping[str, DiskSettings]) -> Iterator[Change]:
    for name in _both(before, after):
        old, new = before[name], after[name]
        if old.scheduler != new.scheduler and old.scheduler and new.scheduler:
            yield _change("scheduler", name, "I/O scheduler", old.scheduler, new.scheduler)
        if old.read_ahead_kb != new.read_ahead_kb and None not in (old.read_ahead_kb, new.read_ahead_kb):
            yield _change("read_ahead", name, "read-ahead in KiB", _text(old.read_ahead_kb), _text(new.read_ahead_kb))
        if old.nr_requests != new.nr_requests and None not in (old.nr_requests, new.nr_requests):
            yield _change("nr_requests", name, "requests of its queue", _text(old.nr_requests), _text(new.nr_requests))


def _sysctls(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[Change]:
    for name in _both(before, after):
        if before[name] != after[name]:
            yield _change("sysctl", name, name, _text(before[name]), _text(after[name]))


def _mounts(before: Mapping[str, MountSettings], after: Mapping[str, MountSettings]) -> Iterator[Change]:
    if not before or not after:  # no host is without mounts: one of them could not be read
        return
    for point in sorted({*before, *after}):
        old, new = before.get(point), after.get(point)
        if old is None or new is None:
            yield _change("mount", point, "mounted" if new else "unmounted", _mount(old), _mount(new))
        elif old.fstype != new.fstype:
            yield _change("mount", point, "another file system", _mount(old), _mount(new))
        elif set(old.options) != set(new.options):
            gone = [f"-{option}" for option in old.options if option not in new.options]
            come = [f"+{option}" for option in new.options if option not in old.options]
            yield _change("mount", point, f"options {' '.join(gone + come)}", _mount(old), _mount(new))


def _change(kind: Kind, subject: str, what: str, before: str, after: str, at: str = "") -> Change:
    place = f" at {at}" if at else ""
    told = what if kind == "mount" else f"{what}{place}: {before or 'none'} -> {after or 'none'}"
    return Change(kind, subject, told, before, after)


def _both(before: Iterable[str], after: Iterable[str]) -> list[str]:
    return sorted({*before} & {*after})


def _value(limit: IoLimit | None) -> int | None:
    return limit.value if limit else None


def _text(number: float | None) -> str:
    return "" if number is None else f"{number:g}" if isinstance(number, float) else str(number)


def _mount(mount: MountSettings | None) -> str:
    return f"{mount.fstype} {','.join(mount.options)}" if mount else ""
