"""What no program was there to see: a request whose end is not seen lends nothing to the next one at its address."""

from __future__ import annotations

import mmap
import os
import struct
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes, object_path, object_types
from perflens.kernel.features import inspect
from perflens.model import HISTOGRAM_WIDTH, SLOW_WIDTH
from perflens.registry import discover
from tests.kernel.disks import BLOCK, zeroed_loop

SECOND = 10**9
AGO = 100 * SECOND
READS = 64
CELLS = 256
QUEUE, DEVICE = 1, 2
TYPES = object_types(object_path("block", inspect().machine))
SLOT = TYPES.struct("request_slot")


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    with zeroed_loop(tmp_path) as disk:
        yield Path("/dev") / disk


@pytest.fixture
def kernel(rung: str) -> Iterator[AttachedProbe]:
    host = inspect()
    found = attach("block", discover()["block"], host, rung=rung, sizes=Sizes.of(host, CELLS), thresholds=[1 << 62] * 5)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def attached(kernel: AttachedProbe, *unseen: str) -> Iterator[None]:
    """Attached anew, without these programs."""
    kernel.attach()
    try:
        for program in unseen:
            kernel._loaded.let_go(f"block_{program}_{kernel.mechanism}")
        yield
    finally:
        kernel.detach()


def number_of(device: Path) -> int:
    """The disk as the kernel keeps its number."""
    number = device.stat().st_rdev
    return os.major(number) << 20 | os.minor(number)


def in_the_past(kernel: AttachedProbe, disk: Path, operation: str) -> int:
    """Have the requests of a disk that are over begin long ago, as if their end had not been seen; return how many."""
    wanted = TYPES.enum("block_operation")[f"BLOCK_{operation.upper()}"]
    place, memory, past, found = SLOT.unpacker("number", "operation"), kernel.slots._memory, time.monotonic_ns() - AGO, 0
    for at in range(0, len(memory), SLOT.size):
        if place.unpack_from(memory, at) == (number_of(disk), wanted):
            found += 1
            for name, value in {"start": past, "issued": past, "made": past, "claims": 1}.items():
                struct.pack_into(f"={SLOT[name].code}", memory, at + SLOT[name].offset, value)
    return found


def measured(kernel: AttachedProbe, disk: Path) -> dict[int, tuple[int, int]]:
    """How many there were of each part on a disk, and their ns."""
    bindings = array("i", [-1]) * (2 * kernel.capacity)
    rows, slow = array("Q", bytes(8 * HISTOGRAM_WIDTH * CELLS)), array("Q", bytes(8 * SLOW_WIDTH * CELLS))
    cells = kernel.harvest(bindings, rows, slow)
    for row, cell in enumerate(cells):
        bindings[2 * cell] = bindings[2 * cell + 1] = row
    kernel.harvest(bindings, rows, slow)
    found = dict.fromkeys((QUEUE, DEVICE), (0, 0))
    for row, cell in enumerate(cells):
        key, at = kernel.key(cell), row * HISTOGRAM_WIDTH
        if key.object == number_of(disk) and key.part in found:
            count, ns = found[key.part]
            found[key.part] = count + rows[at], ns + rows[at + 1]
    return found


def read(device: Path, requests: int) -> None:
    """Direct reads in this thread: their bios lie on its stack, at places of which there are some dozens."""
    fd, block = os.open(device, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, BLOCK)
    for number in range(requests):
        assert os.preadv(fd, [block], number * BLOCK) == BLOCK
    os.close(fd)


def sync(device: Path) -> None:
    fd = os.open(device, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def test_a_flush_whose_end_was_not_seen(kernel: AttachedProbe, loop: Path) -> None:
    """A queue makes each flush of the same request: the next one does not begin with the one before."""
    sync(loop)
    kernel.detach()
    assert in_the_past(kernel, loop, "flush")
    with attached(kernel):
        sync(loop)
    found = measured(kernel, loop)
    assert found[QUEUE][0] == found[DEVICE][0] + 1
    assert found[QUEUE][1] + found[DEVICE][1] < SECOND


def test_a_request_whose_begin_was_not_seen_after_one_without_an_end(kernel: AttachedProbe, loop: Path) -> None:
    """It is counted with the kernel's own times, and the one that was at its address has died."""
    read(loop, READS)
    kernel.detach()
    assert in_the_past(kernel, loop, "read")
    assert measured(kernel, loop)[DEVICE][0] == READS
    with attached(kernel, "start"):
        read(loop, READS)
    found = measured(kernel, loop)
    assert found[DEVICE][0] == READS
    assert found[QUEUE][0] > READS
    assert found[QUEUE][1] + found[DEVICE][1] < SECOND


def test_a_disk_without_statistics(kernel: AttachedProbe, loop: Path) -> None:
    """Where the kernel counts no requests it tells the end of none: they end with their last part."""
    queue = Path("/sys/block") / loop.name / "queue"
    read(loop, READS)  # the kernel keeps the times of what it counted
    time.sleep(1.5)
    measured(kernel, loop)
    (queue / "scheduler").write_text("none")
    (queue / "iostats").write_text("0")
    try:
        read(loop, READS)
    finally:
        (queue / "iostats").write_text("1")
    kernel.detach()
    found = measured(kernel, loop)
    assert found[QUEUE][0] == found[DEVICE][0] == READS
    assert found[QUEUE][1] + found[DEVICE][1] < SECOND
