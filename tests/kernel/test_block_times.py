"""Where the time of requests goes: held back, in the queue, on the device, each on a disk that is slow in that place alone."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from tests.kernel.disks import BLOCK, direct, zeroed_loop
from tests.kernel.faults import Disk, slow_disk
from tests.kernel.slow import throttled, wait_for_events
from tests.kernel.support import Group, agent, closed_ledger, group, wait
from tests.throttle import BLOCK as THROTTLED
from tests.throttle import Group as ThrottledGroup
from tests.throttle import disk_of

PARTS = ("held", "queue", "device")
DELAY = 0.2  # s
ALONE, WAITING, TAGS = 5, 12, 4
FOLLOWING = 512  # their bios lie on the stack of the thread, at places of which there are some dozens


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


def split_at(disk: str, kilobytes: int) -> None:
    """Have each bio of a disk made into requests of that size."""
    (Path("/sys/block") / disk / "queue/max_sectors_kb").write_text(str(kilobytes))


def limit(slow_group: ThrottledGroup, disk: str, bytes_per_second: int) -> None:
    """Throttle another disk too."""
    number = (Path("/sys/block") / disk / "dev").read_text().strip()
    for folder in slow_group.folders:
        for name, text in (
            ("blkio.throttle.read_bps_device", f"{number} {bytes_per_second}"),
            ("blkio.throttle.write_bps_device", f"{number} {bytes_per_second}"),
            ("io.max", f"{number} rbps={bytes_per_second} wbps={bytes_per_second}"),
        ):
            if (folder / name).exists():
                (folder / name).write_text(text)


def join(slow_group: ThrottledGroup) -> None:
    for procs in slow_group.procs:
        Path(procs).write_text("0")


def test_what_is_split_from_a_bio_that_was_held_back(url: str, tmp_path: Path) -> None:
    """A throttled write that is too large for a request: each of those made of it is the writer's, and was held back as long."""
    with zeroed_loop(tmp_path) as disk, throttled(tmp_path) as slow_group, group("launcher") as launcher:
        split_at(disk, 64)
        limit(slow_group, disk, 1 << 20)
        told, tell = os.pipe()

        def write() -> None:
            fd, block = os.open(f"/dev/{disk}", os.O_RDWR | os.O_DIRECT), mmap.mmap(-1, THROTTLED)
            join(slow_group)
            began = time.monotonic_ns()
            os.pwritev(fd, [block], 0)
            os.write(tell, struct.pack("=Q", time.monotonic_ns() - began))

        wait(launcher.run(write))
        waited = struct.unpack("=Q", os.read(told, 8))[0] / 1e9
        found = times(url, disk, "write", f"/{slow_group.name}")
    requests = THROTTLED // (64 << 10)
    assert waited > 0.1
    assert (found.requests, found.bytes) == (requests, THROTTLED)
    assert 0.9 * requests * waited <= found.held <= requests * waited


def test_a_bio_that_was_held_back_and_failed(url: str, tmp_path: Path) -> None:
    """A read that may not wait, and is split once the throttle lets it go, fails: what uses its memory next is not its submitter's."""
    with zeroed_loop(tmp_path) as disk, throttled(tmp_path) as slow_group, group("next") as following:
        split_at(disk, 64)
        limit(slow_group, disk, 1 << 20)
        disk_groups = [folder.parent for folder in slow_group.folders if (folder / "blkio.throttle.read_bps_device").exists()]

        def read() -> None:
            fd, block = os.open(f"/dev/{disk}", os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, THROTTLED)
            join(slow_group)
            for number in range(4):
                began = time.monotonic()
                with pytest.raises(BlockingIOError):
                    os.preadv(fd, [block], number * THROTTLED, os.RWF_NOWAIT)
                assert time.monotonic() - began > 0.1
            for folder in (*disk_groups, following.folder):
                (folder / "cgroup.procs").write_text("0")
            small = mmap.mmap(-1, BLOCK)
            for number in range(FOLLOWING):
                os.preadv(fd, [small], number * BLOCK)

        wait(following.run(read))
        found, of_throttled = times(url, disk, "read", following.unit), times(url, disk, "read", f"/{slow_group.name}")
    assert (found.requests, found.bytes) == (FOLLOWING, FOLLOWING * BLOCK)
    assert of_throttled.requests == 0
    assert found.held < DELAY


def test_the_longest_request_is_told(rung: str, slow: Disk, own: Group, tmp_path: Path) -> None:
    """The budget of events is that of the moment in which a request ends, whenever it began: the one that hung is not the one to go."""
    other = tmp_path / "other"
    other.mkdir()
    flags = (f"--probes.block.attach={rung}", "--events.rate=1", "--events.burst=1")
    with agent(tmp_path, *flags) as running, slow_disk(other) as hanging:

        def work() -> None:
            hangs = Thread(target=direct, args=(hanging.device.name, "write", 1, 1))
            hangs.start()
            time.sleep(1.5)
            direct(slow.device.name, "read", 1, 1)  # takes the budget of a second
            hangs.join()

        slow.delays.set(read=DELAY)
        hanging.delays.set(write=2.5)
        wait(own.run(work))
        found = wait_for_events(running.url, 2, owner=own.unit, probe="block")
    assert {event["operation"] for event in found} == {"read", "write"}
