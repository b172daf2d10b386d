"""enrich/volumes.py: which ids tell one disk from all others, and which two hosts may have by chance."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from perflens.enrich.volumes import DISTRUSTED, volume_of, volumes
from perflens.model import Device

WWN = "naa.600508b1001c79ade5178f0626caaa9c"
CLAIM = "pvc-7f1d5f0e-6a34-4bd3-9c62-0a8f5b1c2d3e"
POD = "/var/lib/kubelet/pods/0c5a1b7e-1111-4222-8333-444455556666/volumes"

TRUSTED = {
    WWN: WWN,
    "naa.5000c500a1b2c3d4": "naa.5000c500a1b2c3d4",
    "NAA.5000C500A1B2C3D4": "naa.5000c500a1b2c3d4",
    "mpath-3600508b1001c79ade5178f0626caaa9c": WWN,
    "naa.6001405b1d7a4e2c3f84a6ab1234cdef": "naa.6001405b1d7a4e2c3f84a6ab1234cdef",
    "eui.0025388b710116a1": "eui.0025388b710116a1",
    "uuid.7f1d5f0e-6a34-4bd3-9c62-0a8f5b1c2d3e": "uuid.7f1d5f0e-6a34-4bd3-9c62-0a8f5b1c2d3e",
    "nvme.1d0f-766f6c3031323334-416d617a6f6e-00000001": "nvme.1d0f-766f6c3031323334-416d617a6f6e-00000001",
    "t10.ATA     ST4000NM0035-1V4107                     ZC12ABCD": "t10.ATA ST4000NM0035-1V4107 ZC12ABCD",
}
NOT_TRUSTED = {
    "naa.0000000000000000": 0,
    "eui.0000000000000000": 0,
    "uuid.00000000-0000-0000-0000-000000000000": 0,
    "naa.3333333000000000": 1,
    "naa.60000000000000000e00000000010001": 2,
    "eui.5254000000000001": 3,
    "t10.ATA     QEMU HARDDISK                           QM00001": 4,
    "t10.QEMU    QEMU HARDDISK   drive-scsi0-0-0-0": 4,
    "t10.Linux   scsi_debug      2000": 5,
    "t10.IET     00010001": 5,
    "t10.Generic USB Flash Disk 000000000000": 6,
    "t10.JMicron Generic 0123456789ABCDEF": 6,
    "t10.VENDOR  PRODUCT A1": 6,
    "nvme.1b36-6465616462656566-51454d55204e564d65204374726c-00000001": 7,
    "nvme.1ae0-6e766d655f63617264-6e766d655f63617264-00000001": 8,
    "nvme.144d-2020202020202020-53414d53554e47-00000001": 9,
    "nvme.144d-31323334-53414d53554e47-00000001": 9,
}
NO_FORM = (
    "",
    "0",
    "naa.0",
    "naa.5000c5",
    "S3Z9NB0K123456",
    "0x1234abcd",
    "LVM-abc",
    "CRYPT-LUKS2-abc-root",
    "naa.5000c500a1b2c3d4\\x0a",
    "x" * 300,
)


def device(name: str, wwid: str = "", **changes: object) -> Device:
    own = Device(name, (8, 0), "disk", 1 << 30, False, False, "", "", wwid, name)
    return replace(own, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("wwid", TRUSTED)
def test_an_id_that_is_one(wwid: str) -> None:
    """It is compared in one form, however the kernel or a multipath map has written it."""
    assert volume_of(wwid) == TRUSTED[wwid]


@pytest.mark.parametrize("wwid", NOT_TRUSTED)
def test_an_id_that_comes_twice(wwid: str) -> None:
    """Each is refused for the reason that stands beside its pattern."""
    pattern = list(DISTRUSTED)[NOT_TRUSTED[wwid]]

    assert volume_of(wwid) == ""
    assert re.fullmatch(pattern, " ".join(wwid.split()))


def test_every_reason_has_a_case() -> None:
    assert set(NOT_TRUSTED.values()) == set(range(len(DISTRUSTED)))


@pytest.mark.parametrize("wwid", NO_FORM)
def test_what_has_no_form_of_an_id(wwid: str) -> None:
    """Serial numbers, ids of logical volumes and broken text tell no disk from another."""
    assert volume_of(wwid) == ""


def test_devices_on_others() -> None:
    """A partition, a logical volume or an encrypted one is on the hardware below it; one on two disks or in a file is on neither."""
    disk, other = device("sda", WWN), device("sdb", "naa.5000c500a1b2c3d4")
    found = volumes(
        [
            disk,
            other,
            device("sda1", WWN, kind="partition", below=("sda",)),
            device("dm-0", "LVM-copied", kind="dm", below=("sda1",)),
            device("dm-1", "CRYPT-LUKS2-copied", kind="dm", below=("dm-0",)),
            device("dm-2", "LVM-striped", kind="dm", below=("sda", "sdb")),
            device("loop0", kind="loop", below=("sda",)),
            device("dm-3", kind="dm", below=("dm-3",)),
            device("dm-4", kind="dm", below=("gone",)),
        ]
    )

    assert found == {"sda": WWN, "sdb": "naa.5000c500a1b2c3d4", "sda1": WWN, "dm-0": WWN, "dm-1": WWN}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((f"{POD}/kubernetes.io~csi/{CLAIM}/mount",), f"pv.{CLAIM}"),
        ((f"{POD}/kubernetes.io~aws-ebs/{CLAIM}", "/var/lib/kubelet/plugins/x/globalmount"), f"pv.{CLAIM}"),
        ((f"{POD}/kubernetes.io~csi/{CLAIM}/mount", f"{POD}/kubernetes.io~csi/{CLAIM[:-1]}f/mount"), ""),
        ((f"{POD}/kubernetes.io~csi/data/mount",), ""),
        ((f"{POD}/kubernetes.io~csi/{CLAIM}/mount/below",), ""),
        ((f"/home/me{CLAIM}",), ""),
    ],
)
def test_persistent_volumes(points: tuple[str, ...], expected: str) -> None:
    """A disk without an id of its own is known by the volume that the kubelet mounts from it, if that is one with a name of its own."""
    found = volumes([device("vda", mounts=tuple((point, "ext4") for point in points))])

    assert found == ({"vda": expected} if expected else {})
