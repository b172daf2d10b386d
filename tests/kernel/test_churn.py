"""Thousands of cgroups that live a fifth of a second: nothing lost, nothing leaked, nothing that falls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kernel.support import OPERATIONS, Group, Page, RunningAgent, agent, closed_ledger, group, owner_tree, remove, scrape, wait

AT_ONCE = 20
READS, WRITES = 7, 3
LIFE = 0.2

COUNTERS = ("_bucket", "_count", "_sum", "_total")
FAMILIES = (f"{OPERATIONS}_count", "perflens_slow_operations_total", "perflens_probe_attached", "process_cpu_seconds_total")


@pytest.fixture
def churned(tmp_path: Path) -> Iterator[RunningAgent]:
    """An agent of its own, with room for every owner's series."""
    with agent(tmp_path, "--series.limit=5000") as found:
        yield found


def _live(groups: list[Group], file: Path) -> None:
    """Let a process work in each group and live for a while, then remove the groups."""
    source, target = os.open(file, os.O_RDONLY), os.open(file.with_name("target"), os.O_WRONLY | os.O_CREAT)

    def work() -> None:
        for _ in range(READS):
            os.pread(source, 1, 0)
        for _ in range(WRITES):
            os.pwrite(target, b"x", 0)
        time.sleep(LIFE)

    wait(*[own.run(work) for own in groups])
    for own in groups:
        remove(own.folder)
    os.close(source)
    os.close(target)


def _fallen(before: Page, after: Page) -> list[str]:
    """Counters that fell between two scrapes, and series of ours that are missing in the second."""
    counters = {key: value for key, value in before.samples.items() if key[0].endswith(COUNTERS) and key[0].startswith("perflens")}
    return [str(key) for key, value in counters.items() if after.samples.get(key, -1) < value]


def _anonymous_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def _cells(page: Page) -> int:
    """The cells in use but those of requests of disks, which are made whenever the host writes back."""
    return sum(int(page.total("perflens_cells_used", probe=name)) for name in ("file", "process"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number_of_groups", [400, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.components])])
def test_no_operation_of_a_short_lived_group_is_lost(churned: RunningAgent, data_file: Path, number_of_groups: int) -> None:
    """The sums over all owners equal what they did, no counter falls, no scrape lacks a metric, cells come back."""
    prefix, tree = f"perflens-churn-{os.getpid()}-", owner_tree()
    page = scrape(churned.url)
    base_cells = _cells(page)
    for first in range(0, number_of_groups, AT_ONCE):
        groups = [Group(tree / f"{prefix}{number}") for number in range(first, first + AT_ONCE)]
        for own in groups:
            own.folder.mkdir()
        _live(groups, data_file)
        after = scrape(churned.url)
        assert _fallen(page, after) == []
        assert [name for name in FAMILIES if not any(key[0] == name for key in after.samples)] == []
        page = after
    page = closed_ledger(churned.url)
    counts = {"read": 0, "write": 0}
    for (name, pairs), value in page.samples.items():
        labels = dict(pairs)
        if name == f"{OPERATIONS}_count" and labels["unit"].startswith(f"/{prefix}"):
            counts[labels["operation"]] += int(value)

    assert counts["read"] == number_of_groups * READS
    assert counts["write"] == number_of_groups * WRITES
    assert page.outcome("other") == 0
    deadline = time.monotonic() + 30
    while (left := _cells(scrape(churned.url)) - base_cells) > 100:  # what else the host does takes some, each group two
        assert time.monotonic() < deadline, f"{left} cells of dead owners do not come back"
        time.sleep(0.5)
    assert scrape(churned.url).total("perflens_owners") < 50


@pytest.mark.timeout(180)
def test_memory_is_flat_once_the_series_are_at_their_limit(tmp_path: Path, data_file: Path) -> None:
    """Owners that come and go cost nothing that stays: the second half of 600 groups, with series that expire, adds no memory."""
    tree, memory = owner_tree(), []
    with agent(tmp_path, "--series.limit=100", "--series.expiry=1s", "--cells=256") as running:
        for first in range(0, 600, AT_ONCE):
            groups = [Group(tree / f"perflens-flat-{os.getpid()}-{number}") for number in range(first, first + AT_ONCE)]
            for own in groups:
                own.folder.mkdir()
            _live(groups, data_file)
            scrape(running.url)
            memory.append(_anonymous_memory(running.process.pid))
        closed_ledger(running.url)

    assert memory[-1] - memory[len(memory) // 2] < 1024


def test_scrapes_at_once_see_all_that_was_done_before_them(churned: RunningAgent, data_file: Path) -> None:
    """Sixteen scrapes at once, again and again, each show every operation that ended before they were asked for."""
    fd = os.open(data_file, os.O_RDONLY)
    with group("together") as own:
        for round_ in range(1, 6):
            wait(own.run(lambda: [os.pread(fd, 1, 0) for _ in range(1009)]))
            with ThreadPoolExecutor(16) as pool:
                pages = list(pool.map(scrape, [churned.url] * 16))
            assert [page.count(own.unit, "read") for page in pages] == [1009 * round_] * 16
    os.close(fd)
