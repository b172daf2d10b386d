"""Disks for tests: slow on purpose without a throttle, by a loop device whose backing file takes as long as it is asked to; and others."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import slow_server

SIZE = 320 << 20  # the least that mkfs.xfs takes is 300 MiB


@dataclass(frozen=True)
class Delays:
    """How long the disk takes for a request, changed at any time."""

    memory: mmap.mmap

    def set(self, read: float = 0, write: float = 0, sync: float = 0) -> None:
        """Seconds for a read, a write and a flush of its cache."""
        slow_server.DELAYS.pack_into(self.memory, 0, read, write, sync)


@dataclass(frozen=True)
class Disk:
    """A loop device that is as slow as its delays say."""

    delays: Delays
    device: Path
    backing: Path

    @property
    def queue(self) -> Path:
        """Where its settings are."""
        return Path("/sys/block") / self.device.name / "queue"


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def _unmount(point: Path) -> None:
    """Try for some seconds: what used it may be ending just now. Then it is taken out of sight, and goes with its last user."""
    for _ in range(50):
        if not subprocess.run(["umount", point], capture_output=True, check=False, timeout=60).returncode:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", point], check=True)
    raise AssertionError(f"{point} was still in use")


@contextmanager
def slow_file_system(folder: Path) -> Iterator[tuple[Path, Delays]]:
    """A FUSE mount with the one file `disk`; the delays begin with 0."""
    point, told = folder / "slow", folder / "delays"
    point.mkdir()
    told.write_bytes(bytes(slow_server.DELAYS.size))
    with told.open("r+b") as file:
        delays = Delays(mmap.mmap(file.fileno(), slow_server.DELAYS.size))
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/fuse: {error.strerror}")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,max_read={slow_server.LARGEST}"
    command = ["mount", "-i", "-t", "fuse", "-o", options, "slow", str(point)]
    done = subprocess.run(command, pass_fds=[fd], capture_output=True, text=True, check=False)
    if done.returncode:
        os.close(fd)
        pytest.skip(f"FUSE cannot be mounted: {done.stderr.strip()}")
    server = subprocess.Popen([sys.executable, slow_server.__file__, str(fd), str(SIZE), told], pass_fds=[fd])
    os.close(fd)
    try:
        yield point / slow_server.NAME.decode(), delays
    finally:
        delays.set()
        try:
            _unmount(point)
        finally:
            server.kill()  # who still waits gets an error
            server.wait(10)


@contextmanager
def loop_device(backing: Path) -> Iterator[Path]:
    """A loop device of a file, gone at the end: the next one of its number begins with its settings, so they are left as they were."""
    device = Path(_run("losetup", "--find", "--show", backing))
    settings = [Path("/sys/block") / device.name / "queue" / name for name in ("scheduler", "nr_requests", "read_ahead_kb")]
    before = [setting.read_text() for setting in settings]
    try:
        yield device
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.write_text(value.partition("[")[2].partition("]")[0] or value)
        subprocess.run(["losetup", "--detach", device], check=True)
        _until_gone(Path("/sys/block") / device.name / "loop")


@contextmanager
def stacked_device(size: int = 64 << 20) -> Iterator[Path]:
    """A device that takes bios and makes no requests: a zram of its own, which needs no memory before it is written to."""
    control = Path("/sys/class/zram-control")
    if not (control / "hot_add").exists():
        _run("modprobe", "zram")
    number = (control / "hot_add").read_text().strip()  # the read makes the device
    try:
        (Path("/sys/block") / f"zram{number}" / "disksize").write_text(str(size))
        yield Path(f"/dev/zram{number}")
    finally:
        (control / "hot_remove").write_text(number)


@contextmanager
def busy(device: Path, size: int = 1 << 20) -> Iterator[None]:
    """Reads and writes of 4 KiB past the page cache, one after the other, over and over the first bytes of a device."""
    over = threading.Event()

    def work() -> None:
        block = mmap.mmap(-1, 4_096)  # O_DIRECT wants aligned memory
        fd = os.open(device, os.O_RDWR | os.O_DIRECT)
        try:
            for place in cycle(range(0, size, len(block))):
                if over.wait(0.01):
                    return
                os.pwritev(fd, [block], place)
                os.preadv(fd, [block], place)
        finally:
            os.close(fd)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _until_gone(path: Path) -> None:
    """The kernel lets a loop device go a moment after its last user."""
    deadline = time.monotonic() + 10
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.02)


@contextmanager
def slow_disk(folder: Path) -> Iterator[Disk]:
    """A loop device on a slow file system."""
    with slow_file_system(folder) as (backing, delays), loop_device(backing) as device:
        try:
            yield Disk(delays, device, backing)
        finally:
            delays.set()


@contextmanager
def mounted(device: Path, kind: str, point: Path, *options: str) -> Iterator[Path]:
    """A new file system of a kind on a device."""
    _run(f"mkfs.{kind}", *(("-q", "-F") if kind == "ext4" else ("-q", "-f")), *options, device)
    point.mkdir(exist_ok=True)
    _run("mount", "-t", kind, device, point)
    try:
        yield point
    finally:
        _unmount(point)


def uncached(path: Path, size: int) -> Path:
    """Make a file of random bytes, which lies on the disk and not in the page cache."""
    with path.open("wb") as out:
        out.write(os.urandom(size))
        out.flush()
        os.fsync(out.fileno())
        os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def accounted(event: Mapping[str, Any]) -> int:
    """The sum of an event's parts, in ns."""
    own = event["time"]
    return int(own["on_cpu_ns"] + own["runqueue_ns"] + own["unattributed_ns"] + sum(own["blocked_ns"].values()))
