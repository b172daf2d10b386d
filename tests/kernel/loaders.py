"""One known workload, and what agents of different loaders make of it."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.disks import BLOCK, counted, settled
from tests.kernel.support import OPERATIONS, PATIENCE, Group, Page, closed_ledger, group, scrape, wait

READS, WRITES, FSYNCS, COPIES, PEERS = 1_009, 1_013, 31, 17, 101
DIRECT_READS, DIRECT_WRITES = 211, 223
FORKS, EXECS = 23, 11
# The command that hides the kernel's BTF from another one, in a mount namespace of its own.
WITHOUT_BTF = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
COMPILES = 120  # seconds, on a machine that is busy with other things too
FILES = {"read": READS, "write": WRITES, "fsync": FSYNCS, "copy": COPIES}
PARTS = ("held", "queue", "device")
DIRECT = "pl-direct"  # what the process is called that makes the requests


def files_of(file: Path, pause: float = 0) -> None:
    """Known operations on a file, with a pause (s) after each read and write."""
    fd, pipe = os.open(file, os.O_RDWR), os.pipe()
    for _ in range(READS):
        os.pread(fd, 1, 0)
        time.sleep(pause)
    for _ in range(WRITES):
        os.pwrite(fd, b"x", 0)
        time.sleep(pause)
    for _ in range(FSYNCS):
        os.fsync(fd)
    out = os.open(file.with_suffix(".copy"), os.O_RDWR | os.O_CREAT)
    for _ in range(COPIES):
        os.sendfile(out, fd, 0, 16)
    for _ in range(PEERS):
        os.write(pipe[1], b"x")


def _direct(disk: str) -> None:
    Path("/proc/self/comm").write_text(DIRECT)
    buffer, fd = mmap.mmap(-1, BLOCK), os.open(f"/dev/{disk}", os.O_RDWR | os.O_DIRECT)
    for number in range(DIRECT_READS):
        os.preadv(fd, [buffer], number * BLOCK)
    for number in range(DIRECT_WRITES):
        os.pwritev(fd, [buffer], number * BLOCK)


def _processes() -> None:
    for _ in range(FORKS):
        if not (pid := os.fork()):
            os._exit(0)
        os.waitpid(pid, 0)
    for _ in range(EXECS):
        subprocess.run(["/bin/true"], check=True)


@dataclass(frozen=True)
class Done:
    """The cgroups that did it: one for files, one for requests of the disk, one for processes."""

    files: Group
    direct: Group
    processes: Group


@contextmanager
def done(file: Path, disk: str, pause: float = 0) -> Iterator[Done]:
    """The workload, with its cgroups; with a pause (s) after each read and write of the file."""
    with group("files") as files, group("direct") as direct, group("processes") as processes:
        wait(files.run(lambda: files_of(file, pause)))
        wait(direct.run(lambda: _direct(disk)))
        wait(processes.run(_processes))
        yield Done(files, direct, processes)


@dataclass(frozen=True)
class Seen:
    """What one agent counted of it."""

    files: dict[str, int]
    requests: dict[str, tuple[int, ...]]
    bytes: dict[str, int]
    processes: dict[str, int]
    bounds: frozenset[str]

    @classmethod
    def on(cls, page: Page, disk: str, own: Done) -> Seen:
        """Read it off a page."""
        return cls(
            {name: page.count(own.files.unit, name) for name in FILES},
            {name: tuple(_requests(page, part, disk, name, own.direct.unit) for part in PARTS) for name in ("read", "write")},
            {name: counted(page, disk, name, unit=own.direct.unit).bytes for name in ("read", "write")},
            {
                name: int(page.total(f"perflens_processes_{name}_total", unit=own.processes.unit))
                for name in ("forked", "executed", "exited")
            },
            frozenset(
                dict(labels)["le"] for name, labels in page.samples if name == f"{OPERATIONS}_bucket" and ("unit", own.files.unit) in labels
            ),
        )


EXPECTED = {
    "files": FILES,
    "requests": {"read": (DIRECT_READS,) * 3, "write": (DIRECT_WRITES,) * 3},
    "bytes": {"read": DIRECT_READS * BLOCK, "write": DIRECT_WRITES * BLOCK},
    "processes": {"forked": FORKS + EXECS, "executed": EXECS, "exited": FORKS + EXECS + 1},
}


def _requests(page: Page, part: str, disk: str, operation: str, unit: str) -> int:
    name = f"perflens_block_{part}_duration_seconds_count"
    return int(page.total(name, device=disk, operation=operation, unit=unit))


def seen(url: str, disk: str, own: Done) -> Seen:
    """What an agent counted, once it has all requests of the disk."""
    settled(url, disk, "write", lambda: DIRECT_WRITES)
    return Seen.on(closed_ledger(url), disk, own)


def slow_series(page: Page, probe: str) -> tuple[int, int]:
    """Slow operations of a probe, and how many of them are accounted for as events."""
    slow = int(page.total("perflens_slow_operations_total", probe=probe))
    return slow, int(page.total("perflens_slow_events_total", probe=probe))


def until_read(url: str, probe: str, seconds: float = 20) -> Page:
    """The first page on which every slow operation is accounted for and every event that was emitted is read: others go on meanwhile."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        page = scrape(url)
        emitted = page.total("perflens_slow_events_total", probe=probe, outcome="emitted")
        slow, events = slow_series(page, probe)
        if slow == events and emitted == page.total("perflens_slow_events_read_total", probe=probe):
            return page
        assert time.monotonic() < deadline, page.text
        time.sleep(0.1)
