"""Block devices as sysfs shows them. No attribute is read for which the kernel asks the device: one that hangs would hang the reader."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from perflens.enrich.units import shown
from perflens.model import Device

__all__ = ["Found", "btrfs_members", "listed", "paths_of", "read"]

_LONGEST = 4_096  # an attribute is a page at most
_SECTOR = 512  # bytes, whatever the device's own are
_RAM, _LOOP, _NBD = 1, 7, 43  # majors that are an ABI: Documentation/admin-guide/devices.txt
_TOLD_BY_FOLDER = ("partition", "dm", "md", "loop")
_PATH = re.compile(r"(nvme\d+)c\d+(n\d+)")


class Found(NamedTuple):
    """A device, and the path of a loop's backing file as the kernel gave it."""

    device: Device
    backing: str = ""


def listed(sysfs: str, most: int) -> tuple[list[tuple[str, str]], int]:
    """Return the entries of /sys/class/block with where each link leads, and how many were left out: the virtual ones first."""
    folder = f"{sysfs}/class/block"
    found = []
    with suppress(OSError):
        found = [(name, _link(f"{folder}/{name}")) for name in os.listdir(folder)]
    found.sort(key=lambda own: ("/devices/virtual/" in own[1], own[0]))
    return found[:most], max(len(found) - most, 0)


def read(sysfs: str, entry: str, link: str) -> Found | None:
    """Return one device, None when it is gone; what cannot be read of it is left empty."""
    folder = f"{sysfs}/class/block/{entry}"
    entries = set(_names(folder))
    number = _number(_text(f"{folder}/dev"))
    is_hidden = _text(f"{folder}/hidden") == "1"
    if number is None and not is_hidden:
        return None
    number = number or (0, 0)
    kind = "nvme_path" if is_hidden else _kind(entries, number, link)
    name = _name(entry)
    disk, own = name, folder
    if kind == "partition":
        disk, own = _name(os.path.basename(os.path.dirname(link))), f"{folder}/.."
    backing = _text(f"{folder}/loop/backing_file") if kind == "loop" else ""
    device = Device(
        name=name,
        number=number,
        kind=kind,
        size=_whole(_text(f"{folder}/size")) * _SECTOR,
        read_only=_text(f"{folder}/ro") == "1",
        rotational={"0": False, "1": True}.get(_text(f"{own}/queue/rotational")),
        title=shown(backing or _title(folder, kind)),
        model=shown(_first(f"{own}/device/model", f"{own}/device/name")),
        wwid=shown(_first(f"{folder}/dm/uuid", f"{own}/wwid", f"{own}/device/wwid", f"{own}/device/serial")),  # see _first
        disk=disk,
        below=(disk,) if kind == "partition" else tuple(sorted(map(_name, _names(f"{folder}/slaves")))),
    )
    return Found(device, backing)


def _first(*paths: str) -> str:
    """The first attribute that says something.

    A virtio disk's own `serial` is none of them: for it the driver sends the disk a request (serial_show of virtio_blk.c).
    """
    return next((text for text in (_text(path).strip() for path in paths) if text), "")


def _kind(entries: set[str], number: tuple[int, int], link: str) -> str:
    for name in _TOLD_BY_FOLDER:
        if name in entries:
            return name
    if "mm_stat" in entries:
        return "zram"
    if number[0] in (_RAM, _LOOP, _NBD):
        return {_RAM: "ram", _LOOP: "loop", _NBD: "nbd"}[number[0]]
    if "/nvme-subsystem/" in link:
        return "nvme_multipath"
    if "device" in entries:
        return "disk"
    return "bcache" if "bcache" in entries else "virtual"


def _title(folder: str, kind: str) -> str:
    attribute = {"dm": "dm/name", "md": "md/level"}.get(kind)
    return _text(f"{folder}/{attribute}") if attribute else ""


def paths_of(head: Device, sysfs: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the hidden disks behind an NVMe multipath device: as sysfs lists them from 6.15 on, else by the driver's way to name them."""
    told = list(map(_name, _names(f"{sysfs}/class/block/{head.name}/multipath")))
    yield from told or (name for name in names if (match := _PATH.fullmatch(name)) and match[1] + match[2] == head.name)


def btrfs_members(sysfs: str) -> Mapping[str, Sequence[str]]:
    """Return the names of the devices of each btrfs that is mounted, by its id."""
    found = {}
    for uuid in _names(f"{sysfs}/fs/btrfs"):
        if members := _names(f"{sysfs}/fs/btrfs/{uuid}/devices"):
            found[uuid] = sorted(map(_name, members))
    return found


def _name(entry: str) -> str:
    return shown(entry.replace("!", "/"))  # as sysfs stores a name that has a slash


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _link(path: str) -> str:
    with suppress(OSError):
        return os.readlink(path)
    return ""


def _text(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode((file.read(_LONGEST) or b"").removesuffix(b"\n"))
    except OSError:
        return ""


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 20 else 0


def _number(text: str) -> tuple[int, int] | None:
    major, separator, minor = text.partition(":")
    return (_whole(major), _whole(minor)) if separator else None
