"""Throttled writes: the agent counts as many slow operations as the writer's own clock, for the writer and nobody else."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.support import closed_ledger, group, wait
from tests.throttle import BLOCK, CannotThrottle, Group, throttled_group

WRITES = 23
THRESHOLD = 5_000_000


@contextmanager
def _throttled(folder: Path) -> Iterator[Group]:
    try:
        with throttled_group(folder, f"perflens-throttled-{os.getpid()}", 1 << 20) as found:
            yield found
    except CannotThrottle as reason:
        pytest.skip(str(reason))


def _timed(fd: int, data: bytes | mmap.mmap, offset: int) -> int:
    """Write and return how long it took in ns."""
    began = time.monotonic_ns()
    os.pwrite(fd, data, offset)
    return time.monotonic_ns() - began


def _write_and_time(file: Path, procs: tuple[str, ...], tell: int) -> None:
    """Join the groups, write WRITES blocks past the page cache and tell how long each took."""
    for procs_file in procs:
        with open(procs_file, "w") as join:
            join.write("0")
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    block = mmap.mmap(-1, BLOCK)
    taken = [_timed(fd, block, number * BLOCK) for number in range(WRITES)]
    os.write(tell, struct.pack(f"={WRITES}Q", *taken))


def test_slow_writes_are_counted_for_their_owner_alone(url: str, tmp_path: Path) -> None:
    """23 throttled direct writes: as many slow writes as the writer's clock says, within its time; a bystander has none."""
    told, tell = os.pipe()
    told_quiet, tell_quiet = os.pipe()
    quiet_file = tmp_path / "quiet"

    def bystander() -> None:
        fd = os.open(quiet_file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(tell_quiet, struct.pack("=Q", sum(_timed(fd, b"x", 0) >= THRESHOLD for _ in range(1009))))

    with _throttled(tmp_path) as slow, group("bystander") as quiet, group("launcher") as launcher:
        unit = f"/{slow.name}"
        before = closed_ledger(url)
        writer = launcher.run(lambda: _write_and_time(tmp_path / "throttled", slow.procs, tell))
        wait(quiet.run(bystander), writer)
        page = closed_ledger(url)
    taken = struct.unpack(f"={WRITES}Q", os.read(told, 8 * WRITES))
    slow_by_clock = [ns for ns in taken if ns >= THRESHOLD]

    assert len(slow_by_clock) >= WRITES // 2
    assert len(slow_by_clock) == page.slow(unit, "write")
    assert page.count(unit, "write") == WRITES
    seconds = page.total("perflens_slow_operation_seconds_total", probe="file", unit=unit, operation="write")
    assert sum(slow_by_clock) * 0.99 < seconds * 10**9 <= sum(slow_by_clock)
    assert page.slow(quiet.unit, "write") <= struct.unpack("=Q", os.read(told_quiet, 8))[0]  # 0, unless the host is that busy
    assert page.slow(launcher.unit, "write") == 0
    assert page.count(quiet.unit, "write") == 1009
    assert before.slow(unit, "write") == 0
