"""What the block probe adds to a request of a disk: to the time of a read, and by the kernel's own count of its programs' time."""

from __future__ import annotations

import mmap
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from perflens.kernel.attach import attach
from perflens.kernel.attached import AttachedProbe, Sizes
from perflens.kernel.features import inspect
from perflens.kernel.loader import Loaded
from perflens.probes.block import PROBE
from tests.bench.report import Line, Result
from tests.bench.rounds import Rounds, measure
from tests.bench.syscalls import Variant, compile_object, empty_programs, while_attached
from tests.bench.tracers import alone

__all__ = ["block_request"]

_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
_BLOCK, _BLOCKS, _REQUESTS, _ROUNDS = 4_096, 4_096, 5_000, 11
_READERS, _PAIRS = 4 * (os.cpu_count() or 1), 101
_SETTLE, _WATCHED = 0.02, 0.2  # s
_LINE = 64  # bytes of a reader's count, so that none shares a cache line
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


def _read(device: Path, number: int, done: memoryview | None = None) -> None:
    """So many direct reads, each a request of its own; ``done`` is told how many there were."""
    buffer, fd = mmap.mmap(-1, _BLOCK), os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        for at in range(number):
            os.preadv(fd, [buffer], at * 37 % _BLOCKS * _BLOCK)
            if done:
                done[0] = at
    finally:
        os.close(fd)
        buffer.close()


@contextmanager
def _readers(device: Path) -> Iterator[memoryview]:
    """Processes that read all the time, more than there are CPUs, and the numbers of their reads: no CPU is idle."""
    shared = mmap.mmap(-1, _READERS * _LINE)
    counts = memoryview(shared).cast("Q")
    step = _LINE // 8
    with ExitStack() as ends:
        for number in range(_READERS):
            pid = os.fork()
            if not pid:
                _read(device, 1 << 62, counts[number * step :])
                os._exit(0)
            ends.callback(os.waitpid, pid, 0)
            ends.callback(os.kill, pid, signal.SIGKILL)
        yield counts[::step]


def _nanoseconds(programs: Mapping[str, int]) -> dict[str, int]:
    """Return the time that each program has run for."""
    texts = {name: Path(f"/proc/self/fdinfo/{fd}").read_text() for name, fd in programs.items()}
    return {name: int(re.findall(r"^run_time_ns:\t(\d+)", text, re.MULTILINE)[0]) for name, text in texts.items()}


def block_request() -> Iterator[Line]:
    """What a request takes more, and how much of that the programs on its way run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/dev/shm")))
        device = stack.enter_context(_disk(folder))
        host = inspect()
        probe = attach("block", PROBE, host, rung="auto", sizes=Sizes.of(host, 4_096), thresholds=[_THRESHOLD] * 5)
        stack.callback(probe.close)
        empty = stack.enter_context(empty_programs(compile_object(folder), *_FLOOR))
        probe.detach()
        alone()
        variants: Mapping[str, Variant] = {
            "bare": nullcontext,
            "programs": lambda: while_attached(probe),
            "empty": lambda: while_attached(empty),
        }
        with _readers(device) as counts:
            yield _added(counts, variants)
        yield from _of_programs(device, probe, empty)


def _added(counts: memoryview, variants: Mapping[str, Variant]) -> Line:
    """The CPU time of a request with the programs less that of one without them, in pairs, where no CPU is idle."""

    def timed(own: Variant) -> float:
        with own():
            time.sleep(_SETTLE)
            before, began = sum(counts), time.monotonic_ns()
            time.sleep(_WATCHED)
            return (os.cpu_count() or 1) * (time.monotonic_ns() - began) / (sum(counts) - before)

    found = measure({name: partial(timed, own) for name, own in variants.items()}, _PAIRS)
    floor = f"bare {found.plain('bare').median:.0f} ns; empty programs +{found.added('empty', 'bare').median:.0f}"
    told = f"{_READERS} processes that read 4 KiB of a loop device directly, {_PAIRS} pairs of {_WATCHED} s; {floor}"
    return Result("block_request", "CPU time added to a request", found.added("programs", "bare"), "ns", 1_000, told)


def _of_programs(device: Path, probe: AttachedProbe, empty: Loaded) -> Iterator[Line]:
    """The time of the programs on the way of a request; those at switches of threads are in the row of switches."""
    rounds = []
    with _counted(), while_attached(probe), while_attached(empty):
        ours = {name: fd for name, fd in probe.programs().items() if "switch" not in name}
        _read(device, _REQUESTS)
        for _ in range(_ROUNDS):
            before = _nanoseconds(ours), _nanoseconds(empty.programs())
            _read(device, _REQUESTS)
            after = _nanoseconds(ours), _nanoseconds(empty.programs())
            took, least = ((sum(now.values()) - sum(then.values())) / _REQUESTS for now, then in zip(after, before, strict=True))
            rounds.append({"ours": took, "empty": least, **{name: (after[0][name] - before[0][name]) / _REQUESTS for name in ours}})
    found = Rounds(rounds)
    shown = ", ".join(f"{name.removeprefix('block_')} {found.plain(name).median:.0f}" for name in ours)
    told = f"{_REQUESTS:,} direct reads a round, counting takes about 50 ns of each program; {shown}"
    yield Result("block_request", "ns in the programs of a request, the time of counting included", found.plain("ours"), "ns", None, told)
    floor = f"empty {found.plain('empty').median:.0f} ns"
    yield Result("block_request", "the same / empty programs at its hooks", found.ratio("ours", "empty"), "×", None, floor)
