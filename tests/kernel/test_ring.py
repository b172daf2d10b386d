"""The drain loop on a real ring of the kernel."""

from __future__ import annotations

import mmap
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from perflens.kernel import _native
from perflens.kernel.btf import read_object
from perflens.kernel.loader import Loaded, Plan, load

SOURCE = Path(__file__).parents[1] / "bpf" / "ring.bpf.c"
RING = 65536
PAGE = mmap.PAGESIZE


@dataclass
class Ring:
    """A loaded ring with its two mappings."""

    loaded: Loaded
    consumer: mmap.mmap
    producer: mmap.mmap
    refused: mmap.mmap

    def send(self, records: int, length: int) -> None:
        assert self.loaded.run("ring_send", struct.pack("=2Q", records, length)) == 0

    def drain(self, room: int = RING) -> tuple[list[int], int]:
        """Return the numbers of the records that were moved, and the bytes that are left."""
        out = bytearray(room)
        records, used, left = _native.drain(self.consumer, self.producer, out, PAGE)
        numbers, at = [], 0
        while at < used:
            length, zero, number = struct.unpack_from("=IIQ", out, at)
            assert zero == 0
            numbers.append(number)
            at += 8 + (length + 7) // 8 * 8
        assert len(numbers) == records
        return numbers, left


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    """A ring of 64 KiB and a program that fills it."""
    path = tmp_path / "ring.bpf.o"
    multiarch = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["clang", "-g", "-O2", "-target", "bpf", f"-I/usr/include/{multiarch}", "-c", SOURCE, "-o", path], check=True)
    types = read_object(path, frozenset())
    loaded = load(Plan(path, ("ring_send",), (), {}, types.variables, {}))
    fd = loaded.map_fd("ring")
    consumer = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    producer = mmap.mmap(fd, PAGE + 2 * RING, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)
    yield Ring(loaded, consumer, producer, loaded.memory("refused"))
    consumer.close()
    producer.close()
    loaded.close()


def test_every_record_arrives_in_order_across_the_ring_s_end(ring: Ring) -> None:
    """Ten times the ring's size, drained batch by batch: every number once, in order, nothing left, nothing refused."""
    numbers: list[int] = []
    for _ in range(100):
        ring.send(101, 61)
        numbers += ring.drain()[0]

    assert list(range(10_100)) == numbers
    assert ring.drain() == ([], 0)
    assert struct.unpack("=Q", ring.refused[:8]) == (0,)


def test_a_full_ring_refuses_and_the_rest_is_exact(ring: Ring) -> None:
    """What did not fit was counted by the sender: sent = drained + refused."""
    ring.send(1024, 200)
    numbers, left = ring.drain()

    assert left == 0
    assert len(numbers) + struct.unpack("=Q", ring.refused[:8])[0] == 1024
    assert len(numbers) > 300


def test_a_small_buffer_drains_in_steps(ring: Ring) -> None:
    """What does not fit into the buffer stays in the ring for the next call."""
    ring.send(23, 8)
    first, left = ring.drain(room=16 * 10)
    rest, none = ring.drain()

    assert first + rest == list(range(23))
    assert len(first) == 10
    assert (left, none) == (16 * 13, 0)
