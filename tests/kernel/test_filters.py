"""Filters: what they want is measured and becomes events, all else is one counter, and the ledger closes."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.disks import zeroed_loop
from tests.kernel.slow import events, throttled, until, wait_for_events
from tests.kernel.support import Group, Page, RunningAgent, agent, closed_ledger, group, owner_tree, remove, wait
from tests.throttle import BLOCK

OPERATIONS = 17
SYNC = "--threshold=file.write=1us"  # every write that waits for the disk is slow
PR_SET_NAME = 15
COMM = "w'\"\\ ;$(x)ü".encode()


def _named(comm: bytes, work: Callable[[], object]) -> None:
    assert not ctypes.CDLL(None).prctl(PR_SET_NAME, comm, 0, 0, 0)
    work()


@dataclass
class _Writer:
    """A process that writes when it is told to."""

    pid: int
    go: int

    def write(self) -> None:
        os.write(self.go, b"\n")
        wait(self.pid)
        os.close(self.go)


def _writer(own: Group, folder: Path, comm: bytes = b"other") -> _Writer:
    """A process in a group that is there, and has its name, before it writes."""
    go, begin = os.pipe()
    ready, named = os.pipe()
    file = folder / f"file-{time.monotonic_ns()}"

    def work() -> None:
        os.close(begin)
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600)
        os.write(named, b"\n")
        if os.read(go, 1):
            for _ in range(OPERATIONS):
                os.write(fd, b"x")

    pid = own.run(lambda: _named(comm, work))
    os.close(go)
    os.close(named)
    assert os.read(ready, 1) == b"\n"
    os.close(ready)
    return _Writer(pid, begin)


@contextmanager
def _filtering(folder: Path, rung: str, *flags: str) -> Iterator[RunningAgent]:
    with agent(folder, f"--probes.file.attach={rung}", "--probes.strict", SYNC, "--events.rate=0", *flags) as running:
        yield running


def _outcome(page: Page, name: str) -> int:
    return int(page.total("perflens_probe_operations_total", probe="file", outcome=name))


def _check(url: str, wanted: dict[str, int], unwanted: list[str], filtered: int) -> Page:
    """Only the writes of what is wanted are counted and shown; the others were turned away."""
    page = closed_ledger(url)
    for unit, writes in wanted.items():
        assert page.count(unit, "write") == page.slow(unit, "write") == writes
        assert len(wait_for_events(url, writes, owner=unit, operation="write")) == writes
    for unit in unwanted:
        assert page.count(unit, "write") == 0
        assert events(url, owner=unit) == []
    assert _outcome(page, "filtered") >= filtered
    assert {event["owner"]["unit"] for event in events(url)} == {unit for unit, writes in wanted.items() if writes}
    assert _outcome(page, "aggregated") == sum(wanted.values())
    return page


def test_by_process(rung: str, tmp_path: Path) -> None:
    """Of two processes in one group the one with the wanted PID is measured."""
    with group("by-pid") as own, group("by-pid-others") as others:
        chosen, second = _writer(own, tmp_path), _writer(own, tmp_path)
        unwanted = [second, _writer(others, tmp_path)]
        with _filtering(tmp_path, rung, f"--filter.pid={chosen.pid}", f"--filter.pid={second.pid}") as running:
            for writer in (chosen, *unwanted):
                writer.write()
            _check(running.url, {own.unit: 2 * OPERATIONS}, [others.unit], OPERATIONS)
            pids = [event["process"]["pid"] for event in events(running.url)]

    assert sorted(pids) == sorted([chosen.pid] * OPERATIONS + [second.pid] * OPERATIONS)


@pytest.mark.parametrize("comm", [b"wanted", b"fifteen letters", COMM])
def test_by_thread_name(rung: str, tmp_path: Path, comm: bytes) -> None:
    """The whole name has to fit, whatever bytes it is of."""
    with (
        group("by-comm") as own,
        group("by-comm-others") as others,
        _filtering(
            tmp_path,
            rung,
            f"--filter.comm={comm.decode()}",
        ) as running,
    ):
        writers = [_writer(own, tmp_path, comm)]
        writers += [_writer(others, tmp_path, name) for name in (comm[:-1], b"x" + comm[1:], comm[:-1] + b"x", b"")]
        for writer in writers:
            writer.write()
        _check(running.url, {own.unit: OPERATIONS}, [others.unit], 4 * OPERATIONS)


@pytest.mark.parametrize("exists", [True, False])
def test_by_cgroup(rung: str, tmp_path: Path, exists: bool) -> None:
    """A cgroup with all below it, also one that is made after the start."""
    name = f"perflens-by-cgroup-{os.getpid()}-{time.monotonic_ns()}"
    folders = [owner_tree() / name, owner_tree() / name / "below", owner_tree() / name / "below" / "deep"]
    with ExitStack() as stack, group("by-cgroup-others") as others:
        for folder in folders:
            stack.callback(remove, folder)

        def make() -> None:
            for folder in folders:
                folder.mkdir()

        if exists:
            make()
        running = stack.enter_context(_filtering(tmp_path, rung, f"--filter.cgroup=/{name}"))
        if not exists:
            make()
            probe = _until_measured(running.url, Group(folders[0]), tmp_path)
        before = closed_ledger(running.url)
        for own in (*map(Group, folders), others):
            _writer(own, tmp_path).write()
        units = ["/" + str(folder.relative_to(owner_tree())) for folder in folders]
        after = closed_ledger(running.url)
        counts = [after.count(unit, "write") - before.count(unit, "write") for unit in units]
        expected = [OPERATIONS + (0 if exists else probe), OPERATIONS, OPERATIONS]
        shown = [
            len(wait_for_events(running.url, number, owner=unit, operation="write")) for unit, number in zip(units, expected, strict=True)
        ]

    assert counts == [OPERATIONS] * 3
    assert shown == expected
    assert after.count(others.unit, "write") == 0
    assert _outcome(after, "filtered") - _outcome(before, "filtered") >= OPERATIONS
    assert _outcome(after, "aggregated") - _outcome(before, "aggregated") == 3 * OPERATIONS


def test_by_a_cgroup_far_above(rung: str, tmp_path: Path) -> None:
    """What runs thirty levels below the cgroup belongs to it, too."""
    folders = [owner_tree() / f"perflens-far-above-{os.getpid()}-{time.monotonic_ns()}"]
    for level in range(30):
        folders.append(folders[-1] / str(level))
    with ExitStack() as stack:
        for folder in folders:
            stack.callback(remove, folder)
        for folder in folders:
            folder.mkdir()
        running = stack.enter_context(_filtering(tmp_path, rung, f"--filter.cgroup=/{folders[0].name}"))
        _writer(Group(folders[-1]), tmp_path).write()
        found = wait_for_events(running.url, OPERATIONS, operation="write")
        page = closed_ledger(running.url)

    assert _outcome(page, "aggregated") == len(found) == OPERATIONS


def _until_measured(url: str, own: Group, folder: Path) -> int:
    """Write until the filter knows the cgroup; return how many of the writes were measured."""
    counted = 0

    def is_known() -> bool:
        nonlocal counted
        _writer(own, folder).write()
        counted = closed_ledger(url).count(own.unit, "write")
        return counted > 0

    until(is_known)
    return counted


@pytest.mark.parametrize("by", ["comm", "cgroup"])
def test_flushes_of_a_disk(rung: str, tmp_path: Path, by: str) -> None:
    """A flush is wanted as who asks for it is, and not as who asked before, though the request has no file and no process."""
    with zeroed_loop(tmp_path) as disk, group("flush") as own, group("flush-others") as others:

        def sync(comm: bytes, times: int) -> None:
            fd = os.open(f"/dev/{disk}", os.O_RDWR)
            _named(comm, lambda: None)
            for _ in range(times):
                os.fsync(fd)

        flag = "--filter.comm=wanted" if by == "comm" else f"--filter.cgroup={own.unit}"
        with _filtering(tmp_path, rung, f"--probes.block.attach={rung}", flag) as running:
            wait(own.run(lambda: sync(b"wanted", 3)))
            wait(others.run(lambda: sync(b"other", 5)))
            wait(own.run(lambda: sync(b"wanted", 1)))
            page = closed_ledger(running.url)
        flushes = "perflens_block_device_duration_seconds_count"

    assert page.total(flushes, device=disk, operation="flush", unit=own.unit) == 4
    assert page.total(flushes, device=disk, operation="flush") == 4


def test_what_a_throttle_holds_back(rung: str, tmp_path: Path) -> None:
    """A thread of the kernel goes on with it: it is wanted as who waits for it is."""
    with throttled(tmp_path) as slow_group:
        flags = (f"--probes.block.attach={rung}", f"--filter.cgroup=/{slow_group.name}")
        file = tmp_path / "held"
        file.write_bytes(bytes(BLOCK))
        os.sync()
        with _filtering(tmp_path, rung, *flags) as running, group("launcher") as launcher:

            def write() -> None:
                fd, block = os.open(file, os.O_WRONLY | os.O_DIRECT), mmap.mmap(-1, BLOCK)
                for procs in slow_group.procs:
                    Path(procs).write_text("0")
                os.pwritev(fd, [block], 0)

            wait(launcher.run(write))
            page = closed_ledger(running.url)

    assert page.total("perflens_block_bytes_total", operation="write", unit=f"/{slow_group.name}") == BLOCK


def test_all_together(rung: str, tmp_path: Path) -> None:
    """What fits one kind of filter and not another is filtered."""
    with group("together") as own, group("together-others") as others:
        right = _writer(own, tmp_path, b"right")
        wrong_pid = _writer(own, tmp_path, b"right")
        wrong_name = _writer(own, tmp_path, b"wrong")
        wrong_group = _writer(others, tmp_path, b"right")
        pids = [f"--filter.pid={writer.pid}" for writer in (right, wrong_name, wrong_group)]
        with _filtering(tmp_path, rung, *pids, "--filter.comm=right", "--filter.comm=Right", f"--filter.cgroup={own.unit}") as running:
            for writer in (right, wrong_pid, wrong_name, wrong_group):
                writer.write()
            _check(running.url, {own.unit: OPERATIONS}, [others.unit], 3 * OPERATIONS)
            found = events(running.url)

    assert {(event["process"]["pid"], event["comm"]) for event in found} == {(right.pid, "right")}


def test_sixteen_of_each(rung: str, tmp_path: Path) -> None:
    """The last of the sixteen entries that a filter may have counts as much as the first."""
    with group("sixteen") as own, group("sixteen-others") as others:
        last = _writer(own, tmp_path, b"name-15")
        flags = [f"--filter.comm=name-{number}" for number in range(16)]
        flags += [f"--filter.cgroup=/none-{number}" for number in range(15)] + [f"--filter.cgroup={own.unit}"]
        flags += [f"--filter.pid={pid}" for pid in (*range(4_000_001, 4_000_016), last.pid)]
        with _filtering(tmp_path, rung, *flags) as running:
            last.write()
            _writer(others, tmp_path, b"name-3").write()
            _check(running.url, {own.unit: OPERATIONS}, [others.unit], OPERATIONS)


def test_a_filter_that_fits_nobody(rung: str, tmp_path: Path) -> None:
    """A cgroup that never exists lets nobody pass."""
    with group("nobody") as own, _filtering(tmp_path, rung, "--filter.cgroup=/perflens-never") as running:
        _writer(own, tmp_path).write()
        _check(running.url, {}, [own.unit], OPERATIONS)
