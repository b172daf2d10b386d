"""How the victim itself fares, by its own clock: what it did and how long each took, told without a system call."""

from __future__ import annotations

import mmap
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BUCKETS", "Gauge", "Pace", "felt", "gauge", "pace"]

BUCKETS = 256
"""As in load.c: bucket i counts the operations that took less than 2^(i/4) ns."""


@dataclass(frozen=True)
class Pace:
    """Operations a second, and what 95 % of them took less than, in s; 0 where there were none."""

    rate: float = 0.0
    p95: float = 0.0


@dataclass(frozen=True)
class Gauge:
    """The counts of one load: a file that it has mapped, in memory."""

    path: Path
    memory: mmap.mmap

    def read(self) -> tuple[float, tuple[int, ...]]:
        """When, and the counts."""
        return time.monotonic(), struct.unpack(f"{BUCKETS}Q", self.memory[:])


@contextmanager
def gauge() -> Iterator[Gauge]:
    """A gauge, gone at the end."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.truncate(BUCKETS * 8)
        with mmap.mmap(file.fileno(), BUCKETS * 8) as memory:
            yield Gauge(Path(file.name), memory)


def pace(before: tuple[float, Sequence[int]], after: tuple[float, Sequence[int]]) -> Pace:
    """What was done between two readings."""
    seconds = after[0] - before[0]
    counts = [new - old for old, new in zip(before[1], after[1], strict=True)]
    whole, so_far = sum(counts), 0
    if not whole:
        return Pace()
    for bucket, count in enumerate(counts):
        so_far += count
        if so_far >= 0.95 * whole:
            return Pace(whole / seconds, 2 ** (bucket / 4) / 1e9)
    raise AssertionError("the counts are no more than their sum")


def felt(healthy: Pace, faulty: Pace) -> bool:
    """Whether the victim has been hurt: twice as slow, or half as much done. What nobody feels is no fault to be told."""
    return bool(healthy.rate) and (faulty.p95 >= 2 * healthy.p95 or faulty.rate <= healthy.rate / 2)
