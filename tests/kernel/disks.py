"""Disks that nobody else uses: known requests of them, the kernel's own count of these, and the agent's."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from tests.kernel.faults import loop_device
from tests.kernel.support import PATIENCE, Page, closed_ledger

BLOCK = 4_096
SECTOR = 512
BLKDISCARD = 0x1277  # include/uapi/linux/fs.h
SIZE = 256 << 20
MISSED = "perflens_probe_missed_total"


@dataclass(frozen=True)
class Count:
    """Requests, bytes and milliseconds of one direction, as /proc/diskstats has them."""

    requests: int
    bytes: int
    milliseconds: int

    @property
    def population(self) -> tuple[int, int]:
        """Requests and bytes."""
        return self.requests, self.bytes

    def since(self, before: Count) -> Count:
        return Count(self.requests - before.requests, self.bytes - before.bytes, self.milliseconds - before.milliseconds)


COLUMNS = {"read": 3, "write": 7, "discard": 14}  # Documentation/admin-guide/iostats.rst


def diskstats(disk: str, operation: str) -> Count:
    """What the kernel counted."""
    fields = next(line.split() for line in Path("/proc/diskstats").read_text().splitlines() if line.split()[2] == disk)
    at = COLUMNS[operation]
    return Count(int(fields[at]), int(fields[at + 2]) * SECTOR, int(fields[at + 3]))


def counted(page: Page, disk: str, operation: str, **wanted: str) -> Count:
    """What the agent counted: all requests, also those whose end it did not see, which have no time on the device."""
    parts = [page.total(f"perflens_block_{part}_duration_seconds_sum", device=disk, operation=operation) for part in ("queue", "device")]
    return Count(
        int(page.total("perflens_block_queue_duration_seconds_count", device=disk, operation=operation, **wanted)),
        int(page.total("perflens_block_bytes_total", device=disk, operation=operation, **wanted)),
        round(sum(parts) * 1_000),
    )


@contextmanager
def zeroed_loop(folder: Path) -> Iterator[str]:
    """A loop device over a file of zeros; its name."""
    image = folder / "image"
    with image.open("wb") as file:
        file.write(bytes(SIZE))
        os.fsync(file.fileno())
    with loop_device(image) as device:
        yield device.name


def direct(disk: str, operation: str, requests: int, threads: int) -> None:
    """So many direct requests of one block each, at this depth."""

    def work(first: int) -> None:
        buffer = mmap.mmap(-1, BLOCK)
        fd = os.open(f"/dev/{disk}", os.O_RDWR | os.O_DIRECT)
        for number in range(first, requests, threads):
            place = number * 37 % (SIZE // BLOCK) * BLOCK
            assert (os.preadv(fd, [buffer], place) if operation == "read" else os.pwritev(fd, [buffer], place)) == BLOCK
        os.close(fd)

    own = [Thread(target=work, args=(first,)) for first in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()


def buffered(disk: str) -> None:
    """Writes of 8 MiB that a sync brings to the disk."""
    fd = os.open(f"/dev/{disk}", os.O_RDWR)
    for number in range(8):
        os.pwrite(fd, bytes(1 << 20), number << 20)
    os.fsync(fd)
    os.close(fd)


def discard(disk: str) -> None:
    """A discard of 16 MiB."""
    fd = os.open(f"/dev/{disk}", os.O_RDWR)
    fcntl.ioctl(fd, BLKDISCARD, struct.pack("=2Q", 32 << 20, 16 << 20))
    os.close(fd)


def settled(url: str, disk: str, operation: str, expected: Callable[[], int], seconds: float = 10) -> Page:
    """The first page that has as many requests as the kernel, or the last one."""
    deadline = time.monotonic() + seconds * PATIENCE
    while (page := closed_ledger(url)) and counted(page, disk, operation).requests != expected() and time.monotonic() < deadline:
        time.sleep(0.1)
    return page


class Requests:
    """The requests of one operation of a disk from now on: as the kernel counts them, and as the agent does, by owner."""

    def __init__(self, url: str, disk: str, operation: str = "write") -> None:
        self._url, self._disk, self._operation = url, disk, operation
        self._kernel, self._page = diskstats(disk, operation), closed_ledger(url)

    @property
    def by_kernel(self) -> tuple[int, int]:
        """How many requests there were, and their bytes."""
        return diskstats(self._disk, self._operation).since(self._kernel).population

    def settle(self) -> None:
        """Read the agent's page once it has as many requests as the kernel; AssertionError when it never has.

        Where the kernel preempts programs and skips others meanwhile, and says so, the test is skipped.
        """
        known = counted(self._page, self._disk, self._operation).requests
        self._after = settled(self._url, self._disk, self._operation, lambda: known + self.by_kernel[0])
        missed = int(self._after.total(MISSED, probe="block") - self._page.total(MISSED, probe="block"))
        if 0 < self.by_kernel[0] - self.by_agent()[0] <= missed:
            pytest.skip(f"{missed} missed, as told")
        assert self.by_agent() == self.by_kernel, f"{self.by_agent()} by the agent, {self.by_kernel} by the kernel"

    def by_agent(self, unit: str | None = None) -> tuple[int, int]:
        """How many requests there were, and their bytes; of one owner, or of all."""
        wanted = {} if unit is None else {"unit": unit}
        before, after = (counted(page, self._disk, self._operation, **wanted) for page in (self._page, self._after))
        return after.since(before).population

    @property
    def methods(self) -> Mapping[str, int]:
        """By which method the owners of how many requests of this host were found meanwhile."""
        name = "perflens_probe_requests_attributed_total"
        before, after = (
            {dict(labels)["method"]: int(value) for (own, labels), value in page.samples.items() if own == name}
            for page in (self._page, self._after)
        )
        return {method: count - before[method] for method, count in after.items()}
