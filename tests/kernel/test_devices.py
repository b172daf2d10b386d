"""Block devices of this very host: loops, a RAID of btrfs, overlays and zram are told as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from perflens.enrich.devices import Devices
from perflens.kernel.features import mounts
from tests.kernel.faults import loop_device

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SIZE = 300 << 20


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def now() -> Devices:
    """The devices as they are at this moment."""
    return Devices("/sys", "/proc", time.monotonic, mounts)


@pytest.fixture
def devices() -> Devices:
    return now()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder on a disk."""
    if not os.major(os.stat(tmp_path).st_dev):
        pytest.skip(f"{tmp_path} lies on no device")
    return tmp_path


@contextmanager
def image(folder: Path, name: str) -> Iterator[str]:
    """A loop device of a sparse file, by name."""
    file = folder / name
    with open(file, "wb") as opened:
        opened.truncate(SIZE)
    with loop_device(file) as device:
        yield device.name


@contextmanager
def mounted(point: Path, *arguments: str | Path) -> Iterator[Path]:
    point.mkdir()
    run("mount", *arguments, point)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def super_block(path: Path) -> tuple[int, int]:
    """The number of the file system that a path leads to, as its mount says: a subvolume's stat(2) has another one."""
    (line,) = (own for own in mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape")) if own.point == str(path))
    return line.device


def disk_of(path: Path) -> tuple[str, ...]:
    number = os.stat(path).st_dev
    found = now().disks_of((os.major(number), os.minor(number)))
    assert found
    return found


def test_loop(folder: Path) -> None:
    """It lies on the disk that its file lies on, and knows the file."""
    below = disk_of(folder)
    with image(folder, "a b\n.img") as name:
        devices = now()
        own = devices.by_name(name)
        assert own is not None
        assert (own.kind, own.size, own.title) == ("loop", SIZE, str(folder / "a b\\x0a.img")[-256:])
        assert devices.disks_of(own.number) == (name, *below)


def test_btrfs_of_two_devices(folder: Path) -> None:
    """A file lies on both loops and on the disk of their files; a subvolume has the same super block."""
    if not shutil.which("mkfs.btrfs"):
        pytest.skip("needs mkfs.btrfs")
    if Path("/proc/self/mountinfo").read_bytes() != Path("/proc/1/mountinfo").read_bytes():
        pytest.skip("a mount namespace of its own: the host's mounts are those of process 1")
    below = disk_of(folder)
    with ExitStack() as stack:
        names = [stack.enter_context(image(folder, f"{number}.img")) for number in range(2)]
        run("mkfs.btrfs", "-q", "-f", "-d", "raid1", *(f"/dev/{name}" for name in names))
        point = stack.enter_context(mounted(folder / "mounted", "-t", "btrfs", f"/dev/{names[0]}"))
        run("btrfs", "subvolume", "create", point / "deeper")
        number, devices = super_block(point), now()

        assert number[0] == 0
        assert set(devices.real_device(number, "btrfs", os.getpid())) == {*names, *below}
        assert all((str(point), "btrfs") in devices.by_name(name).mounts for name in names)  # type: ignore[union-attr]


def test_overlay(folder: Path) -> None:
    """What is written lies on the upper layer's disk, what is read on either."""
    below = disk_of(folder)
    with ExitStack() as stack:
        name = stack.enter_context(image(folder, "upper.img"))
        run("mkfs.ext4", "-q", f"/dev/{name}")
        upper = stack.enter_context(mounted(folder / "upper", f"/dev/{name}"))
        lower = folder / "lo,w:er \\x"
        for made in (lower, upper / "files", upper / "work"):
            made.mkdir()
        escaped = str(lower).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
        options = f"lowerdir={escaped},upperdir={upper}/files,workdir={upper}/work"
        point = stack.enter_context(mounted(folder / "merged", "-t", "overlay", "none", "-o", options))
        number, devices = super_block(point), now()

        assert devices.real_device(number, "overlay", os.getpid(), writes=True) == (name, *below)
        assert set(devices.real_device(number, "overlay", os.getpid())) == {name, *below}


def test_overlay_of_a_process(devices: Devices, folder: Path) -> None:
    """One that only a process has mounted is found by that process, and by nobody once it is gone."""
    for name in ("lower", "upper", "work", "merged"):
        (folder / name).mkdir()
    below = disk_of(folder)
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    script = f"mount -t overlay none -o {options} {folder}/merged && stat -c %d {folder}/merged && read wait"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline().strip()
        if not line:
            pytest.skip("an overlay cannot be mounted in a mount namespace of its own")
        number = (os.major(int(line)), os.minor(int(line)))
        unknown = devices.real_device(number, "overlay", writes=True)
        found = devices.real_device(number, "overlay", process.pid, writes=True)
        process.stdin.close()

    assert (unknown, found) == ((), below)


def test_zram(devices: Devices) -> None:
    """It is a disk that lies on none, if there is one."""
    found = [own for own in devices.all() if own.kind == "zram"]
    if not found:
        pytest.skip("there is no zram device")
    assert all(devices.disks_of(own.number) == (own.name,) and own.rotational is False for own in found)


def test_every_device_of_this_host(devices: Devices) -> None:
    """All that sysfs lists are there, and each ends in disks; the root lies on one unless it lies on no device."""
    names = {own.name for own in devices.all()}

    assert names >= {name.replace("!", "/") for name in os.listdir("/sys/class/block") if not name.startswith("loop")}
    assert all(devices.disks_of(own.number) for own in devices.all() if own.number != (0, 0))
