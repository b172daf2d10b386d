"""Tables and scrapes where the kernel has room for many more CPUs than there are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from docs.tables import PROGRAMS, host_bytes
from perflens.kernel.attached import Sizes
from perflens.kernel.features import inspect
from perflens.registry import discover
from tests.kernel.support import Page, RunningAgent, closed_ledger, group, scrape, wait

SCRAPES, OWNERS = 31, 5
CELLS = 4_096  # the default


def maps_of(pid: int) -> Mapping[str, int]:
    """The kernel's own count of each map that a process has open, in bytes by its number."""
    found = {}
    for fd in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):
            lines = dict(line.split(":\t", 1) for line in fd.read_text().splitlines() if ":\t" in line)
            if "map_id" in lines:
                found[lines["map_id"]] = int(lines["memlock"])
    return found


def collected(page: Page) -> float:
    """Seconds that the collectors took."""
    return float(page.total("perflens_scrape_collector_duration_seconds"))


def test_memory(running: RunningAgent) -> None:
    """The tables of an agent with every probe take what docs/memory.md says; the heads of maps are some bytes smaller on newer kernels."""
    host, probes = inspect(), discover()
    if tuple(int(part) for part in re.findall(r"\d+", host.kernel)[:2]) < (6, 4):
        pytest.skip("before 6.4 the kernel does not count the memory of a map exactly")
    told = sum(host_bytes(probes, Sizes.of(host, CELLS), host.possible_cpus).values()) - PROGRAMS * len(probes)
    assert 0.9999 * told <= sum(maps_of(running.process.pid).values()) <= told


def test_scrape(running: RunningAgent, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The time of a scrape is told, the least of many as the machine below may be busy; those of one kernel are compared there."""
    fd = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    for _ in range(OWNERS):
        with group("scraped") as own:
            wait(own.run(lambda: [(os.pread(fd, 1, 0), os.pwrite(fd, b"x", 0)) for _ in range(101)]))
            closed_ledger(running.url)
    os.close(fd)
    record_property("possible_cpus", inspect().possible_cpus)
    record_property("scrape_seconds", min(collected(scrape(running.url)) for _ in range(SCRAPES)))
