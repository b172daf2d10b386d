"""What the block probe adds to a request of a disk, by the kernel's own count of its programs' time, beside empty programs."""

from __future__ import annotations

import mmap
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perflens.kernel.attach import attach
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.probes.block import PROBE
from tests.bench.report import Line, Result
from tests.bench.rounds import Rounds
from tests.bench.syscalls import compile_object, empty_programs
from tests.bench.tracers import alone

__all__ = ["block_request"]

_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
_BLOCK, _BLOCKS, _REQUESTS, _ROUNDS = 4_096, 4_096, 5_000, 11
_THRESHOLD = 1 << 62
_FLOOR = tuple(
    f"empty_{name}" for name in ("bio_complete", "request_done", "request_complete", "request_issue", "request_start", "bio_queue")
)


@contextmanager
def _counted() -> Iterator[None]:
    """Let the kernel take the time of every program's run: about 50 ns more of each."""
    before = _STATS.read_text()
    _STATS.write_text("1")
    try:
        yield
    finally:
        _STATS.write_text(before)


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """A loop device over a file in memory, so that its requests are done soon."""
    image = folder / "image"
    image.write_bytes(bytes(_BLOCK * _BLOCKS))
    device = Path(subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def _read(device: Path) -> None:
    """So many direct reads, each a request of its own."""
    buffer, fd = mmap.mmap(-1, _BLOCK), os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        for number in range(_REQUESTS):
            os.preadv(fd, [buffer], number * 37 % _BLOCKS * _BLOCK)
    finally:
        os.close(fd)
        buffer.close()


def _nanoseconds(programs: Mapping[str, int]) -> dict[str, int]:
    """Return the time that each program has run for."""
    texts = {name: Path(f"/proc/self/fdinfo/{fd}").read_text() for name, fd in programs.items()}
    return {name: int(re.findall(r"^run_time_ns:\t(\d+)", text, re.MULTILINE)[0]) for name, text in texts.items()}


def block_request() -> Iterator[Line]:
    """ns of a request in the programs that are on its way; those at switches of threads are in the row of switches."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/dev/shm")))
        device = stack.enter_context(_disk(folder))
        host = inspect()
        probe = attach("block", PROBE, host, rung="auto", sizes=Sizes.of(host, 4_096), thresholds=[_THRESHOLD] * 5)
        stack.callback(probe.close)
        empty = stack.enter_context(empty_programs(compile_object(folder), *_FLOOR))
        probe.detach()
        alone()
        stack.enter_context(_counted())
        probe.attach()
        empty.attach()
        ours = {name: fd for name, fd in probe.programs().items() if "switch" not in name}
        rounds = []
        _read(device)
        for _ in range(_ROUNDS):
            before = _nanoseconds(ours), _nanoseconds(empty.programs())
            _read(device)
            after = _nanoseconds(ours), _nanoseconds(empty.programs())
            took, least = ((sum(now.values()) - sum(then.values())) / _REQUESTS for now, then in zip(after, before, strict=True))
            rounds.append({"ours": took, "empty": least, **{name: (after[0][name] - before[0][name]) / _REQUESTS for name in ours}})
    found = Rounds(rounds)
    shown = ", ".join(f"{name.removeprefix('block_')} {found.plain(name).median:.0f}" for name in ours)
    told = f"{_REQUESTS:,} direct reads of 4 KiB of a loop device a round; {shown}"
    yield Result("block_request", "ns in the programs of a request, the time of counting included", found.plain("ours"), "ns", 1_000, told)
    floor = f"empty {found.plain('empty').median:.0f} ns"
    yield Result("block_request", "the same / empty programs at its hooks", found.ratio("ours", "empty"), "×", None, floor)
