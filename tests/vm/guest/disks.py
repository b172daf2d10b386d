"""Disks that the kernel makes of memory, layers on them, and file systems on both; udev does not run in a guest.

On a machine that is no guest there may be none of them: then what needs one is skipped by its name.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.disks import SECTOR, SIZE
from tests.kernel.faults import loop_device
from tests.kernel.slow import until

NATIVE = os.environ.get("PERFLENS_GUEST") == "native"
_DELAY = Path("/sys/bus/pseudo/drivers/scsi_debug/ndelay")
_SCSI_MIB = 300
_LOOP = 300 << 20


@dataclass(frozen=True)
class Parted:
    """A disk with a part for files and one without anything; names among the disks."""

    name: str
    files: str
    plain: str


def run(*command: str | Path) -> str:
    """Run a command that must end well; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout.strip()


def number_of(disk: str) -> str:
    """MAJOR:MINOR of a disk."""
    return Path(f"/sys/block/{disk}/dev").read_text().strip()


def module(name: str, *parameters: str) -> None:
    """Load one of the kernel's modules."""
    if NATIVE and (
        not shutil.which("modprobe") or subprocess.run(["modprobe", "--dry-run", name], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no {name}")
    run("modprobe", name, *parameters)


def schedule(disk: str, scheduler: str) -> None:
    """Have the requests of a disk ordered so."""
    Path(f"/sys/block/{disk}/queue/scheduler").write_text(scheduler)


@contextmanager
def null_disk() -> Iterator[str]:
    """A disk of null_blk: two queues, no scheduler, nothing is kept, and requests end by an interrupt."""
    module("null_blk", f"gb={-(-SIZE // (1 << 30))}", "nr_devices=1", "queue_mode=2", "submit_queues=2", "irqmode=1")
    schedule("nullb0", "none")
    try:
        yield "nullb0"
    finally:
        run("modprobe", "--remove", "null_blk")


@contextmanager
def scsi_disk() -> Iterator[Parted]:
    """A disk of scsi_debug: requests of two queues, and a cache that can be flushed."""
    module("scsi_debug", f"dev_size_mb={_SCSI_MIB}", "num_parts=2", "ndelay=1000", "submit_queues=2", "lbpu=1")
    module("sd_mod")
    disk = _appeared()
    schedule(disk, "none")
    try:
        yield Parted(disk, f"{disk}1", f"{disk}2")
    finally:
        run("modprobe", "--remove", "scsi_debug")


def _appeared(seconds: float = 120) -> str:
    """The disk of scsi_debug, which is found a while after the module is loaded, and its parts later."""
    deadline = time.monotonic() + seconds
    while not (found := [path for path in Path("/sys/block").glob("sd*") if Path(f"/dev/{path.name}2").exists()]):
        assert time.monotonic() < deadline, "scsi_debug has no disk"
        time.sleep(0.1)
    return found[0].name


@contextmanager
def loop(folder: Path) -> Iterator[str]:
    """A loop device over a file without any data; its name."""
    if not Path("/dev/loop-control").exists():
        module("loop")
    image = folder / f"image-{time.monotonic_ns()}"
    with image.open("wb") as file:
        file.truncate(_LOOP)
    with loop_device(image) as device:
        yield device.name
    image.unlink()


@contextmanager
def delay(nanoseconds: int) -> Iterator[None]:
    """Every request of the SCSI disk takes so long."""
    before = _DELAY.read_text()
    _set_delay(str(nanoseconds))
    try:
        yield
    finally:
        _set_delay(before)


def _set_delay(text: str) -> None:
    """Say how long requests take, once the disk is idle: the file system on its other part writes when it wants to."""

    def is_set() -> bool:
        try:
            _DELAY.write_text(text)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    until(is_set, 60)


@contextmanager
def layer(disk: str, name: str, kind: str = "linear", more: str = "") -> Iterator[str]:
    """A device of the device mapper over the whole disk; its name among the disks."""
    module("dm_mod")
    sectors = int(Path(f"/sys/block/{disk}/size").read_text())
    assert sectors * SECTOR >= SIZE
    run("dmsetup", "create", "--noudevrules", "--noudevsync", name, "--table", f"0 {sectors} {kind} /dev/{disk} 0{more}")
    try:
        yield next(path.parents[1].name for path in Path("/sys/block").glob("dm-*/dm/name") if path.read_text().strip() == name)
    finally:
        run("dmsetup", "remove", "--noudevrules", "--noudevsync", "--retry", name)


@contextmanager
def ext4(disk: str, point: Path) -> Iterator[Path]:
    """A new ext4 on a disk or a part of one, whose inode tables are written at once, so that nobody writes them later."""
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", f"/dev/{disk}")
    point.mkdir(exist_ok=True)
    run("mount", "-t", "ext4", f"/dev/{disk}", point)
    try:
        yield point
    finally:
        run("umount", point)
