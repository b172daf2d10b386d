"""What identifies a disk beyond this host: the id that its hardware has, or the name of the persistent volume on it.

What two hosts can have by chance is none: merging their incidents would hide one of them. So ids are believed whose form says that
somebody took care, and of these not the ones that makers, hypervisors and targets are known to hand out again (``DISTRUSTED``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from perflens.model import Device

__all__ = ["DISTRUSTED", "volume_of", "volumes"]

_LONGEST = 200
_DEPTH = 8
DISTRUSTED: Mapping[str, str] = {
    r"(?:naa|eui|uuid)\.[0-]*": "nothing but zeros: the device was asked and had no answer",
    r"naa\.3.*": "locally assigned (SPC, NAA 3): unique where somebody saw to it, as scsi_debug does not",
    r"naa\.[56]000000.*": "no maker's number: targets that make ids up, such as tgt",
    r"eui\.525400.*": "QEMU: the default of an NVMe namespace, the same in each machine",
    r"t10\..*QEMU (?:HARDDISK|DVD-ROM).*": "QEMU numbers its disks anew in each machine (QM00001, drive-scsi0)",
    r"t10\.(?:Linux scsi_debug|IET) .*": "numbered by the target, anew on each server",
    r"t10\..* (?:0+|0?123456789[0-9A-F]*|[0-9A-Z]{0,4})": "no serial number, or one of a whole series, as bridges of USB have",
    r"nvme\.1b36-.*": "QEMU: the serial number is what the machine's configuration says, the same in each copy",
    r"nvme\.(?:1ae0|1414)-.*": "clouds whose controllers have the same serial number in every machine",
    r"nvme\.[0-9a-f]{4}-(?:(?:20|30|00)*|31323334(?:3536)?(?:3738)?(?:39)?(?:30)?)-.*": "no serial number: blanks, zeros or 1234",
}
"""Patterns of ids that may come twice, with the reason."""

_FORMS = re.compile(
    r"naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})|eui\.(?:[0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32})"
    r"|uuid\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|nvme\.[0-9a-f]{4}-[0-9a-f]*-[0-9a-f]*-[0-9a-f]{8}"
    r"|t10\.[ -~]{8,180}"
)
_DISTRUSTED = re.compile("|".join(f"(?:{own})" for own in DISTRUSTED))
_MULTIPATH = re.compile(r"mpath-3([0-9a-f]{16}|[0-9a-f]{32})")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PERSISTENT = re.compile(rf".*/pods/{_UUID}/volumes/kubernetes\.io~[a-z0-9.-]+/(?P<name>[a-z0-9.-]{{0,64}}{_UUID})(?:/mount)?")


def volume_of(wwid: str) -> str:
    """Return a hardware id as it is compared: in lower case, but for ``t10`` names; empty when it may belong to another device too.

    A serial number alone is none: it is unique among the products of one maker. Nor is the id of a logical volume or an encrypted one:
    it lies on the disk, and is copied with it.
    """
    own = wwid if wwid.startswith("t10.") else wwid.lower()
    own = " ".join(own.split())
    if match := _MULTIPATH.fullmatch(own):
        own = f"naa.{match[1]}"
    return own if len(own) <= _LONGEST and _FORMS.fullmatch(own) and not _DISTRUSTED.fullmatch(own) else ""


def volumes(devices: Iterable[Device]) -> dict[str, str]:
    """Return the volume of each device that has one, by the device's name.

    It is the hardware's id; of a device that lies on one other the id of that one; else the persistent volume that is mounted from it.
    """
    by_name = {own.name: own for own in devices}
    return {name: volume for name, own in by_name.items() if (volume := _hardware(own, by_name) or _persistent(own))}


def _hardware(own: Device, by_name: Mapping[str, Device]) -> str:
    """The id of a device, or of the one below it, and so on; one in a file on a disk is another one in each copy of the file."""
    for _ in range(_DEPTH):
        if volume := volume_of(own.wwid):
            return volume
        below = by_name.get(own.below[0]) if len(own.below) == 1 and own.kind != "loop" else None
        if below is None:
            return ""
        own = below
    return ""


def _persistent(own: Device) -> str:
    """The persistent volume that the kubelet has mounted from a device. A name without a UUID may be that of a pod's own volume."""
    names = {match["name"] for point, _ in own.mounts if (match := _PERSISTENT.fullmatch(point))}
    return f"pv.{names.pop()}" if len(names) == 1 else ""
