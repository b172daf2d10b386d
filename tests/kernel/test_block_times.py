"""Where the time of requests goes: held back, in the queue, on the device, each on a disk that is slow in that place alone."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.disks import BLOCK, direct
from tests.kernel.faults import Disk, slow_disk
from tests.kernel.slow import throttled
from tests.kernel.support import Group, agent, closed_ledger, group, wait
from tests.throttle import BLOCK as THROTTLED
from tests.throttle import disk_of

PARTS = ("held", "queue", "device")
DELAY = 0.2  # s
ALONE, WAITING, TAGS = 5, 12, 4


@pytest.fixture(scope="module")
def url(rung: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with agent(tmp_path_factory.mktemp("agent"), f"--probes.block.attach={rung}") as running:
        yield running.url


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Disk]:
    with slow_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def own() -> Iterator[Group]:
    with group("user") as found:
        yield found


@dataclass(frozen=True)
class Times:
    """Seconds of one owner's requests, and how many of them there were; of each operation all are that owner's."""

    held: float
    queue: float
    device: float
    requests: int
    bytes: int


def times(url: str, disk: str, operation: str, unit: str) -> Times:
    page, wanted = closed_ledger(url), {"device": disk, "operation": operation, "unit": unit}
    seconds = {part: float(page.total(f"perflens_block_{part}_duration_seconds_sum", **wanted)) for part in PARTS}
    requests = page.total("perflens_block_device_duration_seconds_count", **wanted)
    return Times(**seconds, requests=int(requests), bytes=int(page.total("perflens_block_bytes_total", **wanted)))


def test_a_throttle_holds_back(url: str, tmp_path: Path) -> None:
    """Direct writes that the cgroup's limit lets through every 250 ms: what the writer waited was held."""
    with throttled(tmp_path) as slow_group:
        file, disk = tmp_path / "file", Path(f"/sys/dev/block/{disk_of(tmp_path)}").resolve().name
        file.write_bytes(bytes(ALONE * THROTTLED))
        os.sync()
        told, tell = os.pipe()

        def write() -> None:
            for procs in slow_group.procs:
                Path(procs).write_text("0")
            fd, block = os.open(file, os.O_WRONLY | os.O_DIRECT), mmap.mmap(-1, THROTTLED)
            began = time.monotonic_ns()
            for number in range(ALONE):
                os.pwrite(fd, block, number * THROTTLED)
            os.write(tell, struct.pack("=Q", time.monotonic_ns() - began))

        with group("launcher") as launcher:
            wait(launcher.run(write))
            assert times(url, disk, "write", launcher.unit).requests == 0
        waited = struct.unpack("=Q", os.read(told, 8))[0] / 1e9
        found = times(url, disk, "write", f"/{slow_group.name}")
    assert found.bytes == ALONE * THROTTLED
    assert waited > ALONE * THROTTLED / (1 << 20) / 2
    assert 0.95 * waited <= found.held <= waited
    assert found.queue + found.device <= 0.05 * waited


@pytest.mark.parametrize("operation", ["read", "write"])
def test_a_slow_device(url: str, slow: Disk, own: Group, operation: str) -> None:
    """Direct requests one after the other, each of which the device takes a known time for."""
    slow.delays.set(**{operation: DELAY})
    wait(own.run(lambda: direct(slow.device.name, operation, ALONE, 1)))
    found = times(url, slow.device.name, operation, own.unit)
    assert (found.requests, found.bytes) == (ALONE, ALONE * BLOCK)
    assert ALONE * DELAY <= found.device <= 1.05 * ALONE * DELAY
    assert found.held + found.queue <= 0.05 * ALONE * DELAY


def test_a_slow_flush(url: str, slow: Disk, own: Group) -> None:
    """The flush of the device's cache is the time of an fsync, and of who asked for it."""

    def sync() -> None:
        fd = os.open(slow.device, os.O_RDWR)
        for _ in range(ALONE):
            os.fsync(fd)
        os.close(fd)

    slow.delays.set(sync=DELAY)
    wait(own.run(sync))
    found = times(url, slow.device.name, "flush", own.unit)
    assert (found.requests, found.bytes) == (ALONE, 0)
    assert ALONE * DELAY <= found.device <= 1.05 * ALONE * DELAY
    assert found.held + found.queue <= 0.05 * ALONE * DELAY


def one_after_the_other(disk: Disk) -> None:
    """Let the driver take so many requests at once as there are tags, all of which wait in it for the one that is served."""
    (disk.queue / "scheduler").write_text("none")
    (disk.queue / "nr_requests").write_text(str(TAGS))


def with_scheduler(disk: Disk) -> None:
    """The same, with a scheduler, which has tags of its own: what the driver cannot take waits there."""
    one_after_the_other(disk)
    (disk.queue / "scheduler").write_text("mq-deadline")
    assert int((disk.queue / "nr_requests").read_text()) >= WAITING


@pytest.mark.parametrize(("prepare", "part"), [(one_after_the_other, "held"), (with_scheduler, "queue")], ids=["tags", "scheduler"])
def test_more_requests_than_the_device_takes(url: str, slow: Disk, own: Group, prepare: Callable[[Disk], None], part: str) -> None:
    """Twelve reads at once, of which the driver takes four: the others wait for a tag, or in the scheduler, one delay after the other."""
    prepare(slow)
    slow.delays.set(read=DELAY)
    wait(own.run(lambda: direct(slow.device.name, "read", WAITING, WAITING)))
    found = times(url, slow.device.name, "read", own.unit)
    waited = DELAY * sum(range(1, WAITING - TAGS + 1))
    served = DELAY * (sum(range(1, TAGS + 1)) + TAGS * (WAITING - TAGS))
    assert (found.requests, found.bytes) == (WAITING, WAITING * BLOCK)
    assert getattr(found, part) == pytest.approx(waited, rel=0.05)
    assert found.device == pytest.approx(served, rel=0.05)
    assert found.held + found.queue - getattr(found, part) <= 0.05 * waited
