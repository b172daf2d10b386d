"""What the programs cost an operation, measured on this host at the start."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["nanoseconds_a_read"]

_READS, _ROUNDS = 1_000, 7


def nanoseconds_a_read(path: Path) -> float:
    """Return the ns that a read of one cached byte takes: the least of a few rounds, which no other work has disturbed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0.0
    try:
        return min(_round(fd) for _ in range(_ROUNDS)) / _READS
    finally:
        os.close(fd)


def _round(fd: int) -> int:
    read = os.pread
    began = time.perf_counter_ns()
    for _ in range(_READS):
        read(fd, 1, 0)
    return time.perf_counter_ns() - began
