"""A storm: nearly every read is slow, 100,000 and more a second. Nothing is lost without a number, and the agent goes on answering."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.support import Group, Page, RunningAgent, agent, closed_ledger, group, scrape, wait

READ = 128 * 1024  # from the page cache: some microseconds
THRESHOLD = "--threshold=file.read=1us"
EXPLAINED = 500
PRODUCERS = max(1, min(2, len(os.sched_getaffinity(0)) - 1))
AT_ONCE = 500
MEMORY = 64 * 1024  # KiB
GROWTH = 8 * 1024

DURATIONS = [5, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.components, pytest.mark.timeout(240)])]


@dataclass(frozen=True)
class Counted:
    """What became of the slow operations, after one scrape."""

    slow: int
    emitted: int
    suppressed: int
    ring_full: int
    read: int
    explained: int
    unexplained: int
    undecodable: int

    @classmethod
    def of(cls, page: Page) -> Counted:
        outcomes = [
            int(page.total("perflens_slow_events_total", probe="file", outcome=name)) for name in ("emitted", "suppressed", "ring_full")
        ]
        names = ("read", "explained", "unexplained", "undecodable")
        rest = [int(page.total(f"perflens_slow_events_{name}_total", probe="file")) for name in names]
        return cls(int(page.total("perflens_slow_operations_total", probe="file")), *outcomes, *rest)

    @property
    def is_settled(self) -> bool:
        """Whether all that was emitted was read, and all that was read is either explained or counted as not."""
        return self.emitted == self.read == self.explained + self.unexplained + self.undecodable


@dataclass(frozen=True)
class Storm:
    """What was seen while reads were made and after: ``reads`` by the producers' own count."""

    running: RunningAgent
    own: Group
    began: float
    reads: int
    pages: list[Page]
    memory: list[int]

    def settled(self, seconds: float = 20) -> Counted:
        """The counts once the machine is quiet; the events ledger closes then."""
        deadline = time.monotonic() + seconds
        while not (found := Counted.of(scrape(self.running.url))).is_settled:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found


def _anonymous_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def _produce(file: Path, told: Path, until: float) -> None:
    """Read until then, and leave the number of reads."""
    descriptor, room, reads = os.open(file, os.O_RDONLY), [bytearray(READ)], 0
    while time.monotonic() < until:
        for _ in range(AT_ONCE):
            os.preadv(descriptor, room, 0)
        reads += AT_ONCE
    told.write_text(str(reads))


def _watch(running: RunningAgent, until: float) -> Iterator[tuple[Page, int]]:
    while time.monotonic() < until:
        yield scrape(running.url), _anonymous_memory(running.process.pid)
        time.sleep(0.2)


@contextmanager
def storm(folder: Path, seconds: float, *flags: str) -> Iterator[Storm]:
    """An agent that sees one group alone, in which reads are made for so long; scraped all the time."""
    file, began = folder / "large", time.monotonic()
    file.write_bytes(bytes(READ))
    with group("storm") as own, agent(folder, THRESHOLD, f"--filter.cgroup={own.unit}", *flags) as running:
        until = time.monotonic() + seconds
        told = [folder / f"reads-{number}" for number in range(PRODUCERS)]
        pids = [own.run(lambda path=path: _produce(file, path, until)) for path in told]  # type: ignore[misc]
        with ThreadPoolExecutor(1) as pool:
            watched = pool.submit(lambda: list(_watch(running, until)))
            wait(*pids)
        pages, memory = zip(*watched.result(), strict=True)
        yield Storm(running, own, began, sum(int(path.read_text()) for path in told), list(pages), list(memory))


def _holds(found: Storm) -> Counted:
    """What holds in every storm; return the counts."""
    page = closed_ledger(found.running.url)
    counts = found.settled()
    assert page.count(found.own.unit, "read") == found.reads
    assert page.slow(found.own.unit, "read") == counts.slow
    assert found.reads / 2 < counts.slow <= found.reads
    assert counts.slow == counts.emitted + counts.suppressed + counts.ring_full
    assert counts.undecodable == 0
    assert counts.explained <= EXPLAINED * (time.monotonic() - found.began + 1)
    seen = [Counted.of(page) for page in found.pages]
    assert [(one.slow, one.read) for one in seen] == sorted((one.slow, one.read) for one in seen)
    assert seen[-1].read > seen[0].read
    log = found.running.log.read_text()
    assert "Traceback" not in log
    assert "level=error" not in log
    assert max(found.memory) < MEMORY
    assert found.memory[-1] - found.memory[len(found.memory) * 2 // 5] < GROWTH
    return counts


@pytest.mark.parametrize("seconds", DURATIONS)
def test_what_the_budget_suppresses_is_counted(tmp_path: Path, seconds: float) -> None:
    """With the default budget of an owner most are suppressed: each slow read is emitted, or in the number of those that are not."""
    with storm(tmp_path, seconds, f"--events.explained={EXPLAINED}") as found:
        counts = _holds(found)

    assert counts.ring_full == 0
    assert 0 < counts.emitted < counts.slow / 10
    assert counts.suppressed == counts.slow - counts.emitted


@pytest.mark.parametrize("seconds", DURATIONS)
def test_without_a_budget_every_slow_read_arrives(tmp_path: Path, seconds: float) -> None:
    """All of them go through the ring, and it does not fill: less than 1 % found no room."""
    with storm(tmp_path, seconds, "--events.rate=0", f"--events.explained={EXPLAINED}") as found:
        counts = _holds(found)

    assert counts.suppressed == 0
    assert counts.ring_full < counts.slow / 100
    assert counts.unexplained > counts.explained > 0
