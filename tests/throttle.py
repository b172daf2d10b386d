"""Slow disk writes on demand: a cgroup whose writes the kernel throttles, and a writer that waits for every one of them.

As a program, `throttle.py FILE PROCS...` is that writer: it joins the groups and writes FILE over and over until it is ended.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK = 256 * 1024  # 250 ms at a MiB a second
BLOCKS = 16


class CannotThrottle(Exception):
    """Why writes to a folder cannot be throttled here."""


@dataclass(frozen=True)
class Group:
    """A cgroup with throttled writes, and whose name the owner of its operations ends with."""

    name: str
    folders: tuple[Path, ...]

    @property
    def procs(self) -> tuple[str, ...]:
        return tuple(str(folder / "cgroup.procs") for folder in self.folders)


@contextmanager
def throttled_writer(folder: Path, name: str, bytes_per_second: int = 1 << 20) -> Iterator[Group]:
    """A process in a group of that name, which writes into the folder as fast as the throttle allows."""
    with throttled_group(folder, name, bytes_per_second) as group:
        file = folder / f"{name}.dat"
        writer = subprocess.Popen([sys.executable, __file__, str(file), *group.procs], stderr=subprocess.PIPE, text=True)
        try:
            _wait_for_member(group, writer)
            yield group
        finally:
            writer.kill()
            writer.communicate()
            file.unlink(missing_ok=True)


@contextmanager
def throttled_group(folder: Path, name: str, bytes_per_second: int) -> Iterator[Group]:
    """A group of that name, in every hierarchy that throttles writes or owns memory; gone at the end."""
    if os.geteuid() != 0:
        raise CannotThrottle("making cgroups needs root")
    disk = disk_of(folder)
    hierarchies = _hierarchies()
    with ExitStack() as stack:
        if (v1 := hierarchies.get("blkio")) and (memory := hierarchies.get("memory")):
            folders = tuple(dict.fromkeys((v1 / name, memory / name)))
            limit, text = v1 / name / "blkio.throttle.write_bps_device", f"{disk} {bytes_per_second}"
        elif v2 := hierarchies.get("unified"):
            _enable_controllers(v2)
            folders = (v2 / name,)
            limit, text = v2 / name / "io.max", f"{disk} wbps={bytes_per_second}"
        else:
            raise CannotThrottle("no cgroup hierarchy that throttles input and output is mounted")
        for path in folders:
            path.mkdir()
            stack.callback(_remove, path)
        try:
            limit.write_text(text)
        except OSError as error:
            raise CannotThrottle(f"the kernel does not throttle disk {disk}: {error.strerror}") from error
        yield Group(name, folders)


def disk_of(folder: Path) -> str:
    """MAJOR:MINOR of the whole disk that a folder lies on: a partition cannot be throttled."""
    device = folder.stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not node.exists():
        raise CannotThrottle(f"{folder} is not on a disk of its own")
    whole = node.resolve().parent if (node / "partition").exists() else node
    return (whole / "dev").read_text().strip()


def _hierarchies() -> dict[str, Path]:
    """Where each controller of cgroup v1 is mounted, and under `unified` cgroup v2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup":
            found.update({option: Path(where) for option in options.split(",")})
        elif kind == "cgroup2":
            found["unified"] = Path(where)
    return found


def _enable_controllers(root: Path) -> None:
    if "io" not in (root / "cgroup.controllers").read_text().split():
        raise CannotThrottle("cgroup v2 has no controller io here")
    try:
        (root / "cgroup.subtree_control").write_text("+io +memory")
    except OSError as error:
        raise CannotThrottle(f"the controllers of cgroup v2 cannot be enabled: {error.strerror}") from error


def _wait_for_member(group: Group, writer: subprocess.Popen[str], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not all(str(writer.pid) in Path(procs).read_text().split() for procs in group.procs):
        if writer.poll() is not None:
            raise CannotThrottle(f"the writer ended: {writer.communicate()[1].strip().splitlines()[-1]}")
        if time.monotonic() > deadline:
            raise CannotThrottle("the writer did not join its group")
        time.sleep(0.05)


def _remove(path: Path, seconds: float = 10) -> None:
    """Remove a group, which the kernel refuses until the last of its processes is gone."""
    deadline = time.monotonic() + seconds
    while path.exists():
        with suppress(OSError):
            path.rmdir()
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is still in use")
        time.sleep(0.05)


def write_for_ever(file: str, procs: list[str]) -> None:
    """Join the groups, then write blocks past the page cache, one after the other."""
    for member_list in procs:
        Path(member_list).write_text("0")
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    block = mmap.mmap(-1, BLOCK)  # O_DIRECT wants aligned memory
    while True:
        for number in range(BLOCKS):
            os.pwrite(descriptor, block, number * BLOCK)


if __name__ == "__main__":
    write_for_ever(sys.argv[1], sys.argv[2:])
