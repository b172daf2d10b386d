"""The table of results, on the terminal and as docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.rounds import Spread

__all__ = ["Line", "Result", "Skipped", "document", "document_of", "table"]


@dataclass(frozen=True, slots=True)
class Result:
    """One line: a measured quantity, what it may be at most, or must be ``at_least`` (None: it is only told), and how it came about."""

    row: str
    what: str
    value: Spread
    unit: str
    budget: float | None
    medians: str
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Return pass or FAIL, or nothing where there is no budget."""
        if self.budget is None:
            return ""
        keeps = self.value.median >= self.budget if self.at_least else self.value.median <= self.budget
        return "pass" if keeps else "FAIL"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that could not be measured here, and why."""

    row: str
    what: str
    reason: str


Line = Result | Skipped

_HEAD = ("row", "what", "measured", "budget", "", "min..max", "medians")


def _number(value: float, unit: str) -> str:
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{text} {unit}"


def _cells(line: Line) -> tuple[str, ...]:
    if isinstance(line, Skipped):
        return (line.row, line.what, "skipped", "", "", "", line.reason)
    budget = "" if line.budget is None else f"{'≥' if line.at_least else '≤'} {line.budget:g} {line.unit}"
    value = line.value
    limits = "" if value.low == value.high else f"{_number(value.low, '').strip()}..{_number(value.high, '').strip()}"
    return (line.row, line.what, _number(value.median, line.unit), budget, line.verdict, limits, line.medians)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a table of columns."""
    rows = [_HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _markdown(lines: Iterable[Line]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(line) for line in lines)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _first(path: str, prefix: str) -> str:
    for line in Path(path).read_text(errors="replace").splitlines():
        if line.startswith(prefix):
            return line.partition(":")[2].strip()
    return "unknown"


def _version(command: Sequence[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    lines = (said.stdout + said.stderr).splitlines()
    return next((line.strip() for line in lines if "version" in line), lines[0].strip() if lines else "unknown")


def _facts() -> str:
    memory = int(_first("/proc/meminfo", "MemTotal").split()[0]) // 1024
    programs = [f"Python {platform.python_version()}", _version(["clang", "--version"]), _version(["bpftrace", "--version"])]
    if peer := shlex.split(os.environ.get("PERFLENS_BENCH_EBPF_EXPORTER", "")):
        programs.append(_version([peer[0], "--version"]).partition(" (")[0])
    facts = {
        "kernel": f"{platform.release().split('-')[0]} {platform.machine()}",
        "CPU": f"{os.cpu_count()} of {_first('/proc/cpuinfo', 'model name') if platform.machine() == 'x86_64' else platform.machine()}",
        "memory": f"{memory:,} MiB",
        "programs": ", ".join(programs),
    }
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())


_NOTES = """\
## How to read it

- *measured* is the median over the rounds. In each round every variant runs once, in another order, and is compared with the
  others of that round: *added* is a variant less the bare loop, a ratio is one number of a round over another. *min..max* are
  the extremes of the rounds. Compare ratios, not nanoseconds, across runs and machines.
- Nobody else may trace system calls meanwhile: a measurement waits for that, and is made again when somebody begins to.
- The load is one thread on one CPU that calls `pread` or `getppid` in a loop, on a cached file of a disk. It is timed by its own
  CPU time (`CLOCK_PROCESS_CPUTIME_ID`), so other work on that CPU does not count, but the caches that it fills do.
- For switches the load is two threads on one CPU. `yield` is one switch by `sched_yield`, with no other hooks than those of the
  waits; `pipe` is one byte to the other thread and back (two switches, two wake-ups, four calls), with all hooks of the probe.
- The empty pair is two `raw_tp` programs at `sys_enter` and `sys_exit` that return at once: the least that seeing every system
  call costs. The *least* is such a pair that reads the clock in both and adds to one count and one sum, for all threads alike: what
  no tool that takes the time of a call can be below.
- A variant is loaded once and attached anew for each measurement; its own counters must show every call of the loop.
- `PERFLENS_BENCH_EBPF_EXPORTER` names ebpf_exporter's binary and its flags for a configuration of your own that keeps a histogram
  of `pread64`; here a hash of start times by thread, an exponential histogram of microseconds, and no labels but the operation.
- Virtual machines change their speed while a run lasts. The rounds are short for that reason; a row that fails by less than its
  spread is worth another run (`make bench`, or `python -m tests.bench ROW`, which measures the rows that are named and leaves
  this page as it is).
- Scrape rows run the agent's own classes on memory that stands in for the kernel's cells, laid out by the compiled object's BTF.
  All cells are filled anew before each measurement: every bucket of every shard holds a count. Timed by CPU time as well.
- Ring rows: the producer is on one CPU, the agent's own drain and sums on another. What did not fit into the ring is told as
  lost. Records of a header alone come from a program that sends nothing else, the others from the file probe with every read slow.
- A kernel stack is taken when an operation slept for 1 ms, so no operation of a storm has one: its events have the user's stack.
- Storm rows: one process reads 64 KiB of a cached file in a loop with a threshold of 1 us and no budget of events, so that the agent
  drains, sums, explains and sends all the time. `PERFLENS_BENCH_WINDOW` is how many seconds the memory row lets it fill its tables
  (310, the window of the timeline and of the evidence).
- Memory, idle and start rows look at the real agent from outside, through `/proc`. Memory leaves out the mapped BPF maps, which
  are the kernel's and are told in a line of their own.
- Analyzer rows run two agents at once under the same load, one with `--no-analyzer.enabled`, and take the difference of all their
  threads' CPU time in the same seconds. The incident is a real one: 32 threads whose cgroup may read a disk 200 times a second.
  Scrapes of both take turns.
"""


def document_of(about: str, lines: Sequence[Line]) -> str:
    """Return a page of results: what it is about, when and on what they were measured, and the table."""
    return f"{about}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d}.\n\n{_facts()}\n\n## Results\n\n{_markdown(lines)}\n"


def document(lines: Sequence[Line]) -> str:
    """Return docs/benchmarks.md."""
    about = (
        "# Benchmarks\n\n"
        "Written by `make bench` (`python -m tests.bench` as root, from the root of the repository): what PerfLens costs, each figure\n"
        "against a floor or a peer that was measured in the same run."
    )
    return f"{document_of(about, lines)}\n{_NOTES}"
