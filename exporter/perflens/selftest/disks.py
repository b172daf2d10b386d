"""On which file system and which disk a folder lies, and the folder to take when none is named."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from perflens.selftest.model import Disk

__all__ = ["choose", "disk_of"]

_MOUNTINFO = Path("/proc/self/mountinfo")
_DEVICES = Path("/sys/dev/block")


def disk_of(folder: str, mountinfo: str | None = None) -> Disk:
    """Return where a folder lies, by the last mount above it; OSError when it cannot be looked at."""
    real = os.path.realpath(folder)
    device = os.stat(real).st_dev
    found = ("", "unknown", "")
    for line in (_MOUNTINFO.read_text(errors="replace") if mountinfo is None else mountinfo).splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(tail) < 2:
            continue
        point = _unescaped(fields[4])
        if f"{real}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(found[0]):
            found = (point, tail[0].partition(".")[0], _unescaped(tail[1]))  # fuse.sshfs is of type fuse
    number = _number(device, found[2])
    return Disk(real, found[1], found[2], number, *_whole(number))


def choose(candidates: Iterable[str] | None = None) -> Disk:
    """Return the first folder that can be written and is on a disk, else the first that can be written; OSError when none can."""
    folders = candidates or (tempfile.gettempdir(), "/var/tmp", "/var/lib", os.getcwd())  # noqa: S108  (one of its own is made in it)
    found = [disk_of(folder) for folder in folders if os.access(folder, os.W_OK | os.X_OK)]
    if not found:
        raise OSError("no folder can be written")
    return next((disk for disk in found if disk.device), found[0])


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _whole(number: str) -> tuple[str, str]:
    """Name and MAJOR:MINOR of the disk that makes the requests of a device: its own, or that of which it is a part."""
    if not number:
        return "", ""
    node = (_DEVICES / number).resolve()
    node = node.parent if (node / "partition").exists() else node
    try:
        lies_on_others = any((node / "slaves").iterdir())
        return ("", "") if lies_on_others else (node.name.replace("!", "/"), (node / "dev").read_text().strip())
    except OSError:
        return "", ""


def _number(device: int, source: str) -> str:
    """MAJOR:MINOR of the block device behind a file system; btrfs has numbers of its own, and names the device as its source."""
    if os.major(device) and os.path.exists(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"):
        return f"{os.major(device)}:{os.minor(device)}"
    if source.startswith("/dev/"):
        try:
            behind = os.stat(source).st_rdev
        except OSError:
            return ""
        return f"{os.major(behind)}:{os.minor(behind)}" if behind else ""
    return ""
