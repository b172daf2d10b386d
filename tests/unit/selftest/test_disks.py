"""selftest/disks.py: which file system, which disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflens.selftest import disks
from perflens.selftest.disks import choose, disk_of
from perflens.selftest.model import Disk


def mounts(*lines: tuple[str, str, str]) -> str:
    return "".join(f"36 35 98:0 / {point} rw - {fstype} {source} rw\n" for point, fstype, source in lines)


def test_last_mount_above(tmp_path: Path) -> None:
    """The longest mount point above the folder counts, of two at one place the later; a prefix of a name is none above."""
    own = str(tmp_path).replace(" ", "\\040")
    text = mounts(
        ("/", "ext4", "/dev/none"), (own, "xfs", "/dev/none"), (own, "fuse.sshfs", "host:/"), (f"{own}x", "ntfs", "x"), ("bad", "", "")
    )

    assert disk_of(str(tmp_path), text).fs == "fuse"
    assert disk_of("/", text).fs == "ext4"
    assert disk_of("/", "nonsense\n\n").fs == "unknown"


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that cannot be looked at is an error of the system's."""
    with pytest.raises(FileNotFoundError):
        disk_of(str(tmp_path / "nothing"))


def test_disk_by_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file system with a number of its own has the disk that it names as its source, if there is one."""
    monkeypatch.setattr(os, "major", lambda device: 0 if device == os.stat(tmp_path).st_dev else device >> 8)

    assert disk_of(str(tmp_path), mounts(("/", "btrfs", "/dev/perflens-nothing"))).device == ""
    assert disk_of(str(tmp_path), mounts(("/", "overlay", "overlay"))).device == ""


def test_disk_that_makes_the_requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk is its own, a partition its disk's; what lies on others, or is not there, has none."""
    for name, number in (("cciss!c0d0", "8:0"), ("cciss!c0d0/part", "8:1"), ("dm-0", "253:0")):
        (tmp_path / name / "slaves").mkdir(parents=True)
        (tmp_path / name / "dev").write_text(f"{number}\n")
        (tmp_path / number).symlink_to(tmp_path / name)
    (tmp_path / "cciss!c0d0/part/partition").write_text("1\n")
    (tmp_path / "dm-0" / "slaves" / "part").symlink_to(tmp_path / "cciss!c0d0/part")
    monkeypatch.setattr(disks, "_DEVICES", tmp_path)

    assert disks._whole("8:0") == disks._whole("8:1") == ("cciss/c0d0", "8:0")
    assert disks._whole("253:0") == disks._whole("9:9") == disks._whole("") == ("", "")


def test_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first folder on a disk is taken, else the first at all that can be written."""
    for name in ("memory", "disk"):
        (tmp_path / name).mkdir()
    found = {
        name: Disk(name, "fs", "", "8:1" if name.endswith("disk") else "") for name in (str(tmp_path / own) for own in ("memory", "disk"))
    }
    monkeypatch.setattr(disks, "disk_of", lambda folder: found[folder])

    assert choose([str(tmp_path / "nothing"), *found]).device == "8:1"
    assert choose([str(tmp_path / "memory")]).device == ""
    with pytest.raises(OSError, match="no folder can be written"):
        choose([str(tmp_path / "nothing")])
