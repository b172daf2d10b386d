"""`perflens top` in a terminal before an agent that has much to show: its CPU time and whether its memory stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench.agent import kib, one, running_agent, until_ready
from tests.bench.report import Line, Skipped
from tests.terminal import Terminal, terminal

__all__ = ["KEYS", "child", "screen", "writers"]

_SECONDS = float(os.environ.get("PERFLENS_BENCH_TOP_SECONDS", "180"))
KEYS = (("d",), ("t",), ("h",), ("p",), ("n",), ("a",), ("d", "s"))
_EVERY = 5.0  # s: how long each view is seen
_SAMPLE = 1.0
_CPU, _GROWTH = 3, 4
_WRITER = (
    "import os, sys, time\n"
    "file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DSYNC)\n"
    "while True:\n"
    "    os.pwrite(file, b'x' * 4096, 0)\n"
    "    time.sleep(0.005)\n"
)


@contextmanager
def writers(number: int) -> Iterator[None]:
    """Processes that sync a file a hundred times a second each."""
    with tempfile.TemporaryDirectory(prefix="perflens-bench-", dir="/var/tmp") as folder:
        found = [subprocess.Popen([sys.executable, "-c", _WRITER, f"{folder}/{at}"]) for at in range(number)]
        try:
            yield
        finally:
            for own in found:
                own.kill()
                own.wait()


def child(own: Terminal) -> int:
    """Return the PID of what runs in a terminal."""
    pane = own.flag("pane_pid")
    return int(Path(f"/proc/{pane}/task/{pane}/children").read_text().split()[0])


def _cpu(pid: int) -> float:
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def screen() -> Iterator[Line]:
    """Every view in turn, and the memory of the last quarter of the time against that of the second."""
    if not shutil.which("tmux"):
        yield Skipped("top", "CPU of one core", "tmux is not installed")
        return
    with running_agent("--threshold=10us", "--analyzer.state-file=") as agent, writers(4):
        until_ready(agent)
        url = agent.url.removesuffix("/metrics")
        with terminal(sys.executable, "-m", "perflens", "top", f"--url={url}", size=(120, 40)) as own:
            own.shows("Slowest processes", "file write", seconds=60)
            yield from _watched(own, child(own))


def _watched(own: Terminal, pid: int) -> Iterator[Line]:
    began, cpu, memory, turn = time.monotonic(), _cpu(pid), [], 0
    while (passed := time.monotonic() - began) < _SECONDS:
        if passed >= turn * _EVERY:
            own.press(*KEYS[turn % len(KEYS)])
            turn += 1
        memory.append(kib(Path(f"/proc/{pid}/status").read_text(), "VmRSS") / 1024)
        time.sleep(_SAMPLE)
    used, took, size = _cpu(pid) - cpu, time.monotonic() - began, len(memory) // 4
    quarters = [median(memory[at * size : (at + 1) * size]) for at in range(4)]
    told = f"{', '.join(f'{own:.1f}' for own in quarters)} MiB in the quarters of the time"
    yield one("top", "CPU of one core, all views in turn", 100 * used / took, "%", _CPU, f"{used:.2f} s in {took:.0f} s, {turn} views")
    yield one("top", "growth of the memory", quarters[3] - quarters[1], "MiB", _GROWTH, told)
