"""Known workloads in cgroups of their own, and what the agent's page says of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path

from perflens.enrich.cgroups import find_tree
from perflens.kernel.features import inspect, mounts

_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

PATIENCE = int(os.environ.get("PERFLENS_TEST_PATIENCE", "1"))  # how many times longer than here an emulated machine may take
_CHILD_SECONDS = 110 * PATIENCE  # no child outlives a test that went wrong
_numbers = count(1)

OPERATIONS = "perflens_file_operation_duration_seconds"
LEDGER = ("_entered_total", "_total", "_in_flight")


class Page:
    """One scrape: every sample, and sums over those that match."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], Decimal] = {}
        for line in text.splitlines():
            match = _SAMPLE.match(line)
            if match:
                self.samples[match[1], frozenset(_LABEL.findall(match[2] or ""))] = Decimal(match[3])

    def total(self, name: str, **wanted: str) -> Decimal:
        """The sum of a metric over the series with these labels."""
        return sum((value for (own, labels), value in self.samples.items() if own == name and wanted.items() <= labels), Decimal(0))

    def count(self, unit: str, operation: str, **wanted: str) -> int:
        """How many operations of one owner were aggregated."""
        return int(self.total(f"{OPERATIONS}_count", unit=unit, operation=operation, **wanted))

    def slow(self, unit: str, operation: str, probe: str = "file") -> int:
        """How many of them were slow."""
        return int(self.total("perflens_slow_operations_total", unit=unit, operation=operation, probe=probe))

    def outcome(self, name: str, probe: str = "file") -> int:
        """How many operations ended so."""
        return int(self.total("perflens_probe_operations_total", outcome=name, probe=probe))

    @property
    def probes(self) -> list[str]:
        """The probes that are attached."""
        attached = ((dict(labels), value) for (own, labels), value in self.samples.items() if own == "perflens_probe_attached")
        return sorted(labels["probe"] for labels, value in attached if value)

    def gaps(self, *probes: str) -> dict[str, int]:
        """What the operations ledgers of probes do not account for, of those where that is something."""
        found = {}
        for probe in probes:
            entered, outcomes, in_flight = (self.total(f"perflens_probe_operations{name}", probe=probe) for name in LEDGER)
            found[probe] = int(entered - outcomes - in_flight)
        return {probe: gap for probe, gap in found.items() if gap}


def scrape(url: str) -> Page:
    """Ask the agent once."""
    with urllib.request.urlopen(url, timeout=30 * PATIENCE) as answer:
        return Page(answer.read().decode())


def closed_ledger(url: str, *probes: str, seconds: float = 20) -> Page:
    """The first page on which the ledgers of these probes, or of all, close to 0; a busy host closes them between two operations."""
    deadline = time.monotonic() + seconds * PATIENCE
    while gaps := (page := scrape(url)).gaps(*(probes or page.probes)):
        assert time.monotonic() < deadline, f"the ledger stays open by {gaps}"
        time.sleep(0.05)
    return page


def owner_tree() -> Path:
    """The hierarchy that owners come from on this host."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    return Path(find_tree(mounts(mountinfo), on_v1=inspect().owner_by_memory).point)


@dataclass(frozen=True)
class Group:
    """A cgroup of the hierarchy that owners come from; ``unit`` is how its series are labelled."""

    folder: Path

    @property
    def unit(self) -> str:
        return f"/{self.folder.name}"

    def run(self, work: Callable[[], object]) -> int:
        """Run work in a child that is in the group before it begins; return the child's pid."""
        go, begin = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                signal.alarm(_CHILD_SECONDS)
                os.close(begin)
                os.read(go, 1)
                work()
                os._exit(0)
            finally:
                os._exit(1)
        os.close(go)
        (self.folder / "cgroup.procs").write_text(str(pid))
        os.close(begin)
        return pid


def wait(*pids: int) -> None:
    """Wait for children that must have ended well."""
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


@contextmanager
def group(name: str) -> Iterator[Group]:
    """A cgroup with this in its name, gone at the end."""
    folder = owner_tree() / f"perflens-{name}-{os.getpid()}-{next(_numbers)}"
    folder.mkdir()
    try:
        yield Group(folder)
    finally:
        remove(folder)


def remove(folder: Path, seconds: float = 10) -> None:
    """Remove a cgroup, with the processes that a failed test left in it."""
    deadline = time.monotonic() + seconds
    while folder.exists():
        with suppress(OSError):
            folder.rmdir()
            return
        if time.monotonic() > deadline - seconds / 2:
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        assert time.monotonic() < deadline, f"{folder} cannot be removed"
        time.sleep(0.02)


@dataclass(frozen=True)
class RunningAgent:
    """An agent in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def agent(
    folder: Path, *flags: str, prefix: tuple[str, ...] = (), environment: Mapping[str, str] | None = None, seconds: float = 20
) -> Iterator[RunningAgent]:
    """An agent on a free port, that listens after so many seconds at most, ended at the end if it still runs."""
    log = folder / f"agent-{time.monotonic_ns()}.log"
    command = [*prefix, sys.executable, "-m", "perflens", "run", "--web.listen-address=127.0.0.1:0", *flags]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERFLENS_")}
    own = {"PERFLENS_ANALYZER_STATE_FILE": f"{folder}/incidents.json", **(environment or {})}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**inherited, **own})
    try:
        yield RunningAgent(_url(process, log, seconds), process, log)
    finally:
        process.terminate()
        process.wait(seconds / 2 * PATIENCE)


def _url(process: subprocess.Popen[bytes], log: Path, seconds: float) -> str:
    deadline = time.monotonic() + seconds * PATIENCE
    while not (match := re.search(r"listening on (https?://[^\s\"\\]+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return match[1]
