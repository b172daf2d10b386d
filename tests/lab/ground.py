"""Where the lab's faults happen: disks of its own, cgroups in every hierarchy, and loads that run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.faults import loop_device, mounted
from tests.lab.gauge import Gauge

_HERE = Path(__file__).parent
_CONTROLLERS = ("cpu", "cpuacct", "memory", "blkio")
MIB = 1 << 20


@dataclass(frozen=True)
class Disk:
    """A loop device with a file system on it."""

    name: str
    point: Path

    @property
    def number(self) -> str:
        """major:minor"""
        return (Path("/sys/block") / self.name / "dev").read_text().strip()


@dataclass(frozen=True)
class Cgroup:
    """A cgroup of this name in each hierarchy."""

    name: str
    folders: dict[str, Path]

    @property
    def unit(self) -> str:
        """How the agent calls it."""
        return f"/{self.name}"

    @property
    def pids(self) -> list[str]:
        """The processes in it."""
        return (self.folders["cpu"] / "cgroup.procs").read_text().split()

    def set(self, controller: str, file: str, text: str) -> None:
        """Write one of its files."""
        (self.folders[controller] / file).write_text(text)

    def join(self) -> None:
        """Put this process there."""
        for folder in dict.fromkeys(self.folders.values()):
            (folder / "cgroup.procs").write_text("0")


@contextmanager
def cgroup(name: str) -> Iterator[Cgroup]:
    """A cgroup, gone at the end with what runs in it."""
    folders = {controller: Path("/sys/fs/cgroup") / controller / name for controller in _CONTROLLERS}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)  # two controllers may be in one hierarchy
    try:
        yield Cgroup(name, folders)
    finally:
        for folder in folders.values():
            _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(OSError):
                os.kill(int(pid), 9)
        with suppress(OSError):
            folder.rmdir()
        time.sleep(0.05)


@dataclass(frozen=True)
class Load:
    """What a process does: see load.c."""

    mode: str = "read"
    block: int = 4_096
    direct: bool = True
    threads: int = 1
    rate: int = 0
    fsync: int = 0
    size: int = 512 * MIB

    @property
    def arguments(self) -> list[str]:
        """Those of the program."""
        return [self.mode, *(str(int(own)) for own in (self.block, self.direct, self.threads, self.rate, self.fsync, self.size))]


@dataclass
class Ground:
    """The disks and the programs, under names that tell nothing."""

    disks: tuple[Disk, ...]
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def program(self, name: str) -> Path:
        """The load under another name."""
        own = self.folder / name
        if not own.exists():
            subprocess.run(["cc", "-O2", "-Wall", "-pthread", "-o", own, str(_HERE / "load.c"), "-lm"], check=True)
        return own

    def file(self, disk: Disk, name: str, size: int = 512 * MIB) -> Path:
        """A file of random bytes that is not in the page cache, at first."""
        path = disk.point / f"{name}{size // MIB}"
        if not path.exists():
            with path.open("wb") as out:
                for _ in range(size // (4 * MIB)):
                    out.write(os.urandom(4 * MIB))
                out.flush()
                os.fsync(out.fileno())
                os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return path

    def start(self, group: Cgroup, program: str, file: Path, load: Load, gauge: Gauge | None = None) -> subprocess.Popen[bytes]:
        """Run a load in a cgroup."""
        environment = {**os.environ, **({"GAUGE": str(gauge.path)} if gauge else {})}
        process = subprocess.Popen([self.program(program), file, *load.arguments], preexec_fn=group.join, env=environment)
        self.running.append(process)
        return process

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        """End loads."""
        for process in processes:
            process.kill()
            process.wait()
            self.running.remove(process)


@contextmanager
def ground(number: int = 2, size: int = 2 << 30) -> Iterator[Ground]:
    """Disks with a journal, below a folder of this machine's own disk."""
    folder = Path("/var/tmp") / f"lab-{os.getpid()}"
    folder.mkdir()
    try:
        with ExitStack() as stack:
            disks = []
            for at in range(number):
                image = folder / f"image{at}"
                with image.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
                device = stack.enter_context(loop_device(image))
                subprocess.run(["losetup", "--direct-io=on", device], check=False)
                point = stack.enter_context(mounted(device, "ext4", folder / f"disk{at}", "-O", "has_journal"))
                disks.append(Disk(device.name, point))
            own = Ground(tuple(disks), folder)
            stack.callback(lambda: own.stop(*list(own.running)))
            yield own
    finally:
        shutil.rmtree(folder, ignore_errors=True)
